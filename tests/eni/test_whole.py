# SPDX-License-Identifier: Apache-2.0
"""Whole ENIs: the keys of vpc-eni and ecs-eni, the way into a container and back out of it."""
import fcntl
import json
import os
import signal
import subprocess
import time

import pytest

from tests.conformance.eninode import IMDS, IMDS6, OUTSIDE, OUTSIDE6, PLUGIN
from tests.harness import proc
from tests.harness.cni import CniError, Result

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
KEYS = ["vpc-eni", "ecs-eni"]
WAIT_S = 3      # lib/eni/give_back.c: how long an ENI that is nowhere is waited for


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def keys_of(eni, which, **more):
    return eni.conf(**more) if which == "vpc-eni" else eni.ecs_conf(**more)


def reaches(pod, address):
    return pod.run("ping", "-n", "-q", "-c1", "-W2", address, check=False).returncode == 0


@pytest.mark.parametrize("keys", KEYS)
def test_an_add_moves_the_eni_and_wires_both_families(node, eni, keys):
    pod = node.pod()
    result = Result(node.add(pod, conf=keys_of(eni, keys)), "1.1.0")
    inside = pod.links()["eth0"]
    assert (inside["address"], inside["mtu"]) == (eni.mac, 9001) and "UP" in inside["flags"] and eni.link() is None
    assert result.interfaces == [{"name": "eth0", "mac": eni.mac, "mtu": 9001, "sandbox": pod.path}]
    assert result.ips == [{"interface": 0, "address": f"{eni.address}/24", "gateway": eni.gateway},
                          {"interface": 0, "address": f"{eni.address6}/64", "gateway": eni.gateway6}]
    assert result.routes == [{"dst": "0.0.0.0/0", "gw": eni.gateway}, {"dst": "::/0", "gw": eni.gateway6}]
    for address in (OUTSIDE, OUTSIDE6, IMDS, IMDS6):        # no DAD, no wait: reachable when ADD returns
        assert reaches(pod, address), address
    node.check(pod, result.raw)


def test_del_gives_the_eni_back_under_its_old_name(node, eni):
    proc.run(["ip", "link", "set", "eth1", "name", "ens6"])
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    result = node.add(pod, conf=eni.conf(mtu=1500))
    assert pod.links()["eth0"]["mtu"] == 1500
    node.delete(pod, prev=result)
    back = eni.link()
    assert (back["ifname"], back["mtu"], back.get("ifalias")) == ("ens6", 9001, None) and "UP" not in back["flags"]
    assert node.states() == [] and node.state() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version(node, eni, version):
    pod = node.pod()
    result = node.add(pod, version)
    assert result["cniVersion"] == version
    if version < "0.3.0":
        assert result["ip4"] == {"ip": f"{eni.address}/24", "gateway": eni.gateway, "routes": [{"dst": "0.0.0.0/0", "gw": eni.gateway}]}
        assert result["ip6"]["ip"] == f"{eni.address6}/64"
    if version >= "0.4.0":
        node.check(pod, result, version)
    else:
        assert refused(node.check, pod, result, version).code == 1
    node.delete(pod, version, prev=result if version >= "0.4.0" else None)
    assert eni.link()["ifname"] == "eth1"


def test_the_eni_by_its_name(node, eni):
    pod = node.pod()
    conf = eni.conf(eniMACAddress=None, eniName="eth1")
    result = node.add(pod, conf=conf)
    assert result["interfaces"][0]["mac"] == eni.mac
    node.delete(pod, conf=conf)
    assert eni.link()["ifname"] == "eth1"
    error = refused(node.add, pod, conf=eni.conf(eniMACAddress=None, eniName="eth9"))
    assert error.code == 11 and "eth9" in error.msg


def test_keys_in_any_case_and_numbers_as_strings(node, eni):
    pod = node.pod()
    conf = {k.upper(): v for k, v in eni.conf(blockInstanceMetadata="true").items()}
    node.call("ADD", {**node.conf(eniName="x"), "eniName": None, **conf, "MTU": "1500"}, pod)
    assert pod.links()["eth0"]["mtu"] == 1500 and not reaches(pod, IMDS)


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("ipv6", ["on", "off"])
def test_block_instance_metadata(node, eni, keys, ipv6):
    """Both addresses are out of reach before the interface comes up, also where the container has no IPv6 of its own yet."""
    pod = node.pod()
    if ipv6 == "off":
        for where in ("all", "default", "lo"):
            pod.run("sysctl", "-qw", f"net.ipv6.conf.{where}.disable_ipv6=1")
    block = {"blockInstanceMetadata": True} if keys == "vpc-eni" else {"block-instance-metadata": True}
    result = node.add(pod, conf=keys_of(eni, keys, **block))
    assert not reaches(pod, IMDS) and not reaches(pod, IMDS6) and reaches(pod, OUTSIDE) and reaches(pod, OUTSIDE6)
    node.check(pod, result)
    pod.run("ip", "route", "del", "blackhole", IMDS)
    assert IMDS in refused(node.check, pod, result).msg
    pod.run("ip", "route", "add", "blackhole", IMDS)
    pod.run("ip", "-6", "route", "del", "blackhole", IMDS6)
    assert IMDS6 in refused(node.check, pod, result).msg


