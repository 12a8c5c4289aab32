# SPDX-License-Identifier: Apache-2.0
"""What ADD makes in the kernel, what CHECK sees there, what DEL and failures leave: the checklist's rows with a namespace."""
import json
import os
import re
import subprocess

import pytest

from tests.harness import proc
from tests.harness.cni import CniError, Result

ALIAS = "vpcwire:c1/eth0"
HOST = "eni00000000000"


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_an_add_wires_everything(node):
    pod = node.pod()
    result = Result(node.add(pod), "1.1.0")
    wiring = node.daemon.attachments["c1", "eth0"]
    inside, outside = pod.links()["eth0"], node.json("-d", "link", "show", "dev", HOST)[0]
    assert (outside["ifindex"], outside["address"], outside["mtu"], outside["ifalias"]) == \
        (wiring["host_ifindex"], wiring["host_mac"], 9001, ALIAS)
    assert (inside["address"], inside["mtu"], inside["link_index"]) == (wiring["pod_mac"], 9001, outside["ifindex"])
    assert all(end[f"num_{way}_queues"] == 1 for end in (inside, outside) for way in ("tx", "rx"))    # not one per CPU
    assert "UP" in inside["flags"] and "UP" in outside["flags"] and "UP" in pod.links()["lo"]["flags"]
    assert pod.addresses("eth0") == ["10.0.0.10"]
    assert {(r["dst"], r.get("gateway")) for r in pod.json("route", "show")} == \
        {("default", "169.254.1.1"), ("169.254.1.1", None)}
    assert [(n["dst"], n["lladdr"], n["state"]) for n in pod.json("neigh", "show")] == \
        [("169.254.1.1", wiring["host_mac"], ["PERMANENT"])]
    assert [(r["dst"], r["dev"], r["protocol"]) for r in node.json("route", "show", "table", "22103")] == \
        [("10.0.0.10", HOST, "86")]
    assert result.address == "10.0.0.10"
    req = node.daemon.requests[0]
    assert (req["op"], req["netns"], req["network"]) == ("add", pod.path, "vpc") and 0 < req["deadline_ms"] <= 60000


def test_the_pod_reaches_its_node(node):
    proc.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    pod = node.pod()
    node.add(pod)
    pod.run("ping", "-c1", "-W5", "10.9.9.9")


def test_dual_stack(node):
    """IPv6 is usable when ADD returns: no duplicate address detection runs."""
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this kernel has no IPv6")
    proc.run(["ip", "-6", "rule", "add", "prio", "512", "lookup", "22103"])
    both = [{"address": "10.0.0.10/32", "gateway": "169.254.1.1"}, {"address": "2001:db8::10/128", "gateway": "fe80::1"}]
    node.daemon.on("add", lambda req: {**node.daemon._add(req), "addresses": both})
    node.daemon.on("check", lambda req: {**node.daemon._check(req), "addresses": both})
    pod = node.pod()
    result = Result(node.add(pod), "1.1.0")
    assert [i["address"] for i in result.ips] == ["10.0.0.10/32", "2001:db8::10/128"]
    assert [(r["dst"], r["gw"]) for r in result.routes] == [("0.0.0.0/0", "169.254.1.1"), ("::/0", "fe80::1")]
    inside = [a for link in pod.json("-6", "addr", "show", "dev", "eth0") for a in link["addr_info"] if a["scope"] == "global"]
    assert [a["local"] for a in inside] == ["2001:db8::10"] and not inside[0].get("tentative")
    assert any(r["dst"] == "2001:db8::10" and r["dev"] == HOST for r in node.json("-6", "route", "show", "table", "22103"))
    node.check(pod, result.raw)
    pod.run("ip", "-6", "route", "del", "default")
    assert "default route" in refused(node.check, pod, result.raw).msg


def test_row_58_beside_a_concurrent_loopback(node):
    """go-cni runs the loopback plugin in the same namespace at the same time."""
    for turn in range(10):
        pod = node.pod()
        lo = subprocess.Popen(["nsenter", f"--net={pod.path}", "sh", "-c", "ip link set lo up; ip addr add 127.0.0.9/8 dev lo"])
        result = node.add(pod, cid=f"c{turn}")
        assert lo.wait(20) == 0
        node.check(pod, result, cid=f"c{turn}")


