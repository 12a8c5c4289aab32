# SPDX-License-Identifier: Apache-2.0
"""What the daemon takes on a full node: time for an address, time to serve again after kill -9, memory.

A full node is an m5.24xlarge with 737 pods (15 ENIs of 49 addresses, and 2: what aws-node allows there).
"""
import collections
import contextlib
import json
import pathlib
import subprocess
import tempfile
import time

from tests.harness import cni, proc
from tests.harness.lab import Lab
from tests.harness.spawn import Spawner

PODS = 737
NODE = {"instance_type": "m5.24xlarge", "prefix_delegation": True}
# A second of cool-down instead of 30: at a thousand pods a second 30,000 addresses would cool, more than a node can hold.
CHURN_NODE = {**NODE, "daemon_config": {"ip_cooldown_s": 1}}
CHURN_PER_S = 1500
SETTLE = 10000          # pairs before measuring: the pool grows until what cools down no longer makes pods wait
FEW = 25                # ADDs whose median is the figure of an emptier and a full node
REST_S = 7              # the daemon gives memory back 5 s after its last call to EC2


def row(name, unit, ours, peer=None, peer_name="", floor=None):
    return {"name": name, "unit": unit, "ours": ours, "peer": peer, "peer_name": peer_name, "floor": floor}


def pool_rows():
    """Assign and release, in memory and stored (tests/bench/ipam/ipambench.c)."""
    with tempfile.TemporaryDirectory(prefix="vpcwire-bench-", dir="/dev/shm") as folder:
        return json.loads(proc.run([proc.BIN / "ipambench", folder], timeout=120).stdout)


# --- memory

Memory = collections.namedtuple("Memory", "private dirty")


def memory(node, pid):
    """-> MiB: `private`, what nobody but the daemon would have in memory on a node; `dirty`, of that what no file has.

    Whether the kernel calls a library's page private depends on who else has mapped it in this moment: here the simulator and
    other labs use some of the same ones. So everything counts but libc and its loader, which every process has. eBPF maps that it
    has mapped are the kernel's memory, there without it too: tests/bench/policy_node.py counts them.
    """
    private = dirty = 0
    others = False
    for line in node.run("cat", f"/proc/{pid}/smaps").stdout.splitlines():
        word, *rest = line.split()
        if not word.endswith(":"):
            name = rest[-1].rsplit("/", 1)[-1]
            others = name.startswith(("libc.so.", "ld-linux", "[vdso]")) or name == "anon_inode:bpf-map"
        elif word == "Private_Dirty:":
            dirty += int(rest[0])
        elif word == "Rss:" and not others:
            private += int(rest[0])
    return Memory(round(private / 1024, 2), round(dirty / 1024, 2))


def at_rest(node, pid, limit_s=60):
    """The daemon's memory once it has not changed for as long as it takes to give some back."""
    seen = {"last": None, "since": 0}

    def unchanged():
        now = memory(node, pid)
        if now != seen["last"]:
            seen.update(last=now, since=time.monotonic())
        return now if time.monotonic() - seen["since"] >= REST_S else None

    return proc.wait_until(unchanged, "the daemon's memory to come to rest", limit_s, every=0.5)


# --- restart

def add_pods(node, count):
    """-> milliseconds of each ADD, one after the other"""
    pods = node.pods(count)
    with Spawner(node) as spawner:
        listed = node.conflist
        listed["cniVersion"] = "1.0.0"
        conf = spawner.conf_file("full.conf", json.dumps(cni.plugin_conf(listed)))
        plugin = f"{node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire"
        return [spawner.call(plugin, conf, "ADD", pod.container_id, pod.netns)[0] for pod in pods]


def restart_ms(node):
    """From the start of vpcwired after kill -9 until it has answered an ADD; starting the process is in it.

    -> (milliseconds, of these its processor time)
    """
    node.lab.kill_daemon(node.name)
    asks = subprocess.Popen(node.argv(proc.BIN / "rpcload", node.socket), env=node.env(), stdout=subprocess.PIPE, text=True)
    with asks:
        start = time.monotonic_ns()
        node.lab.start_daemon(node.name)
        answered = asks.stdout.readline()
        assert answered, "the daemon did not answer an ADD after its restart"
    pid = node.daemon_pid()
    busy = int(node.run("cat", f"/proc/{pid}/task/{pid}/schedstat").stdout.split()[0])
    took = (int(answered) - start) / 1e6, busy / 1e6
    node.rpc("del", container_id=f"{0xf1f1f1f1:064x}", ifname="eth0", failed=True)
    proc.wait_until(lambda: node.info()["discovered"], "the daemon to have asked EC2")
    return took


def version_ms(node):
    start = time.monotonic_ns()
    node.run(proc.BIN / "vpcwired", "--version")
    return (time.monotonic_ns() - start) / 1e6