@pytest.mark.parametrize("keys, name", [("vpc-eni", "opStateDown"), ("ecs-eni", "stay-down")])
def test_stay_down(node, eni, keys, name):
    """For a microVM: the interface is handed over, named, and nothing else; the result says what it is for."""
    pod = node.pod()
    result = node.add(pod, conf=keys_of(eni, keys, **{name: True}))
    assert "UP" not in pod.links()["eth0"]["flags"] and pod.addresses("eth0") == []
    assert len(result["ips"]) == 2 and "routes" not in result
    node.check(pod, result)
    node.delete(pod)
    assert eni.link()["ifname"] == "eth1"


# --- the faults of AWS's plugins, one by one

def test_fault_an_error_inside_the_namespace_is_an_error(node, eni):
    """vpc-eni: `err = ns.Run(...); return nil`. Here: the gateway is the container's own address, which the kernel refuses."""
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    error = refused(node.add, pod, conf=eni.conf(gatewayIPAddresses=[eni.address]))
    assert error.code == 101 and eni.address in error.msg
    assert node.state() == before


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("gateways", [[], None])
def test_fault_no_gateway_is_no_crash(node, eni, keys, gateways):
    """vpc-eni: gateways[0] of an empty list panics."""
    pod = node.pod()
    key = "gatewayIPAddresses" if keys == "vpc-eni" else "gateway-ip-addresses"
    result = node.add(pod, conf=keys_of(eni, keys, **{key: gateways}))
    assert all("gateway" not in ip for ip in result["ips"]) and "routes" not in result
    assert reaches(pod, eni.gateway) and not reaches(pod, OUTSIDE)
    node.check(pod, result)


def test_fault_every_address_is_reported_and_set(node, eni):
    """vpc-eni: only the first address is in the result."""
    pod = node.pod()
    addresses = [f"10.0.1.{i}/24" for i in range(5, 35)] + [f"2001:db8:1::{i:x}/64" for i in range(5, 25)]
    result = node.add(pod, conf=eni.conf(eniIPAddresses=addresses))
    assert [ip["address"] for ip in result["ips"]] == addresses
    assert len(pod.addresses("eth0")) == 30
    node.check(pod, result)
    pod.run("ip", "addr", "del", "10.0.1.33/24", "dev", "eth0")
    assert "10.0.1.33/24" in refused(node.check, pod, result).msg


def test_fault_names_of_enis_do_not_collide(node):
    """vpc-eni renames by three bytes of the MAC on DEL. Here two ENIs agree in the first five, and their names are taken."""
    enis, pods = [node.eni(n, f"02:aa:bb:cc:dd:{n:02x}") for n in (1, 2)], [node.pod(), node.pod()]
    for eni, pod in zip(enis, pods):
        node.add(pod, conf=eni.conf(), cid=eni.name)
        proc.run(["ip", "link", "add", eni.name, "type", "veth", "peer", f"peer{eni.n}"])
    for eni, pod in zip(enis, pods):
        node.delete(pod, conf=eni.conf(), cid=eni.name)
    assert [e.link()["ifname"] for e in enis] == ["ecs02aabbccdd01", "ecs02aabbccdd02"]
    assert {"eth1", "eth2"} <= {l["ifname"] for l in node.json("link", "show")} and node.states() == []


def test_fault_blocking_metadata_does_not_hide_an_error(node, eni):
    """vpc-branch-eni: the result of the blackhole overwrites an earlier error."""
    pod = node.pod()
    before = node.state(pods=False)
    error = refused(node.add, pod, conf=eni.conf(gatewayIPAddresses=[eni.address], blockInstanceMetadata=True))
    assert error.code == 101 and eni.address in error.msg
    assert node.state(pods=False) == before and set(pod.links()) == {"lo"}


def test_fault_del_of_ecs_eni_does_something(node, eni):
    """ecs-eni: DEL is a no-op, the ENI stays in the container until that dies."""
    pod = node.pod()
    node.add(pod, conf=eni.ecs_conf())
    node.delete(pod, conf=eni.ecs_conf())
    assert set(pod.links()) == {"lo"} and eni.link()["ifname"] == "eth1"


