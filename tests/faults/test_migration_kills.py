# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every change that the four commands of a migration make: run again, each ends where it ends at once, and no packet is lost."""
import collections
import json
import re
import signal

import pytest

from tests.faults.mortal import FINE
from tests.harness import audit, proc
from tests.harness.awsnode import CHECKPOINT
from tests.harness.migration import as_aws_node, pings, serving, vpcwired, with_four

LAB = {"nodes": 2, "instance_type": "m5.large",
       "daemon_config": {"warm_eni_target": 2, "minimum_ip_target": 14, "warm_ip_target": 8, "ip_cooldown_s": 0}}
# system calls by which something outside of the process changes; those of them that only ask, and what is said on stdout, are none
CALLS = ("sendto", "sendmsg", "write", "pwrite64", "ftruncate", "openat", "mkdir", "rename", "renameat", "renameat2", "unlink", "unlinkat",
         "rmdir", "bpf")
ASKS = re.compile(r"RTM_GET|NFT_MSG_GET|BPF_OBJ_GET|BPF_PROG_QUERY|NLM_F_DUMP|write\([12],")

# many in a row: writes of SQLite, of which it promises that the last makes it all, and removal of pins. One in five, all of them with KILLS_FINE
ROWS_OF = ("pwrite64", "unlinkat")

ATTACHMENTS = """import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
db.row_factory = sqlite3.Row
print(json.dumps(sorted(str([(k, r[k]) for k in r.keys() if k != "created_ms"]) for r in db.execute("SELECT * FROM attachment"))))
"""


def state(node):
    """Kernel, pins, what the store has of pods, the checkpoint but for its times, and the names of files."""
    files = node.run("sh", "-c", f"ls -A {node.run_dir} /var/run/aws-node 2>/dev/null | grep -v -e vpcwired -e -wal -e -shm", check=False).stdout
    rows = node.run("/usr/bin/python3", "-c", ATTACHMENTS, f"{node.run_dir}/state.db").stdout if "state.db" in files else ""
    text = node.run("cat", CHECKPOINT, check=False).stdout
    known = [{**a, "allocationTimestamp": 0} for a in json.loads(text)["allocations"]] if text else []
    return audit.kernel(node) + [f"files: {files}", f"rows: {rows}"] + sorted(f"checkpoint: {json.dumps(a, sort_keys=True)}" for a in known)


def points(node, command):
    """Runs it -> [(system call, which one of that name)], each of which changes something."""
    log = f"{node.run_dir}/trace"
    node.run("strace", "-f", "-o", log, "-e", f"trace={','.join(CALLS)}", proc.BIN / "vpcwired", "--run-dir", node.run_dir, command)
    seen, found = collections.Counter(), []
    for line in node.run("cat", log).stdout.splitlines():
        called = re.match(r"\d+ +(\w+)\(", line)
        if not called:
            continue
        name = called[1]
        seen[name] += 1
        if not ASKS.search(line) and (name != "openat" or "O_CREAT" in line):
            found.append((name, seen[name]))
    node.run("rm", log)
    return [p for p in found if FINE or p[0] not in ROWS_OF or p[1] % 5 == 1 or p == (p[0], seen[p[0]])]


def die(node, command, name, which):
    """-> whether it came to that call, and died there; else it went on to its end"""
    done = node.run("strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={which}",
                    proc.BIN / "vpcwired", "--run-dir", node.run_dir, command, check=False)
    assert done.returncode in (0, 128 + signal.SIGKILL), done
    return done.returncode != 0


def enumerate_deaths(node, command, before, least):
    """before(): the node as the command finds it, whatever it has done to it. Each death is followed by a run that ends well."""
    before()
    where = points(node, command)
    wanted, deaths = state(node), collections.Counter()
    for name, which in where:
        before()
        deaths[name] += die(node, command, name, which)
        vpcwired(node, command)
        assert not audit.difference(wanted, state(node)), f"{command}, killed at {name} #{which}:\n{audit.difference(wanted, state(node))}"
    print(f"# {command}: {len(where)} points, {deaths.total()} deaths: {dict(deaths)}")
    assert deaths.total() >= least


@pytest.mark.limit(900)
def test_each_step_may_be_killed_anywhere(make_lab):
    lab = make_lab(**LAB)
    aws = with_four(as_aws_node(lab))
    node, other = aws.node, lab.nodes[1].pod("other")
    other.add()
    one, _, three, _ = aws.pods

    def untouched():
        vpcwired(node, "--to-aws-node-done")    # nothing serves yet: only what --from-aws-node has done goes

    def both():
        aws.again()
        aws.enforce(one, "192.0.2.1")

    def ours_alone():
        vpcwired(node, "--from-aws-node-done")
        node.run("rm", "-f", CHECKPOINT)

    def given():
        aws.write()
        vpcwired(node, "--from-aws-node")
        serving(lab, node)
        lab.stop_daemon(node.name)
        vpcwired(node, "--to-aws-node")

    with pings({"primary": (one, other.result.address), "secondary": (three, "203.0.113.10"), "from another node": (other, three.address)}):
        enumerate_deaths(node, "--from-aws-node", untouched, 8)
        serving(lab, node)
        lab.stop_daemon(node.name)
        vpcwired(node, "--from-aws-node-done")
        enumerate_deaths(node, "--from-aws-node-done", both, 3)
        enumerate_deaths(node, "--to-aws-node", ours_alone, 5)
        vpcwired(node, "--to-aws-node-done")
        enumerate_deaths(node, "--to-aws-node-done", given, 20)
    assert {a["containerID"]: a["ipv4"] for a in aws.checkpoint()} == {p.container_id: p.address for p in aws.pods}
    other.delete()
    other.remove()
