# SPDX-License-Identifier: Apache-2.0
"""Who reaches pods with branch ENIs, whom they reach, and as whom: measured in both modes, compared with the second table in docs/TRAFFIC.md.

Every row is asked with TCP and UDP, in both families, with kube-proxy's rules in either dialect; the groups of all branches are open, so
that what is seen is the node's doing. `SGP_TRAFFIC_TABLE=file` appends the columns that were measured.
"""
import itertools
import os
import pathlib

import pytest

from tests.harness import kubeproxy, traffic
from tests.harness.lab import parallel
from tests.harness.policy import Policies, network_policy
from tests.harness.sgp import MODES, sgp_lab
from tests.harness.traffic import PORT, Place

DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "TRAFFIC.md"
COLUMNS = [(family, proto) for family in (4, 6) for proto in ("tcp", "udp")]
NODE_PORT, LOCAL_PORT = 30080, 30090


class World:
    """Node 1 with two branch pods and one of the pool; node 2 with one of the pool; services for all, and the world outside."""

    def __init__(self, place):
        self.nodes, self.place, self.mode = place.lab.nodes, place, place.mode
        first, second = self.nodes
        made = {"branch": place.pod(3), "other branch": place.pod(4), "near": place.pod(), "far": place.pod(node=second)}
        self.pods = {name: Place.pod(pod) for name, pod in made.items()}
        self.node, self.other = Place.node(first), Place.node(second)
        self.outside = {which: Place.outside(place.lab, which) for which in ("internet", "peered")}
        self.services = {name: kubeproxy.Service(f"10.96.0.{10 + n}", f"fd00:10:96::{10 + n}", NODE_PORT + n, pod.address, pod.address6)
                         for n, (name, pod) in enumerate(self.pods.items())}
        pod = self.pods["branch"]
        self.local = kubeproxy.Service("10.96.0.90", "fd00:10:96::90", LOCAL_PORT, pod.address, pod.address6, local=True)
        self.public = {node.name: node.imds("public-ipv4") for node in self.nodes}
        self.of_nodes = {node.name: {e[k] for e in node.info()["enis"] for k in ("address", "address6") if e.get(k)} for node in self.nodes}

    def servers(self):
        return [*self.pods.values(), self.node, self.other, *self.outside.values()]

    def door(self, node, family, source):
        place = self.node if node is self.nodes[0] else self.other
        return place.of(family) if family == 6 or source.name != "internet" else self.public[node.name]

    def asked(self):
        """-> (row, place that asks, function of the family that says whom, port, name of who must answer)"""
        branch, first, second = self.pods["branch"], *self.nodes
        for name, where in (("near", "pod, same node"), ("far", "pod, other node"), ("other branch", "branch pod, same node")):
            to, vip = self.pods[name], self.services[name]
            yield ("branch pod", where), branch, to.of, PORT, to.name
            yield ("branch pod", f"service of {where}"), branch, lambda f, s=vip: s.of(f)[0], 80, to.name
        yield ("branch pod", "its own service"), branch, lambda f: self.services["branch"].of(f)[0], 80, branch.name
        yield ("branch pod", "its node"), branch, self.node.of, PORT, self.node.name
        yield ("branch pod", "other node"), branch, self.other.of, PORT, self.other.name
        for which in self.outside.values():
            yield ("branch pod", which.name), branch, which.of, PORT, which.name
        for words, place in (("pod, same node", self.pods["near"]), ("pod, other node", self.pods["far"]), ("its node", self.node),
                             ("other node", self.other), ("peered", self.outside["peered"])):
            yield (words, "branch pod"), place, branch.of, PORT, branch.name
            if words != "peered":
                yield (words, "service of branch pod"), place, lambda f: self.services["branch"].of(f)[0], 80, branch.name
        for source in self.outside.values():
            for words, node in (("its node", first), ("other node", second)):
                yield ((source.name, f"node port of branch pod, {words}"), source, lambda f, n=node, s=source: self.door(n, f, s), NODE_PORT,
                       branch.name)
            yield ((source.name, "the same, externalTrafficPolicy Local"), source, lambda f, s=source: self.door(first, f, s), LOCAL_PORT,
                   branch.name)

    def word(self, answer, place, expected):
        if "error" in answer:
            return "no"
        if answer["name"] != expected:
            return f"answered by {answer['name']}"
        if answer["seen"] in (place.address, place.address6):
            return "own"
        home = next((n for n, addresses in self.of_nodes.items() if answer["seen"] in addresses), None)
        if home:
            return "node" if home == self.nodes[0].name else "other node"
        return "node, public" if answer["seen"] == self.public[self.nodes[0].name] else answer["seen"]

    def measure(self, dialect, cells):
        for node in self.nodes:
            kubeproxy.install(node, [*self.services.values(), self.local], dialect)
        try:
            rows = list(self.asked())
            places = {id(place): place for _, place, *_ in rows}

            def ask(place):
                mine = [(row, c, {"proto": c[1], "to": to(c[0]), "port": port}, name)
                        for row, who, to, port, name in rows if who is place for c in COLUMNS]
                return place, mine, place.ask([probe for _, _, probe, _ in mine])
            for place, mine, answers in parallel([lambda p=p: ask(p) for p in places.values()]):
                for (row, column, probe, name), answer in zip(mine, answers):
                    cells.setdefault((row, column), {})[self.word(answer, place, name)] = f"{dialect}: {place.name} asked {probe}: {answer}"
        finally:
            for node in self.nodes:
                kubeproxy.remove(node, dialect)


