#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that need a machine: rows {"name","unit","ours","peer","peer_name","floor"} into a file, and a table.

ADD and DEL of vpcwire beside Debian's ptp + host-local: one node of a lab, taking turns, exec to exit. Both are run by the
same C program on the same node in the same seconds; which of the two goes first changes every time. `floor` is a program that
does nothing (/bin/true), run the same way: below it nothing that is exec'd can get.
Then what a packet costs in the eBPF policy programs (policy_bench.c), where the floor is an empty program, and the daemon alone
(figures.py). A row without a peer has null there.

  run.py [--out FILE] [--only plugin|program|counts|policy|policy-node|pool|full-node|packets|bandwidth|others|idle|throughput|repairs|churn ...] [--pairs N]
"""
import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.bench import bandwidth, counts, figures, others, packets, policy_node, repairs, throughput  # noqa: E402
from tests.harness import audit, cni, proc  # noqa: E402
from tests.harness.lab import Lab, parallel  # noqa: E402
from tests.harness.spawn import Spawner  # noqa: E402

PEER_PATH = "/usr/lib/cni"
PEER_NAME = "ptp + host-local"
WARM_UP = 5


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


class Ours:
    def __init__(self, node, spawner):
        self.plugin = node.lab.env["CNI_PATH"].split(":")[0] + "/vpcwire"
        self.spawner = spawner
        listed = node.conflist
        listed["cniVersion"] = "1.0.0"
        self.conf = spawner.conf_file("ours.conf", json.dumps(cni.plugin_conf(listed)))

    def add(self, pod):
        ms, raw = self.spawner.call(self.plugin, self.conf, "ADD", pod.container_id, pod.netns)
        cni.Result(raw, "1.0.0")
        return ms

    def delete(self, pod):
        return self.spawner.call(self.plugin, self.conf, "DEL", pod.container_id, pod.netns)[0]


class Peer(Ours):
    def __init__(self, node, spawner):
        self.plugin = f"{PEER_PATH}/ptp"
        self.spawner = spawner
        self.conf = spawner.conf_file("peer.conf", json.dumps({
            "cniVersion": "1.0.0", "name": "bench", "type": "ptp",
            "ipam": {"type": "host-local", "dataDir": str(spawner.dir / "host-local"), "subnet": "100.64.0.0/16",
                     "routes": [{"dst": "0.0.0.0/0"}]}}))


def measure(node, rounds):
    """-> {(who, command): [ms]}. First every ADD, in turns, then every DEL: removing links holds a lock that ADD needs."""
    times = {}
    with Spawner(node, PEER_PATH) as peer_spawner, Spawner(node) as spawner:
        both = {"ours": Ours(node, spawner), "peer": Peer(node, peer_spawner)}
        pods = {who: node.pods(rounds + WARM_UP) for who in both}
        empty = spawner.conf_file("empty.conf", "{}")
        for command in ("add", "delete"):
            for number in range(rounds + WARM_UP):
                order = list(both) if number % 2 else list(reversed(list(both)))
                taken = {who: getattr(both[who], command)(pods[who][number]) for who in order}
                taken["floor"], _ = spawner.call("/bin/true", empty, command, "x", "x")
                for who, ms in taken.items() if number >= WARM_UP else ():
                    times.setdefault((who, command), []).append(ms)
    return times


def burst(node, size):
    """-> {who: [ms]}: `size` ADDs of one kind at the same moment, as when a node starts; the other kind waits its turn."""
    times = {}
    for who, kind, path in (("ours", Ours, None), ("peer", Peer, PEER_PATH)):
        with contextlib.ExitStack() as stack:
            runners = [kind(node, stack.enter_context(Spawner(node, path))) for _ in range(size)]
            pods = node.pods(size)
            times[who] = parallel([lambda r=r, p=p: r.add(p) for r, p in zip(runners, pods)])
            for runner, pod in zip(runners, pods):
                runner.delete(pod)
    return times


def timed(node, script):
    """Milliseconds that a shell on the node takes for it."""
    began, ended = node.run("sh", "-ec", f"date +%s%N\n{script}\ndate +%s%N", timeout=60).stdout.split()
    return (int(ended) - int(began)) / 1e6


def del_burst(node, size):
    """Milliseconds for each link: `size` DELs of ours at the same moment until every link is gone, and as many RTM_DELLINK one by one."""
    with Spawner(node) as spawner:
        ours = Ours(node, spawner)
        pods = node.pods(size)
        for pod in pods:
            ours.add(pod)
        each = "".join(f"CNI_CONTAINERID={p.container_id} CNI_NETNS={p.netns} {ours.plugin} < {ours.conf} &\n" for p in pods)
        # seldom: each look costs as much as a DEL, on the same two processors
        gone = "while ip -br link show | grep -q ^eni; do sleep 0.01; done"
        own_ms = timed(node, f"export CNI_COMMAND=DEL CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin\n{each}wait\n{gone}")
    assert not audit.books(node)
    node.run("ip", "-batch", "-", input="".join(f"link add vwb{i} type veth peer name vwp{i}\n" for i in range(size)), timeout=60)
    peer_ms = timed(node, "ip -batch - <<END\n" + "".join(f"link del vwb{i}\n" for i in range(size)) + "END")
    return own_ms / size, peer_ms / size


def del_burst_rows(node, size=100, rounds=5):
    """The medians of a few rounds: one burst takes a quarter of a second, which anything else on the machine may double."""
    ours, peer = (sorted(side)[rounds // 2] for side in zip(*[del_burst(node, size) for _ in range(rounds)]))
    return [{"name": f"{size} DELs in parallel, per link", "unit": "ms", "ours": round(ours, 3), "peer": round(peer, 3),
             "peer_name": "one RTM_DELLINK each", "floor": 0}]


def burst_rows(times, size, floor):
    return [{"name": f"{size} ADDs in parallel, p{p}", "unit": "ms", "ours": round(percentile(times["ours"], p), 3),
             "peer": round(percentile(times["peer"], p), 3), "peer_name": PEER_NAME, "floor": floor} for p in (50, 99)]


def rows_of(times):
    rows = []
    for command, label in (("add", "ADD"), ("delete", "DEL")):
        for p in (50, 99):
            rows.append({"name": f"{label} p{p}, exec to result", "unit": "ms",
                         "ours": round(percentile(times["ours", command], p), 3),
                         "peer": round(percentile(times["peer", command], p), 3), "peer_name": PEER_NAME,
                         "floor": round(percentile(times["floor", command], p), 3)})
    return rows


def policy_rows(rounds):
    """-> rows of policy_bench: nanoseconds of BPF_PROG_TEST_RUN, medians of `rounds`."""
    out = subprocess.run([proc.BUILD / "bin/policy_bench", str(rounds)], check=True, capture_output=True, text=True, timeout=300)
    return [{"name": f"policy: {r['name']}", "unit": r["unit"], "ours": r["ours"], "peer": r.get("peer"), "peer_name": r.get("peer_name", ""),
             "floor": r["floor"]} for r in json.loads(out.stdout)]


def flow_log_rows():
    """-> rows of flowlogbench: CPU nanoseconds of a worker, medians. The programs in the kernel are the same with and without the log."""
    out = subprocess.run([proc.BUILD / "bin/flowlogbench"], check=True, capture_output=True, text=True, timeout=300)
    return [{"name": f"flow log: {r['name']}", "unit": r["unit"], "ours": r["median"], "peer": None, "peer_name": "", "floor": None}
            for r in map(json.loads, out.stdout.splitlines())]


def compile_rows():
    """-> rows of npcompile: CPU microseconds, medians. 10,000 pods, 1,000 rules, 100 local pods with 50 effective policies."""
    rows = []
    for label, options in (("", []), (", every pod with labels of its own", ["--each-alone", "--only", "compile"])):
        out = subprocess.run([proc.BUILD / "bin/npcompile", *options], check=True, capture_output=True, text=True, timeout=300)
        rows += [{"name": f"policies: {r['name']}{label}", "unit": r["unit"], "ours": r["median"], "peer": None, "peer_name": "",
                  "floor": None} for r in map(json.loads, out.stdout.splitlines())]
    return rows


def count_rows():
    """What an ADD and a DEL cost in things that are counted (counts.py): sums, the parts are in counts.json."""
    return [figures.row(f"{command}: {part}", "", sum(found.values())) for command, parts in counts.collect().items()
            for part, found in parts.items()]


def program_rows(rounds=50):
    """The plugin as a file and as a process that does next to nothing (VERSION), beside Debian's."""
    with Lab() as lab:
        node, took, kib = lab.nodes[0], {}, {}
        ours = pathlib.Path(lab.env["CNI_PATH"].split(":")[0]) / "vpcwire"
        with Spawner(node) as spawner:
            conf = spawner.conf_file("version.conf", '{"cniVersion": "1.0.0"}')
            for _ in range(rounds):
                for name, path in (("ours", ours), ("peer", f"{PEER_PATH}/ptp")):
                    took.setdefault(name, []).append(spawner.call(path, conf, "VERSION", "x", "x")[0])
                    kib.setdefault(name, []).append(spawner.most_kib)
                took.setdefault("floor", []).append(spawner.call("/bin/true", conf, "VERSION", "x", "x")[0])
        pod = node.pod()
        with Spawner(node) as spawner:
            Ours(node, spawner).add(pod)
            add_kib = spawner.most_kib
            stripped = spawner.dir / "stripped"
            proc.run(["strip", "-o", stripped, proc.PLUGIN])
            own_size = stripped.stat().st_size
    size = [pathlib.Path(PEER_PATH, name).stat().st_size for name in ("ptp", "host-local")]
    mib = 1 << 20
    return [figures.row("plugin's size, without debug information", "MiB", round(own_size / mib, 2), round(sum(size) / mib, 2), PEER_NAME),
            figures.row("plugin's start: VERSION, p50", "ms", round(percentile(took["ours"], 50), 3),
                        round(percentile(took["peer"], 50), 3), "ptp", round(percentile(took["floor"], 50), 3)),
            figures.row("plugin's memory at most, VERSION", "MiB", round(max(kib["ours"]) / 1024, 2), round(max(kib["peer"]) / 1024, 2), "ptp"),
            figures.row("plugin's memory at most, ADD", "MiB", round(add_kib / 1024, 2))]


