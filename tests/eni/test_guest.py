# SPDX-License-Identifier: Apache-2.0
"""Branch ENIs for microVMs: interfaceType tap and macvtap of vpc-branch-eni."""
import contextlib
import errno
import json
import pathlib
import subprocess

import pytest

from tests.eni.test_branch import MAC, filters, keys, kill_or_fail_anywhere, refused, take_away, trunk  # noqa: F401 - a fixture
from tests.harness import proc
from tests.harness.guest import open_as

HARNESS = pathlib.Path(__file__).resolve().parent.parent / "harness"
PEER, UID, GID = "02:00:00:00:aa:01", 12345, 5000
LINKS = {"tap": {"lo", "eth0", "eth1.7", "tapbr7"}, "macvtap": {"lo", "eth0", "eth1.7"}}
KINDS = sorted(LINKS)


def guest_keys(node, kind, **more):      # noqa: F811
    return {k: v for k, v in keys(node, **{"interfaceType": kind, "ipAddresses": None, "gatewayIPAddresses": None, **more}).items() if v is not None}


@contextlib.contextmanager
def vpc_side(node):
    """tagpeer.py at the other end of the trunk; yields what it prints, line by line."""
    argv = ["nsenter", f"--net={node.router}", "/usr/bin/python3", str(HARNESS / "tagpeer.py"), "v1", PEER]
    with proc.beside(argv, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout.readline() == "{}\n"
        yield map(json.loads, peer.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_talks_under_the_tag(node, trunk, kind):      # noqa: F811
    pod = node.pod()
    conf = guest_keys(node, kind, uid=str(UID), gid=GID)
    result = node.add(pod, conf=conf)
    assert result["interfaces"] == [{"name": "eth0", "mac": MAC, "mtu": 9001, "sandbox": pod.path}]
    assert not result.get("ips") and not result.get("routes")
    links = pod.links()
    assert set(links) == LINKS[kind] and all("UP" in l["flags"] and l["mtu"] == 9001 for n, l in links.items() if n != "lo")
    addresses = pod.run("ip", "-o", "addr", "show").stdout.splitlines()
    assert {line.split()[1] for line in addresses} <= {"lo"}, "what is no host has no address, of IPv6 neither"
    if kind == "tap":
        assert MAC not in {l["address"] for l in links.values()}, "a bridge would keep the guest's frames"
    else:
        assert links["eth0"]["address"] == MAC and links["eth0"]["linkinfo"]["info_data"]["mode"] == "passthru"
    node.check(pod, result, conf=conf)
    with vpc_side(node) as saw:
        assert open_as(pod, kind, UID, GID, MAC, PEER) == {"from": PEER, "to": MAC, "said": "pong"}
        assert next(saw) == {"vlan": 7, "from": MAC, "to": PEER, "said": "ping"}
    node.check(pod, result, conf=conf)
    node.delete(pod, conf=conf)
    assert set(pod.links()) == {"lo"} and not filters(node, "eth1")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_branch_mac_gets_out(node, trunk, kind):      # noqa: F811
    pod = node.pod()
    node.add(pod, conf=guest_keys(node, kind, uid=UID))
    with vpc_side(node) as saw:
        open_as(pod, kind, UID, 0, MAC, PEER, "02:00:00:00:66:66")
        assert [next(saw)["from"], next(saw)["from"]] == [MAC, MAC]


@pytest.mark.parametrize("more, uid, gid, may", [
    ({"uid": UID}, UID, 1, True), ({"uid": UID}, UID + 1, 1, False), ({"uid": "0", "gid": "0"}, UID, GID, False),
    ({"gid": GID}, 1, GID, True), ({"gid": GID}, 1, GID + 1, False), ({"uid": UID, "gid": GID}, UID, 1, False),
    ({}, UID, GID, False), ({}, 0, 0, True), ({"uid": UID}, 0, 0, True)])
def test_who_may_open_the_tap(node, trunk, more, uid, gid, may):      # noqa: F811
    pod = node.pod()
    node.add(pod, conf=guest_keys(node, "tap", **more))
    assert open_as(pod, "tap", uid, gid) == ({"open": True} if may else {"refused": errno.EPERM})


@pytest.mark.parametrize("kind", KINDS)
def test_addresses_are_the_guests(node, trunk, kind):      # noqa: F811
    """They are in the result, for whoever sets the guest up; the container has none."""
    pod = node.pod()
    conf = keys(node, interfaceType=kind.upper(), mtu=1500)
    result = node.add(pod, conf=conf)
    assert [ip["address"] for ip in result["ips"]] == ["10.0.7.5/24", "2001:db8:7::5/64"] and not result.get("routes")
    assert not pod.addresses("eth0") and {l["mtu"] for n, l in pod.links().items() if n != "lo"} == {1500}
    node.check(pod, result, conf=conf)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_is_blocked_in_the_namespace(node, trunk, kind):      # noqa: F811
    pod = node.pod()
    conf = guest_keys(node, kind, blockInstanceMetadata=True)
    result = node.add(pod, conf=conf)
    assert "blackhole 169.254.169.254" in pod.run("ip", "route", "show").stdout
    node.check(pod, result, conf=conf)
    pod.run("ip", "route", "del", "blackhole", "169.254.169.254")
    pod.run("ip", "route", "add", "169.254.169.254", "dev", "lo")
    assert "169.254.169.254" in refused(node.check, pod, result, conf=conf).msg


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["twice", "namespace gone", "no netns", "no file's word", "interface gone"])
def test_del_whatever_has_happened(node, trunk, kind, case):      # noqa: F811
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state(pods=case != "namespace gone")
    conf = guest_keys(node, kind, uid=UID)
    node.add(pod, conf=conf)
    take_away(node, pod, case)
    if "word" in case:
        conf = {**conf, "interfaceType": "vlan"}
    for _ in range(2 if case == "twice" else 1):
        node.delete("" if case == "no netns" else pod, cid=pod.cid, conf=conf)
    assert node.state(pods=case != "namespace gone") == before and not filters(node, "eth1")
    other = node.pod("c2")
    node.add(other, cid="c2", conf=guest_keys(node, kind))


@pytest.mark.parametrize("kind, where, command, words", [
    ("tap", "pod", "ip link set eth0 down", "eth0"), ("tap", "pod", "ip link set eth1.7 nomaster", "eth1.7"), ("tap", "pod", "ip link del tapbr7", "tapbr7"),
    ("tap", "pod", "ip link set tapbr7 down", "tapbr7"), ("tap", "pod", "ip link del eth0", "eth0"), ("tap", "node", "ip link set eth1.7 down", "down"),
    ("macvtap", "pod", "ip link set eth0 down", "eth0"), ("macvtap", "pod", "ip link set eth1.7 down", "eth1.7"),
    ("macvtap", "pod", "ip link del eth0", "eth0"), ("macvtap", "pod", "ip link del eth1.7", "eth1.7"), ("macvtap", "node", "tc qdisc del dev eth1 clsact", "trunk")])
def test_check_names_the_difference(node, trunk, kind, where, command, words):      # noqa: F811
    pod = node.pod()
    result = node.add(pod, conf=guest_keys(node, kind))
    (pod.run if where == "pod" else node.run)(*command.split())
    error = refused(node.check, pod, result, conf=guest_keys(node, kind))
    assert error.code == 103 and words in error.msg, error


@pytest.mark.parametrize("kind, add", [
    ("tap", "link add eth0 mtu 9001 master tapbr7 type veth peer x0"), ("macvtap", "link add eth0 mtu 9001 type veth peer x0"),
    ("macvtap", "link add eth0 link eth1.7 type macvlan mode passthru")])
def test_check_knows_another_interface_of_that_name(node, trunk, kind, add):      # noqa: F811
    pod = node.pod()
    result = node.add(pod, conf=guest_keys(node, kind))
    pod.run("ip", "link", "del", "eth0")
    pod.run("ip", *add.split())
    pod.run("ip", "link", "set", "eth0", "up")
    error = refused(node.check, pod, result, conf=guest_keys(node, kind))
    assert error.code == 103 and f"no {kind}" in error.msg, error
    node.delete(pod, conf=guest_keys(node, kind))
    assert set(pod.links()) == ({"lo"} if "macvlan" in add else {"lo", "eth0", "x0"}), "it was left as it is"


def test_check_knows_a_bridge_that_leads_elsewhere(node, trunk):      # noqa: F811
    pod = node.pod()
    result = node.add(pod, conf=guest_keys(node, "tap"))
    for command in ("set eth1.7 down", "set eth1.7 name was", "add eth1.7 mtu 9001 master tapbr7 type veth peer x0", "set eth1.7 up"):
        pod.run("ip", "link", *command.split())
    error = refused(node.check, pod, result, conf=guest_keys(node, "tap"))
    assert error.code == 103 and "other end of eth1.7" in error.msg, error


def test_gc(node, trunk):      # noqa: F811
    pods = {vlan: node.pod() for vlan in (7, 8, 9, 10)}
    for vlan, pod in pods.items():
        node.add(pod, cid=f"c{vlan}", conf=guest_keys(node, "tap" if vlan < 9 else "macvtap", branchVlanID=vlan, branchMACAddress=f"02:00:00:00:00:{vlan:02x}"))
    pods[7].run("ip", "link", "del", "eth0")
    pods[9].run("ip", "link", "set", "eth0", "down")
    node.call("GC", node.conf(**guest_keys(node, "tap")))
    assert [s["container_id"] for s in node.states()] == ["c10", "c8"]
    assert set(pods[7].links()) == set(pods[9].links()) == {"lo"} and set(pods[8].links()) == {"lo", "eth0", "eth1.8", "tapbr8"}


@pytest.mark.parametrize("more, code, words", [
    ({"uid": -1}, 7, "uid"), ({"uid": "me"}, 7, "uid"), ({"uid": 4294967295}, 7, "uid"), ({"gid": "-1"}, 7, "gid"), ({"gid": [1]}, 7, "gid"),
    ({"interfaceType": "ipvtap"}, 2, "ipvtap"), ({"opStateDown": True}, 7, "opStateDown")])
def test_what_cannot_be_is_refused_and_costs_nothing(node, trunk, more, code, words):      # noqa: F811
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod, conf=guest_keys(node, "tap", **more))
    assert error.code == code and words in error.msg, error
    assert node.state() == before