@pytest.fixture(scope="module", params=MODES)
def world(request):
    with sgp_lab(request.param, ipv6=True) as place:
        yield World(place)


def documented(mode):
    """{row: [cells]} of one mode, from the table of the document with this one's head."""
    lines = DOC.read_text().splitlines()
    start = next(i for i, l in enumerate(lines) if l.startswith("| from | to |"))
    table = [[c.strip() for c in l.strip("|").split("|")] for l in itertools.takewhile(lambda l: l.startswith("|"), lines[start:])]
    columns = [i for i, head in enumerate(table[0]) if head.startswith(mode)]
    return {(row[0], row[1]): [row[i] for i in columns] for row in table[2:]}


@pytest.mark.limit(240)
def test_the_table_says_who_reaches_branch_pods_and_whom_they_reach(world):
    cells = {}
    with traffic.serving(world.servers()):
        for dialect in kubeproxy.DIALECTS:
            world.measure(dialect, cells)
    split = [f"{cell}: {list(said.values())}" for cell, said in cells.items() if len(said) > 1]
    measured = {row: [next(iter(cells[row, c])) for c in COLUMNS] for row in dict.fromkeys(row for row, _ in cells)}
    if os.environ.get("SGP_TRAFFIC_TABLE"):
        with open(os.environ["SGP_TRAFFIC_TABLE"], "a", encoding="utf-8") as f:
            f.writelines(f"| {world.mode} | {' | '.join([*row, *said])} |\n" for row, said in measured.items())
    assert not split, "the two dialects do not agree:\n" + "\n".join(split)
    assert measured == documented(world.mode), "docs/TRAFFIC.md says something else"


def test_security_groups_decide_in_both_families(world):
    """On one node too, and of what the node itself asks (kubelet's probes), in strict mode; in standard mode these meet directly."""
    closed, mute = Place.pod(world.place.pod(5, "closed")), Place.pod(world.place.pod(6, "mute"))
    direct = world.mode == "standard"
    branch, near, far = (world.pods[name] for name in ("branch", "near", "far"))
    expected = [(far, closed, False), (near, closed, direct), (branch, closed, direct), (world.node, closed, direct), (closed, far, True),
                (far, mute, True), (mute, far, False), (mute, near, direct), (mute, branch, direct), (world.node, mute, True)]
    with traffic.serving([closed, mute, *world.pods.values()]):
        for family in (4, 6):
            seen = parallel([lambda s=s, d=d: s.reaches(d.of(family)) is not None for s, d, _ in expected])
            wrong = [f"{s.name} to {d.name} over IPv{family}: {got}" for (s, d, want), got in zip(expected, seen) if got is not want]
            assert not wrong, wrong


def test_the_node_looks_for_sockets_after_the_way_where_strict_pods_are(world):
    """aws-node's DISABLE_TCP_EARLY_DEMUX, without having to know of it: else what a pod answers kubelet is dropped."""
    keys = [f"/proc/sys/net/ipv4/{p}_early_demux" for p in ("tcp", "udp")]
    assert world.nodes[0].run("cat", *keys).stdout.split() == (["0", "0"] if world.mode == "strict" else ["1", "1"])


@pytest.mark.limit(120)
def test_egress_is_judged_by_where_a_service_leads_also_on_the_branch(world):
    folder, branch = Policies(world.nodes[0]), world.pods["branch"]
    to = ["near", "far", "other branch"]

    def reached():
        ways = [(name, family, proto) for name in to for family, proto in COLUMNS]
        answers = branch.ask([{"proto": proto, "to": world.services[name].of(family)[0], "port": 80} for name, family, proto in ways])
        return {name for (name, *_), a in zip(ways, answers) if "error" not in a}
    with traffic.serving([world.pods[name] for name in to]):
        for node in world.nodes:
            kubeproxy.install(node, list(world.services.values()), "nftables")
        try:
            folder.put("services.json", *[{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": f"s{n}"},
                                           "spec": {"clusterIPs": [s.vip, s.vip6]}} for n, s in enumerate(world.services.values())])
            assert reached() == set(to)
            for name in to:
                blocks = [{"ipBlock": {"cidr": f"{world.pods[name].of(f)}/{bits}"}} for f, bits in ((4, 32), (6, 128))]
                folder.put("out.json", network_policy("out", policyTypes=["Egress"], egress=[{"to": blocks}]))
                assert reached() == {name}
        finally:
            folder.take("out.json", "services.json")
            for node in world.nodes:
                kubeproxy.remove(node, "nftables")