def cell(value):
    return f"{value:>9.2f}" if value is not None else f"{'-':>9}"


def table(rows):
    width = max(len(r["name"]) for r in rows)
    lines = [f"{'what':<{width}} {'ours':>9} {'peer':>9} {'floor':>9} {'unit':<4} {'ours/peer':>9}  peer"]
    for r in rows:
        ratio = r["ours"] / r["peer"] if r["peer"] else None
        lines.append(f"{r['name']:<{width}} {cell(r['ours'])} {cell(r['peer'])} {cell(r['floor'])} {r['unit']:<4} {cell(ratio)}"
                     f"  {r['peer_name']}")
    return "\n".join(lines)


def plugin_rows(rounds, size):
    with Lab(instance_type="m5.2xlarge", prefix_delegation=True) as lab:
        times = measure(lab.nodes[0], rounds)
        floor = round(percentile(times["floor", "add"], 50), 3)
        return rows_of(times) + burst_rows(burst(lab.nodes[0], size), size, floor) + del_burst_rows(lab.nodes[0])


def merge(path, rows):
    """Rows of a part that was run alone take the place of those of the same name; a whole run replaces all."""
    old = json.loads(path.read_text()) if path.exists() else []
    names = {r["name"] for r in rows}
    return [r for r in old if r["name"] not in names] + rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=proc.BUILD / "bench.json")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--burst", type=int, default=30)
    parser.add_argument("--policy-rounds", type=int, default=15)
    parser.add_argument("--packet-rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=10000)
    parts = {"plugin": lambda a: plugin_rows(a.rounds, a.burst), "program": lambda a: program_rows(), "counts": lambda a: count_rows(),
             "policy": lambda a: policy_rows(a.policy_rounds),
             "flow-log": lambda a: flow_log_rows(), "compile": lambda a: compile_rows(), "policy-node": lambda a: policy_node.rows(),
             "pool": lambda a: figures.pool_rows(), "full-node": lambda a: figures.full_node_rows(),
             "packets": lambda a: packets.rows(a.packet_rounds),
             "bandwidth": lambda a: bandwidth.rows(), "others": lambda a: others.rows(a.rounds), "idle": lambda a: others.idle_rows(),
             "throughput": lambda a: throughput.rows(),
             "repairs": lambda a: repairs.rows(),
             "churn": lambda a: figures.churn_rows(a.pairs)}
    parser.add_argument("--only", nargs="+", choices=parts)
    args = parser.parse_args()
    rows = [r for name, part in parts.items() if not args.only or name in args.only for r in part(args)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(merge(args.out, rows) if args.only else rows, indent=1) + "\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
