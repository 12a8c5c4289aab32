# SPDX-License-Identifier: Apache-2.0
"""What one ADD and one DEL of a warm node cost, and one `vpcwirectl status`, in things that can be counted: no figure depends on the machine's speed.

collect() makes them on a lab; tests/e2e/test_counts.py compares them with counts.json. The subject is the plain case: one interface, IPv4,
an address in the pool, programs by clsact, no policies.
"""
import collections
import contextlib
import json
import pathlib
import platform
import re
import struct
import subprocess

from tests.harness import audit, bpfmem, proc, trace
from tests.harness.lab import Lab

BASELINE = pathlib.Path(__file__).with_name("counts.json")
ROUNDS = 5              # a round that something else disturbed (a timer of the daemon's, a page of the store that is full) counts more
LAB = {"instance_type": "m5.2xlarge", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 3}}
READY = 16 + 2 * ROUNDS + 4
# how long somebody waits and is woken, not what is done
WAITS = {"futex", "epoll_wait", "restart_syscall"}
CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
TOLERANCE = {"instructions": 0.02, "bytes": 0.02, "a pod": 0.1}
# another compiler, or another kind of processor, has its own
PARTS_OF_GCC = "instructions of the plugin", "instructions of vpcwirectl", "instructions of vpcwirectl, more for each pod"
STATUS = {"status": ["status"], "status --json": ["--json", "status"]}
STEPS, STEP = 3, 6      # pods: 1, 7, 13
# libc chooses its string functions by what the processor has: here the same ones on each
PLAIN_CPU = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX,-SSE4_2,-SSE4_1,-SSSE3,-ERMS,-FSRM,-BMI2,-BMI1,-LZCNT,-MOVBE"


def calls_of(lines):
    """strace's lines -> [(tid, name, the rest)], each system call once."""
    return [m.groups() for m in map(CALL.match, lines) if m]


def by_name(names):
    return dict(sorted(collections.Counter(names).items()))


def rpc_packets(calls):
    """Packets that the plugin exchanged with the daemon: by the SOCK_SEQPACKET sockets that it has made."""
    sockets, packets = set(), collections.Counter()
    for _, name, rest in calls:
        made = re.match(r"AF_UNIX, SOCK_SEQPACKET.*= (\d+)$", rest)
        fd = re.match(r"(\d+)[,)]", rest)
        if name == "socket" and made:
            sockets.add(made[1])
        elif fd and fd[1] in sockets:
            if name == "close":
                sockets.discard(fd[1])
            elif name in ("sendto", "sendmsg", "recvfrom", "recvmsg") and "= -1" not in rest:
                packets["sent" if name.startswith("send") else "received"] += 1
    return dict(packets)


def served(calls):
    """The daemon's calls from when its loop's thread took the plugin's connection until it closed it."""
    loop = next(tid for tid, name, rest in calls if name == "accept4" and not rest.endswith(")") and "= -1" not in rest)
    mine = [(name, rest) for tid, name, rest in calls if tid == loop]
    first = next(i for i, (name, rest) in enumerate(mine) if name == "accept4" and "= -1" not in rest)
    fd = mine[first][1].rsplit("= ", 1)[1]
    last = next(i for i, (name, rest) in enumerate(mine) if i > first and name == "close" and rest.startswith(f"{fd})"))
    return [name for name, _ in mine[first:last + 1] if name not in WAITS]


def messages(path):
    return by_name(m.type for m in trace.Trace(path).route_messages())


def objects(node, pod):
    """What is there, by kind: -> Counter. Files are those of the daemon's run directory, but for the store's own."""
    files = node.run("sh", "-c", f"find {node.run_dir} -type f ! -name 'state.db*' ! -name '*.log'").stdout.split()
    held = bpfmem.held(node)
    count = collections.Counter(line.split(":")[0] + "s on the node" for line in audit.kernel(node))
    count.update(line.split(":")[0] + "s in the pod" for line in audit.netns(pod))
    count.update({"eBPF maps": len(held.maps), "eBPF programs": len(held.progs), "descriptors of the daemon": len(held.fds),
                  "files of the daemon": len(files), "attachments in the books": len(audit.books(node))})
    return count


def more(before, after):
    return {k: after[k] - before[k] for k in sorted(before | after) if after[k] != before[k]}


def links_reaped(node, pods):
    """DEL answers before the links go, a group at a time."""
    proc.wait_until(lambda: len([o for o in audit.pod_objects(node) if o.startswith("eni")]) == pods, "the link to be reaped")


