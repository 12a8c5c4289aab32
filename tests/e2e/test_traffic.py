# SPDX-License-Identifier: Apache-2.0
"""The traffic matrix: who reaches whom, and as whom, measured and compared with the table in docs/TRAFFIC.md.

Every source asks every destination, with TCP, UDP and ICMP, in both families, with kube-proxy's rules in either dialect, by pods
behind the first and behind another ENI on either side. What belongs to one cell must agree, or the cell says everything that was
seen. `TRAFFIC_TABLE=file` writes the table that was measured.
"""
import contextlib
import itertools
import os
import pathlib

import pytest

from tests.harness import kubeproxy, traffic
from tests.harness.lab import parallel
from tests.harness.traffic import PORT, Place

LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small"}
DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "TRAFFIC.md"
FAMILIES, PROTOS = (4, 6), ("tcp", "udp", "icmp")
COLUMNS = [(f, p) for f in FAMILIES for p in PROTOS]
INSIDE, OUTSIDE = ("pod", "node", "host-network pod"), ("internet", "peered network")
SAME, OTHER, ANY = "same", "other", ""

ROWS = [(s, d, w) for s in INSIDE for d in ("pod address", "service address", "node port") for w in (SAME, OTHER)]
ROWS += [(s, d, ANY) for s in INSIDE for d in OUTSIDE]
ROWS += [(s, d, ANY) for s in OUTSIDE for d in ("pod address", "service address")]
ROWS += [(s, "node port", w) for s in OUTSIDE for w in (SAME, OTHER)]


class Host:
    """One node with its places: two pods (behind its first ENI, behind another), itself, a host-network pod."""

    def __init__(self, node, pods):
        self.node, self.name = node, node.name
        self.pods = [Place.pod(p) for p in pods]
        self.place, self.host_pod = Place.node(node), Place.host_network_pod(node)
        self.public = node.imds("public-ipv4")
        self.addresses = {e[k] for e in node.info()["enis"] for k in ("address", "address6") if e.get(k)}
        self.addresses |= {a["local"] for l in node.json("ip", "-j", "addr", "show") if l["ifname"].startswith("eth")
                           for a in l["addr_info"] if a["scope"] == "global"}

    def asked_at(self, family, source):
        """The address under which a source knows this node."""
        return self.place.of(family) if family == 6 or source.name != "internet" else self.public


@pytest.fixture(scope="module")
def hosts(lab):
    with contextlib.ExitStack() as stack:
        yield [Host(node, stack.enter_context(traffic.behind_both(node))) for node in lab.nodes]


def services(hosts):
    """One for each pod, so that a test knows where it leads."""
    backends = [(h, p) for h in hosts for p in h.pods]
    return [(h, p, kubeproxy.Service(f"10.96.0.{10 + n}", f"fd00:10:96::{10 + n}", 30080 + n, p.address, p.address6))
            for n, (h, p) in enumerate(backends)]


def sources(hosts, outside):
    """-> (row's word, its host or None, place)"""
    for h in hosts:
        for pod in h.pods:
            yield "pod", h, pod
        yield "node", h, h.place
        yield "host-network pod", h, h.host_pod
    yield "internet", None, outside["internet"]
    yield "peered network", None, outside["peered"]


def where(*hosts):
    return SAME if len(set(map(id, hosts))) == 1 else OTHER


def questions(kind, home, place, hosts, outside, offered):
    """All that one source asks -> (destination, where, probe, name of who must answer, the node whose port it is)."""
    for family, proto in COLUMNS:
        for host, pod, service in offered:
            if pod is place:
                continue
            near = where(home, host) if home else ANY
            yield "pod address", near, probe(proto, pod.of(family), PORT), pod.name, None
            yield "service address", near, probe(proto, service.of(family)[0], service.port), pod.name, None
            for door in hosts:
                near = where(home, door, host) if home else where(door, host)
                yield "node port", near, probe(proto, door.asked_at(family, place), service.node_port), pod.name, door
        if home:
            yield "internet", ANY, probe(proto, outside["internet"].of(family), PORT), "internet", None
            yield "peered network", ANY, probe(proto, outside["peered"].of(family), PORT), "peered", None


def probe(proto, to, port):
    return {"proto": proto, "to": to, "port": port}


