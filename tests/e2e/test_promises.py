# SPDX-License-Identifier: Apache-2.0
"""What must hold on the hot path: what ADD and DEL may not do, seen by strace, and what must not grow with pods."""
import pytest

from tests.harness import audit, proc, trace

# targets of its own: what the test waits for must not depend on how fast pods came
LAB = {"instance_type": "m5.2xlarge", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 1}}
WARM = 16       # what the daemon then keeps free
SLACK = 15      # pods that may come before the pool falls below that


@pytest.fixture(scope="module", autouse=True)
def warm(lab):
    """One pod has begun a prefix, and the daemon has fetched the next one: the pods to come are within the pool's limits."""
    node = lab.nodes[0]
    first = node.pod()
    first.add()
    proc.wait_until(lambda: node.info()["pool"]["available"] >= WARM + SLACK and not node.info()["pool"]["actions_under_way"],
                    lambda: f"a warm pool: {node.info()['pool']}")


@pytest.fixture(scope="module")
def traced(lab, warm):
    """One ADD and one DEL with strace on plugin and daemon -> {(who, command): Trace}."""
    node, found = lab.nodes[0], {}
    pod = node.pod()
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
    messages = traced["plugin", "ADD"].route_messages()
    assert {"RTM_NEWLINK", "RTM_NEWADDR", "RTM_NEWROUTE", "RTM_NEWNEIGH"} <= {m.type for m in messages}, messages
    assert traced["daemon", "ADD"].lines and traced["daemon", "DEL"].route_messages()


@pytest.mark.parametrize("words,seen", [("ip link show", "dumps"), ("ip route show", "dumps"), ("ip link set v0 name v2", "moves_and_renames"),
                                        ("ip link set v1 netns /proc/1/ns/net", "moves_and_renames")])
def test_the_trace_sees_what_others_do(node, words, seen):
    """iproute2 dumps, moves and renames; so a record of it must show that, in the node's namespace and in a pod's."""
    pod = node.pod()
    pod.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    path, strace = trace.of_plugin(node, "iproute2")
    node.run(*strace, "nsenter", f"--net={pod.netns}", *words.split())
    record = trace.Trace(path)
    assert getattr(record, seen)(), record.route_messages()
    assert len(record.execs()) == 2
    pod.remove()


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
    pods = node.pods(SLACK // 2)
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

    others = node.pods(99)
    with_one, enis_with_one = rules(), enis()
    for pod in others:
        pod.add()
    with_hundred, enis_with_hundred = rules(), enis()
    # two rules of ours and one for each secondary ENI beside the kernel's three, whatever the number of pods
    assert len(with_one) == 3 + 2 + enis_with_one - 1
    assert len(with_hundred) - len(with_one) == enis_with_hundred - enis_with_one
    assert enis_with_hundred == enis_with_one, "this instance type has room for 100 pods on the ENIs that one pod needs"
    for pod in others:
        pod.delete()


def test_the_daemon_keeps_no_descriptor_of_a_pod(node):
    def open_files():
        return sorted(node.run("sh", "-c", f"ls -l /proc/{node.daemon_pid()}/fd | sed 's/.* -> //; s/:\\[.*//'").stdout.splitlines())

    # the reaper has a socket of its own for as long as it is at work
    proc.wait_until(lambda: len(audit.pod_objects(node)) == 2 * node.info()["n_pods"], "what earlier tests left to be reaped")
    before = open_files()
    for _ in range(3):
        pods = node.pods(5)
        for pod in pods:
            pod.add()
        for pod in pods:
            pod.delete()
    proc.wait_until(lambda: open_files() == before, lambda: f"the same open files\n{before}\n{open_files()}")


@pytest.mark.limit(120)
def test_status_costs_the_same_with_many_pods(node):
    """One connection, one question, and as many questions to the kernel, whatever the number of pods (a time is measured in the bench)."""
    ctl = (proc.BIN / "vpcwirectl", "--socket", node.socket, "status")
    daemon = node.daemon_pid()

    def asked(name):
        path, words = trace.of_plugin(node, f"status-{name}")
        with trace.Attached(node, daemon, path.with_name(f"daemon-status-{name}.strace")) as attached:
            said = node.run(*words, *ctl).stdout
        seen = trace.Trace(path)
        assert len([l for l in seen.lines if "connect(" in l]) == 1 and len(seen.execs()) == 1 and not seen.forks()
        return said, sorted((m.type, m.is_dump()) for m in attached.trace().route_messages())

    proc.wait_until(lambda: len(audit.pod_objects(node)) == 2 * node.info()["n_pods"], "what earlier tests left to be reaped")
    few = node.info()["n_pods"]
    said, with_few = asked("few")
    assert f"{few} pods; " in said and with_few
    pods = node.pods(60)
    for pod in pods:
        pod.add()
    proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "no change at EC2 under way")
    said, with_many = asked("many")
    assert f"{few + 60} pods; " in said
    assert with_many == with_few
    for pod in pods:
        pod.delete()
        pod.remove()
