# SPDX-License-Identifier: Apache-2.0
"""What others take away of ours is put back, what is theirs stays as they left it, and nobody is fought."""
import time

import pytest

from tests.harness import audit, cni, proc, traffic
from tests.harness.drift import FLUSH_RULES, SOON_S, Damaged, at_rest, drift
from tests.harness.symptoms import operator_sees
from tests.harness.traffic import Place

LAB = {"args": ("--ipv6",), "nodes": 1, "instance_type": "t3.small"}

FOREIGN = """
ip rule add pref 700 fwmark 0x77 lookup 4242
ip -6 rule add pref 700 fwmark 0x77 lookup 4242
ip route add 198.51.100.0/24 dev lo table 4242
ip route add 198.51.100.0/24 dev lo
ip -6 route add 2001:db8:77::/64 dev lo table 4242
nft -f - <<END
table inet foreign {
  set s { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 } }
  chain c { type filter hook forward priority 100; policy accept; ip saddr @s tcp dport 7 drop; }
}
END
"""
FOREIGN_FILTERS = """
for dev in $veth $eni; do
  tc qdisc add dev $dev clsact 2>/dev/null || true
  tc filter add dev $dev egress pref 77 handle 0x77 bpf da object-pinned $pins/to_wire
done
"""
NO_FOREIGN = """
set +e
ip rule del pref 700 2>/dev/null; ip -6 rule del pref 700 2>/dev/null
ip route flush table 4242 2>/dev/null; ip -6 route flush table 4242 2>/dev/null; ip route del 198.51.100.0/24 dev lo 2>/dev/null
nft delete table inet foreign 2>/dev/null
for dev in $veth $eni; do tc filter del dev $dev egress pref 77 2>/dev/null; done
true
"""
SEE_FOREIGN = """
set +e
ip rule show pref 700; ip -6 rule show pref 700; ip route show table 4242 2>/dev/null; ip -6 route show table 4242 2>/dev/null
ip route show 198.51.100.0/24; nft list table inet foreign 2>/dev/null
for dev in $veth $eni; do tc filter show dev $dev egress pref 77; done
true
"""
SEE_MORE = """
for dev in $veth $eni $primary; do
  for side in ingress egress; do echo $dev $side; tc filter show dev $dev $side | sed 's/ tag.*//'; done
  cat /proc/sys/net/ipv4/conf/$dev/rp_filter /proc/sys/net/ipv4/conf/$dev/forwarding /proc/sys/net/ipv6/conf/$dev/forwarding
done
for dev in $eni $primary $veth; do
  ip -6 -o addr show dev $dev to fe80::1; cd /proc/sys/net/ipv6/conf/$dev; grep . accept_ra accept_dad disable_ipv6
done
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/$eni/accept_ra
"""