def test_fault_the_result_of_ecs_eni_says_all(node, eni):
    """ecs-eni prints a result without interfaces, and one address without the routes by which it is reached."""
    pod = node.pod()
    result = Result(node.add(pod, conf=eni.ecs_conf()), "1.1.0")
    assert result.interfaces == [{"name": "eth0", "mac": eni.mac, "mtu": 9001, "sandbox": pod.path}]
    assert [(ip["address"], ip["gateway"], ip["interface"]) for ip in result.ips] == \
        [(f"{eni.address}/24", eni.gateway, 0), (f"{eni.address6}/64", eni.gateway6, 0)]
    assert result.routes == [{"dst": "0.0.0.0/0", "gw": eni.gateway}, {"dst": "::/0", "gw": eni.gateway6}]


def test_fault_no_program_is_needed(node, eni):
    pod = node.pod()
    env = node.env("ADD", pod, PATH="/nonexistent")
    assert node.exec(env, node.conf()).returncode == 0


def test_fault_a_second_default_route_is_no_error_and_works(node, eni):
    """ecs-eni ignores EEXIST and leaves an interface without a way out. Here it has a table of its own."""
    pod, second = node.pod(), node.eni(2)
    first_result = node.add(pod)
    result = node.add(pod, ifname="net1", conf=second.conf())
    for address in (second.address, second.address6):
        outside = OUTSIDE6 if ":" in address else OUTSIDE
        assert pod.run("ping", "-n", "-q", "-c1", "-W2", "-I", address, outside, check=False).returncode == 0, address
        route = pod.json("route", "get", outside, "from", address)[0]
        assert route["dev"] == "net1"
    node.check(pod, first_result)
    node.check(pod, result, ifname="net1", conf=second.conf())
    node.delete(pod, ifname="net1", conf=second.conf())
    assert set(pod.links()) == {"lo", "eth0"} and second.link()["ifname"] == "eth2"
    node.check(pod, first_result)


# --- what is refused, and that it costs nothing

@pytest.mark.parametrize("keys, words", [
    ({"eniMACAddress": "", "eniName": ""}, "eniMACAddress"),
    ({"eniMACAddress": "02:00:00"}, "02:00:00"),
    ({"eniMACAddress": "00:00:00:00:00:00"}, "eniMACAddress"),
    ({"eniIPAddresses": []}, "eniIPAddresses"),
    ({"eniIPAddresses": ["10.0.1.5"]}, "10.0.1.5"),
    ({"eniIPAddresses": ["10.0.1.5/0"]}, "10.0.1.5/0"),
    ({"eniIPAddresses": ["10.0.1.5/33"]}, "10.0.1.5/33"),
    ({"eniIPAddresses": ["10.0.1.5/24", "10.0.1.5/25"]}, "twice"),
    ({"eniIPAddresses": [5]}, "[0]"),
    ({"eniIPAddresses": "10.0.1.5/24"}, "eniIPAddresses"),
    ({"eniIPAddresses": [f"10.1.{i}.5/24" for i in range(65)]}, "64"),
    ({"gatewayIPAddresses": ["10.0.1"]}, "10.0.1"),
    ({"gatewayIPAddresses": ["10.0.1.1", "10.0.1.2"]}, "10.0.1.2"),
    ({"eniIPAddresses": ["10.0.1.5/24"]}, "family"),
    ({"blockInstanceMetadata": "maybe"}, "blockInstanceMetadata"),
    ({"mtu": 100}, "mtu"),
    ({"stateDir": "relative"}, "stateDir"),
    ({"eniName": "a/b"}, "eniName"),
])
def test_bad_keys_are_named(node, eni, keys, words):
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod, conf=eni.conf(**keys))
    assert error.code == 7 and words in error.msg, error
    assert node.state() == before


def test_an_interface_that_is_there_stays_as_it_is(node, eni):
    pod = node.pod()
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "x0")
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 100 and pod.path in error.msg and node.state() == before


def test_a_second_add_does_not_disturb_the_first(node, eni):
    pod = node.pod()
    result = node.add(pod)
    before = node.state()
    assert refused(node.add, pod).code == 100
    assert node.state() == before
    node.check(pod, result)


def test_the_hosts_way_out_stays(node):
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod, conf=node.eni(0).conf())
    assert error.code == 7 and "eth0" in error.msg and node.state() == before


def test_an_eni_that_vpcwired_uses_stays(node, eni):
    proc.run(["ip", "link", "set", "eth1", "up"])
    proc.run(["ip", "route", "add", "default", "dev", "eth1", "table", "3", "proto", "86"])
    proc.run(["ip", "rule", "add", "prio", "1537", "fwmark", "0x1/0x7f", "lookup", "3", "proto", "86"])
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 7 and "no_manage" in error.msg and node.state() == before


