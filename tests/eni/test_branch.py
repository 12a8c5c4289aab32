# SPDX-License-Identifier: Apache-2.0
"""Branch ENIs: the keys of vpc-branch-eni. Mechanics on a node of the test's own; traffic in a lab, whose fabric has tags of its own."""
import itertools
import json
import os

import pytest

from tests.conformance.eninode import IMDS, IMDS6, PLUGIN
from tests.conformance.plugins import VpcwireEni
from tests.conformance.subject import Whole
from tests.harness import proc
from tests.harness.cni import CniError, Result
from tests.harness.ec2 import Ec2
from tests.harness.lab import Lab
from tests.harness.trunk import Branch, attach_trunk

MAC = "02:00:00:00:07:07"


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.fixture
def trunk(node):
    """eth1 of the node is a trunk; the programs are pinned in a folder of the test's own."""
    bpf = node.tmp / "bpf"
    bpf.mkdir()
    proc.run(["mount", "-t", "bpf", "bpf", str(bpf)])
    node.bpf = str(bpf)
    eni = node.eni(1)
    proc.run(["ip", "link", "set", "eth1", "up"])
    yield eni
    proc.run(["umount", str(bpf)])


def keys(node, vlan=7, **more):
    """The keys of vpc-branch-eni."""
    base = {"trunkName": "eth1", "branchVlanID": str(vlan), "branchMACAddress": MAC, "ipAddresses": ["10.0.7.5/24", "2001:db8:7::5/64"],
            "gatewayIPAddresses": ["10.0.7.1", "2001:db8:7::1"], "interfaceType": "vlan", "bpfDir": node.bpf}
    return {**base, **more}


def filters(node, dev):
    return [f for f in node.run("tc", "filter", "show", "dev", dev, "ingress", check=False).stdout.splitlines() if "br_from" in f]


def test_an_add_makes_the_branch_in_the_container(node, trunk):
    pod = node.pod()
    result = Result(node.add(pod, conf=keys(node)), "1.1.0")
    inside = pod.links()["eth0"]
    assert (inside["address"], inside["mtu"]) == (MAC, 9001) and "UP" in inside["flags"]
    assert result.interfaces == [{"name": "eth0", "mac": MAC, "mtu": 9001, "sandbox": pod.path}]
    assert [ip["address"] for ip in result.ips] == ["10.0.7.5/24", "2001:db8:7::5/64"]
    assert result.routes == [{"dst": "0.0.0.0/0", "gw": "10.0.7.1"}, {"dst": "::/0", "gw": "2001:db8:7::1"}]
    assert len(filters(node, "eth1")) == 1 and len(filters(node, "eth1.7")) == 1
    node.check(pod, result.raw, conf=keys(node))


@pytest.mark.parametrize("more", [
    {"trunkName": None, "trunkMACAddress": "02:00:00:00:00:01"}, {"branchVlanID": 7}, {"gatewayIPAddresses": []}, {"mtu": "1500"},
    {"ipAddresses": None, "branchIPAddress": "10.0.7.5/24", "gatewayIPAddresses": None, "branchGatewayIPAddress": "10.0.7.1"},
    {"ipAddresses": None, "branchIPAddresses": ["10.0.7.5/24"], "gatewayIPAddresses": ["10.0.7.1"]}])
def test_keys_in_their_forms(node, trunk, more):
    pod = node.pod()
    conf = {k: v for k, v in keys(node, **more).items() if v is not None}
    result = node.add(pod, conf=conf)
    assert pod.links()["eth0"]["address"] == MAC and "10.0.7.5" in pod.addresses("eth0")
    node.check(pod, result, conf=conf)
    node.delete(pod, conf=conf)
    assert set(pod.links()) == {"lo"}


def test_cni_args_win(node, trunk):
    pod = node.pod()
    args = "BranchVlanID=9;BranchMACAddress=02:00:00:00:09:09;IPAddresses=10.0.9.5/24,2001:db8:9::5/64;GatewayIPAddresses=10.0.9.1"
    result = node.add(pod, conf=keys(node), args=args)
    assert [ip["address"] for ip in result["ips"]] == ["10.0.9.5/24", "2001:db8:9::5/64"]
    assert pod.links()["eth0"]["address"] == "02:00:00:00:09:09" and filters(node, "eth1.9")
    node.check(pod, result, conf=keys(node), args=args)
    node.delete(pod, conf=keys(node), args=args)
    assert set(pod.links()) == {"lo"}


