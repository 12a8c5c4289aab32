# SPDX-License-Identifier: Apache-2.0
"""Egress by domain name, with a resolver that answers: what an answer opens, from the first packet on, and what it does not."""
import json

import pytest

from tests.harness import traffic
from tests.harness.policy import Policies
from tests.harness.traffic import PORT, Place

TRUSTED = {4: "192.168.100.10", 6: "fd00:db8:100::10"}          # the peered host
LAB = {"args": ("--ipv6",), "nodes": 1, "instance_type": "t3.small", "daemon_config": {"dns_resolvers": list(TRUSTED.values())}}

# usage: RESOLVER '{"name": [["owner", "A|AAAA|CNAME", ttl, "value"], ...]}'; answers any question for the name with all of these
RESOLVER = r"""
import json, selectors, socket, struct, sys
table, types = json.loads(sys.argv[1]), {"A": 1, "CNAME": 5, "AAAA": 28}
def wire(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
def data(kind, value):
    return wire(value) if kind == "CNAME" else socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
def answer(q):
    end = q.index(0, 12) + 5
    labels, i = [], 12
    while q[i]:
        labels.append(q[i + 1:i + 1 + q[i]].decode().lower())
        i += 1 + q[i]
    records = table.get(".".join(labels), [])
    body = b""
    for owner, kind, ttl, value in records:
        d = data(kind, value)
        body += wire(owner) + struct.pack("!HHIH", types[kind], 1, ttl, len(d)) + d
    return q[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + q[12:end] + body
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
s.bind(("::", 53))
print("ready", flush=True)
while True:
    q, info, _, peer = s.recvmsg(4096, 256)
    back = [(l, k, v[:16] + bytes(4)) for l, k, v in info]
    s.sendmsg([answer(q)], back, 0, peer)
"""

# asks RESOLVER for NAME, then connects at once to the address with which the answer ends; the first SYN counts, there is no time for another
CLIENT = r"""
import socket, sys
resolver, name, family, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
six = family == 6
q = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0\0" + bytes([28 if six else 1]) + b"\0\1"
s = socket.socket(socket.AF_INET6 if ":" in resolver else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(q, (resolver, 53))
reply = s.recv(4096)
assert reply[7] or reply[6], "no answer"
to = socket.inet_ntop(socket.AF_INET6, reply[-16:]) if six else socket.inet_ntop(socket.AF_INET, reply[-4:])
try:
    socket.create_connection((to, port), 0.9)
    print("yes")
except OSError as exc:
    print("no", exc)
"""


@pytest.fixture(scope="module")
def web(lab):
    with traffic.serving([Place.outside(lab, "internet")]) as (place,):
        yield place


@pytest.fixture(scope="module")
def pod(lab):
    made = lab.nodes[0].pod("asks")
    made.add()
    yield made
    made.delete()
    made.remove()


@pytest.fixture(scope="module")
def resolvers(lab, web):
    """Two servers that say the same: the one that is trusted, and the pod's own node."""
    def records(owner, ttl=300):
        return {4: [[owner, "A", ttl, web.address]], 6: [[owner, "AAAA", ttl, web.address6]]}
    chain = [["alias.example.com", "CNAME", 300, "b.cdn.net"], ["b.cdn.net", "CNAME", 300, "c.cdn.net"]]
    running = []
    for family in (4, 6):
        table = {f"{name}{family}.example.com": records(f"{name}{family}.example.com")[family] for name in ("www", "other", "deep.sub")}
        table[f"short{family}.example.com"] = records(f"short{family}.example.com", 1)[family]
        table[f"alias{family}.example.com"] = [[f"alias{family}.example.com", *chain[0][1:]], chain[1], *records("c.cdn.net")[family]]
        running.append(table)
    table = json.dumps({**running[0], **running[1]})
    node = Place.node(lab.nodes[0])
    servers = [place.popen("/usr/bin/python3", "-u", "-c", RESOLVER, table) for place in (Place.outside(lab, "peered"), node)]
    assert [s.process.stdout.readline() for s in servers] == ["ready\n"] * 2
    yield {"trusted": TRUSTED, "untrusted": {4: node.address, 6: node.address6}}
    for s in servers:
        s.process.kill()
        s.close()