def test_a_port_of_a_bridge_stays(node, eni):
    proc.run(["ip", "link", "add", "br0", "type", "bridge"])
    proc.run(["ip", "link", "set", "eth1", "master", "br0"])
    error = refused(node.add, node.pod())
    assert error.code == 7 and "eth1" in error.msg


def test_an_eni_that_is_nowhere_is_waited_for(node, eni):
    """Bounded; and code 11, for it may yet be attached."""
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod, conf=eni.conf(eniMACAddress="02:00:00:00:00:99", timeout_ms=100))
    assert error.code == 11 and "02:00:00:00:00:99" in error.msg and node.state() == before


def _waits_in_poll(pid):
    """It has read its input and sleeps for an event."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as f:
            return "poll" in f.read()
    except OSError:
        return False


def test_an_eni_that_appears_while_add_waits(node):
    pod = node.pod()
    env, conf = node.env("ADD", pod), node.conf(eniMACAddress="02:00:00:00:00:03", eniIPAddresses=["10.0.3.5/24"])
    with proc.beside([PLUGIN], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(json.dumps(conf))
        child.stdin.close()
        proc.wait_until(lambda: _waits_in_poll(child.pid), "the plugin to wait")
        node.eni(3)
        assert child.wait(20) == 0, child.stdout.read()
    assert "eth0" in pod.links()


def test_a_failed_add_puts_the_hosts_configuration_back(node, eni):
    """An image's DHCP client had configured the ENI; the ADD that fails must not cost that."""
    proc.run(["ip", "link", "set", "eth1", "up", "alias", "uplink"])
    proc.run(["ip", "addr", "add", "10.0.1.7/24", "dev", "eth1"])
    proc.run(["ip", "addr", "add", "2001:db8:1::7/64", "dev", "eth1", "nodad"])
    proc.run(["ip", "route", "add", "192.0.2.0/24", "via", "10.0.1.1", "dev", "eth1", "metric", "77", "proto", "dhcp"])
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    refused(node.add, pod, conf=eni.conf(gatewayIPAddresses=[eni.address]))
    assert node.state() == before and node.json("link", "show", "dev", "eth1")[0]["ifalias"] == "uplink"


# --- DEL, in every state of things

@pytest.mark.parametrize("times", [2, 3])
def test_del_repeats(node, eni, times):
    pod = node.pod()
    node.add(pod)
    for _ in range(times):
        node.delete(pod)
    assert eni.link()["ifname"] == "eth1"


def test_del_of_what_never_was_touches_nothing(node, eni, tmp_path):
    """Also an ENI on the host that has the configuration's MAC: no attachment of ours, so none of our business."""
    proc.run(["ip", "link", "set", "eth1", "up"])
    pod = node.pod()
    before = node.state()
    node.delete(pod, cid="never")
    node.delete("", cid="never")
    assert node.state() == before and "UP" in eni.link()["flags"]


def test_del_survives_slips(node, eni):
    pod = node.pod()
    for prev in (None, {"cniVersion": "9.9.9"}, 5, [], {"ips": 5}):
        node.add(pod)
        node.delete(pod, prev=prev)
        assert eni.link()["ifname"] == "eth1" and node.states() == [], prev
    for more in ({"eniIPAddresses": 5}, {"mtu": "x"}, {"eniMACAddress": "?"}, {"blockInstanceMetadata": "x"}):
        node.add(pod)
        node.delete(pod, conf=eni.conf(**more))
        assert eni.link()["ifname"] == "eth1" and node.states() == [], more


def test_del_without_a_file(node, eni):
    """The folder was lost: the mark on the interface says whose it is and what it was called."""
    pod = node.pod()
    node.add(pod)
    for f in node.state_dir.iterdir():
        f.unlink()
    node.delete(pod)
    assert eni.link()["ifname"] == "eth1" and eni.link().get("ifalias") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"v":2}', '{"v":1}', "\0" * 100, "x" * 40000])
def test_del_with_a_file_that_is_none(node, eni, content):
    pod = node.pod()
    node.add(pod)
    (file,) = node.state_dir.glob("*.json")
    file.write_text(content)
    node.delete(pod)
    assert eni.link()["ifname"] == "eth1" and not list(node.state_dir.glob("*.json"))


@pytest.mark.parametrize("alias", ["vpcwire-eni::", "vpcwire-eni:a b:c0/eth0", "vpcwire-eni:sixteen-letters-:c0/eth0"])
def test_a_mark_that_no_plugin_wrote_is_an_alias(node, eni, alias):
    """A container with CAP_NET_ADMIN can write one, and the ENI keeps it when its namespace dies."""
    proc.run(["ip", "link", "set", "eth1", "alias", alias])
    pod = node.pod()
    node.add(pod)
    node.check(pod)
    assert [s["host_name"] for s in node.states()] == ["eth1"]
    node.delete(pod)
    assert (eni.link()["ifname"], eni.link()["ifalias"]) == ("eth1", alias) and node.states() == []


