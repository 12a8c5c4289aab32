# SPDX-License-Identifier: Apache-2.0
"""Rows 39 to 60 of the conformance checklist: STATUS, GC, chains, arguments, results, many at once. One test for each row and plugin."""
import ipaddress
import itertools
import json
import os
import re

import pytest

from tests.conformance.delegate import Delegate
from tests.harness import proc, trace
from tests.harness.cni import CniError, Result, strict_object

LOOPBACK = "/usr/lib/cni/loopback"


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def with_lo_up(subject):
    pod = subject.pod()
    pod.run("ip", "link", "set", "lo", "up")
    return pod


def entry(pod, ifname="eth0"):
    return {"containerID": pod.cid, "ifname": ifname}


def gc(subject, valid, key="cni.dev/valid-attachments"):
    return subject.call("GC", subject.conf(**{key: valid}))


def adds(subject, pods):
    done = subject.batch([[[subject.job("ADD", pod)]] for pod in pods], workers=4)
    assert all(call["status"] == 0 for ((call,),) in done), done
    for pod, ((call,),) in zip(pods, done):
        pod.results["eth0"] = json.loads(call["stdout"])


def test_row_39_verbs_below_their_version_are_refused(subject):
    pod = subject.pod()
    prev = subject.add(pod)
    before = subject.snapshot()
    for command, first in (("CHECK", "0.4.0"), ("STATUS", "1.1.0"), ("GC", "1.1.0")):
        for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"):
            if version < first:
                error = refused(subject.call, command, subject.conf(version, pod, prevResult=prev), pod)
                assert error.code == 1 and command in error.msg
    assert subject.snapshot() == before


@pytest.mark.limit(120)
def test_row_40_status_is_good_only_when_add_can_be_served(tight):
    """A node with room for few pods: as long as STATUS is good the next ADD succeeds, and when it is not the next ADD fails."""
    served = 0
    while True:
        assert served < 20, "this instance type has room for few pods"
        status = proc.wait_until(lambda: verdict_of_status(tight), "STATUS to have settled")
        pod = tight.pod()
        if status != "good":
            break
        tight.add(pod)
        served += 1
    assert served == tight.plugin.tight_room
    assert refused(tight.add, pod, conf={"timeout_ms": 1000}).code == 11
    tight.delete(tight.pods[0])
    proc.wait_until(lambda: verdict_of_status(tight) == "good", "STATUS to be good again")
    tight.add(pod)


def verdict_of_status(subject):
    """"good", or the cause; None as long as something is under way that may change it."""
    try:
        subject.call("STATUS", subject.conf())
        return "good"
    except CniError as error:
        assert error.code == 50
        return None if "growing" in error.msg or "just started" in error.msg or "does not know" in error.msg else error.msg


@pytest.mark.limit(120)
def test_row_41_status_tells_no_service_from_suffering_pods(tight):
    if tight.plugin.has_daemon:
        tight.backend(False)
        try:
            error = refused(tight.call, "STATUS", tight.conf())
            assert error.code == 50 and "running" in error.msg
        finally:
            tight.backend(True)
    for _ in range(tight.plugin.tight_room):
        tight.add(tight.pod())
    full = proc.wait_until(lambda: verdict_of_status(tight), "STATUS to have settled")
    assert full != "good"
    tight.plugin.lose_an_eni(tight)
    error = proc.wait_until(lambda: limited(tight), "STATUS 51")
    assert error.msg
    # what has no address any more may go like everything else
    for pod in tight.pods:
        tight.delete(pod)
    proc.wait_until(lambda: not limited(tight), "STATUS not to complain of pods that are gone")


def limited(subject):
    try:
        subject.call("STATUS", subject.conf())
        return None
    except CniError as error:
        return error if error.code == 51 else None


def test_row_42_add_and_del_do_not_need_status(bare_subject):
    pod = bare_subject.pod()
    bare_subject.add(pod)                               # STATUS was never called
    bare_subject.plugin.status_fails(bare_subject)
    assert refused(bare_subject.call, "STATUS", bare_subject.conf()).code == 50
    other = bare_subject.pod(cid="c2")
    bare_subject.add(other)
    bare_subject.check(other)
    for each in (pod, other):
        bare_subject.delete(each)
    assert bare_subject.held() == []