def test_row_57_many_at_once(node):
    """30 ADDs, then 30 CHECKs, at the same time: nobody gets another's wiring."""
    pods = [node.pod() for _ in range(30)]

    def everyone(command, prev):
        running = []
        for i, pod in enumerate(pods):
            child = subprocess.Popen([proc.PLUGIN], env=node.env(command, pod, cid=f"c{i}"), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            child.stdin.write(json.dumps(node.conf(prevResult=prev[i])))
            child.stdin.close()
            running.append(child)
        out = [(c.stdout.read(), c.stderr.read(), c.wait(30)) for c in running]
        for child in running:
            child.stdout.close()
            child.stderr.close()
        assert all(code == 0 and not err for _, err, code in out), out
        return [o for o, _, _ in out]

    results = [json.loads(r) for r in everyone("ADD", [None] * 30)]
    assert len({r["ips"][0]["address"] for r in results}) == 30
    everyone("CHECK", results)


def test_row_23_a_foreign_interface_stays_untouched(node):
    pod = node.pod()
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 100 and "eth0 already exists" in error.msg and pod.path in error.msg
    assert node.state() == before
    assert node.daemon.ops() == ["add", "del"] and node.daemon.requests[1]["failed"] is True
    assert not node.daemon.attachments


def test_row_23_a_second_add_does_not_disturb_the_first(node):
    pod = node.pod()
    result = node.add(pod)
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 100 and node.state() == before
    assert node.daemon.ops() == ["add", "add"]      # no DEL: the first one's address is not this one's to give back
    node.check(pod, result)


def test_an_add_after_a_killed_one_completes(node):
    """The daemon knows the attachment, the kernel has nothing yet: the first ADD died in between."""
    pod = node.pod()
    node.daemon.attachments["c1", "eth0"] = node.daemon.wiring(0)
    result = node.add(pod)
    node.check(pod, result)


@pytest.mark.parametrize("ifname", ["net1", "exactly15bytes0", "eth0.5", "-x"])
def test_row_24_any_interface_name(node, ifname):
    pod = node.pod()
    result = node.add(pod, ifname=ifname)
    assert set(pod.links()) == {"lo", ifname}
    assert result["interfaces"][1]["name"] == ifname
    node.check(pod, result, ifname=ifname)


def test_row_25_two_attachments_of_one_container(node):
    """Both work at once: what comes from the second address leaves by the second interface."""
    proc.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    pod = node.pod()
    first = node.add(pod)
    second = node.add(pod, ifname="net1")
    assert [r["dst"] for r in first["routes"]] == ["0.0.0.0/0"] and "routes" not in second
    assert first["ips"][0]["address"] == "10.0.0.10/32" and second["ips"][0]["address"] == "10.0.0.11/32"
    for source in ("10.0.0.10", "10.0.0.11"):
        pod.run("ping", "-c1", "-W5", "-I", source, "10.9.9.9")
    route = pod.json("route", "get", "10.9.9.9", "from", "10.0.0.11")[0]
    assert route["dev"] == "net1"
    node.check(pod, first)
    node.check(pod, second, ifname="net1")
    node.delete(pod, ifname="net1")
    assert list(node.daemon.attachments) == [("c1", "eth0")]
    node.check(pod, first)


def test_row_35_check_of_a_second_attachment(node):
    pod = node.pod()
    node.add(pod)
    second = node.add(pod, ifname="net1")
    rule = next(r for r in pod.json("rule", "show") if r.get("src") == "10.0.0.11")
    pod.run("ip", "rule", "del", "prio", str(rule["priority"]))
    error = refused(node.check, pod, second, ifname="net1")
    assert error.code == 103 and "default route" in error.msg


def test_row_26_a_failure_in_the_pod_undoes_the_node(node, pins):
    """The gateway is the pod's own address: the kernel refuses the last route, when everything else stands."""
    node.daemon.on("add", lambda req: {**node.daemon._add(req), "addresses": [{"address": "10.0.0.10/32", "gateway": "10.0.0.10"}]})
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 101 and "eth0" in error.msg and pod.path in error.msg
    assert node.state() == before and not node.daemon.attachments


def test_row_26_a_host_name_that_is_taken(node):
    proc.run(["ip", "link", "add", HOST, "type", "veth", "peer", "name", "x0"])
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 11 and HOST in error.msg
    assert node.state() == before and not node.daemon.attachments


@pytest.mark.parametrize("pin", ["pin_from_pod", "pin_to_pod"])
def test_row_26_a_pin_that_is_gone(node, pins, pin):
    os.unlink(node.daemon.pins[pin])
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 101 and node.daemon.pins[pin] in error.msg and "vpcwired" in error.msg
    assert node.state() == before and not node.daemon.attachments


def test_row_26_a_result_that_nobody_reads(node):
    """The runtime died: its end of stdout is closed when the result is written."""
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.Popen([proc.PLUGIN], env=node.env("ADD", node.pod()), stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    child.communicate(json.dumps(node.conf()).encode(), timeout=20)
    assert child.returncode == 1
    assert node.daemon.ops() == ["add", "del"] and node.daemon.requests[1]["failed"] is True


@pytest.mark.parametrize("times", [2, 3])
def test_row_28_del_repeats(node, times):
    pod = node.pod()
    node.add(pod)
    for _ in range(times):
        node.delete(pod)


def test_row_29_del_of_what_never_was(node, cid):
    node.delete(node.pod(), cid=cid)
    assert node.daemon.ops() == ["del"]


@pytest.mark.parametrize("netns", ["/nonexistent/netns", "", "/etc/passwd", "/tmp"])
def test_row_30_del_without_a_namespace(node, netns):
    node.add(node.pod())
    node.call("DEL", node.conf(), netns)
    assert not node.daemon.attachments


@pytest.mark.parametrize("prev", [None, {"cniVersion": "9.9.9"}, {"ips": 5}, 5, "x", [], {"cniVersion": "1.1.0", "ips": [{"address": "?"}]}])
def test_rows_31_32_del_with_any_prev_result(node, prev):
    pod = node.pod()
    node.add(pod)
    node.delete(pod, prev=prev)
    assert not node.daemon.attachments


@pytest.mark.parametrize("more", [{"mtu": "x"}, {"attach": "x"}, {"log_level": "x"}, {"timeout_ms": -1}, {"dns": 5}])
def test_row_32_del_survives_a_slip_in_the_file(node, more):
    pod = node.pod()
    node.add(pod)
    node.delete(pod, conf=more)
    assert not node.daemon.attachments


def tombstones(node):
    folder = node.tmp / "tombstones"
    return [json.loads(f.read_text()) for f in sorted(folder.iterdir())] if folder.exists() else []


def test_row_33_del_without_a_daemon_leaves_a_tombstone(node):
    pod = node.pod()
    node.add(pod)
    node.daemon.stop()
    for _ in range(2):
        node.delete(pod)
    (stone,) = tombstones(node)
    assert (stone["op"], stone["container_id"], stone["ifname"]) == ("del", "c1", "eth0")
    assert set(pod.links()) == {"lo"} and not node.json("link", "show", "dev", HOST)


def test_row_33_without_a_daemon_only_our_own_link_goes(node):
    pod = node.pod()
    node.add(pod)
    proc.run(["ip", "link", "set", HOST, "alias", "vpcwire:other/eth0"])
    node.daemon.stop()
    node.delete(pod)
    assert "eth0" in pod.links() and len(tombstones(node)) == 1


def test_row_33_a_daemon_that_hangs_up_gets_a_tombstone_too(node):
    node.daemon.on("del", None)
    node.delete(node.pod())
    assert len(tombstones(node)) == 1


def test_row_33_a_daemon_that_comes_back_in_between(node):
    """The first DEL is dropped, the second answered: then there is nothing left to note."""
    answers = iter([None, {"v": 1}])
    node.daemon.on("del", lambda _req: next(answers))
    node.delete(node.pod())
    assert tombstones(node) == [] and node.daemon.ops() == ["del", "del"]


def test_row_33_an_add_makes_up_for_the_del_that_was_noted(node):
    """Else the daemon's next start would replay that DEL, and take the new attachment of the same id away."""
    pod = node.pod()
    node.add(pod)
    node.daemon.on("del", None)
    node.delete(pod)
    del node.daemon.script["del"], node.daemon.requests[:]
    assert len(tombstones(node)) == 1
    result = node.add(pod)
    assert node.daemon.ops() == ["del", "add"] and tombstones(node) == []
    node.check(pod, result)


def test_row_33_what_cannot_be_made_up_for_stays_noted(node):
    pod = node.pod()
    node.daemon.on("del", None)
    node.delete(pod)
    assert refused(node.add, pod).code == 11
    assert len(tombstones(node)) == 1 and "add" not in node.daemon.ops()


def test_row_33_nowhere_to_note_it(bare_node):
    (bare_node.tmp / "tombstones").write_text("in the way")
    error = refused(bare_node.delete, bare_node.pod())
    assert error.code == 11 and "tombstones" in error.msg


def test_a_del_that_the_daemon_refuses_is_an_error(node):
    node.daemon.fail("del", 28, 5, "the store is full")
    error = refused(node.delete, node.pod())
    assert (error.code, error.msg) == (5, "the store is full") and tombstones(node) == []


def test_row_34_check_right_after_add(node, pins):
    pod = node.pod()
    result = node.add(pod)
    for _ in range(20):
        node.check(pod, result)


@pytest.mark.parametrize("where, command, words", [
    ("pod", "ip link set eth0 down", "down"),
    ("pod", "ip addr del 10.0.0.10/32 dev eth0", "address 10.0.0.10/32"),
    ("pod", "ip route del default", "default route"),
    ("pod", "ip neigh del 169.254.1.1 dev eth0", "neighbour"),
    ("pod", "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", "neighbour"),
    ("pod", "ip neigh replace 169.254.1.1 lladdr ee:56:00:00:00:00 dev eth0 nud stale", "permanent"),
    ("pod", "ip link set eth0 mtu 1280", "MTU 1280"),
    ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
    ("pod", "ip link del eth0", HOST),
    ("node", f"ip link set {HOST} down", "down"),
    ("node", f"ip link set {HOST} mtu 1280", "MTU 1280"),
    ("node", f"ip link set {HOST} address 02:00:00:00:00:99", "MAC"),
    ("node", "ip route del 10.0.0.10 table 22103", "route to 10.0.0.10"),
    ("node", "ip route replace 10.0.0.10 dev lo table 22103", "route to 10.0.0.10"),
    ("node", f"tc filter del dev {HOST} ingress", "leaves the pod"),
    ("node", f"tc filter del dev {HOST} egress", "enters the pod"),
    ("node", f"tc qdisc del dev {HOST} clsact", "leaves the pod"),
])
def test_row_35_check_names_the_difference(node, pins, where, command, words):
    pod = node.pod()
    result = node.add(pod)
    (pod.run if where == "pod" else lambda *a: proc.run(a))(*command.split())
    error = refused(node.check, pod, result)
    assert error.code == 103 and words in error.msg, error


def test_row_35_another_interface_of_that_name(node):
    pod = node.pod()
    result = node.add(pod)
    pod.run("ip", "link", "set", "eth0", "name", "old0")
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    assert refused(node.check, pod, result).code == 103


def test_row_35_another_program_in_the_filters_place(node, pins):
    pod = node.pod()
    result = node.add(pod)
    node.daemon.attachments["c1", "eth0"]["pin_from_pod"] = node.daemon.pins["pin_to_pod"]
    assert "another program" in refused(node.check, pod, result).msg


def test_row_36_check_tolerates_what_chained_plugins_did(node, pins):
    pod = node.pod()
    result = node.add(pod)
    pod.run("ip", "route", "add", "192.0.2.0/24", "via", "169.254.1.1", "dev", "eth0")
    pod.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth0")
    pod.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    result["interfaces"][1]["mac"] = "02:00:00:00:00:99"
    result["ips"].append({"address": "192.0.2.77/32", "interface": 1})
    result["routes"].append({"dst": "192.0.2.0/24", "gw": "169.254.1.1"})
    node.check(pod, result)


def test_row_37_check_needs_prev_result(node):
    pod = node.pod()
    result = node.add(pod)
    assert refused(node.check, pod, None).code == 7
    for bad in (5, {"ips": 5}, {**result, "interfaces": []}, {**result, "interfaces": result["interfaces"][:1]}):
        assert refused(node.check, pod, bad).code == 7
    other = json.loads(json.dumps(result).replace("10.0.0.10", "10.0.0.11"))
    error = refused(node.check, pod, other)
    assert error.code == 103 and "10.0.0.10" in error.msg


def test_row_38_check_of_what_the_daemon_does_not_know(node):
    pod = node.pod()
    result = node.add(pod)
    node.daemon.attachments.clear()
    assert refused(node.check, pod, result).code == 3


def test_row_38_check_without_a_daemon(node):
    pod = node.pod()
    result = node.add(pod)
    node.daemon.stop()
    assert refused(node.check, pod, result).code == 11


def test_rows_40_41_status(node):
    node.call("STATUS", node.conf())
    for code in (50, 51):
        node.daemon.on("status", {"v": 1, "cni": code, "msg": "no address in any subnet"})
        error = refused(node.call, "STATUS", node.conf())
        assert (error.code, error.msg) == (code, "no address in any subnet")
    node.daemon.stop()
    error = refused(node.call, "STATUS", node.conf())
    assert error.code == 50 and "is vpcwired running?" in error.msg


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_rows_44_47_gc_passes_the_list_on(node, key):
    node.call("GC", node.conf(**{key: [{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}]}))
    req = node.daemon.requests[0]
    assert req["valid"] == ["a/eth0", "b/net1"] and "valid_unknown" not in req and req["network"] == "vpc"


def test_row_46_gc_tells_an_empty_list_from_none(node):
    node.call("GC", node.conf(**{"cni.dev/valid-attachments": []}))
    node.call("GC", node.conf())
    text = json.dumps(node.conf())[:-1] + ', "cni.dev/valid-attachments": null}'
    node.call("GC", text)
    empty, absent, null = node.daemon.requests
    assert empty["valid"] == [] and "valid_unknown" not in empty
    for req in (absent, null):
        assert req["valid_unknown"] is True and "valid" not in req


@pytest.mark.parametrize("bad", [5, {}, [1], [{}], [{"containerID": "a"}], [{"containerID": "../a", "ifname": "eth0"}]])
def test_row_47_gc_frees_nothing_by_half_a_list(node, bad):
    assert refused(node.call, "GC", node.conf(**{"cni.dev/valid-attachments": bad})).code == 7
    assert node.daemon.requests == []


def test_row_48_a_chained_result_keeps_what_was_there(node):
    prev = {"cniVersion": "1.0.0", "interfaces": [{"name": "br0", "mac": "02:00:00:00:00:01"}, {"name": "net0", "mac": "02:00:00:00:00:02", "sandbox": "/x"}],
            "ips": [{"address": "192.0.2.2/24", "gateway": "192.0.2.1", "interface": 1}], "routes": [{"dst": "198.51.100.0/24"}],
            "dns": {"nameservers": ["192.0.2.53"]}}
    result = Result(node.add(node.pod(), "1.0.0", prev=prev), "1.0.0")
    assert result.interfaces[:2] == prev["interfaces"] and [i["name"] for i in result.interfaces[2:]] == [HOST, "eth0"]
    assert result.ips == prev["ips"] + [{"interface": 3, "address": "10.0.0.10/32", "gateway": "169.254.1.1"}]
    assert result.routes[0] == prev["routes"][0] and result.raw["dns"] == prev["dns"]


def test_row_48_a_prev_result_that_cannot_be_passed_on_costs_nothing(node):
    error = refused(node.add, node.pod(), prev={"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.2/24", "interface": 7}]})
    assert error.code == 7 and "ips[0]" in error.msg
    assert node.daemon.requests == []