def test_del_finds_what_the_container_renamed(node, eni):
    pod = node.pod()
    node.add(pod)
    pod.run("ip", "link", "set", "eth0", "down")
    pod.run("ip", "link", "set", "eth0", "name", "mine", "address", "02:00:00:00:00:77", "mtu", "1400")
    pod.run("ip", "link", "set", "mine", "up")
    node.delete(pod)
    back = eni.link()
    assert (back["ifname"], back["mtu"]) == ("eth1", 9001)


def test_del_when_only_a_process_holds_the_namespace(node, eni):
    """The runtime has unmounted the namespace's file, but a process of the container's lives."""
    pod = node.pod()
    node.add(pod)
    with proc.beside(["nsenter", f"--net={pod.path}", "sleep", "60"]) as child:
        proc.wait_until(lambda: os.readlink(f"/proc/{child.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the process to be inside")
        pod.remove()
        os.unlink(pod.path)
        started = time.monotonic()
        node.call("DEL", node.conf(), pod.path)
        assert eni.link()["ifname"] == "eth1" and node.states() == [] and time.monotonic() - started < WAIT_S
        child.send_signal(signal.SIGKILL)


def test_del_when_the_path_is_another_namespace_now(node, eni):
    """The id of the namespace in the file tells; the process that still holds the old one is found."""
    pod = node.pod()
    node.add(pod)
    with proc.beside(["nsenter", f"--net={pod.path}", "sleep", "60"]) as child:
        proc.wait_until(lambda: os.readlink(f"/proc/{child.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the process to be inside")
        pod.remove()
        proc.run(["unshare", f"--net={pod.path}", "true"])
        node.call("DEL", node.conf(), pod.path)
        assert eni.link()["ifname"] == "eth1" and set(pod.links()) == {"lo"}
        child.send_signal(signal.SIGKILL)


def test_del_of_an_eni_that_is_gone(node, eni):
    """Detached while the container ran: DEL succeeds; the file stays, marked, so that the ENI would get its name back."""
    pod = node.pod()
    node.add(pod)
    node.in_router("ip", "link", "del", "v1")
    node.delete(pod)
    (state,) = node.states()
    assert state["orphaned"] is True and state["host_name"] == "eth1"
    started = time.monotonic()
    node.delete(pod)
    assert time.monotonic() - started < WAIT_S       # waited for once


def come_back(node, eni, name):
    """As hardware does when the namespace dies: the interface is on the host again, down, under whatever name is free."""
    node.enis.pop(eni.n)
    return node.eni(eni.n, eni.mac, name)


def test_an_eni_that_comes_back_late_gets_its_name_from_gc(node, eni):
    pod = node.pod()
    node.add(pod)
    node.in_router("ip", "link", "del", "v1")
    node.delete(pod)
    again = come_back(node, eni, "dev17")
    node.call("GC", node.conf(**{"cni.dev/valid-attachments": []}))
    assert again.link()["ifname"] == "eth1" and node.states() == []


def test_an_eni_that_comes_back_late_gets_its_name_from_the_next_add(node, eni):
    pod = node.pod()
    node.add(pod)
    node.in_router("ip", "link", "del", "v1")
    node.delete(pod)
    again = come_back(node, eni, "dev17")
    other = node.pod()
    node.add(other, cid="c2", conf=again.conf())
    node.delete(other, cid="c2", conf=again.conf())
    assert again.link()["ifname"] == "eth1" and node.states() == []


@pytest.mark.parametrize("mark", [True, False])
def test_del_after_the_container_died(node, eni, mark):
    """The ENI is on the host under the name that the kernel gave it, with our mark (hardware) or without (the lab's)."""
    pod = node.pod()
    node.add(pod)
    alias = pod.links()["eth0"]["ifalias"]
    node.in_router("ip", "link", "del", "v1")
    pod.remove()
    os.unlink(pod.path)
    again = come_back(node, eni, "dev17")
    if mark:
        proc.run(["ip", "link", "set", "dev17", "alias", alias])
    node.call("DEL", node.conf(), "")
    back = again.link()
    assert (back["ifname"], back.get("ifalias")) == ("eth1", None) and node.states() == []


def test_del_waits_for_an_eni_that_is_on_its_way_back(node, eni):
    pod = node.pod()
    node.add(pod)
    node.in_router("ip", "link", "del", "v1")
    pod.remove()
    os.unlink(pod.path)
    with proc.beside([PLUGIN], env=node.env("DEL", ""), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(json.dumps(node.conf()))
        child.stdin.close()
        proc.wait_until(lambda: _waits_in_poll(child.pid), "the plugin to wait")
        again = come_back(node, eni, "dev17")
        assert child.wait(20) == 0
    assert again.link()["ifname"] == "eth1" and node.states() == []


def test_an_eni_that_the_next_container_has_already_stays_there(node, eni):
    """The first container died; its DEL comes after the second's ADD."""
    first, second = node.pod(), node.pod()
    node.add(first)
    node.in_router("ip", "link", "del", "v1")
    first.remove()
    os.unlink(first.path)
    again = come_back(node, eni, "dev17")
    result = node.add(second, cid="c2", conf=again.conf())
    node.call("DEL", node.conf(), "")
    node.check(second, result, cid="c2", conf=again.conf())
    assert [s["container_id"] for s in node.states()] == ["c2"]


def test_an_eni_in_a_namespace_of_the_same_path_stays_there(node, eni):
    """ECS names a namespace by a process: /proc/<pid>/ns/net is another container's one day."""
    first = node.pod()
    node.add(first)
    node.in_router("ip", "link", "del", "v1")
    proc.run(["umount", "-l", first.path])
    proc.run(["unshare", f"--net={first.path}", "true"])
    again = come_back(node, eni, "dev17")
    result = node.add(first, cid="c2", conf=again.conf())
    node.delete(first, cid="c1")
    node.check(first, result, cid="c2", conf=again.conf())
    assert [s["container_id"] for s in node.states()] == ["c2"]


@pytest.mark.parametrize("netns", ["/nonexistent/netns", "", "/etc/passwd", "/tmp"])
def test_del_with_any_path(node, eni, netns):
    """The file knows the right one."""
    node.add(node.pod())
    node.call("DEL", node.conf(), netns)
    assert eni.link()["ifname"] == "eth1"


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
def test_the_nodes_own_namespace(node, eni, command):
    before = node.state()
    prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}]}
    error = refused(node.call, command, node.conf(prevResult=prev), "/proc/self/ns/net")
    assert error.code == 8 and node.state() == before