# kind, what somebody does
LOSSES = [
    ("rule", "ip rule del pref 512"),
    ("rule", "ip -6 rule del pref 512"),
    ("rule", "ip rule del pref 1024"),
    ("rule", "ip rule del pref $pref"),
    ("rule", "ip -6 rule del pref $pref"),
    ("rule", "family=;" + FLUSH_RULES),
    ("rule", "family=-6;" + FLUSH_RULES),
    ("route", "ip route del default table $table"),
    ("route", "ip route flush table $table"),
    ("route", "ip -6 route flush table $table"),
    ("route", "ip route replace default dev lo table $table"),
    ("route", "ip route flush table 22103"),
    ("route", "ip -6 route flush table 22103"),
    ("route", "ip route del $pod table 22103"),
    ("nft", "nft flush ruleset"),
    ("nft", "nft delete table ip vpcwire"),
    ("nft", "nft delete table ip6 vpcwire"),
    ("nft", "nft delete table inet vpcwire"),
    ("nft", "nft flush chain inet vpcwire judge"),
    ("nft", "nft flush chain ip vpcwire source"),
    ("nft", "nft delete element ip vpcwire vpc '{ '$vpc' }'"),
    ("nft", "nft add rule ip vpcwire leave counter drop"),
    ("filter", "tc qdisc del dev $veth clsact"),
    ("filter", "tc filter del dev $veth ingress"),
    ("filter", "tc filter del dev $veth egress pref 10"),
    ("filter", "tc filter replace dev $veth ingress pref 10 handle 0x5657 bpf da object-pinned $pins/to_wire"),
    ("filter", "tc qdisc del dev $eni clsact"),
    ("filter", "tc filter del dev $eni egress pref 10"),
    ("sysctl", "echo 0 >/proc/sys/net/ipv4/ip_forward"),
    ("sysctl", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding"),
    ("sysctl", "echo 1 >/proc/sys/net/ipv4/conf/$eni/rp_filter"),
    ("sysctl", "echo 0 >/proc/sys/net/ipv4/conf/$eni/forwarding"),
    ("sysctl", "echo 0 >/proc/sys/net/ipv4/conf/$veth/forwarding"),
    # what RTM_NEWNETCONF says nothing of
    ("sysctl", "echo 1 >/proc/sys/net/ipv6/conf/$primary/accept_ra"),
    ("sysctl", "echo 2 >/proc/sys/net/ipv6/conf/$eni/accept_ra"),
    ("sysctl", "echo 1 >/proc/sys/net/ipv6/conf/$eni/accept_dad"),
    ("sysctl", "echo 1 >/proc/sys/net/ipv6/conf/$eni/disable_ipv6"),
    ("sysctl", "echo 1 >/proc/sys/net/ipv6/conf/$veth/disable_ipv6"),
    ("link", "ip link set $eni down"),
    ("link", "ip link set $eni mtu 1500"),
    ("link", "ip link set $veth down"),
    ("link", "ip link set $veth mtu 1280"),
    ("link", "ip link set $veth group default"),
    ("link", "ip link set $veth address 02:00:00:00:00:99"),
    ("address", "ip -6 addr del fe80::1/64 dev $veth"),
    ("address", "ip addr del 169.254.1.1/32 dev lo"),
    ("address", "ip addr flush dev $eni"),
    ("address", "ip addr del $eni_addr dev $eni; ip addr add $eni_addr dev $eni"),
]


class World(Damaged):
    """Pods behind two ENIs, connections of theirs that live through everything, and what others have put beside ours."""

    def __init__(self, lab, pods):
        node, self.pod = lab.nodes[0], pods[1]
        eni = next(e for e in node.info()["enis"] if not e["primary"])
        primary = next(e for e in node.info()["enis"] if e["primary"])
        vpc = [e for e in node.json("nft", "-j", "list", "set", "ip", "vpcwire", "vpc")["nftables"] if "set" in e][0]["set"]["elem"][0]
        pin = node.run("sh", "-c", "find /sys/fs/bpf -name to_wire").stdout.splitlines()[0]
        own = [i["local"] + "/" + str(i["prefixlen"]) for link in node.json("ip", "-4", "-j", "addr", "show", "dev", eni["ifname"])
               for i in link["addr_info"]]
        names = {"veth": next(p["host_ifname"] for p in node.info()["pods"] if p["container_id"] == self.pod.container_id),
                 "eni": eni["ifname"], "primary": primary["ifname"], "table": eni["device"] + 1, "pref": 1536 + eni["number"],
                 "pins": pin.rsplit("/", 1)[0], "pod": self.pod.result.address, "eni_addr": own[0],
                 "vpc": f"{vpc['prefix']['addr']}/{vpc['prefix']['len']}"}
        places = [Place.outside(lab, which) for which in ("internet", "peered")]
        servers = [p.popen("/usr/bin/python3", "-uc", traffic.ECHO) for p in places]
        for server in servers:
            server.say("\n")
        clients = [Place.pod(p) for p in pods]
        flows = [c.popen("/usr/bin/python3", "-uc", traffic.FLOW, s.of(family)) for c in clients for s in places for family in (4, 6)
                 if not (family == 6 and s.name == "internet")]
        super().__init__(node, names, flows, servers)

    def ours(self):
        return audit.kernel(self.node) + [f"more: {l}" for l in self.sh(SEE_MORE).splitlines()]

    def foreign(self):
        return self.sh(SEE_FOREIGN)

    def add_foreign(self):
        self.sh(NO_FOREIGN, check=False)
        self.sh(FOREIGN)
        self.sh(FOREIGN_FILTERS)


@pytest.fixture(scope="module")
def world(lab):
    with traffic.behind_both(lab.nodes[0]) as pods:
        # a pod that has just come is left to its plugin for a while
        w = World(lab, pods)
        yield w
        w.close()


@pytest.fixture
def settled(world):
    """Nothing is missing, nothing is being restored."""
    world.add_foreign()
    return at_rest(world.node)


@pytest.mark.limit(120)
@pytest.mark.parametrize("kind,loss", LOSSES, ids=[" ".join(l.split())[:60] for _, l in LOSSES])
def test_what_others_take_away_is_put_back(world, settled, kind, loss):
    before = world.ours()
    world.sh(loss)
    foreign = world.foreign()
    proc.wait_until(lambda: drift(world.node)["restored"][kind] > settled["restored"][kind],
                    lambda: f"something to be restored: {drift(world.node)}\n{audit.difference(before, world.ours())}", timeout=SOON_S)
    assert world.foreign() == foreign, "what others made is not ours to touch, nor to restore"
    world.add_foreign()         # a flush took theirs as well
    proc.wait_until(lambda: world.ours() == before, lambda: f"the node as before\n{audit.difference(before, world.ours())}", timeout=SOON_S)
    world.speak()
    if "ip_forward" in loss:        # it switches all interfaces off, and on again: none of them one by one
        assert drift(world.node)["restored"]["sysctl"] == settled["restored"]["sysctl"] + 1
    assert world.pod.call("STATUS", version="1.1.0") is None
    assert drift(world.node)["contested"] == []


def heard(node):
    return drift(node)["rounds"]


def test_pods_that_come_and_go_wake_nobody(world, settled):
    before = heard(world.node)
    pods = world.node.pods(3)
    for pod in pods:
        pod.add()
    for pod in pods:
        pod.check()
        pod.delete()
    proc.wait_until(lambda: len(audit.pod_objects(world.node)) == 3 * world.node.info()["n_pods"], "the links to be reaped")
    world.sh("ip rule del pref 512")        # what is heard comes in order: so this was the first since
    proc.wait_until(lambda: drift(world.node)["restored"]["rule"] > settled["restored"]["rule"], "the rule to be restored", timeout=SOON_S)
    assert heard(world.node) == before + 1
    for pod in pods:
        pod.remove()


@pytest.mark.parametrize("program", ["from_pod", "to_pod"])
def test_a_program_that_was_taken_from_tcx_is_put_back(world, settled, program):
    """The plugin's own configuration may say tcx; the kernel tells nobody when a program is detached there."""
    pod = world.node.pod()
    pod.call("ADD", version="1.0.0", conf={"attach": "tcx"})
    host = next(p["host_ifname"] for p in world.node.info()["pods"] if p["container_id"] == pod.container_id)

    def tcx(*what):
        return world.node.run("/usr/bin/python3", proc.TOP / "tests/harness/tcx.py", world.names["pins"], host, *what).stdout.split()
    try:
        assert tcx() == ["1", "1"]
        assert sorted(tcx(program)) == ["0", "1"]
        proc.wait_until(lambda: tcx() == ["1", "1"], lambda: f"the program: {drift(world.node)}", timeout=SOON_S)
        assert drift(world.node)["restored"]["filter"] == settled["restored"]["filter"] + 1
        assert "clsact" not in world.node.run("tc", "qdisc", "show", "dev", host).stdout
    finally:
        pod.delete()
        pod.remove()


REMOVE_AT_ONCE = """
n=0
while [ $n -lt 14 ]; do
  if ip rule del pref 1024 2>/dev/null; then n=$((n + 1)); fi
done
"""


@pytest.mark.limit(120)
def test_who_removes_something_again_and_again_is_not_fought(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 1}).nodes[0]
    pod = node.pod()
    pod.add()
    before, began = node.run("ip", "rule").stdout, time.monotonic()
    node.run("sh", "-ec", REMOVE_AT_ONCE, timeout=60)
    said = drift(node)["contested"]
    assert [(c["kind"], c["what"]) for c in said] == [("rule", "rule 1024: fwmark 0x80/0x80 lookup 254 is missing")]
    assert said[0]["times"] >= 13 and node.info()["drift"]["contested"]
    with pytest.raises(cni.CniError, match="rule 1024.*another program keeps removing it"):
        pod.call("STATUS", version="1.1.0")
    operator_sees(node, "another program keeps removing")
    log = node.daemon_log()
    assert log.count("another program keeps removing") == 1, log
    # one at once, then one in 10 s
    assert log.count("others removed or changed") <= 2 + (time.monotonic() - began) // 10, log
    # what nobody contests is restored at once all the same, and this in the end
    node.run("ip", "rule", "del", "pref", "512")
    proc.wait_until(lambda: "512:" in node.run("ip", "rule").stdout, "an uncontested rule", timeout=SOON_S)
    proc.wait_until(lambda: node.run("ip", "rule").stdout == before, "the contested rule", timeout=40)