def test_row_48_dns_of_the_configuration_is_passed_on(node):
    dns = {"nameservers": ["10.0.0.2"], "domain": "x.internal", "search": ["x.internal"], "options": ["ndots:5"]}
    assert node.add(node.pod(), conf={"dns": dns})["dns"] == dns


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_rows_55_56_interfaces_are_what_runtimes_look_for(node, version):
    pod = node.pod()
    result = Result(node.add(pod, version), version)
    host, inside = result.interfaces
    assert host["name"] == HOST and not host.get("sandbox")
    assert inside["name"] == "eth0" and inside["sandbox"] == pod.path
    assert inside["mac"] == pod.links()["eth0"]["address"]
    assert host["mac"] == node.json("link", "show", "dev", HOST)[0]["address"]
    assert result.ips[0]["interface"] == 1
    if version == "1.1.0":
        assert host["mtu"] == inside["mtu"] == 9001


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
def test_row_59_the_nodes_own_namespace(node, command):
    before = node.state()
    prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}]}
    error = refused(node.call, command, node.conf(prevResult=prev), "/proc/self/ns/net")
    assert error.code == 8 and node.state() == before and node.daemon.requests == []


@pytest.mark.parametrize("netns, words", [("/nonexistent", "No such file"), ("/etc/passwd", "not a network namespace"),
                                          ("/proc/self/ns/mnt", "not a network namespace"), ("/tmp", "not a network namespace"), ("x" * 600, "CNI_NETNS")])