# --- CHECK, STATUS, GC, VERSION

@pytest.mark.parametrize("command, words", [
    ("ip link set eth0 down", "down"),
    ("ip link set eth0 mtu 9100", "MTU 9100"),
    ("ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
    ("ip link set eth0 alias other", "not the ENI"),
    ("ip link del eth0", "eth0 is missing"),
    ("ip addr del 10.0.1.5/24 dev eth0", "10.0.1.5/24"),
    ("ip addr del 2001:db8:1::5/64 dev eth0", "2001:db8:1::5/64"),
    ("ip route del default", "10.0.1.1"),
    ("ip -6 route del default", "2001:db8:1::1"),
    ("ip route del 10.0.1.0/24", "10.0.1.1"),
])
def test_check_names_the_difference(node, eni, command, words):
    pod = node.pod()
    result = node.add(pod)
    pod.run(*command.split())
    error = refused(node.check, pod, result)
    assert error.code == 103 and words in error.msg, error


def test_check_tolerates_what_chained_plugins_did(node, eni):
    pod = node.pod()
    result = node.add(pod)
    pod.run("ip", "route", "add", "192.0.2.0/24", "via", eni.gateway)
    pod.run("ip", "addr", "add", "192.0.2.7/32", "dev", "eth0")
    pod.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    pod.run("ip", "link", "set", "eth0", "mtu", "1400")
    result["interfaces"][0].update(mac="02:00:00:00:00:99", mtu=1400)
    node.check(pod, result)


def test_check_needs_prev_result_and_a_known_attachment(node, eni):
    pod = node.pod()
    result = node.add(pod)
    assert refused(node.check, pod, None).code == 7
    assert refused(node.check, pod, {**result, "interfaces": []}).code == 7
    assert refused(node.check, pod, result, cid="other").code == 3
    other = json.loads(json.dumps(result).replace("10.0.1.5", "10.0.1.6"))
    assert refused(node.check, pod, other).code == 103


def test_status(node, eni):
    node.call("STATUS", node.conf())
    node.add(node.pod(), cid="theholder")
    error = refused(node.call, "STATUS", node.conf())
    assert error.code == 50 and "theholder" in error.msg
    error = refused(node.call, "STATUS", node.conf(eniMACAddress="02:00:00:00:00:99", eniIPAddresses=["10.0.1.5/24"]))
    assert error.code == 50 and "02:00:00:00:00:99" in error.msg
    assert refused(node.call, "STATUS", node.conf(**node.eni(0).conf())).code == 50


@pytest.mark.parametrize("listed", [[], None, "absent"])
def test_gc(node, listed):
    """What the runtime does not list goes back, unless it lives; other networks' are not looked at."""
    dead, alive, other = node.eni(1), node.eni(2), node.eni(3)
    pods = {name: node.pod() for name in ("dead", "alive", "other")}
    node.add(pods["dead"], cid="dead", conf=dead.conf())
    node.add(pods["alive"], cid="alive", conf=alive.conf())
    node.add(pods["other"], cid="other", conf=other.conf(name="another"))
    pods["dead"].run("ip", "link", "set", "eth0", "down")
    pods["other"].run("ip", "link", "set", "eth0", "down")
    conf = node.conf()
    if listed != "absent":
        conf["cni.dev/valid-attachments"] = listed
    node.call("GC", conf)
    assert dead.link()["ifname"] == "eth1" and alive.link() is None and other.link() is None
    assert sorted(s["container_id"] for s in node.states()) == ["alive", "other"]


def test_gc_keeps_what_is_listed(node):
    pods = [node.pod() for _ in range(4)]
    for n, pod in enumerate(pods, 1):
        node.add(pod, cid=f"c{n}", conf=node.eni(n).conf())
        pod.run("ip", "link", "set", "eth0", "down")
    node.call("GC", node.conf(**{"cni.dev/valid-attachments": [{"containerID": f"c{n}", "ifname": "eth0"} for n in (2, 4)]}))
    assert [bool(node.eni(n).link()) for n in (1, 2, 3, 4)] == [True, False, True, False]


@pytest.mark.parametrize("bad", [5, {}, [1], [{}], [{"containerID": "../a", "ifname": "eth0"}]])
def test_gc_frees_nothing_by_half_a_list(node, eni, bad):
    pod = node.pod()
    node.add(pod)
    pod.run("ip", "link", "set", "eth0", "down")
    assert refused(node.call, "GC", node.conf(**{"cni.dev/valid-attachments": bad})).code == 7
    assert "eth0" in pod.links()


def test_version_and_flags(node):
    answer = node.call("VERSION", {"cniVersion": "1.1.0"})
    assert answer["supportedVersions"] == VERSIONS
    assert proc.run([PLUGIN, "--version"], env={}).stdout.startswith("vpcwire-eni ")
    assert "awsvpc-network-mode" in json.loads(proc.run([PLUGIN, "--capabilities"], env={}).stdout)["capabilities"]


# --- many, killed, chained

def test_many_at_once(node):
    """Each container its ENI, all at the same time, in and out again."""
    enis, pods = [node.eni(n) for n in range(1, 21)], [node.pod() for _ in range(20)]

    def everyone(command):
        running = []
        for i, (eni, pod) in enumerate(zip(enis, pods)):
            child = subprocess.Popen([PLUGIN], env=node.env(command, pod, cid=f"c{i}"), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            child.stdin.write(json.dumps(node.conf(**eni.conf())))
            child.stdin.close()
            running.append(child)
        for child in running:
            out, err, code = child.stdout.read(), child.stderr.read(), child.wait(60)
            child.stdout.close()
            child.stderr.close()
            assert code == 0 and not err, out

    before = node.state(pods=False)
    everyone("ADD")
    assert [p.links()["eth0"]["address"] for p in pods] == [e.mac for e in enis]
    everyone("DEL")
    assert node.state(pods=False) == before


def test_one_eni_for_two_containers(node, eni):
    """Ten rounds of two ADDs at once for the same ENI: one has it, the other is told so and has left nothing."""
    for turn in range(10):
        pods = [node.pod(), node.pod()]
        running = []
        for i, pod in enumerate(pods):
            child = subprocess.Popen([PLUGIN], env=node.env("ADD", pod, cid=f"t{turn}c{i}"), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            child.stdin.write(json.dumps(node.conf(timeout_ms=200)))
            child.stdin.close()
            running.append(child)
        answers = [(json.loads(c.stdout.read()), c.wait(30)) for c in running]
        for child in running:
            child.stdout.close()
        assert sorted(code for _, code in answers) == [0, 1], answers
        assert next(a for a, code in answers if code)["code"] == 11
        winner = next(i for i, (_, code) in enumerate(answers) if code == 0)
        assert "eth0" in pods[winner].links() and set(pods[1 - winner].links()) == {"lo"}
        assert [s["container_id"] for s in node.states()] == [f"t{turn}c{winner}"]
        node.delete(pods[winner], cid=f"t{turn}c{winner}")


SYSCALLS = ["sendto", "recvmsg", "socket", "setns", "openat", "fsync", "renameat", "write", "close", "fchmod", "mkdir"]


@pytest.mark.parametrize("syscall", SYSCALLS)
def test_killed_anywhere_and_cleaned_up_by_del(node, eni, syscall):
    """SIGKILL at the n-th call of every kind that ADD makes, for every n, then DEL: as before."""
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    pod.run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0")
    before = node.state()
    for nth in range(1, 60):
        argv = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={syscall}", "-e", f"inject={syscall}:signal=KILL:when={nth}", PLUGIN]
        done = proc.run(argv, input=json.dumps(node.conf()), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        node.delete(pod)
        assert node.state() == before, f"{syscall} #{nth}"
        if done.returncode == 0:
            break
    assert 1 < nth < 59, f"ADD makes {nth - 1} calls of {syscall}?"


def test_gc_removes_what_killed_adds_were_writing(node, eni):
    """No DEL comes: the runtime has forgotten them. A file that somebody writes at this moment stays."""
    living, dead = node.pod(), node.pod()
    node.add(living, cid="living", conf=node.eni(2).conf())
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "trace=renameat", "-e", "inject=renameat:signal=KILL:when=1", PLUGIN]
    proc.run(argv, input=json.dumps(node.conf()), env=node.env("ADD", dead, cid="dead", ASAN_OPTIONS="detect_leaks=0"),
             check=False)
    (left,) = node.temps()
    assert "dead" in left
    gc = node.conf(**{"cni.dev/valid-attachments": [{"containerID": "living", "ifname": "eth0"}]})
    busy = node.state_dir / "other-eth0.json.tmp.1"
    with open(busy, "w") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        node.call("GC", gc)
        assert node.temps() == [busy.name]
    node.call("GC", gc)
    assert node.temps() == [] and [s["container_id"] for s in node.states()] == ["living"]


@pytest.mark.parametrize("syscall", ["sendto", "recvmsg", "socket", "setns", "openat", "fsync", "renameat", "write"])
def test_failing_anywhere_leaves_nothing(node, eni, syscall):
    """The n-th call of every kind fails with an error: ADD fails and has left nothing, or did not need it, and DEL works."""
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    untouched = proc.run(["strace", "-f", "-c", "-U", "name,calls", "-e", f"trace={syscall}", PLUGIN], input=json.dumps(node.conf()),
                         env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0")).stderr
    node.delete(pod)
    calls = next(int(line.split()[1]) for line in untouched.splitlines() if line.startswith(syscall))
    assert node.state() == before and calls > 0
    for nth in range(1, calls + 1):
        argv = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={syscall}", "-e", f"inject={syscall}:error=ENOMEM:when={nth}", PLUGIN]
        done = proc.run(argv, input=json.dumps(node.conf()), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
        # a thread that cannot return to its namespace ends the process (lib/net/netns.h): as if it had been killed
        if done.returncode == 0 or done.returncode == -signal.SIGABRT:
            node.delete(pod)
        assert node.state() == before, f"{syscall} #{nth}: {done.returncode} {done.stdout}"
    node.add(pod)


def test_an_add_after_a_killed_one_completes(node, eni):
    """No DEL came in between: the file says what to undo first."""
    pod = node.pod()
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "trace=setns", "-e", "inject=setns:signal=KILL:when=4", PLUGIN]
    proc.run(argv, input=json.dumps(node.conf()), env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), check=False)
    assert node.states()
    pod.run("ip", "link", "set", "eth0", "name", "half", check=False)
    result = node.add(pod)
    node.check(pod, result)


def test_a_result_that_nobody_reads(node, eni):
    reader, writer = os.pipe()
    os.close(reader)
    pod = node.pod()
    with proc.beside([PLUGIN], env=node.env("ADD", pod), stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE) as child:
        os.close(writer)
        child.communicate(json.dumps(node.conf()).encode(), timeout=20)
        assert child.returncode == 1
    assert eni.link()["ifname"] == "eth1" and node.states() == []


def test_a_chained_result_keeps_what_was_there(node, eni):
    prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "x0", "mac": "02:00:00:00:00:71"}],
            "ips": [{"address": "192.0.2.2/24", "interface": 0}], "routes": [{"dst": "198.51.100.0/24"}]}
    result = Result(node.add(node.pod(), prev=prev, conf=eni.conf(dns={"nameservers": ["10.0.0.2"]})), "1.1.0")
    assert result.interfaces[0] == prev["interfaces"][0] and result.ips[0] == prev["ips"][0] and result.routes[0] == prev["routes"][0]
    assert result.ips[1]["interface"] == 1 and result.raw["dns"] == {"nameservers": ["10.0.0.2"]}


def test_a_prev_result_that_cannot_be_passed_on_costs_nothing(node, eni):
    pod = node.pod()
    before = node.state()
    assert refused(node.add, pod, prev={"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.2/24", "interface": 7}]}).code == 7
    assert node.state() == before


def test_warnings_go_to_the_log_file_and_not_to_stderr(node, eni):
    log = node.tmp / "log"
    pod = node.pod()
    node.add(pod, conf=eni.conf(log_file=str(log)))
    proc.run(["ip", "link", "add", "eth1", "type", "veth", "peer", "x1"])
    node.delete(pod, conf=eni.conf(log_file=str(log)))
    assert 'level=warn msg="the name that an ENI had is taken' in log.read_text()