@pytest.mark.parametrize("more, code, words", [
    ({"branchVlanID": "0"}, 7, "branchVlanID"), ({"branchVlanID": "4095"}, 7, "4095"), ({"branchVlanID": "x"}, 7, "branchVlanID"),
    ({"branchVlanID": ""}, 7, "branchVlanID"), ({"branchMACAddress": ""}, 7, "branchMACAddress"),
    ({"branchMACAddress": "01:00:5e:00:00:01"}, 7, "branchMACAddress"), ({"ipAddresses": []}, 7, "ipAddresses"),
    ({"ipAddresses": ["10.0.7.5"]}, 7, "10.0.7.5"), ({"trunkName": ""}, 7, "trunkName"), ({"trunkName": "a/b"}, 7, "trunkName"),
    ({"trunkName": "eth9"}, 11, "eth9"), ({"interfaceType": "ipvlan"}, 2, "ipvlan"), ({"bpfDir": "relative"}, 7, "bpfDir"),
    ({"bpfDir": "/tmp"}, None, "bpf")])
def test_what_cannot_be_is_refused_and_costs_nothing(node, trunk, more, code, words):
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    error = refused(node.add, pod, conf=keys(node, **more, timeout_ms=100))
    assert code in (None, error.code) and words in error.msg, error
    assert node.state() == before


def test_fault_a_link_of_that_name_is_not_taken_over(node, trunk):
    """vpc-branch-eni resets and uses a link that is there, whoever made it."""
    proc.run(["ip", "link", "add", "eth1.7", "type", "veth", "peer", "x7"])
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    error = refused(node.add, pod, conf=keys(node))
    assert error.code == 11 and "eth1.7" in error.msg and node.state() == before


def test_fault_blocking_metadata_does_not_hide_an_error(node, trunk):
    """vpc-branch-eni: the result of the blackhole overwrites an earlier error."""
    pod = node.pod()
    error = refused(node.add, pod, conf=keys(node, gatewayIPAddresses=["10.0.7.5"], blockInstanceMetadata=True))
    assert error.code == 101 and "10.0.7.5" in error.msg and set(pod.links()) == {"lo"} and node.states() == []


def test_one_tag_one_container(node, trunk):
    first, second = node.pod(), node.pod()
    result = node.add(first, cid="first", conf=keys(node))
    error = refused(node.add, second, cid="second", conf=keys(node))
    assert error.code == 11 and "first" in error.msg and set(second.links()) == {"lo"}
    error = refused(node.call, "STATUS", node.conf(**keys(node)))
    assert error.code == 50 and "first" in error.msg
    node.call("STATUS", node.conf(**keys(node, vlan=8, branchMACAddress="02:00:00:00:08:08")))
    node.check(first, result, cid="first", conf=keys(node))


def test_del_takes_all_away_and_repeats(node, trunk):
    pods = [node.pod(), node.pod()]
    for pod in pods:
        pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    for vlan, pod in zip((7, 8), pods):
        node.add(pod, cid=f"c{vlan}", conf=keys(node, vlan))
    node.delete(pods[0], cid="c7", conf=keys(node, 7))
    assert len(filters(node, "eth1")) == 1, "the trunk's filter serves the other one"
    for _ in range(3):
        node.delete(pods[1], cid="c8", conf=keys(node, 8))
    assert node.state() == before and filters(node, "eth1") == []


@pytest.mark.parametrize("kind", ["vlan", "tap", "macvtap"])
def test_an_mtu_too_small_for_ipv6(node, trunk, kind):
    """The kernel then has no IPv6 on the links (as one without it has on none): nothing is switched off there, and IPv4 works."""
    pod = node.pod()
    conf = keys(node, interfaceType=kind, mtu=1279, ipAddresses=["10.0.7.5/24"], gatewayIPAddresses=["10.0.7.1"])
    result = node.add(pod, conf=conf)
    assert result["interfaces"][0]["mtu"] == 1279
    node.check(pod, conf=conf)
    node.delete(pod, conf=conf)
    assert set(pod.links()) == {"lo"}
    if kind == "vlan":
        error = refused(node.add, pod, conf=keys(node, mtu=1279))
        assert error.code == 7 and "MTU of 1279, IPv6 needs 1280" in error.msg


@pytest.mark.parametrize("kind", ["vlan", "tap", "macvtap"])
@pytest.mark.parametrize("content", [None, "{"])
def test_del_without_a_file(node, trunk, kind, content):
    """The folder was lost, or the file: configuration and mark say what is the container's."""
    pod, conf = node.pod(), keys(node, interfaceType=kind)
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    node.add(pod, conf=conf)
    (file,) = node.state_dir.glob("*.json")
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    node.delete(pod, conf=conf)
    assert node.state() == before and filters(node, "eth1") == []
    node.add(pod, conf=conf)