def test_row_59_what_is_no_namespace(node, netns, words):
    error = refused(node.add, netns)
    assert error.code in (4, 8) and words in error.msg
    assert node.daemon.requests == []


# --- the daemon's side

def test_add_without_a_daemon(bare_node):
    pod = bare_node.pod()
    before = bare_node.state()
    error = refused(bare_node.add, pod)
    assert error.code == 11 and "is vpcwired running?" in error.msg and bare_node.state() == before


def test_add_when_the_pool_is_empty(node):
    node.daemon.fail("add", 11, 11, "no free address: subnet subnet-1 has none left")
    error = refused(node.add, node.pod())
    assert (error.code, error.msg) == (11, "no free address: subnet subnet-1 has none left")


@pytest.mark.parametrize("reply", [b"", b"{", b"[]", b"{}", b'{"v":2}', b'{"v":1}', b'{"v":1,"mtu":9001,"addresses":[]}', b"x" * 70000])
def test_an_answer_that_cannot_be_used(node, reply):
    node.daemon.on("add", reply)
    pod = node.pod()
    before = node.state()
    assert refused(node.add, pod).code in (11, 102)
    assert node.state() == before


def test_waits_have_a_deadline(node):
    """The daemon takes the request and never answers; the plugin ends by itself, in its own time."""
    import threading
    over = threading.Event()
    node.daemon.on("add", lambda _req: over.wait(15) and None)
    try:
        error = refused(node.add, node.pod(), conf={"timeout_ms": 100})
    finally:
        over.set()
    assert error.code == 11 and "did not answer in time" in error.msg