@pytest.mark.limit(120)
def test_what_was_removed_while_no_daemon_ran_is_restored_at_its_start(make_lab):
    lab = make_lab(instance_type="t3.small")
    node = lab.nodes[0]
    pod = node.pod()
    pod.add()
    before = audit.kernel(node)
    lab.kill_daemon(node.name)
    veth = next(l["ifname"] for l in node.json("ip", "-j", "link") if l.get("ifalias", "").startswith("vpcwire:"))
    node.run("sh", "-ec", f"tc qdisc del dev {veth} clsact; ip route flush table 22103; nft flush ruleset; ip rule del pref 512")
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    proc.wait_until(lambda: audit.kernel(node) == before, lambda: f"the node as before\n{audit.difference(before, audit.kernel(node))}",
                    timeout=SOON_S)
    assert "vpcwire_from_pod" in node.run("tc", "filter", "show", "dev", veth, "ingress").stdout
    assert "vpcwire_to_pod" in node.run("tc", "filter", "show", "dev", veth, "egress").stdout


def test_switched_off_nothing_is_restored_until_it_is_switched_on(make_lab):
    node = make_lab(daemon_config={"drift_repair": False}).nodes[0]
    node.run("ip", "rule", "del", "pref", "512")
    node.run("nft", "flush", "ruleset")
    state = drift(node)
    assert not state["enabled"] and not any(state["restored"].values())
    assert "512:" not in node.run("ip", "rule").stdout
    path = node.run("sh", "-c", "tr '\\0' '\\n' </proc/$1/cmdline | grep -A1 -x -- --config | tail -1", "-", node.daemon_pid()).stdout.strip()
    node.run("sh", "-ec", f"sed 's/\"drift_repair\": *false/\"drift_repair\":true/' {path} >{path}.new; mv {path}.new {path}")
    proc.wait_until(lambda: "512:" in node.run("ip", "rule").stdout and "vpcwire" in node.run("nft", "list", "tables").stdout,
                    lambda: f"all restored: {node.daemon_log()}", timeout=SOON_S)
    assert drift(node)["enabled"]