@pytest.mark.parametrize("kind, name", [("tap", "tapbr7"), ("tap", "eth1.7"), ("macvtap", "eth1.7")])
def test_links_of_the_container_s_own_are_left_alone(node, trunk, kind, name):      # noqa: F811
    pod = node.pod()
    error = refused(node.add, pod, ifname=name, conf=guest_keys(node, kind))
    assert error.code == 4 and name in error.msg
    pod.run("ip", "link", "add", name, "type", "bridge")
    before = node.state()
    error = refused(node.add, pod, conf=guest_keys(node, kind))
    assert error.code == 11 and name in error.msg and node.state() == before


def test_no_tun_driver_is_one_clear_error(node, trunk):      # noqa: F811
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    proc.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/net"])
    try:
        error = refused(node.add, pod, conf=guest_keys(node, "tap"))
    finally:
        proc.run(["umount", "/dev/net"])
    assert error.code == 101 and "/dev/net/tun" in error.msg and "modprobe tun" in error.msg and node.state() == before


@pytest.mark.parametrize("how", ["signal=KILL", "error=ENOMEM"])
@pytest.mark.parametrize("kind, syscall", [("tap", "sendto"), ("tap", "ioctl"), ("tap", "openat"), ("tap", "recvmsg"), ("macvtap", "sendto"), ("macvtap", "recvmsg")])
def test_killed_or_failing_anywhere(node, trunk, kind, syscall, how):      # noqa: F811
    kill_or_fail_anywhere(node, syscall, how, guest_keys(node, kind, uid=UID))
