# SPDX-License-Identifier: Apache-2.0
"""Rows 23 to 38 of the conformance checklist: what ADD makes, what failures leave, DEL, CHECK. One test for each row and plugin."""
import collections
import copy
import json
import re
import shutil

import pytest

from tests.harness import audit, cni, proc
from tests.harness.cni import CniError

STRACE = shutil.which("strace") or "strace"


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_row_23_an_interface_that_exists_is_an_error_and_stays(subject):
    pod = subject.pod()
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    pod.run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
    before = subject.snapshot()
    error = refused(subject.add, pod)
    assert error.code == 100 and "eth0" in error.msg and "exists" in error.msg
    subject.settled(before)
    subject.delete(pod)                 # nor is it this plugin's to delete
    assert subject.snapshot() == before
    # the same ADD twice: the first one's interface is in the second one's way, and keeps working
    pod = subject.pod()
    subject.add(pod)
    before = subject.snapshot()
    assert refused(subject.add, pod).code == 100
    assert subject.snapshot() == before
    subject.check(pod)


def test_row_24_any_interface_name(subject):
    for ifname in ("net1", "exactly15bytes0", "eth0.5", "-x"):
        pod = subject.pod()
        result = subject.add(pod, ifname=ifname)
        assert set(pod.links()) == {"lo", ifname}
        assert [i["name"] for i in result["interfaces"] if i.get("sandbox")] == [ifname]
        subject.check(pod, ifname=ifname)
        subject.delete(pod, ifname=ifname)
        proc.wait_until(lambda p=pod: set(p.links()) == {"lo"}, "the interface to be gone")


