# SPDX-License-Identifier: Apache-2.0
"""Several containers behind one ENI: vpc-bridge's keys, ports, who is seen as whom, and that nothing is left."""
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess

import pytest

from tests.conformance.bridgenode import PLUGIN, BridgeNode, ports
from tests.conformance.eninode import OUTSIDE, OUTSIDE6
from tests.harness import audit, proc, traffic
from tests.harness.cni import CniError, Result
from tests.harness.guest import open_as
from tests.harness.netns import unshare_net

FAMILIES = pytest.mark.parametrize("family", [4, 6])
VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


@pytest.fixture(params=["on the host", "in a namespace"])
def node(private_mounts, tmp_path, request):
    unshare_net()
    made = BridgeNode(tmp_path)
    if request.param == "in a namespace":
        made.own_netns()
    yield made
    made.close()


@pytest.fixture
def on_host(private_mounts, tmp_path):
    unshare_net()
    made = BridgeNode(tmp_path)
    yield made
    made.close()


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def add(node, pod, n=20, **more):
    return node.add(pod, conf={"n": n, **more})


def two(node, **more):
    pods = [node.pod("one"), node.pod("two")]
    for i, pod in enumerate(pods):
        add(node, pod, 20 + i, **(more if i == 0 else {}))
    return pods


def seen(client, to, port=traffic.PORT, proto="tcp", **more):
    """As whom the server saw the client, or None."""
    if client.name == "outside":
        more["from"] = client.address6 if ":" in to else client.address
    answer = client.reaches(to, port, proto, **more)
    return answer and answer["seen"]


# --- the faults of AWS's vpc-bridge

