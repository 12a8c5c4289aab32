# SPDX-License-Identifier: Apache-2.0
"""vpcwire's own business: what it asks the daemon, what it makes of its answers, how it hangs programs. The daemon is a scripted one."""
import errno as errnos
import json
import os
import re
import signal
import subprocess
import sys

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


@pytest.mark.parametrize("key, value", [("mtu", "lots"), ("mtu", 100), ("mtu", 70000), ("mtu", []), ("timeout_ms", 1), ("attach", "xdp"),
                                        ("socket", "relative"), ("socket", 5), ("log_level", "loud"), ("dns", "8.8.8.8")])
def test_nonsense_is_refused_and_named(node, key, value):
    error = refused(node.add, node.pod(), conf={key: value})
    assert error.code == 7 and f"'{key}'" in error.msg
    assert node.daemon.requests == []


@pytest.mark.parametrize("args, want", [
    ("K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=i;K8S_POD_UID=u", ("ns", "p", "u")),
    ("K8S_POD_UID=u;K8S_POD_NAME=p;IgnoreUnknown=1;FOO=x", (None, "p", "u")),
    ("FOO=x;IgnoreUnknown=true", (None, None, None)), ("IgnoreUnknown=0", (None, None, None)), ("", (None, None, None)),
])
def test_cni_args(node, args, want):
    node.add(node.pod(), args=args)
    req = node.daemon.requests[0]
    assert (req.get("pod_namespace"), req.get("pod_name"), req.get("pod_uid")) == want


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


def test_a_foreign_interface_stays_untouched(node):
    pod = node.pod()
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 100 and "eth0 already exists" in error.msg and pod.path in error.msg
    assert node.state() == before
    assert node.daemon.ops() == ["add", "del"] and node.daemon.requests[1]["failed"] is True
    assert not node.daemon.attachments


def test_a_second_add_does_not_disturb_the_first(node):
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


def test_check_of_a_second_attachment(node):
    pod = node.pod()
    node.add(pod)
    second = node.add(pod, ifname="net1")
    rule = next(r for r in pod.json("rule", "show") if r.get("src") == "10.0.0.11")
    pod.run("ip", "rule", "del", "prio", str(rule["priority"]))
    error = refused(node.check, pod, second, ifname="net1")
    assert error.code == 103 and "default route" in error.msg


def test_a_failure_in_the_pod_undoes_the_node(node, pins):
    """The gateway is the pod's own address: the kernel refuses the last route, when everything else stands."""
    node.daemon.on("add", lambda req: {**node.daemon._add(req), "addresses": [{"address": "10.0.0.10/32", "gateway": "10.0.0.10"}]})
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 101 and "eth0" in error.msg and pod.path in error.msg
    assert node.state() == before and not node.daemon.attachments


def test_a_host_name_that_is_taken(node):
    proc.run(["ip", "link", "add", HOST, "type", "veth", "peer", "name", "x0"])
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 11 and HOST in error.msg
    assert node.state() == before and not node.daemon.attachments


@pytest.mark.parametrize("pin", ["pin_from_pod", "pin_to_pod"])
def test_a_pin_that_is_gone(node, pins, pin):
    os.unlink(node.daemon.pins[pin])
    pod = node.pod()
    before = node.state()
    error = refused(node.add, pod)
    assert error.code == 101 and node.daemon.pins[pin] in error.msg and "vpcwired" in error.msg
    assert node.state() == before and not node.daemon.attachments