def test_row_25_two_attachments_of_one_container(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    addresses = [subject.add(pod, ifname=i)["ips"][0]["address"] for i in ("eth0", "net1")]
    assert len(set(addresses)) == 2 and len(subject.held()) - len([h for h in before if h.startswith("held:")]) == 2
    subject.check(pod)
    subject.check(pod, ifname="net1")
    for ifname, address in zip(("eth0", "net1"), addresses):
        source = address.split("/")[0]
        assert pod.json("route", "get", subject.plugin.beyond, "from", source)[0]["dev"] == ifname
        pod.run("ping", "-c1", "-W5", "-I", source, subject.reachable())
    subject.delete(pod, ifname="net1", prev=pod.results["net1"])
    proc.wait_until(lambda: set(pod.links()) == {"lo", "eth0"}, "net1 to be gone")
    subject.check(pod)
    subject.delete(pod)
    subject.settled(before)


# --- rows 26 and 27: a system call fails, or is the last one

def traced(subject, pod, command, *options):
    env = subject.env(command, pod)
    return subject.exec(env, subject.conf(pod=pod), wrap=(STRACE, "-qq", "-o", *options))


def calls_of(subject, pod, command):
    """(system call, nth time) in the order in which an undisturbed run makes them, from the first after exec on; of a sanitized one,
    whose libraries make hundreds of them, from the look at stdin on."""
    path = subject.tmp / f"{command}.calls"
    done = traced(subject, pod, command, str(path))
    assert done.returncode == 0, done.stdout
    seen, calls, begun = collections.Counter(), [], not proc.SANITIZED
    for name, arguments in re.findall(r"^(\w+)\((.*)", path.read_text(), re.M):
        seen[name] += 1
        begun |= name in ("poll", "ppoll") and "fd=0," in arguments
        if begun and name not in ("execve", "exit_group"):
            calls.append((name, seen[name]))
    assert begun
    return calls


def deaths(calls):
    """All of them; of a sanitized program, whose next run is what takes the time, the first of each system call and every fifth."""
    if not proc.SANITIZED:
        return calls
    return [(name, nth) for i, (name, nth) in enumerate(calls) if i % 5 == 0 or name not in {n for n, _ in calls[:i]}]


def killed(subject, pod, command, name, nth):
    done = traced(subject, pod, command, "/dev/null", "-e", f"inject={name}:signal=SIGKILL:when={nth}")
    assert done.returncode != 0 and not done.stdout, f"{command} lived through {name} number {nth}"


def with_lo_up(subject):
    pod = subject.pod()
    pod.run("ip", "link", "set", "lo", "up")
    return pod


CAN_FAIL = ("connect", "sendto", "sendmsg", "recvfrom", "recvmsg", "socket", "bind", "setns", "open", "openat", "ioctl", "bpf", "poll",
            "write", "read")


@pytest.mark.limit(240)
def test_row_26_an_add_that_fails_leaves_nothing(subject):
    """Every system call that can fail fails once, in its turn; no DEL follows."""
    pod = with_lo_up(subject)
    before = subject.snapshot()
    calls = calls_of(subject, pod, "ADD")
    subject.delete(pod)
    subject.settled(before)
    failed = collections.Counter()
    for name, nth in calls:
        if name not in CAN_FAIL:
            continue
        done = traced(subject, pod, "ADD", "/dev/null", "-e", f"inject={name}:error=EIO:when={nth}")
        if done.returncode == 0:        # it can do without
            subject.delete(pod)
            continue
        failed["openat" if name == "open" else name] += 1       # musl has both where the kernel has
        if name != "write" or done.stdout:      # what cannot be written cannot be judged
            with pytest.raises(CniError) as caught:
                cni.judge(done, "1.1.0", f"ADD with {name} number {nth} failing")
            assert caught.value.code != 999 and caught.value.msg
        proc.wait_until(lambda: set(pod.links()) == {"lo"}, f"nothing to be left after {name} number {nth} failed")
    assert subject.plugin.must_fail <= set(failed), failed
    subject.settled(before)


@pytest.mark.limit(240)
def test_row_27_an_add_killed_at_any_call_leaves_nothing_after_del(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    in_add = deaths(calls_of(subject, pod, "ADD"))
    subject.delete(pod)
    for name, nth in in_add:
        killed(subject, pod, "ADD", name, nth)
        subject.delete(pod)
    subject.settled(before)
    # and a DEL that is killed is finished by the next one
    in_del = deaths(calls_after_add(subject, pod))
    for name, nth in [("none", 0)] + in_del:
        if name != "none":
            killed(subject, pod, "DEL", name, nth)
            subject.delete(pod)
        subject.add(pod)
        subject.check(pod)
    subject.delete(pod)
    subject.settled(before)
    print(f"# {subject.plugin.name}: ADD killed at {len(in_add)} system calls, DEL at {len(in_del)}")
    assert len(in_add) >= 40 / (5 if proc.SANITIZED else 1) and len(in_del) >= 20 / (5 if proc.SANITIZED else 1)


def calls_after_add(subject, pod):
    subject.add(pod)
    return calls_of(subject, pod, "DEL")


def test_row_28_del_repeats(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    subject.add(pod)
    for _ in range(3):
        subject.delete(pod, prev=pod.results["eth0"])
    subject.settled(before)


def test_row_29_del_of_what_never_was(subject):
    pod = subject.pod()
    before = subject.snapshot()
    subject.delete(pod, cid="nobody-has-this")
    subject.delete("/nonexistent/netns", cid="nobody-has-this")
    assert subject.snapshot() == before


def test_row_30_del_without_netns_or_interface(subject):
    for case in ("path missing", "empty", "no namespace", "a folder", "namespace gone", "interface gone"):
        pod = subject.pod()
        held, kernel = subject.held(), subject.kernel()
        subject.add(pod)
        where = {"path missing": "/nonexistent/netns", "empty": "", "no namespace": "/etc/passwd", "a folder": "/tmp"}.get(case, pod)
        if case == "namespace gone":
            subject.pods.remove(pod)
            subject.drop_pod(pod)
        if case == "interface gone":
            pod.run("ip", "link", "del", "eth0")
        subject.delete(where, cid=pod.cid)
        assert subject.held() == held, case
        subject.plug_again()
        proc.wait_until(lambda k=kernel: subject.kernel() == k, lambda k=kernel, c=case: f"{c}: {audit.difference(k, subject.kernel())}")


def test_row_31_del_without_prev_result(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    subject.add(pod)
    subject.delete(pod, prev=None)
    subject.settled(before)


def test_row_32_del_with_any_prev_result(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    other = {"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": "/x"}], "ips": [{"address": "10.0.0.1/32", "interface": 0}]}
    for prev in ({"cniVersion": "9.9.9"}, {"ips": 5}, 5, "x", [], {"cniVersion": "1.1.0", "ips": [{"address": "?"}]}, other):
        subject.add(pod)
        subject.delete(pod, prev=prev)
        assert [f"held: {h}" for h in subject.held()] == [row for row in before if row.startswith("held:")]
    subject.settled(before)


def test_row_33_del_without_the_daemon_is_made_up_for(subject):
    pod = with_lo_up(subject)
    before = subject.snapshot()
    subject.add(pod)
    subject.backend(False)
    try:
        for _ in range(2):
            subject.delete(pod)
        assert set(pod.links()) == {"lo"}
    finally:
        subject.backend(True)
    subject.settled(before)


@pytest.mark.limit(180)
def test_row_34_check_right_after_add(subject):
    """A thousand times, as CRI-O does it."""
    pods = subject.new_pods(20)
    chain = [("ADD", False), ("CHECK", True), ("CHECK", True), ("DEL", True)]
    for _ in range(proc.times(25)):
        done = subject.batch([[[subject.job(c, pod, prev=p)] for c, p in chain] for pod in pods], workers=2)
        wrong = [call for steps in done for (call,) in steps if call["status"] != 0 or call["stderr"]]
        assert not wrong, wrong[:3]


def test_row_35_check_misses_nothing(bare_subject, pins):
    pod = bare_subject.pod()
    bare_subject.add(pod)
    bare_subject.check(pod)
    for number in range(len(bare_subject.plugin.damages(pod))):
        pod = bare_subject.pod(cid=f"d{number}")
        bare_subject.add(pod)
        where, command, words = bare_subject.plugin.damages(pod)[number]
        (pod.run if where == "pod" else bare_subject.run)(*command.split())
        error = refused(bare_subject.check, pod)
        assert error.code == 103 and words in error.msg, (command, error)
        undo = bare_subject.plugin.undo.get(command)
        if undo:
            bare_subject.run(*undo.split())


def test_row_36_check_tolerates_what_chained_plugins_did(subject):
    pod = subject.pod()
    result = copy.deepcopy(subject.add(pod))
    gateway = result["routes"][0]["gw"]
    pod.run("ip", "route", "add", "192.0.2.0/24", "via", gateway, "dev", "eth0")
    pod.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth0")
    pod.run("ip", "link", "set", "eth0", "mtu", "1400", "address", "02:00:00:00:00:99")
    inside = next(i for i in result["interfaces"] if i.get("sandbox"))
    inside.update(mac="02:00:00:00:00:99", mtu=1400)
    result["ips"].append({"address": "192.0.2.77/32", "interface": result["interfaces"].index(inside)})
    result["routes"].append({"dst": "192.0.2.0/24", "gw": gateway})
    result["interfaces"].append({"name": "ifb0", "mac": "02:00:00:00:00:55"})
    result["dns"] = {"nameservers": ["192.0.2.53"]}
    subject.check(pod, result)


def test_row_37_check_needs_prev_result(subject):
    pod = subject.pod()
    result = subject.add(pod)
    outside = [i for i in result["interfaces"] if not i.get("sandbox")]
    for bad in (None, 5, "x", {"ips": 5}, {**result, "interfaces": []}, {**result, "interfaces": outside}):
        assert refused(subject.check, pod, bad).code == 7, bad
    address = result["ips"][0]["address"].split("/")[0]
    error = refused(subject.check, pod, json.loads(json.dumps(result).replace(f"{address}/", "192.0.2.99/")))
    assert error.code == 103 and address in error.msg
    subject.check(pod)


def test_row_38_check_fails_without_daemon_or_attachment(subject):
    pod = subject.pod()
    subject.add(pod)
    assert refused(subject.check, pod, cid="somebody-else").code == 3
    if subject.plugin.has_daemon:
        subject.backend(False)
        try:
            assert refused(subject.check, pod).code == 11
        finally:
            subject.backend(True)
    subject.check(pod)