@pytest.fixture
def folder(lab, pod):
    p = Policies(lab.nodes[0])
    yield p
    p.change(p.clear)


def by_name(*names):
    everywhere = {"networks": ["0.0.0.0/0", "::/0"]}
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "names"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [
                {"action": "Accept", "to": [everywhere], "protocols": [{"udp": {"destinationPort": {"number": 53}}}]},
                {"action": "Accept", "to": [{"domainNames": list(names)}]},
                {"action": "Deny", "to": [everywhere]}]}}


def connects(pod, resolver, name, family):
    done = pod.run("/usr/bin/python3", "-c", CLIENT, resolver[family], name, family, PORT)
    return done.stdout.startswith("yes")


def reaches(pod, web, family):
    """Without a question before."""
    return traffic.Place.pod(pod).reaches(web.of(family)) is not None


@pytest.mark.parametrize("family", [4, 6])
def test_an_answer_opens_before_the_first_packet(pod, web, resolvers, folder, family):
    folder.put("p.json", by_name(f"www{family}.example.com"))
    assert not connects(pod, resolvers["trusted"], f"other{family}.example.com", family), "a name that no rule has"
    assert not connects(pod, resolvers["untrusted"], f"www{family}.example.com", family), "an answer of somebody who is not trusted"
    assert connects(pod, resolvers["trusted"], f"www{family}.example.com", family)
    assert reaches(pod, web, family)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("asked,names", [("alias{}.example.com", "alias{}.example.com"), ("deep.sub{}.example.com", "*.example.com")],
                         ids=["aliases", "wildcard"])
def test_what_names_stand_for(pod, web, resolvers, folder, family, asked, names):
    folder.put("p.json", by_name(names.format(family)))
    assert not reaches(pod, web, family)
    assert connects(pod, resolvers["trusted"], asked.format(family), family)


@pytest.fixture(scope="module")
def echo(lab):
    server = Place.outside(lab, "internet").popen("/usr/bin/python3", "-uc", traffic.ECHO)
    assert server.process.stdout.readline() == "ready\n"
    yield
    server.close()


@pytest.mark.parametrize("family", [4, 6])
def test_another_list_of_names(pod, web, echo, resolvers, folder, family):
    """What was learnt by a name that stays lets connections live and new ones begin, without another answer."""
    www, other = f"www{family}.example.com", f"other{family}.example.com"
    folder.put("p.json", by_name(www))
    assert connects(pod, resolvers["trusted"], www, family)
    flow = Place.pod(pod).popen("/usr/bin/python3", "-uc", traffic.FLOW, web.of(family))
    try:
        for names in ([f"a{family}.example.com", www], [f"*.sub{family}.example.com", www, "z.example.com"], ["*.example.com"]):
            folder.put("p.json", by_name(*names))
            assert flow.say("still\n") == "still", f"cut by {names}"
            assert reaches(pod, web, family), names
        folder.put("p.json", by_name(other))
        assert not reaches(pod, web, family), "learnt by a name that is gone"
    finally:
        flow.process.kill()
        flow.process.wait(10)


@pytest.mark.limit(120)
def test_it_closes_when_the_answer_is_too_old(pod, web, resolvers, folder, wait_until):
    """A TTL of a second counts as 30."""
    folder.put("p.json", by_name("short4.example.com", "short6.example.com"))
    for family in (4, 6):
        assert connects(pod, resolvers["trusted"], f"short{family}.example.com", family)
    wait_until(lambda: not reaches(pod, web, 4) and not reaches(pod, web, 6), "the answers to be forgotten", timeout=80)