def test_a_result_that_nobody_reads(node):
    """The runtime died: its end of stdout is closed when the result is written."""
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.Popen([proc.PLUGIN], env=node.env("ADD", node.pod()), stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    child.communicate(json.dumps(node.conf()).encode(), timeout=20)
    assert child.returncode == 1
    assert node.daemon.ops() == ["add", "del"] and node.daemon.requests[1]["failed"] is True


@pytest.mark.parametrize("more", [{"mtu": "x"}, {"attach": "x"}, {"log_level": "x"}, {"timeout_ms": -1}, {"dns": 5}])
def test_del_survives_a_slip_in_the_file(node, more):
    pod = node.pod()
    node.add(pod)
    node.delete(pod, conf=more)
    assert not node.daemon.attachments


def tombstones(node):
    folder = node.tmp / "tombstones"
    return [json.loads(f.read_text()) for f in sorted(folder.iterdir())] if folder.exists() else []


def test_del_without_a_daemon_leaves_a_tombstone(node):
    pod = node.pod()
    node.add(pod)
    node.daemon.stop()
    for _ in range(2):
        node.delete(pod)
    (stone,) = tombstones(node)
    assert (stone["op"], stone["container_id"], stone["ifname"]) == ("del", "c1", "eth0")
    assert set(pod.links()) == {"lo"} and not node.json("link", "show", "dev", HOST)


def test_without_a_daemon_only_our_own_link_goes(node):
    pod = node.pod()
    node.add(pod)
    proc.run(["ip", "link", "set", HOST, "alias", "vpcwire:other/eth0"])
    node.daemon.stop()
    node.delete(pod)
    assert "eth0" in pod.links() and len(tombstones(node)) == 1


def test_a_daemon_that_hangs_up_gets_a_tombstone_too(node):
    node.daemon.on("del", None)
    node.delete(node.pod())
    assert len(tombstones(node)) == 1


def test_a_daemon_that_comes_back_in_between(node):
    """The first DEL is dropped, the second answered: then there is nothing left to note."""
    answers = iter([None, {"v": 1}])
    node.daemon.on("del", lambda _req: next(answers))
    node.delete(node.pod())
    assert tombstones(node) == [] and node.daemon.ops() == ["del", "del"]


def test_an_add_makes_up_for_the_del_that_was_noted(node):
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


def test_what_cannot_be_made_up_for_stays_noted(node):
    pod = node.pod()
    node.daemon.on("del", None)
    node.delete(pod)
    assert refused(node.add, pod).code == 11
    assert len(tombstones(node)) == 1 and "add" not in node.daemon.ops()


def test_nowhere_to_note_it(bare_node):
    (bare_node.tmp / "tombstones").write_text("in the way")
    error = refused(bare_node.delete, bare_node.pod())
    assert error.code == 11 and "tombstones" in error.msg


def test_a_del_that_the_daemon_refuses_is_an_error(node):
    node.daemon.fail("del", 28, 5, "the store is full")
    error = refused(node.delete, node.pod())
    assert (error.code, error.msg) == (5, "the store is full") and tombstones(node) == []


@pytest.mark.parametrize("errno", ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "EPERM"])
def test_what_the_daemon_says_of_others_is_not_its_absence(node, errno):
    """EC2 that refuses connections, a kernel that does not answer: nothing is asked again, nothing noted for the next daemon."""
    node.daemon.fail("add", getattr(errnos, errno), 11, "no free address, and the pool cannot grow: EC2 is away")
    node.daemon.fail("del", getattr(errnos, errno), 101, "deleting route 10.0.0.5/32: the kernel did not answer")
    pod = node.pod()
    error = refused(node.add, pod)
    assert (error.code, error.msg) == (11, "no free address, and the pool cannot grow: EC2 is away")
    error = refused(node.delete, pod)
    assert error.code == 101 and tombstones(node) == [] and node.daemon.ops() == ["add", "del"]


def test_another_interface_of_that_name(node):
    pod = node.pod()
    result = node.add(pod)
    pod.run("ip", "link", "set", "eth0", "name", "old0")
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    assert refused(node.check, pod, result).code == 103


def test_another_program_in_the_filters_place(node, pins):
    pod = node.pod()
    result = node.add(pod)
    node.daemon.attachments["c1", "eth0"]["pin_from_pod"] = node.daemon.pins["pin_to_pod"]
    assert "another program" in refused(node.check, pod, result).msg


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_gc_passes_the_list_on(node, key):
    node.call("GC", node.conf(**{key: [{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}]}))
    req = node.daemon.requests[0]
    assert req["valid"] == ["a/eth0", "b/net1"] and "valid_unknown" not in req and req["network"] == "vpc"


def test_gc_tells_an_empty_list_from_none(node):
    node.call("GC", node.conf(**{"cni.dev/valid-attachments": []}))
    node.call("GC", node.conf())
    text = json.dumps(node.conf())[:-1] + ', "cni.dev/valid-attachments": null}'
    node.call("GC", text)
    empty, absent, null = node.daemon.requests
    assert empty["valid"] == [] and "valid_unknown" not in empty
    for req in (absent, null):
        assert req["valid_unknown"] is True and "valid" not in req


def test_dns_of_the_configuration_is_passed_on(node):
    dns = {"nameservers": ["10.0.0.2"], "domain": "x.internal", "search": ["x.internal"], "options": ["ndots:5"]}
    assert node.add(node.pod(), conf={"dns": dns})["dns"] == dns


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


