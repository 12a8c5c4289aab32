# SPDX-License-Identifier: Apache-2.0
"""What others take away of a branch ENI's routing, programs and interfaces is put back; see test_drift.py for the rest of a node."""
import re

import pytest

from tests.harness import audit, proc, traffic
from tests.harness.drift import FLUSH_RULES, SOON_S, Damaged, at_rest, drift
from tests.harness.sgp import MODES, sgp_lab
from tests.harness.traffic import Place

VLAN = 3

FOREIGN = """
ip rule add pref 11 fwmark 0x77 lookup 4242
ip -6 rule add pref 11 iif $inner fwmark 0x77 lookup 4242
ip route add 198.51.100.0/24 dev lo table 4242
ip route add 198.51.100.0/24 dev $inner table $table
for dev in $trunk $outer; do
  tc qdisc add dev $dev clsact 2>/dev/null || true
  tc filter add dev $dev ingress pref 77 handle 0x77 bpf da object-pinned $pins/to_wire
done
"""
NO_FOREIGN = """
ip rule del pref 11; ip -6 rule del pref 11; ip route flush table 4242; ip route del 198.51.100.0/24 dev $inner table $table
for dev in $trunk $outer; do tc filter del dev $dev ingress pref 77; done
"""
SEE_FOREIGN = """
ip rule show pref 11; ip -6 rule show pref 11; ip route show table 4242; ip route show 198.51.100.0/24 table $table
for dev in $trunk $outer; do tc filter show dev $dev ingress pref 77; done
"""
SEE_MORE = """
ip -6 rule
tc filter show dev $inner egress pref 10 | sed 's/ tag.*//'
for dev in $trunk $outer; do echo $dev; tc filter show dev $dev ingress pref 10 | sed 's/ tag.*//'; done
for key in rp_filter accept_local forwarding; do cat /proc/sys/net/ipv4/conf/$inner/$key; done
cat /proc/sys/net/ipv6/conf/$inner/forwarding /proc/sys/net/ipv4/tcp_early_demux /proc/sys/net/ipv4/udp_early_demux
"""
STRICT, STANDARD = {"strict"}, {"standard"}
BOTH = STRICT | STANDARD

# modes, kind, what somebody does
LOSSES = [
    (STRICT, "rule", "ip rule del pref 10 iif $inner"),
    (STRICT, "rule", "ip rule del pref 10 iif $veth"),
    (STRICT, "rule", "ip -6 rule del pref 10 iif $inner"),
    (STRICT, "rule", "ip -6 rule del pref 10 iif $veth"),
    (STRICT, "rule", "ip rule del pref 20"),
    (STRICT, "rule", "ip -6 rule del pref 20"),
    (STRICT, "rule", "ip -6 rule del pref 9 to fe80::/10"),
    (STRICT, "rule", "ip -6 rule del pref 9 to ff00::/8"),
    (STANDARD, "rule", "ip rule del pref 1664"),
    (STANDARD, "rule", "ip -6 rule del pref 1664"),
    (BOTH, "rule", "family=;" + FLUSH_RULES),
    (BOTH, "rule", "family=-6;" + FLUSH_RULES),
    (BOTH, "route", "ip route del default table $table"),
    (BOTH, "route", "ip route flush table $table"),
    (BOTH, "route", "ip -6 route flush table $table"),
    (BOTH, "route", "ip route replace default dev lo table $table"),
    (STRICT, "route", "ip route del $pod table $table"),
    (STRICT, "route", "ip -6 route del $pod6 table $table"),
    (BOTH, "filter", "tc filter del dev $trunk ingress pref 10"),
    (BOTH, "filter", "tc qdisc del dev $trunk clsact"),
    (BOTH, "filter", "tc filter del dev $outer ingress pref 10"),
    (BOTH, "filter", "tc filter del dev $inner egress pref 10"),
    (BOTH, "filter", "tc qdisc del dev $inner clsact"),
    (BOTH, "filter", "tc filter replace dev $outer ingress pref 10 handle 0x5657 bpf da object-pinned $pins/to_wire"),
    (BOTH, "sysctl", "echo 0 >/proc/sys/net/ipv4/conf/$inner/forwarding"),
    (BOTH, "sysctl", "echo 0 >/proc/sys/net/ipv6/conf/$inner/forwarding"),
    (BOTH, "sysctl", "echo 1 >/proc/sys/net/ipv4/conf/$inner/rp_filter"),
    # the kernel tells of these only with one of the former
    (STRICT, "sysctl", "echo 1 >/proc/sys/net/ipv4/tcp_early_demux; echo 1 >/proc/sys/net/ipv4/conf/$inner/rp_filter"),
    (BOTH, "sysctl", "echo 0 >/proc/sys/net/ipv4/conf/$inner/accept_local; echo 1 >/proc/sys/net/ipv4/conf/$inner/rp_filter"),
    (BOTH, "link", "ip link set $inner down"),
    (BOTH, "link", "ip link set $outer down"),
    (BOTH, "link", "ip link set $trunk down"),
    (BOTH, "link", "ip link del $inner"),
    (BOTH, "link", "ip link del $outer"),
]