# --- filters, tcx, logs, what it asks of the kernel

@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_filters_are_attached(node, pins, attach):
    pod = node.pod()
    result = node.add(pod, conf={"attach": attach})
    node.check(pod, result, conf={"attach": attach})
    shown = proc.run(["tc", "filter", "show", "dev", HOST, "ingress"]).stdout
    assert ("vpcwire_from_pod" in shown and "direct-action" in shown) == (attach == "clsact")
    assert ("clsact" in proc.run(["tc", "qdisc", "show", "dev", HOST]).stdout) == (attach == "clsact")
    if attach == "tcx":
        other = refused(node.check, pod, result)        # the daemon says clsact, and there is none
        assert other.code == 103


def test_log_file(node):
    log = node.tmp / "plugin.log"
    pod = node.pod()
    node.add(pod, conf={"log_file": str(log)})
    refused(node.add, pod, conf={"log_file": str(log)})
    served, failed = log.read_text().splitlines()
    assert re.match(r'level=info msg="request served" plugin=vpcwire command=ADD container_id=c1 ifname=eth0 dur_ms=\d+$', served)
    assert failed.startswith("level=error") and "cni=100" in failed
    assert log.stat().st_mode & 0o777 == 0o600


def test_add_asks_little_of_the_kernel(node):
    """No dump, no second program, no move of a link; and few calls in all, for they are what an ADD costs."""
    from tests.harness.trace import CALLS, Trace
    path = node.tmp / "trace"
    argv = ["strace", "-f", "-v", "-s", "65536", "-o", path, proc.PLUGIN]
    # a sanitized build looks for leaks with the very call that strace uses: not here
    env = node.env("ADD", node.pod(), ASAN_OPTIONS="detect_leaks=0")
    done = proc.run(argv, input=json.dumps(node.conf()), env=env, check=False)
    assert done.returncode == 0, done.stdout
    trace = Trace(path)
    assert CALLS and trace.route_messages()
    assert trace.dumps() == [] and trace.moves_and_renames() == [] and trace.forks() == [] and len(trace.execs()) == 1


def test_version_flag(bare_node):
    done = proc.run([proc.PLUGIN, "--version"], env={})
    assert re.fullmatch(r"vpcwire \S+\n", done.stdout)