def test_a_daemon_that_hung_the_programs_already(node, pins):
    """It starts while an ADD is between the pair and its programs, finds a pod's link without, and does it itself."""
    pod, conf = node.pod(), json.dumps(node.conf())
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=sendto:signal=SIGSTOP:when=2", proc.PLUGIN]
    with subprocess.Popen(argv, env=node.env("ADD", pod, ASAN_OPTIONS="detect_leaks=0"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as child:
        child.stdin.write(conf)
        child.stdin.close()
        proc.wait_until(lambda: node.json("link", "show", "dev", HOST), "the pair to be there")
        assert "filter" not in proc.run(["tc", "filter", "show", "dev", HOST, "ingress"]).stdout
        proc.run(["tc", "qdisc", "add", "dev", HOST, "clsact"])
        proc.run(["tc", "filter", "add", "dev", HOST, "ingress", "prio", "10", "handle", "0x5657", "protocol", "all", "bpf", "direct-action",
                  "object-pinned", str(pins / "from_pod")])
        (plugin,) = open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii").read().split()
        os.kill(int(plugin), signal.SIGCONT)
        out = child.stdout.read()
        assert child.wait(30) == 0, out
    node.check(pod, json.loads(out))


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


# --- the bandwidth capability

def qdiscs(run, dev):
    return {q["kind"]: q.get("options", {}) for q in json.loads(run("tc", "-j", "qdisc", "show", "dev", dev).stdout) if q["kind"] != "noqueue"}


def limits(**rates):
    return {"runtimeConfig": {"bandwidth": rates}}


@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_bandwidth_is_a_bucket_at_each_end(node, pins, attach):
    """Towards the pod at the node's end, from the pod at its own: no third interface, and the filters stay."""
    pod = node.pod()
    conf = {"attach": attach, **limits(IngressRate=8_000_000, IngressBurst=4294967295, EgressRate="16000000", EgressBurst=4294967295 * 8 - 1)}
    result = node.add(pod, conf=conf)
    outside, inside = qdiscs(node.run, HOST), qdiscs(pod.run, "eth0")
    assert outside["tbf"]["rate"] == 1_000_000 and inside["tbf"]["rate"] == 2_000_000      # bytes
    assert all(2 * 9001 <= q["tbf"]["burst"] < 64 << 10 for q in (outside, inside))       # "none given" is no 4 GiB bucket
    assert ("clsact" in outside) == (attach == "clsact")
    assert [l["ifname"] for l in node.json("link", "show")] == ["lo", HOST]
    assert all("UP" in l["flags"] for l in (pod.links()["eth0"], node.json("link", "show", "dev", HOST)[0]))
    node.check(pod, result, conf=conf)
    proc.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    pod.run("ping", "-c1", "-W5", "-s8000", "10.9.9.9")


def test_bandwidth_of_one_direction_and_none(node):
    for cid, rates, want in (("a", {"ingressRate": 1000}, (True, False)), ("b", {"egressRate": 1000, "egressBurst": 8}, (False, True)),
                             ("c", {"ingressRate": 0, "egressRate": 0}, (False, False)), ("d", {}, (False, False))):
        pod = node.pod(cid)
        host = node.add(pod, conf=limits(**rates))["interfaces"][0]["name"]
        found = "tbf" in qdiscs(node.run, host), "tbf" in qdiscs(pod.run, "eth0")
        assert found == want, rates
        node.check(pod, conf=limits(**rates))


def test_bandwidth_beyond_32_bits(node):
    pod = node.pod()
    rates = limits(ingressRate=100_000_000_000, ingressBurst=800_000)
    node.add(pod, conf=rates)
    assert qdiscs(node.run, HOST)["tbf"]["rate"] == 12_500_000_000
    node.check(pod, conf=rates)


@pytest.mark.parametrize("rates", [{"ingressRate": -1}, {"ingressRate": 999}, {"ingressRate": "fast"}, {"ingressBurst": 1000}, {"egressRate": 1.5},
                                   {"egressRate": 1 << 63}])
def test_bandwidth_that_is_none(node, rates):
    error = refused(node.add, node.pod(), conf=limits(**rates))
    assert error.code in (6, 7) and node.daemon.requests == []


@pytest.mark.parametrize("where, command", [("node", f"tc qdisc del dev {HOST} root"), ("pod", "tc qdisc del dev eth0 root"),
                                            ("node", f"tc qdisc replace dev {HOST} root tbf rate 9mbit burst 20000 latency 25ms"),
                                            ("pod", "tc qdisc replace dev eth0 root pfifo")])
def test_check_misses_no_bandwidth(node, where, command):
    pod = node.pod()
    rates = limits(ingressRate=8_000_000, egressRate=8_000_000)
    node.add(pod, conf=rates)
    node.check(pod, conf=rates)
    (pod.run if where == "pod" else node.run)(*command.split())
    error = refused(node.check, pod, conf=rates)
    assert error.code == 103 and "bandwidth" in error.msg


def test_bandwidth_holds_packets_back(node):
    """A mebibyte each way at 8 Mbit/s, less the burst, cannot take less than 0.9 s, however busy or idle the machine is."""
    proc.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    pod = node.pod()
    node.add(pod, conf=limits(ingressRate=8_000_000, egressRate=8_000_000))
    for sender, receiver, address in ((pod.run_argv(), [], "10.9.9.9"), ([], pod.run_argv(), pod.addresses("eth0")[0])):
        sink = subprocess.Popen([*receiver, sys.executable, "-c", SINK, address], stdout=subprocess.PIPE, text=True)
        assert sink.stdout.readline() == "ready\n"
        began = float(proc.run([*sender, sys.executable, "-c", SOURCE, address]).stdout)
        taken = float(sink.communicate(timeout=20)[0]) - began
        assert 0.9 < taken, address


SINK = """
import socket, sys, time
s = socket.create_server((sys.argv[1], 5001))
print("ready", flush=True)
c, _ = s.accept()
n = 0
while data := c.recv(65536):
    n += len(data)
assert n == 1 << 20, n
print(time.monotonic())
"""
SOURCE = """
import socket, sys, time
print(time.monotonic())
with socket.create_connection((sys.argv[1], 5001), 10) as c:
    c.sendall(bytes(1 << 20))
"""