def status_ms(node, *words, runs=20):
    """vpcwirectl, `runs` times one after the other -> (milliseconds from exec to exit, of these processor time of it and the daemon), each the mean."""
    busy = f"cat /proc/{node.daemon_pid()}/schedstat"
    script = f'{busy}; date +%s%N; for i in $(seq "$1"); do "$2" --socket "$3" "$4" >/dev/null || exit 1; done; date +%s%N; {busy}; times'
    lines = node.run("sh", "-c", script, "-", runs, proc.BIN / "vpcwirectl", node.socket, *words).stdout.splitlines()
    daemon = int(lines[3].split()[0]) - int(lines[0].split()[0])
    children = sum(int(m) * 60 + float(s) for m, s in (t.rstrip("s").split("m") for t in lines[5].split()))
    return (int(lines[2]) - int(lines[1])) / 1e6 / runs, (daemon / 1e6 + children * 1e3) / runs


def full_node_rows(rounds=5):
    with Lab(**NODE) as lab:
        node = lab.nodes[0]
        add_ms = add_pods(node, PODS)
        first, last = (sorted(part)[FEW // 2] for part in (add_ms[1:FEW + 1], add_ms[-FEW:]))
        assert node.info()["n_pods"] == PODS
        # the first start after the pods were made also finds what an ADD under way had left; each one counts
        times = [sorted(t) for t in zip(*[restart_ms(node) for _ in range(rounds)])]
        floor = sorted(version_ms(node) for _ in range(rounds))
        rest = at_rest(node, node.daemon_pid())
        status, version = (sorted(status_ms(node, w) for _ in range(rounds))[rounds // 2] for w in ("status", "--version"))
    return [row(f"ADD of the last {FEW} of {PODS} pods, p50", "ms", round(last, 2), round(first, 2), f"the first {FEW}"),
            row(f"vpcwirectl status with {PODS} pods, exec to exit", "ms", round(status[0], 2), floor=round(version[0], 2)),
            row(f"vpcwirectl status with {PODS} pods: processor time, the daemon's too", "ms", round(status[1], 2), floor=round(version[1], 2)),
            row(f"restart with {PODS} pods: start to first ADD, median", "ms", round(times[0][rounds // 2], 1),
                floor=round(floor[rounds // 2], 1)),
            row(f"restart with {PODS} pods: start to first ADD, worst", "ms", round(times[0][-1], 1), floor=round(floor[-1], 1)),
            row(f"restart with {PODS} pods: processor time, median", "ms", round(times[1][rounds // 2], 1)),
            row(f"daemon's private memory with {PODS} pods, at rest", "MiB", rest.private),
            row(f"daemon's dirty memory with {PODS} pods, at rest", "MiB", rest.dirty)]


# --- churn

@contextlib.contextmanager
def load(node, pairs):
    process = subprocess.Popen(node.argv(proc.BIN / "rpcload", node.socket, PODS, pairs, CHURN_PER_S), env=node.env(),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        yield process
        process.stdin.close()
        assert process.wait(60) == 0, "rpcload failed; what it said is above"
    finally:
        process.kill()
        process.wait()


def churn_rows(pairs):
    """`pairs` times a DEL and an ADD on a node with 737 pods: what its memory does meanwhile, and how long they take."""
    with Lab(**CHURN_NODE) as lab:
        node = lab.nodes[0]
        pid, before, highest, times = node.daemon_pid(), None, Memory(0, 0), {}
        with load(node, SETTLE + pairs) as process:
            for line in process.stdout:
                word, *values = line.split()
                if word in ("add_us", "del_us"):
                    times[word] = [float(v) for v in values]
                    continue
                if word == "pairs" and int(values[0]) == SETTLE:
                    before = at_rest(node, pid)
                elif word == "pairs" and int(values[0]) > SETTLE:
                    highest = Memory(*map(max, highest, memory(node, pid)))
                process.stdin.write("\n")
        after = at_rest(node, pid)
        assert node.info()["n_pods"] == PODS
    what = f"{pairs:,} ADD + DEL with {PODS} pods"
    return [row(f"{what}: private memory after", "MiB", after.private, before.private, "before"),
            row(f"{what}: private memory at most", "MiB", highest.private, before.private, "before"),
            row(f"{what}: dirty memory after", "MiB", after.dirty, before.dirty, "before"),
            row(f"{what}: dirty memory at most", "MiB", highest.dirty, before.dirty, "before"),
            row(f"{what}: RPC of an ADD, p50", "us", times["add_us"][0]), row(f"{what}: RPC of an ADD, p99", "us", times["add_us"][1]),
            row(f"{what}: RPC of a DEL, p50", "us", times["del_us"][0]), row(f"{what}: RPC of a DEL, p99", "us", times["del_us"][1])]
