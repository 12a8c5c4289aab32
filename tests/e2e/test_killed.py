# SPDX-License-Identifier: Apache-2.0
"""A runtime that loses patience sends SIGKILL, at any point. The DEL that follows must leave nothing behind."""
import collections
import json
import pathlib
import re
import shutil

import pytest

from tests.harness import audit, cni, proc
from tests.harness.cni import CniError

LAB = {"prefix_delegation": True}       # each try cools an address down: a /28 more is at hand


def run_plugin(pod, command, *wrap):
    stdin = json.dumps(cni.plugin_conf(pod.node.conflist))
    plugin = f"{pod.node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire"
    # a sanitized plugin cannot look for leaks while it is traced
    return pod.node.run("env", "-i", *pod.cni_env(command), "ASAN_OPTIONS=detect_leaks=0", *wrap, plugin, input=stdin, check=False)


def calls_of(pod, command):
    """(system call, nth time) in the order in which an undisturbed run makes them, from the first after exec on."""
    path = pathlib.Path(pod.node.lab.dir.name) / f"{command}.calls"
    done = run_plugin(pod, command, shutil.which("strace"), "-qq", "-o", path)
    assert done.returncode == 0, done.stdout
    seen, calls = collections.Counter(), []
    for name in re.findall(r"^(\w+)\(", path.read_text(), re.M):
        seen[name] += 1
        if name not in ("execve", "exit_group"):
            calls.append((name, seen[name]))
    return calls


def kill_at_each(pod, command, calls, before_each=lambda: None, after_each=lambda: None):
    """Run `command` once for every call, killed as it makes that call (it is not carried out any more)."""
    for name, nth in calls:
        before_each()
        done = run_plugin(pod, command, shutil.which("strace"), "-qq", "-o", "/dev/null", "-e",
                          f"inject={name}:signal=SIGKILL:when={nth}")
        assert done.returncode != 0 and not done.stdout, f"{command} lived through {name} number {nth}"
        after_each()


def settle(node, before):
    """Links are reaped a little after DEL; then the node must be as it was."""
    try:
        proc.wait_until(lambda: audit.node(node) == before, "the node to be as it was", timeout=10)
    except AssertionError:
        raise AssertionError(audit.difference(before, audit.node(node))) from None


@pytest.mark.limit(180)
def test_row_27_an_add_killed_at_any_call_leaves_nothing_after_del(lab):
    node = lab.nodes[0]
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before, inside = audit.node(node), audit.netns(pod)
    calls = calls_of(pod, "ADD")
    pod.delete()
    kill_at_each(pod, "ADD", calls, after_each=pod.delete)
    settle(node, before)
    assert audit.netns(pod) == inside
    pod.add()
    pod.check()
    pod.delete()
    pod.remove()


@pytest.mark.limit(180)
def test_row_27_a_killed_del_is_finished_by_the_next(lab):
    node = lab.nodes[0]
    pod = node.pod()
    before = audit.node(node)

    def add():
        try:
            pod.add()
        except CniError as error:
            # the DEL before was killed too early to have done anything: then the first ADD still stands
            assert error.code == 100, error

    calls = calls_of(pod, "DEL")
    kill_at_each(pod, "DEL", calls, before_each=add)
    pod.delete()
    settle(node, before)
    pod.remove()


@pytest.mark.limit(180)
def test_row_26_an_add_whose_calls_fail_undoes_itself(lab):
    """Every call fails once; what the plugin cannot do without makes it fail, and then nothing is left, without any DEL."""
    node = lab.nodes[0]
    pod = node.pod()
    pod.run("ip", "link", "set", "lo", "up")
    before, inside = audit.node(node), audit.netns(pod)
    calls = calls_of(pod, "ADD")
    pod.delete()
    failed = collections.Counter()
    for name, nth in calls:
        if name not in ("connect", "sendto", "recvfrom", "recvmsg", "socket", "bind", "setns", "openat", "ioctl", "bpf", "poll"):
            continue
        done = run_plugin(pod, "ADD", shutil.which("strace"), "-qq", "-o", "/dev/null", "-e", f"inject={name}:error=EIO:when={nth}")
        if done.returncode == 0:
            pod.delete()                # it can do without
            continue
        failed[name] += 1
        with pytest.raises(CniError) as caught:
            cni.judge(done, "1.0.0", f"ADD with {name} number {nth} failing")
        assert caught.value.code != 999 and caught.value.msg
        left = [link for link in pod.json("ip", "-j", "link", "show") if link["ifname"] != "lo"]
        assert not left, f"{name} number {nth} failed with '{caught.value.msg}' and left {left}"
    assert {"connect", "sendto", "recvmsg", "setns", "socket"} <= set(failed), failed
    settle(node, before)
    assert audit.netns(pod) == inside
    pod.remove()