def test_row_43_status_is_quick_and_changes_nothing(subject):
    before = subject.snapshot()
    calls = subject.calls_elsewhere()
    path = subject.tmp / "status.strace"
    done = subject.exec(subject.env("STATUS"), subject.conf(), wrap=("strace", "-f", "-v", "-s", "65536", "-o", str(path)))
    assert done.returncode == 0
    record = trace.Trace(path)
    assert all(m.reads() and not subject.plugin.has_daemon for m in record.route_messages()) and not record.forks() and len(record.execs()) == 1
    writes = [l for l in record.lines if re.search(r"\bopenat\(.*(O_WRONLY|O_RDWR|O_CREAT)|\b(unlink|rename|mkdir|mount|setns)\w*\(", l)]
    assert not writes
    ((first, *more),) = subject.batch([[[subject.job("STATUS", conf=subject.conf())]] * 10])
    assert min(call["ms"] for (call,) in [first, *more]) < 100, "the quickest of ten: the machine may be busy"
    assert subject.snapshot() == before and subject.calls_elsewhere() == calls


@pytest.mark.limit(120)
def test_row_44_gc_frees_what_is_not_listed_and_keeps_what_is(subject):
    held = subject.held()
    pods = subject.new_pods(10)
    adds(subject, pods)
    for pod in pods[7:]:
        subject.lose(pod)
    gc(subject, [entry(pod) for pod in pods[:7]])
    assert subject.held() == sorted(held + [f"{pod.cid}/eth0" for pod in pods[:7]])
    for pod in pods[:7]:
        subject.check(pod)
    # the attachments of another network are not this one's to judge
    subject.call("GC", subject.conf(name="other", **{"cni.dev/valid-attachments": []}))
    assert len(subject.held()) == len(held) + 7
    gone = [pod.results["eth0"]["ips"][0]["address"].split("/")[0] for pod in pods[7:]]
    proc.wait_until(lambda: not [r for r in subject.run("ip", "route", "show", "table", "all").stdout.split() if r in gone],
                    "the routes of the others to be gone")


def test_row_45_gc_goes_on_after_an_error_and_reports_all(subject):
    """The first things that GC wants to remove cannot be: the others are, and all causes are told."""
    held = subject.held()
    pods = subject.new_pods(4)
    adds(subject, pods)
    for pod in pods:
        subject.lose(pod)
    with subject.plugin.undeletable(subject, 2):
        error = refused(gc, subject, [])
    left = [h for h in subject.held() if h not in held]
    assert len(left) == 2
    assert all(h.split("/")[0] in error.msg + error.details for h in left), (left, error)
    gc(subject, [])
    assert subject.held() == held


@pytest.mark.limit(120)
def test_row_46_gc_guards_the_living_whatever_none_is_called(subject):
    """[] , null (CRI-O at boot) and no key at all (cnitool gc) name nobody: what is dead goes, what lives stays and is reported."""
    living, log = subject.pod(), {"log_file": str(subject.tmp / "gc.log")}
    held = subject.held()
    subject.add(living)
    for encoding in ({"cni.dev/valid-attachments": []}, "null", {}):
        dead = subject.pod()
        subject.add(dead)
        subject.lose(dead)
        if encoding == "null":
            text = json.dumps(subject.conf(**log))[:-1] + ', "cni.dev/valid-attachments": null, "cni.dev/attachments": null}'
            assert subject.call("GC", text) is None
        else:
            assert subject.call("GC", subject.conf(**encoding, **log)) is None
        assert subject.held() == sorted(held + [f"{living.cid}/eth0"]), encoding
        subject.check(living)
        assert subject.plugin.reported_as_living(subject, living), encoding
    with subject.plugin.blinded(subject):
        gc(subject, [])
    subject.check(living)               # who cannot see has not seen a death


def test_row_47_gc_reads_both_spellings_of_the_list(subject):
    held = subject.held()
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        kept, dropped = subject.new_pods(2)
        adds(subject, [kept, dropped])
        for pod in (kept, dropped):
            subject.lose(pod)          # the list alone decides
        gc(subject, [entry(kept)], key)
        assert subject.held() == sorted(held + [f"{kept.cid}/eth0"])
        subject.delete("", cid=kept.cid)
    # the newer one counts when libcni sends both, and nothing is freed by half a list
    pod = subject.pod()
    subject.add(pod)
    subject.lose(pod)
    subject.call("GC", subject.conf(**{"cni.dev/valid-attachments": [entry(pod)], "cni.dev/attachments": []}))
    for bad in (5, {}, [1], [{}], [{"containerID": "a"}], [{"containerID": "../a", "ifname": "eth0"}],
                [{"containerID": "a", "ifname": "a/b"}]):
        assert refused(gc, subject, bad).code == 7, bad
    assert f"{pod.cid}/eth0" in subject.held()
    gc(subject, [])
    assert subject.held() == held


PREV = {"interfaces": [{"name": "br0", "mac": "02:00:00:00:00:01"}, {"name": "net0", "mac": "02:00:00:00:00:02", "sandbox": "/x"}],
        "ips": [{"address": "192.0.2.2/24", "gateway": "192.0.2.1", "interface": 1}], "routes": [{"dst": "198.51.100.0/24"}],
        "dns": {"nameservers": ["192.0.2.53"]}}