def take_away(node, pod, case):
    """What happens to a pod with tag 7, in some cases, before its DEL."""
    if case == "namespace gone":
        pod.remove()
        os.unlink(pod.path)
        proc.wait_until(lambda: "eth1.7" not in {l["ifname"] for l in node.json("link", "show")}, "the kernel to have removed the namespace")
    elif case == "interface gone":
        pod.run("ip", "link", "del", "eth0")


@pytest.mark.parametrize("case", ["namespace gone", "interface gone", "no netns", "no file's word"])
def test_del_whatever_has_happened(node, trunk, case):
    pod = node.pod()
    before = node.state(pods=False)
    node.add(pod, conf=keys(node))
    take_away(node, pod, case)
    node.delete("" if case == "no netns" else pod, cid=pod.cid, conf=keys(node, **({"branchVlanID": "x"} if "word" in case else {})))
    assert node.state(pods=False) == before and filters(node, "eth1") == []
    # the tag is free again
    other = node.pod("c2")
    node.add(other, cid="c2", conf=keys(node))


def test_a_tag_of_the_dead_is_taken_over(node, trunk):
    """The container died, and no DEL came: its entries stand for a link that is not there."""
    pod, other = node.pod(), node.pod()
    node.add(pod, cid="dead", conf=keys(node))
    pod.run("ip", "link", "del", "eth0")
    result = node.add(other, cid="next", conf=keys(node))
    node.delete(pod, cid="dead", conf=keys(node))           # its DEL comes late
    node.check(other, result, cid="next", conf=keys(node))


@pytest.mark.parametrize("where, command, words", [
    ("pod", "ip link set eth0 down", "down"), ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
    ("pod", "ip addr del 10.0.7.5/24 dev eth0", "10.0.7.5/24"), ("pod", "ip route del default", "10.0.7.1"),
    ("pod", "ip link del eth0", "eth1.7"), ("node", "ip link set eth1.7 down", "down"), ("node", "ip link set eth1.7 alias x", "another's"),
    ("node", "tc qdisc del dev eth1.7 clsact", "tags"), ("node", "tc qdisc del dev eth1 clsact", "trunk")])
def test_check_names_the_difference(node, trunk, where, command, words):
    pod = node.pod()
    result = node.add(pod, conf=keys(node))
    (pod.run if where == "pod" else node.run)(*command.split())
    error = refused(node.check, pod, result, conf=keys(node))
    assert error.code == 103 and words in error.msg, error


def test_gc(node, trunk):
    pods = {vlan: node.pod() for vlan in (7, 8, 9)}
    for vlan, pod in pods.items():
        node.add(pod, cid=f"c{vlan}", conf=keys(node, vlan, branchMACAddress=f"02:00:00:00:00:{vlan:02x}"))
    pods[7].run("ip", "link", "del", "eth0")
    pods[8].run("ip", "link", "set", "eth0", "down")
    node.call("GC", node.conf(**keys(node), **{"cni.dev/valid-attachments": [{"containerID": "c8", "ifname": "eth0"}]}))
    assert [s["container_id"] for s in node.states()] == ["c8", "c9"]
    node.call("GC", node.conf(**keys(node)))
    assert [s["container_id"] for s in node.states()] == ["c9"] and not filters(node, "eth1.8")


SYSCALLS = ["sendto", "recvmsg", "socket", "setns", "openat", "bpf", "flock", "write"]


