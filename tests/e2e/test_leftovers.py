# SPDX-License-Identifier: Apache-2.0
"""Everything of ours is recognisable as ours: after a node on which all were killed at once, GC leaves none of it."""
import json
import os
import signal
import subprocess

import pytest

from tests.harness import audit, cni, proc

# all pods fit on the first ENI, so that the node can become what it was before
CALM = {"instance_type": "m5.large", "daemon_config": {"ip_cooldown_s": 1, "warm_ip_target": 2}}
PODS, COMING = 4, 3


def rows(node):
    """What the store has that speaks of pods, and of what is under way: rows by table."""
    script = """import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(json.dumps({t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("attachment", "cooling", "intent")}))"""
    return node.json("/usr/bin/python3", "-c", script, f"{node.run_dir}/state.db")


def of_ec2(lab):
    """Every address and prefix that EC2 says is on an ENI of the account."""
    return sorted(json.dumps({k: e.get(k) for k in ("id", "private_ips", "prefixes", "addresses")}, sort_keys=True)
                  for e in lab.control("state")["state"]["enis"])


def filters(node):
    """Programs on every link of the node, less the ids that a new load changes."""
    return node.run("sh", "-c", "for d in $(ls /sys/class/net); do echo $d; tc filter show dev $d ingress; tc filter show dev $d egress; done"
                                " | sed 's/ tag.*//'").stdout


def start_add(pod):
    listed = pod.node.conflist
    listed["cniVersion"] = "1.0.0"
    plugin = f"{pod.node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire"
    process = subprocess.Popen(pod.node.argv("env", "-i", *pod.cni_env("ADD"), plugin), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=pod.node.env())
    process.stdin.write(json.dumps(cni.plugin_conf(listed)).encode())
    process.stdin.close()
    return process


def kill_whole(process):
    for pid in [*proc.descendants(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait(10)


def remove(node, pods):
    """Their namespaces go, and with them the links: the kernel takes its time for the latter, and until then they live."""
    for pod in pods:
        pod.remove()
    proc.wait_until(lambda: not node.run("ip", "-o", "link", "show", "group", str(0x56570001)).stdout, "the pods' links to be gone")


def gc(pod, valid=()):
    """As libcni calls it, with the list of what lives."""
    assert pod.call("GC", version="1.1.0", conf={"cni.dev/valid-attachments": list(valid)}) is None


@pytest.mark.limit(180)
@pytest.mark.parametrize("netns", ["gone", "held by nobody's process"])
def test_after_all_were_killed_at_once_gc_leaves_nothing(make_lab, netns):
    """Pods, plugins in the middle of ADD, the daemon: kill -9. `netns`: with the pods, or only later, when a runtime cleans up."""
    lab = make_lab(**CALM)
    node = lab.nodes[0]
    calm = proc.wait_until(lambda: node.info()["pool"]["available"] == 2 and not node.info()["pool"]["actions_under_way"] and node.info(),
                           lambda: f"a warm pool: {node.info()['pool']}")
    before, programs, addresses, enis = audit.node(node), filters(node), of_ec2(lab), len(calm["enis"])
    pods, coming = node.pods(PODS), node.pods(COMING)
    for pod in pods:
        pod.add()
    adds = [start_add(p) for p in coming]
    lab.kill_daemon(node.name)
    for process in adds:
        kill_whole(process)
    if netns == "gone":
        remove(node, pods + coming)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    if netns != "gone":
        gc(pods[0])
        assert len(audit.books(node)) >= PODS, "an empty list alone takes nothing from interfaces that live"
        remove(node, pods + coming)
    gc(pods[0])
    audit.settled(node, before, timeout=20)
    assert filters(node) == programs
    assert len(node.info()["enis"]) == enis
    proc.wait_until(lambda: of_ec2(lab) == addresses, lambda: f"the addresses back with EC2\n{audit.difference(addresses, of_ec2(lab))}",
                    timeout=60)
    proc.wait_until(lambda: not any(rows(node).values()), lambda: f"an empty store: {rows(node)}", timeout=20)


# --- removal for good


def cleanup(node):
    config = "/etc/vpcwire/vpcwired.json"
    return node.run(proc.BIN / "vpcwired", "--config", config, "--run-dir", node.run_dir, "--bpf-dir", "/sys/fs/bpf/vpcwire", "--cleanup",
                    check=False)


def not_of_new_enis(lines, enis):
    """ENIs that were attached meanwhile stay attached, without addresses of theirs."""
    return [l for l in lines if not any(f'"ifname": "{e}"' in l and (l.startswith("link:") or '"local"' not in l) for e in enis)]


def files(node):
    return node.run("sh", "-c", "find $1 /sys/fs/bpf/vpcwire ! -type d 2>/dev/null", "-", node.run_dir, check=False).stdout.splitlines()


def half_a_tombstone(pod):
    """A DEL without a daemon, killed while it writes its tombstone -> what it leaves."""
    before = files(pod.node)
    killed = ("strace", "-qq", "-o", "/dev/null", "-e", "trace=renameat", "-e", "inject=renameat:signal=KILL:when=1")
    with pytest.raises(AssertionError):         # it has said nothing, not even an error
        pod.call("DEL", wrap=killed)
    return [f for f in files(pod.node) if f not in before and ".tmp." in f]


@pytest.mark.limit(180)
def test_removal_for_good_leaves_nothing(make_lab):
    lab = make_lab("--no-daemon", "--ipv6", instance_type="t3.small")
    node = lab.nodes[0]
    pristine, programs, before = audit.kernel(node), filters(node), files(node)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    pods = node.pods(5)
    for pod in pods:
        pod.add()
    proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "an ENI that comes ahead of need to be there")
    enis = [e["ifname"] for e in node.info()["enis"] if not e["primary"]]
    assert enis, "five pods of a t3.small need a second ENI"
    used = audit.kernel(node)

    refused = cleanup(node)
    assert refused.returncode == 1 and "vpcwired" in refused.stderr and audit.kernel(node) == used, refused.stderr
    lab.stop_daemon(node.name)
    refused = cleanup(node)
    assert refused.returncode == 1 and "5 pods have interfaces of ours" in refused.stderr, refused.stderr
    assert audit.kernel(node) == used, "nothing half done"

    pods[0].delete()                # a tombstone
    assert half_a_tombstone(pods[1])
    remove(node, pods)
    for attempt in ("first", "again"):
        done = cleanup(node)
        assert done.returncode == 0 and not done.stderr, f"{attempt}: {done.stderr}"
        assert not_of_new_enis(audit.kernel(node), enis) == pristine, audit.difference(pristine, audit.kernel(node))
        assert [l for l in filters(node).splitlines() if l not in enis] == programs.splitlines()
        assert {f for f in files(node) if not f.endswith((".log", ".jsonl"))} <= set(before)

    half = half_a_tombstone(pods[1])
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    assert not set(half) & set(files(node))
    again = node.pod()
    again.add()
    assert again.check() is None