def word(answer, expected, home, place, door):
    """What a cell says of one answer."""
    if "error" in answer:
        return "no"
    if answer["name"] is None:
        return "yes"
    if answer["name"] != expected:
        return f"answered by {answer['name']}"
    if door and answer["seen"] in door.addresses:
        return "port's node"
    if answer["seen"] in (place.address, place.address6):
        return "own"
    if home and answer["seen"] in home.addresses:
        return "its node"
    if home and answer["seen"] == home.public:
        return "its node, public"
    return answer["seen"]


def measure(hosts, outside, dialect):
    """-> {(row, column): {word: [who saw it]}}"""
    offered = services(hosts)
    for h in hosts:
        kubeproxy.install(h.node, [s for _, _, s in offered], dialect)
    try:
        asked = [(kind, home, place, list(questions(kind, home, place, hosts, outside, offered)))
                 for kind, home, place in sources(hosts, outside)]
        answers = parallel([lambda p=place, q=qs: p.ask([probe for _, _, probe, _, _ in q]) for _, _, place, qs in asked])
    finally:
        for h in hosts:
            kubeproxy.remove(h.node, dialect)
    cells = {}
    for (kind, home, place, qs), got in zip(asked, answers):
        for (destination, near, question, expected, door), answer in zip(qs, got):
            column = (6 if ":" in question["to"] else 4, question["proto"])
            said = word(answer, expected, home, place, door)
            cells.setdefault(((kind, destination, near), column), {}).setdefault(said, []).append(
                f"{dialect}: {place.name} to {question} ({expected}): {answer}")
    return cells


def table(cells):
    lines = ["| source | destination | node | " + " | ".join(f"v{f} {p.upper()}" for f, p in COLUMNS) + " |",
             "| --- | --- | --- |" + " --- |" * len(COLUMNS)]
    for row in ROWS:
        said = [" / ".join(sorted(cells.get((row, c), {"not asked": []}))) for c in COLUMNS]
        lines.append("| " + " | ".join([*row, *said]) + " |")
    return lines


def documented():
    """The table of the document that has this one's head."""
    lines = DOC.read_text().splitlines()
    lines = lines[next(i for i, l in enumerate(lines) if l.startswith("| source |")):]
    return list(itertools.takewhile(lambda l: l.startswith("|"), lines))


def test_no_combination_is_missing():
    """{pod, node, host-network pod, outside} x {pod address, service address, node port, outside} x {same node, other node}, in every
    column; but from one place outside to another no node is met. A row whose node does not matter is both."""
    sources = {**{s: [s] for s in INSIDE}, "outside": OUTSIDE}
    destinations = {**{d: [d] for d in ("pod address", "service address", "node port")}, "outside": OUTSIDE}
    for source, destination, near in itertools.product(sources, destinations, (SAME, OTHER)):
        for s, d in itertools.product(sources[source], destinations[destination]):
            there = (s, d, near) in ROWS or (s, d, ANY) in ROWS
            assert there == ((source, destination) != ("outside", "outside")), (s, d, near)
    assert COLUMNS == [(4, "tcp"), (4, "udp"), (4, "icmp"), (6, "tcp"), (6, "udp"), (6, "icmp")]
    cells = [c.strip() for line in documented()[2:] for c in line.split("|")[4:-1]]
    assert len(documented()) - 2 == len(ROWS) and len(cells) == len(ROWS) * len(COLUMNS) and "not asked" not in cells and all(cells)


@pytest.mark.limit(240)
def test_the_table_says_what_is(lab, hosts):
    outside = {which: Place.outside(lab, which) for which in ("internet", "peered")}
    servers = [*outside.values(), *itertools.chain.from_iterable(h.pods for h in hosts)]
    cells = {}
    with traffic.serving(servers):
        for dialect in kubeproxy.DIALECTS:
            for cell, said in measure(hosts, outside, dialect).items():
                for what, who in said.items():
                    cells.setdefault(cell, {}).setdefault(what, []).extend(who)
    measured = table(cells)
    print("\n".join(measured))
    if os.environ.get("TRAFFIC_TABLE"):
        pathlib.Path(os.environ["TRAFFIC_TABLE"]).write_text("\n".join(measured) + "\n")
    split = [f"{cell}: {what}: {who[0]}" for cell, said in cells.items() if len(said) > 1 for what, who in said.items()]
    assert not split, "cells whose parts do not agree:\n" + "\n".join(split)
    assert measured == documented(), "docs/TRAFFIC.md says something else"