def kill_or_fail_anywhere(node, syscall, how, conf):
    """An ADD is killed at each of its calls of this kind, or each fails: the DEL after it, or the ADD itself, leaves nothing."""
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    pod.run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0")
    node.add(pod, conf=conf)                  # what is pinned stays, as on any node
    node.delete(pod, conf=conf)
    before = node.state()
    for nth in range(1, 80):
        argv = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={syscall}", "-e", f"inject={syscall}:{how}:when={nth}", PLUGIN]
        done = proc.run(argv, input=json.dumps(node.conf(**conf)), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        if how == "signal=KILL" or done.returncode == 0:
            node.delete(pod, conf=conf)
        assert node.state() == before and not filters(node, "eth1"), f"{syscall} #{nth}: {done.stdout}"
        if done.returncode == 0 and how == "signal=KILL":
            break
        count = proc.run(["strace", "-f", "-qq", "-c", "-U", "name,calls", "-e", f"trace={syscall}", PLUGIN], input=json.dumps(node.conf(**conf)),
                         env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0")).stderr if nth == 1 else ""
        if nth == 1:
            calls = next(int(line.split()[1]) for line in count.splitlines() if line.startswith(syscall))
            node.delete(pod, conf=conf)
        if nth > calls:
            break
    assert 1 < nth < 79


@pytest.mark.parametrize("how", ["signal=KILL", "error=ENOMEM"])
@pytest.mark.parametrize("syscall", SYSCALLS)
def test_killed_or_failing_anywhere(node, trunk, syscall, how):
    kill_or_fail_anywhere(node, syscall, how, keys(node))


@pytest.mark.parametrize("syscall", ["bpf", "mkdir", "fcntl", "flock"])
def test_the_first_of_a_node_is_killed_anywhere(node, trunk, syscall):
    """Before it has pinned everything: what is there is half a set, and the next one makes it whole."""
    for nth in itertools.count(1):
        assert nth < 80
        pod, conf = node.pod(), node.conf(**keys(node, bpfDir=f"{node.bpf}/{nth}"))
        argv = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={syscall}:signal=KILL:when={nth}", PLUGIN]
        done = proc.run(argv, input=json.dumps(conf), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        node.call("DEL", conf, pod)
        assert set(pod.links()) == {"lo"} and not filters(node, "eth1"), f"{syscall} #{nth}"
        node.check(pod, node.call("ADD", conf, pod), conf=conf)
        node.call("DEL", conf, pod)
        if done.returncode == 0:
            break
    assert nth > 1


# --- in a VPC

GROUPS = [{"name": "open"}, {"name": "closed", "ingress": [{"protocol": "icmp", "cidr": "203.0.113.99/32"}],
                             "egress": [{"protocol": "udp", "cidr": "0.0.0.0/0"}]}]
INSTANCES = [{"name": "node-1", "type": "m5.large", "role": "vpcwire-node", "ipv6_addresses": 1, "public_ip": "198.51.100.1", "security_groups": ["open"]}]


@pytest.fixture(scope="module")
def subject(private_mounts, tmp_path_factory):
    """vpcwire-eni on a node with a trunk; subject.ec2 makes its branches."""
    with Lab("--no-daemon", "--ipv6", config={"security_groups": GROUPS, "instances": INSTANCES}) as lab:
        made = Whole(VpcwireEni(), lab, lab.nodes[0], tmp_path_factory.mktemp("branch"))
        made.conf = lambda version="1.1.0", pod=None, ifname="eth0", **more: {
            k: v for k, v in {"cniVersion": version, "name": "awsvpc", "type": "vpcwire-eni", **more}.items() if v is not None}
        made.ec2 = Ec2(lab)
        made.trunk = attach_trunk(made.ec2, lab.nodes[0])
        yield made
        made.ec2.close()


def vpc_keys(subject, branch, **more):
    return {"trunkMACAddress": subject.trunk["MacAddress"], "branchVlanID": str(branch.vlan), "branchMACAddress": branch.mac,
            "ipAddresses": [f"{branch.address}/20", f"{branch.address6}/128"], "gatewayIPAddresses": ["10.0.0.1", "fe80:ec2::1"], **more}


def pings(pod, address):
    return pod.run("ping", "-n", "-q", "-c1", "-W2", address, check=False).returncode == 0


def test_branches_talk_in_the_vpc_and_their_groups_are_theirs(subject):
    ec2 = subject.ec2
    groups = {g["GroupName"]: g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]}
    first, second, closed = (Branch(ec2, subject.trunk, vlan, groups=[groups[name]], Ipv6AddressCount=1)
                             for vlan, name in ((3, "open"), (4094, "open"), (5, "closed")))
    pods = {}
    for branch in (first, second, closed):
        pods[branch] = subject.pod()
        result = subject.add(pods[branch], conf=vpc_keys(subject, branch, blockInstanceMetadata=branch is second))
        subject.check(pods[branch], result, conf=vpc_keys(subject, branch))
    node_address = ec2.primary(subject.node)["PrivateIpAddress"]
    for to in ("10.0.0.1", second.address, second.address6, node_address):
        assert pings(pods[first], to), to
    assert not pings(pods[first], closed.address) and not pings(pods[closed], first.address)
    assert pods[first].run("curl", "-s", "-m2", "-X", "PUT", f"http://{IMDS}/latest/api/token", check=False).returncode == 0
    assert not pings(pods[second], IMDS6)
    assert "blackhole" in pods[second].run("ip", "route", "get", IMDS, check=False).stdout + \
        pods[second].run("ip", "route", "show").stdout
    # somebody else's source is let out by nobody
    pods[first].run("ip", "addr", "add", "10.0.0.99/32", "dev", "eth0")
    assert pods[first].run("ping", "-n", "-q", "-c1", "-W1", "-I", "10.0.0.99", "10.0.0.1", check=False).returncode != 0
    for branch, pod in pods.items():
        subject.delete(pod, conf=vpc_keys(subject, branch))
    assert not pings(pods[first], "10.0.0.1")
    for branch in pods:
        branch.close()
