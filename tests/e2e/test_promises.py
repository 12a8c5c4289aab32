# SPDX-License-Identifier: Apache-2.0
"""What must hold on the hot path: what ADD and DEL may not do, seen by strace, and what must not grow with pods."""
import pytest

from tests.harness import proc, trace

LAB = {"instance_type": "m5.2xlarge", "prefix_delegation": True}


def warm(node):
    """The daemon has settled: it serves, and the pool has free addresses."""
    proc.wait_until(lambda: node.info()["pool"]["available"] > 20, "a warm pool")


@pytest.fixture
def traced(node, pod):
    """One ADD and one DEL with strace on plugin and daemon -> {(who, command): Trace}."""
    warm(node)
    found = {}
    daemon = node.daemon_pid()
    for command, act in (("ADD", pod.add), ("DEL", pod.delete)):
        path, words = trace.of_plugin(node, f"plugin-{command}")
        with trace.Attached(node, daemon, path.with_name(f"daemon-{command}.strace")) as attached:
            act(wrap=words)
        found["plugin", command] = trace.Trace(path)
        found["daemon", command] = attached.trace()
    return found


def test_the_trace_sees_what_it_should(traced):
    """The other tests look for absences: first make sure that the record shows what is there."""
    plugin = traced["plugin", "ADD"]
    types = [m[0] for m in plugin.route_messages()]
    assert "RTM_NEWLINK" in types and "RTM_NEWADDR" in types and "RTM_NEWROUTE" in types, types
    assert any("IFLA_NET_NS_FD" in m[2] for m in plugin.route_messages())
    assert traced["daemon", "ADD"].lines and traced["daemon", "DEL"].lines


def test_no_netlink_dump(traced):
    for (who, command), seen in traced.items():
        assert not seen.dumps(), f"{who} at {command}"


def test_no_link_is_moved_or_renamed(traced):
    for (who, command), seen in traced.items():
        assert not seen.moves_and_renames(), f"{who} at {command}"


def test_no_other_program_is_run(traced):
    for (who, command), seen in traced.items():
        own = 1 if who == "plugin" else 0
        assert len(seen.execs()) == own, f"{who} at {command}: {seen.execs()}"
        assert not seen.forks(), f"{who} at {command}: {seen.forks()}"


def test_no_internet_connection_on_add(traced):
    for who in ("plugin", "daemon"):
        assert not traced[who, "ADD"].internet_connects()


def test_no_ec2_call_while_the_pool_has_addresses(lab, node):
    warm(node)
    pods = node.pods(5)
    before = lab.ec2_calls()
    for pod in pods:
        pod.add()
    assert lab.ec2_calls() == before
    for pod in pods:
        pod.delete()


@pytest.mark.limit(120)
def test_the_rules_are_as_many_with_a_hundred_pods_as_with_one(node):
    def rules():
        return node.json("ip", "-j", "rule", "show")

    def enis():
        return len(node.info()["enis"])

    first, *others = node.pods(100)
    first.add()
    with_one, enis_with_one = rules(), enis()
    for pod in others:
        pod.add()
    with_hundred, enis_with_hundred = rules(), enis()
    # one mark rule and one source rule for each ENI, whatever the number of pods
    assert len(with_hundred) - len(with_one) == 2 * (enis_with_hundred - enis_with_one)
    assert enis_with_hundred == enis_with_one, "this instance type has room for 100 pods on the ENIs that one pod needs"
    for pod in (first, *others):
        pod.delete()