class World(Damaged):
    """A pod with a branch ENI, connections of its that live through everything, and what others have put beside ours."""

    def __init__(self, place):
        node, self.mode = place.node, place.mode
        self.pod, remote = place.pod(VLAN), Place.pod(place.pod(node=place.lab.nodes[1]))
        server = remote.popen("/usr/bin/python3", "-uc", traffic.ECHO)
        server.say("\n")
        us = Place.pod(self.pod)
        flows = [us.popen("/usr/bin/python3", "-uc", traffic.FLOW, remote.of(family)) for family in (4, 6)]
        pin = node.run("sh", "-c", "find /sys/fs/bpf -name to_wire").stdout.splitlines()[0]
        links = {l["address"]: l["ifname"] for l in node.json("ip", "-j", "link")}
        names = {"veth": next(p["host_ifname"] for p in node.info()["pods"] if p["container_id"] == self.pod.container_id),
                 "inner": f"vlan.eth.{VLAN}", "outer": f"vlan.tag.{VLAN}", "table": 100 + VLAN, "pins": pin.rsplit("/", 1)[0],
                 "trunk": links[place.trunk["MacAddress"]], "pod": us.address, "pod6": us.address6}
        super().__init__(node, names, flows, [server])

    def ours(self):
        """As a person sees it: a pair that is made again has other indexes, and the other end's made-up ones."""
        lines = audit.kernel(self.node) + [f"more: {l}" for l in self.sh(SEE_MORE).splitlines()]
        branch = re.compile(r'"ifname": "vlan\.(eth|tag)\.')
        return sorted(re.sub(r'"(ifindex|link_index)": \d+, ', "", l) if branch.search(l) else l for l in lines)

    def foreign(self):
        return self.sh(SEE_FOREIGN)

    def add_foreign(self):
        self.sh("set +e\n" + NO_FOREIGN + "true", check=False)
        self.sh(FOREIGN)


@pytest.fixture(scope="module", params=MODES)
def world(request):
    with sgp_lab(request.param, ipv6=True) as place:
        w = World(place)
        yield w
        w.close()


@pytest.fixture
def settled(world):
    world.add_foreign()
    return at_rest(world.node)


@pytest.mark.limit(120)
@pytest.mark.parametrize("modes,kind,loss", LOSSES, ids=[" ".join(l.split())[:60] for _, _, l in LOSSES])
def test_what_others_take_away_of_a_branch_is_put_back(world, settled, modes, kind, loss):
    if world.mode not in modes:
        pytest.skip(f"a {world.mode} pod has no such thing")
    before = world.ours()
    world.sh(loss)
    proc.wait_until(lambda: drift(world.node)["restored"][kind] > settled["restored"][kind],
                    lambda: f"something to be restored: {drift(world.node)}\n{audit.difference(before, world.ours())}", timeout=SOON_S)
    world.add_foreign()         # a flush took theirs as well
    proc.wait_until(lambda: world.ours() == before, lambda: f"the node as before\n{audit.difference(before, world.ours())}", timeout=SOON_S)
    world.speak()
    world.pod.check()
    assert drift(world.node)["contested"] == []


def test_what_others_have_put_beside_a_branch_stays(world, settled):
    foreign = world.foreign()
    assert foreign.count("0x77") == 4 and "198.51.100.0/24" in foreign
    world.sh("ip route del default table $table; tc filter del dev $trunk ingress pref 10; "
             "ip rule del pref " + ("10 iif $inner" if world.mode == "strict" else "1664"))
    proc.wait_until(lambda: all(drift(world.node)["restored"][k] > settled["restored"][k] for k in ("rule", "route", "filter")),
                    lambda: f"all to be restored: {drift(world.node)}", timeout=SOON_S)
    assert world.foreign() == foreign