class Traced:
    """One ADD or DEL under strace, plugin and daemon -> its counts."""

    def __init__(self, node, daemon, name, act, rest=lambda: None):
        plugin = pathlib.Path(node.lab.dir.name) / f"{name}.plugin"
        path = plugin.with_suffix(".daemon")
        ec2 = node.lab.ec2_calls()
        with trace.Attached(node, daemon, path, "-e", "trace=all"):
            act(wrap=("strace", "-f", "-v", "-s", "65536", "-o", str(plugin)))
            rest()
        calls = calls_of(trace.Trace(plugin).lines)
        self.counts = {
            "system calls of the plugin": by_name(name for _, name, _ in calls),
            "system calls of the daemon, request to answer": by_name(served(calls_of(trace.Trace(path).lines))),
            "netlink messages of the plugin": messages(plugin),
            "netlink messages of the daemon": messages(path),
            "RPC packets": rpc_packets(calls),
            "calls to EC2": by_name(a for a, n in more(collections.Counter(ec2), collections.Counter(node.lab.ec2_calls())).items()
                                    for _ in range(n)),
        }


def least(rounds):
    """Of several rounds, each part from the round where it was smallest."""
    return {part: min((r[part] for r in rounds), key=lambda c: sum(c.values())) for part in rounds[0]}


def traced_rounds(node):
    """-> {"ADD": counts, "DEL": counts}; pods come and go in turns, so that each round finds the node alike."""
    daemon, rounds = node.daemon_pid(), {"ADD": [], "DEL": []}
    standing = len([o for o in audit.pod_objects(node) if o.startswith("eni")])
    for i in range(ROUNDS):
        pod = node.pod()
        rounds["ADD"].append(Traced(node, daemon, f"add{i}", pod.add).counts)
        rounds["DEL"].append(Traced(node, daemon, f"del{i}", pod.delete, lambda: links_reaped(node, standing)).counts)
        pod.remove()
    return {command: least(found) for command, found in rounds.items()}


def objects_made(node):
    """What an ADD makes, and what a DEL leaves of it: lo, which the plugin puts up, has routes."""
    standing = len([o for o in audit.pod_objects(node) if o.startswith("eni")])
    pod = node.pod()
    before = objects(node, pod)
    pod.add()
    between = objects(node, pod)
    pod.delete()
    links_reaped(node, standing)
    after = objects(node, pod)
    pod.remove()
    return {"ADD": {"objects made": more(before, between)}, "DEL": {"objects left of the pod": more(before, after)}}


# --- allocations and instructions

def callgrind(path):
    """A file of callgrind's -> (instructions, how often malloc, calloc and realloc were called)."""
    names, called, n, callee = {}, collections.Counter(), 0, None
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith(("fn=", "cfn=")):
            number, _, name = line.split("=", 1)[1].partition(" ")
            names.setdefault(number, name)
            callee = names[number] if line.startswith("cfn=") else callee
        elif line.startswith("calls="):
            called[callee.split("'")[0]] += int(line[6:].split()[0])
        elif line.startswith(("summary:", "totals:")):
            n = int(line.split()[1])
    return n, called["malloc"] + called["calloc"] + called["realloc"]