def test_row_48_chained_it_passes_on_what_was_there(subject):
    for version in ("0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        prev = {"cniVersion": version, **json.loads(json.dumps(PREV))}
        if version < "1.0.0":
            prev["ips"][0]["version"] = "4"
        pod = subject.pod()
        result = Result(subject.add(pod, version, prev=prev), version)
        assert result.interfaces[:2] == prev["interfaces"] and result.ips[0] == prev["ips"][0]
        assert result.routes[0] == prev["routes"][0] and result.raw["dns"] == prev["dns"]
        assert [result.interfaces[i["interface"]]["name"] for i in result.ips] == ["net0", "eth0"]
        if version >= "0.4.0":
            subject.check(pod, version=version)
        subject.delete(pod, version, prev=result.raw)
    before = subject.snapshot()
    for bad in (5, {"ips": [{"address": "192.0.2.2/24", "interface": 7}]}, {"interfaces": [{}]}, {"routes": [{"dst": "x"}]}):
        assert refused(subject.add, pod, prev=bad).code == 7, bad
    assert subject.snapshot() == before


def ipam_result(*addresses, **more):
    return {"cniVersion": "1.1.0", "ips": [{"address": f"{a}/24", "gateway": "192.0.2.1"} for a in addresses], **more}


def names(error):
    return f"{error.msg} {error.details}"


def test_row_49_a_delegate_is_found_in_order_and_gets_what_we_got(subject):
    if not subject.plugin.delegates:
        return refuses_to_delegate(subject)
    folders = [subject.tmp / name for name in ("first", "second", "third")]
    unusable, used, other = (Delegate(folder) for folder in folders)
    os.chmod(unusable.path, 0o644)
    (address,) = subject.plugin.addresses(subject, 1)
    for each in (used, other):
        each.answer("ADD", ipam_result(address, routes=[{"dst": "198.51.100.0/24"}], dns={"nameservers": ["192.0.2.53"]}))
    pod = subject.pod()
    conf = subject.conf(pod=pod, ipam={"type": "recorder", "some": ["thing", {"else": None}]}, runtimeConfig={"its": "own"})
    path = ":".join(["/nonexistent", "", *map(str, folders)])
    env = subject.env("ADD", pod, CNI_PATH=path, CNI_ARGS="IgnoreUnknown=1;X=y", SOMETHING="of the runtime's")
    done = subject.exec(env, json.dumps(conf))
    assert done.returncode == 0, done
    assert done.stderr == f"{used.path} runs ADD\n"                     # passed through, and nothing of ours
    ((command, stdin, seen, netns),) = used.calls()
    assert (command, stdin) == ("ADD", json.dumps(conf)) and env.items() <= seen.items()
    assert netns == subject.run("readlink", "/proc/self/ns/net").stdout.strip()
    assert not unusable.calls() and not other.calls()
    result = json.loads(done.stdout)
    pod.results["eth0"] = result
    assert [i["address"].split("/")[0] for i in result["ips"]] == [address] == pod.addresses("eth0")
    assert "198.51.100.0/24" in [r["dst"] for r in result["routes"]] and result["dns"] == {"nameservers": ["192.0.2.53"]}
    assert "198.51.100.0/24" in [r["dst"] for r in pod.json("route", "show")]
    used.calls()
    for name in ("../second/recorder", "nobody-has-this", ".."):
        error = refused(subject.call, "ADD", subject.conf(pod=pod, ipam={"type": name}), subject.pod(), CNI_PATH=path)
        assert error.code == 7 and name in names(error), error


def refuses_to_delegate(subject):
    """Who asks for a delegate that will not be run must hear of it: key and value, before anything is done."""
    pod, delegate = subject.pod(), Delegate(subject.tmp / "bin")
    before = subject.snapshot()
    error = refused(subject.call, "ADD", subject.conf(pod=pod, ipam={"type": "recorder"}), pod, CNI_PATH=str(subject.tmp / "bin"))
    assert error.code == 2 and "ipam.type" in error.msg and "recorder" in error.msg and delegate.calls() == []
    assert subject.snapshot() == before


def forwards_nothing(subject):
    """The configuration of a living attachment was given an `ipam` afterwards: it does not keep what is there from being looked after."""
    pod, delegate = with_lo_up(subject), Delegate(subject.tmp / "bin")
    before = subject.snapshot()
    result = subject.add(pod)
    for verb in ("CHECK", "GC", "DEL", "STATUS"):
        conf = subject.conf(pod=pod, ipam={"type": "recorder"}, prevResult=result, **{"cni.dev/valid-attachments": [entry(pod)]})
        assert subject.call(verb, conf, pod, CNI_PATH=str(subject.tmp / "bin")) is None, verb
    assert delegate.calls() == []
    subject.settled(before)


def test_row_50_a_delegate_is_told_of_every_failure(subject):
    delegate = Delegate(subject.tmp / "bin")
    pod = with_lo_up(subject)
    conf = subject.conf(pod=pod, ipam={"type": "recorder"})
    path = {"CNI_PATH": str(subject.tmp / "bin")}
    before = subject.snapshot()

    def add():
        done = subject.exec(subject.env("ADD", pod, **path), conf)
        assert done.returncode != 0
        return CniError(*[strict_object(done.stdout, "ADD").get(k) for k in ("code", "msg", "details")], raw=None)

    delegate.fail("ADD", 123, "out of addresses", "all 3 of them")
    error = add()                                               # it fails itself
    assert error.code == 123 and "out of addresses" in error.msg and error.details == "all 3 of them"
    assert delegate.commands() == ["ADD", "DEL"]
    (address,) = subject.plugin.addresses(subject, 1)
    broken = {
        "no JSON": "hello", "no result": "[]", "two documents": json.dumps(ipam_result(address)) * 2, "no address": ipam_result(),
        "no version of ours": {**ipam_result(address), "cniVersion": "9.9.9"}, "two of a family": ipam_result(address, "192.0.2.9"),
        "not ours": ipam_result("192.0.2.77"),                  # the main part refuses
        "a route that cannot be": ipam_result(address, routes=[{"dst": "198.51.100.7/24"}]),           # after the interface was made
    }
    for case, answer in broken.items():
        delegate.answer("ADD", answer)
        assert add().code in (6, 7, 101), case
        assert delegate.commands() == ["ADD", "DEL"], case
        subject.settled(before)
    # an interface that is there: the delegate is not asked, or it would lose what the first ADD has
    delegate.answer("ADD", ipam_result(address))
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    assert add().code == 100 and delegate.commands() == []
    pod.run("ip", "link", "del", "eth0")
    # and one that does not end is ended
    (delegate.dir / "ADD.out").unlink()
    os.mkfifo(delegate.dir / "ADD.out")
    conf["timeout_ms"] = 500
    error = add()
    assert error.code == 11 and "in time" in error.msg
    subject.settled(before)


def test_row_51_other_verbs_are_forwarded(subject):
    if not subject.plugin.delegates:
        return forwards_nothing(subject)
    delegate = Delegate(subject.tmp / "bin")
    pod = with_lo_up(subject)
    before = subject.snapshot()
    (address,) = subject.plugin.addresses(subject, 1)
    delegate.answer("ADD", ipam_result(address))
    path = {"CNI_PATH": str(subject.tmp / "bin")}

    def run(verb, prev=None, wrap=()):
        conf = subject.conf(pod=pod, ipam={"type": "recorder"}, prevResult=prev, **{"cni.dev/valid-attachments": [entry(pod)]})
        done = subject.exec(subject.env(verb, pod, **path), conf, wrap)
        ((command, stdin, _, _),) = delegate.calls()
        assert command == verb and json.loads(stdin) == conf
        return done

    result = json.loads(run("ADD").stdout)
    for verb in ("CHECK", "STATUS", "GC"):
        for wrap in (), ("/usr/bin/env", "--ignore-signal=CHLD"):       # as a runtime may have started us
            done = run(verb, result, wrap)
            assert done.returncode == 0 and done.stdout == "", (verb, done)
    for verb in ("CHECK", "STATUS", "GC", "DEL"):
        delegate.fail(verb, 107, f"no {verb} today", "come again")
        done = run(verb, result)
        error = strict_object(done.stdout, verb)
        assert done.returncode != 0 and (error["code"], error["details"]) == (107, "come again")
        assert f"no {verb} today" in error["msg"]
    assert f"{pod.cid}/eth0" not in subject.held()              # our part of the DEL was done all the same
    delegate.answer("DEL", "")
    assert run("DEL", result).returncode == 0
    subject.settled(before)


def test_row_52_addresses_of_ipam_plugins(subject):
    """Debian's host-local and static say no interface; our result does. And what is no IPAM plugin does not pretend to be one."""
    if subject.plugin.chooses:
        serves_addresses_of(subject)
    pod = subject.pod()
    before = subject.snapshot()
    error = refused(subject.call, "ADD", {**subject.conf("1.0.0", pod), "type": "ptp", "ipam": {"type": subject.plugin.program}}, pod)
    assert error.code == 2 and subject.plugin.program in error.msg
    assert subject.snapshot() == before


def serves_addresses_of(subject):
    addresses = subject.plugin.addresses(subject, 6)
    net = ipaddress.ip_network(f"{addresses[0]}/28", strict=False)
    ipams = {
        "host-local": {"type": "host-local", "dataDir": str(subject.tmp / "leases"),
                       "ranges": [[{"subnet": str(net), "rangeStart": addresses[0], "rangeEnd": addresses[-1]}]]},
        "static": {"type": "static", "addresses": [{"address": f"{addresses[0]}/28"}],
                   "routes": [{"dst": "198.51.100.0/24"}, {"dst": "0.0.0.0/0"}]},
    }
    for name, ipam in ipams.items():
        for version in ("0.3.1", "0.4.0", "1.0.0"):
            pod = subject.pod()
            conf = subject.conf(version, pod, ipam=ipam)
            env = subject.env("ADD", pod, CNI_PATH="/usr/lib/cni")
            raw = strict_object(subject.run_exact(env, [f"/usr/lib/cni/{name}"], json.dumps(conf)).stdout, name)
            assert "interfaces" not in raw and all("interface" not in ip for ip in raw["ips"])
            assert subject.run_exact({**env, "CNI_COMMAND": "DEL"}, [f"/usr/lib/cni/{name}"], json.dumps(conf)).returncode == 0
            result = Result(subject.call("ADD", conf, pod, CNI_PATH="/usr/lib/cni"), version)
            assert result.address in addresses and [ip["interface"] for ip in result.ips] == [1]
            assert pod.addresses("eth0") == [result.address]
            if version >= "0.4.0":
                subject.call("CHECK", {**conf, "prevResult": result.raw}, pod, CNI_PATH="/usr/lib/cni")
            subject.call("DEL", {**conf, "prevResult": result.raw}, pod, CNI_PATH="/usr/lib/cni")
            subject.rested()


KUBERNETES = ["K8S_POD_NAMESPACE=ns", "K8S_POD_NAME=p", "K8S_POD_INFRA_CONTAINER_ID=i", "K8S_POD_UID=u", "IgnoreUnknown=1"]


def test_row_53_cni_args(subject):
    pod = subject.pod()
    # go-cni sends them in the order of a Go map
    turned = [";".join(KUBERNETES[i:] + KUBERNETES[:i]) for i in range(5)]
    for args in ("", "IgnoreUnknown=0", "FOO=x;IgnoreUnknown=true", "IgnoreUnknown=1;K8S_POD_NAME=p;X=y", *turned):
        subject.add(pod, args=args)
        subject.delete(pod, args=args)
        proc.wait_until(lambda: set(pod.links()) == {"lo"}, "the interface to be gone")
    before = subject.snapshot()
    for args in ("FOO=x", "A==B;IgnoreUnknown=1", "K8S_POD_NAME", "K8S_POD_NAME=p;", ";", "IgnoreUnknown=maybe", "FOO=x;IgnoreUnknown=0"):
        error = refused(subject.add, pod, args=args)
        assert error.code == 4 and "CNI_ARGS" in error.msg, args
        subject.delete(pod, args=args)          # but nothing may keep a DEL from its work
    assert subject.snapshot() == before


MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"]


def test_row_54_addresses_and_macs_that_are_asked_for(subject):
    """The capability beats args, args beats CNI_ARGS; what cannot be had is refused, but for args, which are hints."""
    if subject.plugin.chooses:
        serves_wishes(subject)
    elif subject.plugin.takes:
        takes_wishes(subject)
    else:
        refuses_wishes(subject)


def takes_wishes(subject):
    """Any address that is nobody's; a hint only where the configuration does not say."""
    capability = {"runtimeConfig": {"ips": ["172.30.9.1/16"], "mac": MACS[0]}}
    args = {"args": {"cni": {"ips": ["172.30.9.2"], "mac": MACS[1]}}}
    env = f"IP=172.30.9.3;MAC={MACS[2]};K8S_POD_NAME=p"
    for conf, cni_args, address, mac in (({**capability, **args}, env, "172.30.9.1", 0), (capability, env, "172.30.9.1", 0),
                                         ({**args, "ipAddresses": None}, env, "172.30.9.2", 1), (args, None, None, 1), ({}, env, "172.30.9.3", 2)):
        pod = subject.pod()
        result = subject.add(pod, conf=conf, args=cni_args)
        own = subject.conf(pod=pod)["ipAddresses"][0].split("/")[0]
        assert pod.addresses("eth0") == [address or own] == [i["address"].split("/")[0] for i in result["ips"]]
        assert pod.links()["eth0"]["address"] == MACS[mac] == result["interfaces"][1]["mac"]
        subject.check(pod, conf=conf, args=cni_args)
        pod.run("ping", "-c1", "-W5", subject.reachable())
        subject.delete(pod, conf=conf)
    held = subject.pod()
    subject.add(held, conf=capability)
    pod = with_lo_up(subject)
    before = subject.snapshot()
    refusals = [({"ips": ["172.30.9.1"]}, 11, "172.30.9.1"), ({"ips": ["2001:db8::9"]}, 7, "2001:db8::9"), ({"ips": ["10.0.1.5"]}, 7, "10.0.1.5"),
                ({"ips": ["172.30.9.5", "172.30.9.6"]}, 2, "ips"), ({"ips": ["nonsense"]}, 7, "runtimeConfig.ips[0]"),
                ({"mac": "01:00:5e:00:00:01"}, 7, "mac")]
    refusals += [({key: value}, 2, f"runtimeConfig.{key}") for key, value in subject.plugin.unsupported["runtimeConfig"].items()]
    for wish, code, words in refusals:
        error = refused(subject.add, pod, conf={"runtimeConfig": wish})
        assert error.code == code and words in error.msg, (wish, error)
        subject.settled(before)
        (key, value), = wish.items()
        subject.add(pod, conf={"runtimeConfig": {key: type(value)()}})          # empty: nothing is asked for
        subject.delete(pod, conf={"runtimeConfig": wish})                       # and no DEL fails for it
        subject.settled(before)
    for cni_args, code in (("IP=nonsense", 4), ("MAC=nonsense", 4), ("IP=172.30.9.1", 11)):
        assert refused(subject.add, pod, args=cni_args).code == code, cni_args


def refuses_wishes(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    wishes = {"ips": ["10.0.9.9/24"], "mac": MACS[0], **subject.plugin.unsupported["runtimeConfig"]}
    for key, value in wishes.items():
        error = refused(subject.add, pod, conf={"runtimeConfig": {key: value}})
        assert error.code == 2 and f"runtimeConfig.{key} is {json.dumps(value, separators=(',', ':'))}" in error.msg, error
        subject.add(pod, conf={"runtimeConfig": {key: type(value)()}})          # empty: nothing is asked for
        subject.delete(pod, conf={"runtimeConfig": {key: value}})               # and no DEL fails for it
        subject.settled(before)
    for args in ("IP=10.0.9.9", f"MAC={MACS[0]}"):
        error = refused(subject.add, pod, args=args)
        assert error.code == 2 and args in error.msg
    for hint in ({"ips": ["10.0.9.9"], "mac": MACS[0]}, {"ips": 5}, 5):
        result = subject.add(pod, conf={"args": {"cni": hint}})
        assert result["interfaces"][0]["mac"] == pod.links()["eth0"]["address"] != MACS[0] and pod.addresses("eth0") != ["10.0.9.9"]
        subject.delete(pod)
        subject.settled(before)


def serves_wishes(subject):
    one, two, three = subject.plugin.addresses(subject, 3)
    capability = {"runtimeConfig": {"ips": [f"{one}/28"], "mac": MACS[0]}}
    args = {"args": {"cni": {"ips": [two], "mac": MACS[1]}}}
    env = f"IP={three};MAC={MACS[2]};K8S_POD_NAME=p"
    for conf, cni_args, want in (({**capability, **args}, env, 0), (capability, env, 0), (args, env, 1), ({}, env, 2),
                                 ({"runtimeConfig": {}}, env, 2)):
        pod = subject.pod()
        result = subject.add(pod, conf=conf, args=cni_args)
        assert pod.addresses("eth0") == [(one, two, three)[want]] == [i["address"].split("/")[0] for i in result["ips"]]
        assert pod.links()["eth0"]["address"] == MACS[want] == result["interfaces"][1]["mac"]
        subject.check(pod, conf=conf, args=cni_args)
        pod.run("ping", "-c1", "-W5", subject.reachable())
        subject.delete(pod, conf=conf)
        subject.rested()

    held = subject.pod()
    subject.add(held, conf={"runtimeConfig": {"ips": [one]}})
    pod = with_lo_up(subject)
    before = subject.snapshot()

    def asks(**runtime):
        return refused(subject.add, pod, conf={"runtimeConfig": runtime})

    assert asks(ips=[one]).code == 11 and one in asks(ips=[one]).msg            # somebody has it
    assert asks(ips=["192.0.2.9"]).code == 7 and "192.0.2.9" in asks(ips=["192.0.2.9"]).msg
    assert asks(ips=["2001:db8::9"]).code == 7                                  # a family that pods here do not get
    assert asks(ips=[one, two]).code == 2                                       # one of each family is what there is
    for bad in ("nonsense", "", "10.0.0.300", f"{one}/33", 5, None, {}):
        error = asks(ips=[bad])
        assert error.code == 7 and "runtimeConfig.ips[0]" in error.msg, bad
    for bad in ("nonsense", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", 5):
        error = asks(mac=bad)
        assert error.code == 7 and "mac" in error.msg, bad
    assert asks(ips="x").code == 7 and refused(subject.add, pod, conf={"runtimeConfig": []}).code == 7
    for cni_args, code in (("IP=nonsense", 4), ("MAC=nonsense", 4), (f"IP={two},{three}", 4), ("IP=192.0.2.9", 7),
                           (f"IP={one}", 11)):
        assert refused(subject.add, pod, args=cni_args).code == code, cni_args
    for key, value in subject.plugin.unsupported["runtimeConfig"].items():
        error = asks(**{key: value})
        assert error.code == 2 and f"runtimeConfig.{key} is {json.dumps(value, separators=(',', ':'))}" in error.msg, error
        subject.add(pod, conf={"runtimeConfig": {key: type(value)()}})          # empty: nothing is asked for
        subject.delete(pod, conf={"runtimeConfig": {key: value}})               # and no DEL fails for it
        subject.settled(before)
    # hints: what cannot be had, or is not understood, is given up
    for hint in ({"ips": [one]}, {"ips": ["192.0.2.9"]}, {"ips": ["nonsense", 5]}, {"ips": 5}, {"mac": "nonsense"}, 5):
        subject.add(pod, conf={"args": {"cni": hint}})
        assert pod.addresses("eth0") not in ([one], ["192.0.2.9"])
        subject.delete(pod)
        subject.settled(before)


def test_row_55_interfaces_are_in_order_and_true(subject):
    for version in ("0.3.1", "1.0.0", "1.1.0"):
        pod = subject.pod()
        result = Result(subject.add(pod, version), version)
        (inside,) = [i for i in result.interfaces if i.get("sandbox")]
        kernel = pod.links()["eth0"]
        assert (inside["name"], inside["sandbox"], inside["mac"]) == ("eth0", pod.path, kernel["address"])
        for host in [i for i in result.interfaces if not i.get("sandbox")]:
            (found,) = subject.json("link", "show", "dev", host["name"])
            assert host["mac"] == found["address"] and host.get("mtu", found["mtu"]) == found["mtu"]
        if version == "1.1.0":
            assert inside["mtu"] == kernel["mtu"]
        subject.delete(pod, version)


def as_containerd_reads(raw):
    """go-cni result.go and containerd's selectPodIPs: addresses by interface name; eth0 must have one."""
    names = [i["name"] for i in raw["interfaces"]]
    found = {}
    for ip in raw["ips"]:
        index = ip.get("interface")
        assert index is None or 0 <= index < len(names), "invalid interface config"
        found.setdefault("eth0" if index is None else names[index], []).append(ipaddress.ip_interface(ip["address"]))
    assert found.get("eth0"), "failed to find network info for sandbox"
    return found["eth0"]


def as_podman_reads(raw):
    """containers/common libnetwork/cni/cni_conversion.go: every interface with a sandbox needs a MAC that net.ParseMAC takes."""
    blocks = {}
    for index, iface in enumerate(raw["interfaces"]):
        if iface.get("sandbox"):
            assert re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", iface["mac"]), iface
            blocks[index] = []
    for ip in raw["ips"]:
        if ip.get("interface") in blocks:
            blocks[ip["interface"]].append(ip["address"])
    return [address for block in blocks.values() for address in block]


def test_row_56_runtimes_find_what_they_look_for(subject):
    for version in ("0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        pod = subject.pod()
        raw = subject.add(pod, version)
        assert [str(a.ip) for a in as_containerd_reads(raw)] == pod.addresses("eth0")
        assert as_podman_reads(raw) == [i["address"] for i in raw["ips"]]
        subject.delete(pod, version)


@pytest.mark.limit(300)
def test_row_57_a_hundred_at_once(subject):
    """20 rounds: 100 containers come beside their loopback while the hundred of the round before go."""
    held = subject.held()
    pods = subject.new_pods(200)
    groups = [pods[:100], pods[100:]]
    leaving = []
    rounds = proc.times(20)
    for round_ in range(rounds + 1):
        coming = groups[round_ % 2] if round_ < rounds else []
        chains = [[[subject.job("ADD", pod), loopback("ADD", pod)], [subject.job("CHECK", pod, prev=True)]] for pod in coming]
        # mixed: one of those that leave behind each that comes
        dels = [[[subject.job("DEL", pod)]] for pod in leaving]
        chains = [c for pair in itertools.zip_longest(chains, dels) for c in pair if c]
        done = subject.batch(chains, workers=100, timeout_s=120)
        wrong = [call for chain in done for step in chain for call in step if call["status"] != 0]
        assert not wrong, (round_, len(wrong), wrong[:3])
        addresses = [json.loads(chain[0][0]["stdout"])["ips"][0]["address"] for chain in done if len(chain) == 2]
        assert len(set(addresses)) == len(coming), "an address twice"
        leaving = coming
    assert subject.held() == held
    proc.wait_until(lambda: not subject.left_over(), lambda: f"nothing to be left: {subject.left_over()}")
    assert all(set(pod.links()) == {"lo"} for pod in pods)


def loopback(command, pod):
    """As go-cni calls it, in the same namespace at the same time."""
    return {"argv": [LOOPBACK], "stdin": {"cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback"}, "keep": False,
            "env": {"PATH": "/usr/bin:/bin", "CNI_COMMAND": command, "CNI_CONTAINERID": pod.cid, "CNI_NETNS": pod.path, "CNI_IFNAME": "lo",
                    "CNI_PATH": "/usr/lib/cni"}}


@pytest.mark.limit(240)
def test_row_58_beside_a_concurrent_loopback(subject):
    """A thousand times, two containers at a time: lo comes up by one or the other, and both succeed."""
    pods = subject.new_pods(20)
    for _ in range(proc.times(50)):
        chains = [[[loopback("ADD", pod), subject.job("ADD", pod)], [subject.job("CHECK", pod, prev=True)],
                   [subject.job("DEL", pod, prev=True), loopback("DEL", pod)]] for pod in pods]
        done = subject.batch(chains, workers=2)
        wrong = [call for chain in done for step in chain for call in step if call["status"] != 0]
        assert not wrong, wrong[:3]
    assert not [h for h in subject.held() if any(pod.cid in h for pod in pods)]


def test_row_59_the_nodes_own_namespace_is_refused(subject):
    before = subject.snapshot()
    prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}]}
    for command in ("ADD", "DEL", "CHECK"):
        error = refused(subject.call, command, subject.conf(prevResult=prev), "/proc/self/ns/net")
        assert error.code == 8, (command, error)
    for netns, words in (("/nonexistent", "No such file"), ("/etc/passwd", "not a network namespace"),
                         ("/proc/self/ns/mnt", "not a network namespace"), ("/tmp", "not a network namespace"), ("x" * 600, "CNI_NETNS")):
        error = refused(subject.add, netns)
        assert error.code in (4, 8) and words in error.msg, (netns, error)
    assert subject.snapshot() == before


def nested(depth):
    return "[" * depth + "]" * depth


def measured(subject, stdin):
    """ADD to a namespace that does not exist -> (exit status, stdout, peak KiB, CPU seconds)."""
    path = subject.tmp / "stdin"
    path.write_text(stdin)
    out = subject.tmp / "out"
    binary = str(proc.BIN / subject.plugin.program)        # the file that the lab's nodes have
    pid = os.posix_spawn(binary, [binary], subject.env("ADD", "/x"),
                         file_actions=[(os.POSIX_SPAWN_OPEN, 0, path, os.O_RDONLY, 0),
                                       (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                                       (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    return status, out.read_text(), usage.ru_maxrss, usage.ru_utime + usage.ru_stime


def test_row_60_input_has_limits(subject):
    conf = subject.conf()
    routes = [{"dst": f"10.{i >> 8 & 255}.{i & 255}.0/24", "gw": "192.0.2.1"} for i in range(10000)]
    prev = {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.2/24"}], "routes": routes}
    large = json.dumps({**conf, "prevResult": prev})[:-1] + ', "x": ' + nested(63) + "}"
    cases = [
        (json.dumps({**conf, "pad": "x" * (1 << 20)}), 6, "larger than 1048576 bytes"),
        (json.dumps(conf)[:-1] + ', "x": ' + nested(64) + "}", 6, "deeper than 64"),
        (json.dumps(conf)[:-1] + ', "x": ' + nested(400000) + "}", 6, "deeper than 64"),
        ("[" * (1 << 20), 6, ""),
        (json.dumps(conf)[:-1] + ', "x": "' + "\\u0041" * 170000 + '"}', 8, "/x"),
        (large, 8, "/x"),
    ]
    for stdin, code, words in cases:
        status, out, peak_kib, cpu_s = measured(subject, stdin)
        error = strict_object(out, "ADD")
        assert status != 0 and error["code"] == code and words in error["msg"], error
        assert proc.SANITIZED or peak_kib < 64 << 10, f"{peak_kib} KiB for {stdin[:60]}..."
        assert cpu_s < (20 if proc.SANITIZED else 2), f"{cpu_s} s for {stdin[:60]}..."
    # what is within the limits is served
    pod = subject.pod()
    result = subject.call("ADD", json.dumps({**subject.conf(pod=pod), "prevResult": prev})[:-1] + ', "x": ' + nested(63) + "}", pod)
    assert result["routes"][:10000] == routes
    endless = subject.exec(subject.env("ADD", "/x"), "", wrap=("sh", "-c", 'exec "$@" </dev/zero', "-"))
    assert strict_object(endless.stdout, "ADD")["code"] == 6