def test_fault_no_program_is_needed(node):
    """vpc-bridge runs ebtables: what it does, and ports besides, is written by nobody but the plugin itself."""
    pod, record = node.pod(), node.tmp / "strace"
    conf = {"n": 20, "runtimeConfig": ports((8080, 80, "tcp"))}
    for call in (node.add, node.delete):
        with node.wrapped("/usr/bin/strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(record)):
            call(pod, conf=conf, PATH="/nonexistent")
        assert [line for line in record.read_text().splitlines() if "execve" in line and PLUGIN not in line] == []


@pytest.mark.parametrize("kind, alias", [(["bridge"], "docker's"), (["veth", "peer", "x7"], None)])
def test_fault_a_link_of_that_name_is_not_taken_over(node, kind, alias):
    """vpc-bridge uses a bridge that is there, whoever made it. (One without any mark is an ADD's that was killed: the name is the ENI's MAC.)"""
    pod, name = node.pod(), "vbr020000000001"
    node.at_bridge("ip", "link", "add", name, "type", *kind)
    if alias:
        node.at_bridge("ip", "link", "set", name, "alias", alias)
    pod.run("ip", "link", "set", "lo", "up")
    before = node.everything()
    error = refused(add, node, pod)
    assert name in error.msg and "somebody else's" in error.msg and node.everything() == before


# --- what an ADD makes

def test_add_and_del(node):
    pod = node.pod()
    before = node.everything()
    result = Result(add(node, pod), "1.1.0")
    inside = pod.links()["eth0"]
    mine = [i for i in result.interfaces if i.get("sandbox")]
    assert mine == [{"name": "eth0", "mac": inside["address"], "mtu": 9001, "sandbox": pod.path}]
    assert [i["address"] for i in result.ips] == ["10.0.1.20/32", "2001:db8:1::14/128"]
    assert [i["gateway"] for i in result.ips] == ["10.0.1.1", "2001:db8:1::1"]
    assert result.routes == [{"dst": "0.0.0.0/0", "gw": "10.0.1.1"}, {"dst": "::/0", "gw": "2001:db8:1::1"}]
    assert all(result.interfaces[i["interface"]]["name"] == "eth0" for i in result.ips)
    if not node.netns:
        assert [i["name"] for i in result.interfaces] == [node.host_end(pod), "eth0"]
    node.check(pod, result.raw)
    node.delete(pod)
    assert node.remembered() == []
    after = node.everything()
    if node.netns:                          # given back as AWS's plugins give it back: down
        assert node.eni(1).link()["ifname"] == "eth1" and set(pod.links()) == {"lo"}
    else:
        assert after == before


@FAMILIES
def test_containers_reach_each_other_the_world_and_the_world_them(node, family):
    """Twice each, for the first packet may tell of another way."""
    one, two_ = [node.place(pod, 20 + i) for i, pod in enumerate(two(node))]
    outside = node.outside()
    with traffic.serving([one, two_, outside]):
        assert seen(one, two_.of(family)) == one.of(family)
        assert seen(one, two_.of(family), proto="udp") == one.of(family)
        assert seen(two_, one.of(family), proto="udp") == two_.of(family)
        assert seen(one, outside.of(family)) == one.of(family)              # the VPC knows it
        assert seen(outside, one.of(family)) == outside.of(family)
        assert seen(outside, two_.of(family), proto="udp") == outside.of(family)


@FAMILIES
def test_private_addresses_leave_as_the_eni(node, family):
    pod = node.pod()
    add(node, pod, ipAddresses=["172.30.0.2/24", "fd00:30::2/64"])
    client, outside = node.place(pod), node.outside()
    with outside:
        assert seen(client, outside.of(family)) == (node.eni(1).address if family == 4 else node.eni(1).address6)
    node.check(pod)


def test_outside_of_the_vpc_it_is_the_eni(node):
    pod = node.pod()
    add(node, pod, vpcCIDRs=["10.0.0.0/16"])
    client, outside = node.place(pod), node.outside()
    node.in_router("ip", "addr", "add", "10.0.77.1/32", "dev", "lo")
    with outside:
        assert seen(client, OUTSIDE) == node.eni(1).address
        assert seen(client, "10.0.77.1") == client.address
        assert seen(client, OUTSIDE6) == client.address6
    node.check(pod)


@FAMILIES
@pytest.mark.parametrize("private", [False, True], ids=["of the VPC", "private"])
def test_a_narrow_way_is_told_to_the_container(node, family, private):
    """Fragmentation needed, packet too big: also where addresses are translated."""
    pod = node.pod()
    add(node, pod, **({"ipAddresses": ["172.30.0.2/24", "fd00:30::2/64"]} if private else {}))
    node.at_bridge("ip", "link", "set", "eth1", "mtu", "1500")
    client, outside = node.place(pod), node.outside()
    with outside:
        assert client.reaches(outside.of(family), send=200_000)["size"] == 200_000
        assert client.reaches(outside.of(family), proto="udp", send=4000)
    (route,) = pod.json("route", "get", outside.of(family))
    assert route["metrics"][0]["mtu"] == 1500


FOUR = {"eniIPAddresses": ["10.0.1.5/24"], "gatewayIPAddresses": ["10.0.1.1"], "ipAddresses": ["10.0.1.20/24"]}


@pytest.mark.parametrize("kind", ["veth", "tap"])
def test_an_mtu_too_small_for_ipv6(node, kind):
    """The kernel then has no IPv6 on the links (as one without it has on none): nothing is switched off there, and IPv4 works."""
    pod = node.pod()
    before = node.everything()
    error = refused(add, node, pod, mtu=1279, interfaceType=kind)
    assert error.code == 7 and "MTU of 1279, IPv6 needs 1280" in error.msg and node.everything() == before
    add(node, pod, mtu=1279, interfaceType=kind, **FOUR)
    node.check(pod)
    if kind == "veth":
        with node.outside():
            assert seen(node.place(pod), OUTSIDE) == "10.0.1.20"


# --- ports

@FAMILIES
@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("br_netfilter", [0, 1])
def test_a_port_of_the_eni_leads_to_the_container(node, family, proto, br_netfilter):
    """Also between containers of the bridge: routed, or where br_netfilter is loaded, translated and switched."""
    switch = ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"]
    done = node.at_bridge("sysctl", "-qw", *[f"{key}={br_netfilter}" for key in switch], check=False)
    if done.returncode and br_netfilter:
        pytest.skip("br_netfilter is not loaded here")
    pods = two(node, runtimeConfig=ports((8080, 9000, proto)))
    server, other, outside = node.place(pods[0], 20), node.place(pods[1], 21), node.outside()
    door = node.eni(1).address if family == 4 else node.eni(1).address6
    with server:
        assert seen(outside, door, 8080, proto) == outside.of(family)        # its own address, through the port
        assert seen(other, door, 8080, proto) == other.of(family)
        assert seen(server, door, 8080, proto) == door                       # a container by its own port
        if not node.netns and family == 4:
            assert seen(node.here(), door, 8080, proto) is not None
        assert seen(outside, door, 8081, proto) is None
    node.check(pods[0])


@FAMILIES
def test_ports_of_private_containers(node, family):
    pod = node.pod()
    add(node, pod, ipAddresses=["172.30.0.2/24", "fd00:30::2/64"], runtimeConfig=ports((80, 9000, "TCP"), (0, 5000, "tcp")))
    outside = node.outside()
    with node.place(pod):
        assert seen(outside, node.eni(1).address if family == 4 else node.eni(1).address6, 80) == outside.of(family)


def test_a_port_of_one_address(node):
    pod, eni = node.pod(), node.eni(1)
    addresses = [f"{eni.address}/24", "10.0.1.6/24"]
    add(node, pod, eniIPAddresses=addresses, ipAddresses=["10.0.1.20/24"], gatewayIPAddresses=None,
        runtimeConfig=ports((8080, 9000, "tcp", "10.0.1.6"), (8081, 9000, "tcp", "0.0.0.0")))
    outside = node.outside()
    with node.place(pod):
        answers = {(a, p): seen(outside, a, p) is not None for a in (eni.address, "10.0.1.6") for p in (8080, 8081)}
    assert answers == {(eni.address, 8080): False, (eni.address, 8081): True, ("10.0.1.6", 8080): True, ("10.0.1.6", 8081): True}
    error = refused(add, node, node.pod("c2"), 21, ipAddresses=["10.0.1.21/24"], eniIPAddresses=addresses, gatewayIPAddresses=None,
                    runtimeConfig=ports((8090, 80, "tcp", "192.0.2.1")))
    assert error.code == 7 and "192.0.2.1" in error.msg


def test_a_taken_port_is_refused_and_named(node):
    one, late = node.pod("one"), node.pod("late")
    add(node, one, 20, runtimeConfig=ports((8080, 80, "tcp")))
    before = node.everything()
    error = refused(add, node, late, 21, runtimeConfig=ports((7000, 70, "udp"), (8080, 81, "tcp")))
    assert error.code == 11 and "8080/tcp" in error.msg and "one" in error.msg
    assert node.everything() == before
    add(node, late, 21, runtimeConfig=ports((8080, 81, "udp")))            # another protocol is another port
    node.delete(one)
    third = node.pod("third")
    add(node, third, 22, runtimeConfig=ports((8080, 80, "tcp")))
    error = refused(add, node, node.pod("fourth"), 23, runtimeConfig=ports((1, 80, "tcp"), (1, 81, "tcp")))
    assert error.code == 7 and "1/tcp" in error.msg and "twice" in error.msg


def test_a_taken_address_is_refused_and_named(node):
    add(node, node.pod("one"), 20)
    error = refused(add, node, node.pod("two"), 20)
    assert error.code == 11 and "10.0.1.20" in error.msg and "one" in error.msg


def test_many_ports(node):
    """More than one netlink message holds, as one transaction."""
    pod = node.pod()
    before = node.everything()
    add(node, pod, runtimeConfig=ports(*[(10000 + i, 9000, "tcp") for i in range(128)]))
    with node.place(pod):
        assert seen(node.outside(), node.eni(1).address, 10127) == OUTSIDE
    node.check(pod)
    node.delete(pod)
    if not node.netns:
        assert node.everything() == before
    error = refused(add, node, pod, runtimeConfig=ports(*[(10000 + i, 9000, "tcp") for i in range(129)]))
    assert error.code == 7 and "128" in error.msg


def test_a_client_that_went_on_sending_is_let_in(node):
    """Its entry in conntrack, made when the port was nobody's, does not keep it out; nor does that of the last container."""
    pods = [node.pod(f"c{i}") for i in range(3)]
    add(node, pods[0], 20)
    outside = node.outside()
    probe = {"to": node.eni(1).address, "port": 5353, "proto": "udp", "from_port": 40000}
    assert seen(outside, probe["to"], 5353, "udp", from_port=40000) is None
    for n, pod in enumerate(pods[1:], 21):
        add(node, pod, n, runtimeConfig=ports((5353, 9000, "udp")))
        with node.place(pod, n):
            answer = outside.reaches(probe["to"], 5353, "udp", from_port=40000, **{"from": OUTSIDE})
            assert answer and answer["name"] == pod.cid
        node.delete(pod)


# --- one bridge for all

def test_the_last_one_out_takes_the_bridge_along(node):
    pods = [node.pod(f"c{i}") for i in range(3)]
    for i, pod in enumerate(pods):
        add(node, pod, 20 + i, runtimeConfig=ports((8000 + i, 80, "tcp")))
    for pod in pods[:2]:
        node.delete(pod)
        node.delete(pod)
        assert node.at_bridge("ip", "link", "show", "vbr020000000001").returncode == 0
    node.check(pods[2])
    node.delete(pods[2])
    assert node.remembered() == [] and "vbr" not in node.at_bridge("ip", "link", "show").stdout
    assert node.eni(1).link()["ifname"] == "eth1"
    assert node.at_bridge("nft", "list", "ruleset").stdout == ""


@pytest.mark.limit(180)
def test_thirty_at_once(node):
    """Three rounds in and out, half of the second round beside the DELs of the first."""
    pods = [node.pod(f"c{i}") for i in range(30)]
    before = node.everything()
    jobs = [(pod, node.conf(n=20 + i, runtimeConfig=ports((8000 + i, 9000, "tcp"))), pod.cid) for i, pod in enumerate(pods)]
    for _ in range(proc.times(30) // 10 or 1):
        answers = node.together("ADD", jobs)
        assert [code for _, code in answers] == [0] * 30, [a for a, code in answers if code]
        for pod, (answer, _) in zip(pods, answers):
            node.check(pod, answer)
        with node.place(pods[29], 49):
            assert seen(node.outside(), node.eni(1).address, 8029) == OUTSIDE
        answers = node.together("DEL", jobs)
        assert [code for _, code in answers] == [0] * 30, [a for a, code in answers if code]
        assert node.remembered() == []
    assert node.everything() == before or node.netns


@contextlib.contextmanager
def leaving(node, pod):
    """Its DEL is between the two times that it holds the lock: it waits for its turn to delete links. It ends with the block."""
    reaper = node.state_dir / "reaper.lock"
    with open(reaper, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([PLUGIN], env=node.env("DEL", pod), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            child.stdin.write(json.dumps(node.conf()))
            child.stdin.close()
            proc.wait_until(lambda: str(reaper) in {os.path.realpath(fd) for fd in pathlib.Path(f"/proc/{child.pid}/fd").iterdir()},
                            "the DEL to wait")
            yield child, lambda: fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert child.wait(30) == 0, child.stdout.read()


MORE = {"eniIPAddresses": ["10.0.1.5/24", "2001:db8:1::5/64", "2001:db8:1::6/64"]}


def test_an_add_beside_a_del_does_not_bring_its_ports_back(node):
    """An ADD that makes the bridge's table anew (here: for another address of the ENI), while a container is on its way out."""
    one, two_, three = node.pod("one"), node.pod("two"), node.pod("three")
    add(node, one, 20, runtimeConfig=ports((8080, 9000, "tcp")))
    with leaving(node, one):
        add(node, two_, 21, **MORE)
    add(node, three, 22, runtimeConfig=ports((8080, 9000, "tcp")))
    with node.place(three, 22):
        assert seen(node.outside(), node.eni(1).address, 8080) == OUTSIDE
    node.check(two_)
    node.check(three)
    for pod in (two_, three):
        node.delete(pod)
    assert node.remembered() == []


def test_the_last_one_out_knows_what_came_meanwhile(on_host):
    """A container comes, with another address of the ENI, and goes, all while the last one is on its way out."""
    one, two_ = on_host.pod("one"), on_host.pod("two")
    proc.run(["ip", "link", "set", "eth1", "up"])           # one that goes down loses its addresses anyway
    before = on_host.everything()
    add(on_host, one, 20)
    with leaving(on_host, one) as (child, let_go):
        child.send_signal(signal.SIGSTOP)
        add(on_host, two_, 21, **MORE)
        let_go()
        on_host.delete(two_)
        child.send_signal(signal.SIGCONT)
    assert on_host.everything() == before


def test_a_port_for_which_two_race(node):
    for turn in range(5):
        pods = [node.pod(f"t{turn}c{i}") for i in range(4)]
        jobs = [(pod, node.conf(n=20 + i, runtimeConfig=ports((8080, 9000, "tcp"))), pod.cid) for i, pod in enumerate(pods)]
        answers = node.together("ADD", jobs)
        assert sorted(code for _, code in answers) == [0, 1, 1, 1], answers
        assert {a["code"] for a, code in answers if code} == {11}
        node.together("DEL", jobs)
        assert node.remembered() == []


def test_another_word_on_what_all_share_is_refused(node):
    add(node, node.pod("one"), 20, vpcCIDRs=["10.0.0.0/16"])
    for key, value in (("vpcCIDRs", ["10.1.0.0/16"]), ("mtu", 1500), ("gatewayIPAddresses", ["10.0.1.2"])):
        error = refused(add, node, node.pod("two"), 21, **{"vpcCIDRs": ["10.0.0.0/16"], key: value})
        assert error.code == 7 and (key[:-2] if key.endswith("es") else key) in error.msg


def test_an_eni_that_was_given_another_address(node):
    one, two_ = node.pod("one"), node.pod("two")
    eni = node.eni(1)
    add(node, one, 20, runtimeConfig=ports((8080, 9000, "tcp")))
    add(node, two_, 21, eniIPAddresses=[f"{eni.address}/24", f"{eni.address6}/64", "10.0.1.6/24"], runtimeConfig=ports((8081, 9000, "tcp")))
    outside = node.outside()
    with traffic.serving([node.place(one, 20), node.place(two_, 21)]):
        assert seen(outside, "10.0.1.6", 8081) == OUTSIDE and seen(outside, eni.address, 8080) == OUTSIDE
    for pod in (one, two_):
        node.check(pod)
        node.delete(pod)
    assert node.remembered() == []


def but_pods(rows):
    return [row for row in rows if "/netns" not in row]


@pytest.mark.parametrize("first", [["10.0.1.5/24"], ["10.0.1.5/24", "10.0.1.6/24"]])
def test_an_address_that_the_host_has_stays(on_host, first):
    """Whether the first ADD names it or a later one; what no bridge names is not touched either."""
    for address in ("10.0.1.6/24", "10.0.1.7/24"):
        proc.run(["ip", "addr", "add", address, "dev", "eth1"])
    proc.run(["ip", "link", "set", "eth1", "up"])
    before = but_pods(on_host.everything())
    one, two_ = on_host.pod("one"), on_host.pod("two")
    add(on_host, one, 20, eniIPAddresses=first, ipAddresses=["10.0.1.20/24"], gatewayIPAddresses=["10.0.1.1"])
    add(on_host, two_, 21, eniIPAddresses=["10.0.1.5/24", "10.0.1.6/24", "10.0.1.8/24"], ipAddresses=["10.0.1.21/24"],
        gatewayIPAddresses=["10.0.1.1"])
    for pod in (one, two_):
        on_host.delete(pod)
    assert but_pods(on_host.everything()) == before


@pytest.mark.parametrize("key, value", [("ipv6/conf/eth1/disable_ipv6", "1"), ("ipv6/conf/eth1/force_forwarding", "1"),
                                        ("ipv6/conf/eth1/accept_dad", "-1"), ("ipv4/conf/eth1/rp_filter", "10"),
                                        ("ipv4/conf/eth1/forwarding", "2")])
def test_the_eni_s_settings_are_put_back(on_host, key, value):
    """Also those that nobody sets: the kernel takes any number."""
    path = pathlib.Path("/proc/sys/net", key)
    if not path.exists():
        pytest.skip(f"this kernel has no {key}")
    path.write_text(value)
    pod = on_host.pod()
    before = on_host.everything()
    add(on_host, pod)
    on_host.delete(pod)
    assert on_host.everything() == before


def test_what_the_eni_has_will_do(node):
    """Without eniIPAddresses and gateways: the addresses that it has on the host, and the VPC's routers."""
    proc.run(["ip", "addr", "add", "10.0.1.5/24", "dev", "eth1"])
    node.in_router("ip", "addr", "add", "fe80:ec2::1/64", "dev", "v1", "nodad")
    pod = node.pod()
    result = add(node, pod, eniIPAddresses=None, gatewayIPAddresses=None, ipAddresses=["10.0.1.20/24"])
    assert result["ips"][0]["gateway"] == "10.0.1.1"
    with node.outside():
        assert seen(node.place(pod), OUTSIDE) == "10.0.1.20"
    node.delete(pod)
    pod = node.pod("six")
    add(node, pod, gatewayIPAddresses=None)
    with node.outside():
        assert seen(node.place(pod), OUTSIDE6) == "2001:db8:1::14"
    node.check(pod)


def test_the_eni_by_its_name_and_in_older_spellings(node):
    pod = node.pod()
    conf = node.conf(eniMACAddress=None, eniName="eth1", eniIPAddresses=None, eniIPAddress="10.0.1.5/24", ipAddresses=None,
                     ipAddress="10.0.1.20/24", gatewayIPAddresses=None, gatewayIPAddress="10.0.1.1", bridgeType="l3",
                     interfaceType="veth", serviceCIDR="172.20.0.0/16")
    node.call("ADD", conf, pod)
    second = node.pod("two")
    node.call("ADD", {**conf, "ipAddress": "10.0.1.21/24"}, second)
    for p in (pod, second):
        node.call("DEL", conf, p)
    assert node.remembered() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version(node, version):
    pod = node.pod()
    result = node.add(pod, version)
    assert result["cniVersion"] == version
    if version >= "0.4.0":
        node.check(pod, result, version)
    node.delete(pod, version)
    assert node.remembered() == []


def test_a_second_interface_of_a_container(node):
    """Behind two ENIs: each address answers by its own."""
    pod, second = node.pod(), node.eni(2)
    add(node, pod, 20)
    keys = {"eniMACAddress": second.mac, "eniIPAddresses": [f"{second.address}/24"], "gatewayIPAddresses": [second.gateway],
            "ipAddresses": ["10.0.2.20/24"]}
    result = node.add(pod, ifname="net1", conf=keys)
    node.in_router("ip", "route", "add", "10.0.2.20/32", "via", second.address, "dev", "v2")
    outside = node.outside()
    with node.place(pod):
        assert seen(outside, "10.0.1.20") == OUTSIDE and seen(outside, "10.0.2.20") == OUTSIDE
    node.check(pod, pod.results["eth0"])
    node.check(pod, result, ifname="net1", conf=keys)
    node.delete(pod, ifname="net1", conf=keys)
    assert set(pod.links()) == {"lo", "eth0"}
    node.delete(pod)
    assert node.remembered() == []


def test_the_mac_that_is_asked_for(node):
    pod = node.pod()
    add(node, pod, runtimeConfig={"mac": "02:11:22:33:44:55"})
    assert pod.links()["eth0"]["address"] == "02:11:22:33:44:55"
    node.check(pod)


def test_addresses_from_the_runtime(node):
    pod = node.pod()
    add(node, pod, ipAddresses=None, runtimeConfig={"ips": ["10.0.1.44/24"]})
    assert pod.addresses("eth0") == ["10.0.1.44"]


GUEST = """
import fcntl, os, select, socket, struct, sys
tap, own_mac, own, gateway, to = sys.argv[1:]
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", tap.encode(), 0x0002 | 0x1000 | 0x4000))
mac, ip, gw, dst = bytes.fromhex(own_mac.replace(":", "")), *(socket.inet_aton(a) for a in (own, gateway, to))

def send(to_mac, kind, payload):
    os.write(fd, bytes(10) + to_mac + mac + struct.pack("!H", kind) + payload)

def arp(op, to_mac, to_ip):
    send(to_mac if op == 2 else b"\\xff" * 6, 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac + ip + to_mac + to_ip)

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff

while True:
    while not select.select([fd], [], [], 0.3)[0]:          # the bridge lets nothing pass until it has seen the carrier
        arp(1, bytes(6), gw)
    frame = os.read(fd, 65536)[10:]
    if frame[12:14] == b"\\x08\\x06" and frame[38:42] == ip:
        if frame[21] == 1:
            arp(2, frame[22:28], frame[28:32])
        elif frame[28:32] == gw:
            echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
            echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
            head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 1, 0) + ip + dst
            send(frame[22:28], 0x0800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + echo)
    elif frame[12:14] == b"\\x08\\x00" and frame[26:30] == dst and frame[34] == 0:
        print("answered")
        break
"""


def test_a_tap_for_a_micro_vm(node):
    """A guest that configures itself by the result: the gateway answers its ARP, and the outside its ping."""
    pod = node.pod()
    before = pod.links()
    result = add(node, pod, interfaceType="tap", tapUserID=0, ipAddresses=["10.0.1.20/24"])
    mac = result["interfaces"][-1]["mac"]
    assert pod.links()["eth0"]["linkinfo"]["info_kind"] == "tun" and pod.links()["eth0"]["address"] != mac
    node.check(pod)
    done = pod.run("/usr/bin/python3", "-c", GUEST.replace("\\\\", "\\"), "eth0", mac, "10.0.1.20", "10.0.1.1", OUTSIDE)
    assert done.stdout == "answered\n"
    peer = next(name for name in pod.links() if name.startswith("vbp"))
    pod.run("ip", "link", "set", peer, "nomaster")
    assert peer in refused(node.check, pod).msg
    node.delete(pod)
    assert set(pod.links()) == set(before) and node.remembered() == []


@pytest.mark.parametrize("kind", ["veth", "tap"])
def test_a_name_that_is_a_pattern_is_refused(node, kind):
    """Of "tap%d" the kernel makes tap0, which nobody would find again."""
    pod = node.pod()
    before = node.everything()
    error = refused(node.add, pod, ifname="tap%d", conf={"interfaceType": kind})
    assert error.code == 4 and "tap%d" in error.details and node.everything() == before
    node.delete(pod, ifname="tap%d")


def test_a_tap_of_nobodys_is_roots(node):
    pod = node.pod()
    add(node, pod, interfaceType="tap", ipAddresses=["10.0.1.20/24"])
    assert open_as(pod, "tap", 12345, 12345) == {"refused": errno.EPERM} and open_as(pod, "tap", 0, 0) == {"open": True}


# --- refused

@pytest.mark.parametrize("keys, code, words", [
    ({"bridgeType": "L2"}, 2, ["bridgeType", "L2"]),
    ({"interfaceType": "macvlan"}, 2, ["interfaceType", "macvlan"]),
    ({"ipAddresses": None}, 7, ["ipAddresses"]),
    ({"ipAddresses": ["10.0.1.20"]}, 7, ["ipAddresses", "10.0.1.20"]),
    ({"ipAddresses": ["10.0.1.5/24"]}, 7, ["10.0.1.5", "own"]),
    ({"eniIPAddresses": ["10.0.1.5/24"], "gatewayIPAddresses": None}, 7, ["2001:db8:1::14", "family"]),
    ({"eniMACAddress": None}, 7, ["eniMACAddress"]),
    ({"eniMACAddress": "02:00"}, 7, ["eniMACAddress", "02:00"]),
    ({"gatewayIPAddresses": ["10.0.1.1", "10.0.1.2"]}, 7, ["10.0.1.2"]),
    ({"vpcCIDRs": ["10.0.0.0/33"]}, 7, ["vpcCIDRs", "10.0.0.0/33"]),
    ({"bridgeNetNSPath": "/nowhere"}, 7, ["bridgeNetNSPath", "/nowhere"]),
    ({"bridgeNetNSPath": "ns"}, 7, ["bridgeNetNSPath"]),
    ({"stateDir": "state"}, 7, ["stateDir"]),
    ({"runtimeConfig": ports((70000, 80, "tcp"))}, 7, ["portMappings[0]", "70000"]),
    ({"runtimeConfig": ports((80, 0, "tcp"))}, 7, ["portMappings[0]", "containerPort"]),
    ({"runtimeConfig": ports((80, 80, "icmp"))}, 7, ["portMappings[0]", "icmp"]),
    ({"runtimeConfig": ports((80, 80, "tcp", "nowhere"))}, 7, ["portMappings[0]", "nowhere"]),
    ({"runtimeConfig": {"portMappings": ["80:80"]}}, 7, ["portMappings[0]"]),
    ({"runtimeConfig": {"bandwidth": {"ingressRate": 1000000}}}, 2, ["bandwidth"]),
])
def test_bad_keys_are_named_and_nothing_is_done(node, keys, code, words):
    pod = node.pod()
    before = node.everything()
    error = refused(node.add, pod, conf=keys)
    assert error.code == code and all(w in error.msg for w in words), (error.code, error.msg)
    assert node.everything() == before


def test_an_interface_that_is_there_stays(node):
    pod = node.pod()
    add(node, pod, 20)
    before = node.everything()
    error = refused(add, node, pod, 21)
    assert error.code == 100 and "eth0" in error.msg
    assert node.everything() == before


def test_an_eni_that_vpcwire_routes_pods_by_is_not_moved(node):
    proc.run(["ip", "rule", "add", "prio", "1537", "fwmark", "1/0x7f", "lookup", "3", "protocol", "86"])
    proc.run(["ip", "link", "set", "eth1", "up"])
    proc.run(["ip", "route", "add", "default", "dev", "eth1", "table", "3", "proto", "86"])
    pod = node.pod()
    if node.netns:
        error = refused(add, node, pod)
        assert error.code == 7 and "eth1" in error.msg
    else:
        add(node, pod)


# --- DEL, whatever has happened

def test_del_when_the_container_died(node):
    pods = two(node, runtimeConfig=ports((8080, 80, "tcp")))
    for pod in pods:
        pod.remove()
        node.delete(pod)
        node.delete(pod.path and None, cid=pod.cid)
    assert node.remembered() == []
    node.pods = []


def test_del_when_the_bridge_was_taken_away(node):
    pods = two(node, runtimeConfig=ports((8080, 80, "tcp")))
    node.at_bridge("ip", "link", "del", "vbr020000000001")
    node.at_bridge("nft", "flush", "ruleset")
    for pod in pods:
        node.delete(pod)
    assert node.remembered() == [] and set(pods[0].links()) == {"lo"}


def test_del_when_the_eni_was_detached(node):
    pods = two(node)
    node.at_bridge("ip", "link", "del", "eth1")
    assert node.call
    for pod in pods:
        node.delete(pod)
    left = node.remembered()
    # in a namespace: the file of the bridge waits for an ENI that may come back, as with a whole one
    assert left == [] if not node.netns else all(f.startswith("bridges/") for f in left)


def test_del_with_any_configuration(node):
    pod = node.pod()
    add(node, pod)
    node.call("DEL", {"cniVersion": "1.1.0", "name": "shared", "type": "vpcwire-bridge", "stateDir": str(node.state_dir),
                      "ipAddresses": 7, "bridgeNetNSPath": []}, pod)
    assert node.remembered() == [] and set(pod.links()) == {"lo"}


def traced(syscall, what, nth):
    return ["strace", "-f", "-o", "/dev/null", "-e", f"trace={syscall}", "-e", f"inject={syscall}:{what}:when={nth}", PLUGIN]


def quiet_start(node, **more):
    """A node whose ENI is down: what a move leaves of one that was up is not the same, for DEL gives it back down."""
    if node.netns:
        proc.run(["ip", "link", "set", "eth1", "down"])
    return node.pod(), json.dumps(node.conf(runtimeConfig=ports((8080, 80, "udp")), **more))


@pytest.mark.limit(300)
@pytest.mark.parametrize("syscall, first, kind", [
    *[(s, True, "veth") for s in ("sendto", "recvmsg", "setns", "openat", "renameat", "flock")], ("sendto", False, "veth"),
    ("renameat", False, "veth"), ("sendto", False, "tap"), ("ioctl", True, "tap")])
def test_killed_anywhere_and_cleaned_up_by_del(node, syscall, first, kind):
    """SIGKILL at the n-th call of every kind that ADD makes, for every n, then DEL: as before. With a bridge that is made, or there."""
    pod, conf = quiet_start(node, interfaceType=kind)
    if not first:
        add(node, node.pod("before"), 30)
    before = node.everything()
    for nth in range(1, 200):
        done = proc.run(traced(syscall, "signal=KILL", nth), input=conf, env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        node.delete(pod)
        assert node.everything() == before, f"{syscall} #{nth}"
        if done.returncode == 0:
            break
    assert 1 < nth < 199, f"ADD makes {nth - 1} calls of {syscall}?"


@pytest.mark.limit(300)
def test_after_all_were_killed_gc_leaves_nothing(node):
    """Containers that lived, and ADDs dead at each request that they make; no DEL ever comes, the namespaces go: GC alone is left."""
    pod, _ = quiet_start(node)

    def gone(*pods):
        for each in pods:
            node.pods.remove(each)
            node.drop_pod(each)

    def as_before():
        node.call("GC", node.conf(**{"cni.dev/valid-attachments": []}))
        return node.everything() == before

    gone(pod)
    before = node.everything()
    for k in range(39):
        pod = node.pod(f"dying{k}")
        conf = node.conf(n=20 + k, runtimeConfig=ports((8080 + k, 80, "udp")))
        done = proc.run(traced("sendto", "signal=KILL", 1 + k), input=json.dumps(conf), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"),
                        check=False)
        if done.returncode == 0:
            break
        if k % 3 == 0:                          # else they pile up
            gone(*node.pods)
            proc.wait_until(as_before, lambda: f"GC to leave nothing of {k}:\n{audit.difference(before, node.everything())}")
    assert 10 < k < 38, f"ADD makes {k} calls of sendto?"
    add(node, node.pod("living"), 59)
    gone(*node.pods)
    proc.wait_until(as_before, lambda: f"GC to leave nothing:\n{audit.difference(before, node.everything())}")


@pytest.mark.limit(300)
@pytest.mark.parametrize("syscall", ["sendto", "socket", "setns", "openat", "renameat"])
def test_failing_anywhere_leaves_nothing(node, syscall):
    """The n-th call of every kind fails with an error: ADD fails and has left nothing, or did not need it, and DEL works."""
    pod, conf = quiet_start(node)
    before, unhurt = node.everything(), 0
    for nth in range(1, 200):
        done = proc.run(traced(syscall, "error=ENOMEM", nth), input=conf, env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        if done.returncode:
            assert "code" in json.loads(done.stdout), done
            left = node.remembered()
            assert syscall in ("setns", "sendto", "recvmsg") or left == [], f"{syscall} #{nth}: {left}"
        node.delete(pod)
        assert node.everything() == before, f"{syscall} #{nth}"
        unhurt = unhurt + 1 if done.returncode == 0 else 0
        if unhurt > 12:                     # beyond the last one that ADD makes
            break
    assert nth < 199