def instructions(node):
    found = {"ADD": [], "DEL": []}
    for i in range(3):
        pod = node.pod()
        for command, act in (("ADD", pod.add), ("DEL", pod.delete)):
            path = pathlib.Path(node.lab.dir.name) / f"callgrind.{command}.{i}"
            act(wrap=("env", PLAIN_CPU, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={path}", "--log-file=/dev/null"))
            found[command].append(callgrind(path))
        pod.remove()
    return {command: {"instructions of the plugin": {"instructions": min(rounds)[0]},
                      "allocations of the plugin": {"allocations": min(r[1] for r in rounds)}} for command, rounds in found.items()}


@contextlib.contextmanager
def counting_daemon(node):
    """The node's daemon once more, with allocs.c before its libraries -> what reads its page: (requests, calls, bytes)."""
    lab = node.lab
    page = pathlib.Path(lab.dir.name) / "allocs"
    page.write_bytes(bytes(24))
    lab.stop_daemon(node.name)
    env = {"LD_PRELOAD": proc.BUILD / "lib" / "allocs.so", "VPCWIRE_ALLOCS": page, "AWS_REGION": "eu-central-1",
           "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ENABLE_PREFIX_DELEGATION": "true",
           **{k: v for k, v in lab.env.items() if k.startswith("AWS_")}}
    with open(pathlib.Path(lab.dir.name) / "allocs.log", "wb") as log:
        daemon = subprocess.Popen(node.argv("env", "-i", *[f"{k}={v}" for k, v in env.items()], proc.BIN / "vpcwired", "--config",
                                            "/etc/vpcwire/vpcwired.json", "--run-dir", node.run_dir, "--bpf-dir", "/sys/fs/bpf/vpcwire"),
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=node.env())
    try:
        proc.wait_until(node.serves, "the daemon that is counted", 30)
        yield lambda: struct.unpack("3Q", page.read_bytes())
    finally:
        node.run("kill", node.daemon_pid())
        daemon.wait(20)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon as before", 30)


def allocations(node):
    found = {"ADD": [], "DEL": []}
    with counting_daemon(node) as read:
        for _ in range(2 * ROUNDS):
            pod = node.pod()
            for command, act in (("ADD", pod.add), ("DEL", pod.delete)):
                before = read()[0]
                act()
                requests, calls, _ = read()
                assert requests == before + 1, f"{requests - before} requests for one {command}"
                found[command].append(calls)
            pod.remove()
    # what another thread does in between makes a round's figure larger, seldom smaller by one: what most rounds say
    return {command: {"allocations of the daemon, request to answer": {"allocations": collections.Counter(calls).most_common(1)[0][0]}}
            for command, calls in found.items()}


# --- vpcwirectl status

def ctl(node, words, wrap=()):
    return node.run(*wrap, proc.BIN / "vpcwirectl", "--socket", node.socket, *words)


def received_bytes(path):
    """Of the daemon's answer: what recvmsg() and recvfrom() of the SEQPACKET socket brought."""
    sockets, n = set(), 0
    for _, name, rest in calls_of(trace.Trace(path).lines):
        made = re.match(r"AF_UNIX, SOCK_SEQPACKET.*= (\d+)$", rest)
        fd, got = re.match(r"(\d+)[,)]", rest), re.search(r"= (\d+)$", rest)
        if name == "socket" and made:
            sockets.add(made[1])
        elif name.startswith("recv") and fd and fd[1] in sockets and got and "MSG_PEEK" not in rest:
            n += int(got[1])
    return n


def traced_status(node, words, name):
    rounds = []
    for i in range(ROUNDS):
        one = Traced(node, node.daemon_pid(), f"{name}{i}", lambda wrap: ctl(node, words, wrap)).counts
        path = pathlib.Path(node.lab.dir.name) / f"{name}{i}.plugin"
        own = [call for _, call, _ in calls_of(trace.Trace(path).lines)]
        del one["netlink messages of the plugin"], one["system calls of the plugin"]        # it has no netlink; what ld.so does is not its own
        rounds.append({**one, "system calls of vpcwirectl, from its socket on": by_name(own[own.index("socket"):]),
                       "bytes of the answer": {"bytes": received_bytes(path)}})
    return least(rounds)


def status_instructions(node, words):
    found = []
    for i in range(3):
        path = pathlib.Path(node.lab.dir.name) / f"callgrind.status.{i}"
        ctl(node, words, ("env", PLAIN_CPU, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={path}", "--toggle-collect=main", "--log-file=/dev/null"))
        found.append(callgrind(path)[0])
    return min(found)


def status(node):
    """-> {command: counts with one pod, and what each further pod adds}, {command: [instructions with 1, 1 + STEP, ... pods]}"""
    counted = {command: traced_status(node, words, command.replace(" ", "")) for command, words in STATUS.items()}
    curves = {command: [] for command in STATUS}
    for step in range(STEPS):
        for pod in node.pods(STEP if step else 0):
            pod.add()
        for command, words in STATUS.items():
            curves[command].append(status_instructions(node, words))
    for command, curve in curves.items():
        counted[command]["instructions of vpcwirectl"] = {"instructions": curve[0]}
    for command in ("status --json",):          # the other one has none of the pods
        counted[command]["instructions of vpcwirectl, more for each pod"] = {"a pod": round((curves[command][-1] - curves[command][0]) / STEP / (STEPS - 1))}
    return counted, curves


def warm(node):
    """A pool that needs no growth for as many pods as come, and a pod so that the node is not empty."""
    node.pod().add()
    proc.wait_until(lambda: node.info()["pool"]["available"] >= READY and not node.info()["pool"]["actions_under_way"],
                    lambda: f"a warm pool: {node.info()['pool']}")


def collect():
    """-> {"ADD": {part: {name: n}}, "DEL": ..., "status": ...}, and how the instructions of each status grow with the number of pods"""
    with Lab(**LAB) as lab:
        node = lab.nodes[0]
        warm(node)
        parts = [traced_rounds(node), objects_made(node), instructions(node), allocations(node)]
    with Lab(**LAB) as lab:
        warm(lab.nodes[0])
        of_status, curves = status(lab.nodes[0])
    return {**{command: {k: v for part in parts for k, v in part[command].items()} for command in ("ADD", "DEL")}, **of_status}, curves


# --- comparison

def differs(name, was, now):
    if was is None or now is None:
        return True
    return abs(now - was) > was * TOLERANCE.get(name, 0)


def comparable(counts):
    """Without what the file has for gcc on x86-64 alone, when this build is another one."""
    flags = (proc.BUILD / ".flags").read_text()
    if platform.machine() == "x86_64" and "-O2" in flags and "gcc" in flags.split(" -")[0]:
        return counts
    return {command: {k: v for k, v in parts.items() if k not in PARTS_OF_GCC} for command, parts in counts.items()}


def differences(was, now):
    """-> one line for each count that is not as it was."""
    lines = []
    for command in sorted(was | now):
        old, new = was.get(command, {}), now.get(command, {})
        for part in sorted(old | new):
            a, b = old.get(part, {}), new.get(part, {})
            lines += [f"{command}, {part}: {name}: was {a.get(name, 0)}, is {b.get(name, 0)}" for name in sorted(a | b)
                      if differs(name, a.get(name), b.get(name))]
    return lines


def baseline():
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def accept(counts):
    BASELINE.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")
