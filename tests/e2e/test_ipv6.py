# SPDX-License-Identifier: Apache-2.0
"""IPv6 from a /80 of the pod's ENI: beside IPv4 (dual stack) and alone; who reaches whom, spoofing, restarts, rules."""
import ipaddress
import json

import pytest

from tests.harness import audit, cni, proc

EGRESS4, EGRESS6 = ipaddress.ip_network("169.254.176.0/20"), ipaddress.ip_network("fd00::ac:0/116")
INTERNET6, PEERED6 = "[2001:db8:ffff::10]", "[fd00:db8:100::10]"
PODS_OF_FIRST_ENI = 3           # of a t3.small: 4 IPv4 addresses per ENI, one of them the node's
DUAL = {"nodes": 2, "instance_type": "t3.small"}


@pytest.fixture(scope="module")
def dual_lab(module_lab):
    return module_lab("--ipv6", **DUAL)


@pytest.fixture(scope="module")
def module_lab():
    from tests.harness.lab import Lab
    labs = []

    def make(*args, **kwargs):
        labs.append(Lab(*args, **kwargs))
        return labs[-1].start()

    yield make
    for lab in labs:
        lab.__exit__()


@pytest.fixture(scope="module")
def dual(dual_lab):
    """Dual-stack pods on both ENIs of the first node, and one on the second node."""
    made = [dual_lab.nodes[0].pod() for _ in range(PODS_OF_FIRST_ENI + 2)] + [dual_lab.nodes[1].pod()]
    for pod in made:
        pod.add()
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


@pytest.fixture(scope="module")
def only6_lab(module_lab):
    return module_lab("--ipv6", daemon_config={"enable_ipv4": False}, **DUAL)


@pytest.fixture(scope="module")
def only6(only6_lab):
    """More pods with IPv6 alone than an ENI has IPv4 addresses, and one on the second node."""
    made = [only6_lab.nodes[0].pod() for _ in range(PODS_OF_FIRST_ENI + 3)] + [only6_lab.nodes[1].pod()]
    for pod in made:
        pod.add()
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


@pytest.fixture(params=["dual", "only6"])
def pods(request):
    return request.getfixturevalue(request.param)


def rules(node):
    return node.json("ip", "-j", "rule", "show"), node.json("ip", "-6", "-j", "rule", "show")


def node_address6(node):
    return next(e["address6"] for e in node.info()["enis"] if e["primary"])


def block_of(node, address):
    wanted = ipaddress.ip_address(address)
    return next(e for e in node.info()["enis"] if wanted in ipaddress.ip_network(e.get("ipv6_prefix", "::/128")))


def restart(node, between=lambda: None):
    old = node.daemon_pid()
    node.lab.kill_daemon(node.name)
    between()
    node.lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    assert node.daemon_pid() != old


# --- addresses


def test_dual_stack_gives_both_from_one_eni(dual, dual_lab):
    node = dual_lab.nodes[0]
    for pod in dual[:-1]:
        assert [ipaddress.ip_interface(i["address"]).max_prefixlen for i in pod.result.ips] == [32, 128]
        assert [i["gateway"] for i in pod.result.ips] == ["169.254.1.1", "fe80::1"]
        assert node.eni_of(pod.result.address)["id"] == block_of(node, pod.result.address6)["id"]
    assert len({block_of(node, p.result.address6)["id"] for p in dual[:-1]}) == 2, "the pods are on two ENIs"


def test_ipv6_alone_needs_no_other_eni(only6, only6_lab):
    assert all([i["gateway"] for i in p.result.ips] == ["fe80::1"] for p in only6)
    enis = only6_lab.nodes[0].info()["enis"]
    assert [e["primary"] for e in enis] == [True]
    assert not enis[0]["slots"], "no IPv4 addresses are held"
    inside = only6[0].json("ip", "-4", "-j", "addr", "show", "dev", "eth0")
    assert [ipaddress.ip_address(a["local"]) in EGRESS4 for i in inside for a in i.get("addr_info", [])] == [True], inside
    assert ":" in only6[0].result.ips[0]["address"] and len(only6[0].result.ips) == 1, "no IPv4 address in the result"


def test_addresses_are_unique_and_usable_at_once(pods):
    assert len({p.result.address6 for p in pods}) == len(pods)
    for pod in pods:
        shown = pod.json("ip", "-6", "-j", "addr", "show", "dev", "eth0", "scope", "global")
        info = [a for link in shown for a in link.get("addr_info", []) if a.get("local") == pod.result.address6]
        assert len(info) == 1 and not info[0].get("tentative") and info[0]["prefixlen"] == 128
        assert pod.check() is None


def test_one_prefix_for_each_eni_and_no_call_more(dual, dual_lab):
    """The primary ENI's /80 takes a call of its own on each node; the second ENI of the first is created with one."""
    enis = dual_lab.nodes[0].info()["enis"]
    assert len({e["ipv6_prefix"] for e in enis}) == len(enis) >= 2
    assert dual_lab.ec2_calls()["AssignIpv6Addresses"] == len(dual_lab.nodes)


# --- packets


def test_every_pod_reaches_every_other(pods):
    lost = [(a.name, b.name) for a in pods for b in pods if a is not b and not a.pings(b.result.address6)]
    assert not lost


def test_node_and_pod_reach_each_other(pods):
    for pod in (pods[0], pods[-2]):
        host, other = pod.node, pods[-1].node
        assert pod.pings(node_address6(host)) and pod.pings(node_address6(other))
        for node in (host, other):
            assert node.run("ping", "-n", "-q", "-c", "1", "-w", "5", pod.result.address6, check=False).returncode == 0


@pytest.mark.parametrize("server", [INTERNET6, PEERED6])
def test_the_world_sees_the_pods_own_address(pods, server):
    for pod in (pods[0], pods[-2], pods[-1]):
        assert json.loads(pod.fetch(f"http://{server}/"))["client"] == pod.result.address6


def test_dual_stack_leaves_ipv4_as_it_is(dual):
    assert dual[0].pings(dual[-1].result.address) and dual[-2].pings(dual[-1].result.address)
    assert dual[-2].fetch("http://203.0.113.10/")


def test_a_second_enis_packets_leave_by_it(dual, dual_lab):
    node, pod = dual_lab.nodes[0], dual[-2]
    eni = block_of(node, pod.result.address6)
    assert not eni["primary"]
    packets = lambda: node.json("ip", "-s", "-j", "link", "show", "dev", eni["ifname"])[0]["stats64"]["tx"]["packets"]  # noqa: E731
    before = packets()
    assert pod.run("ping", "-n", "-q", "-i", "0.2", "-c", "5", dual[-1].result.address6).returncode == 0
    assert packets() - before >= 5


def test_a_spoofed_source_is_dropped(pods):
    pod, target = pods[0], pods[-1]
    foreign = pods[1].result.address6
    pod.run("ip", "-6", "addr", "add", f"{foreign}/128", "dev", "eth0", "nodad")
    try:
        assert pod.run("ping", "-n", "-q", "-c", "2", "-i", "0.2", "-w", "1", "-I", foreign, target.result.address6, check=False).returncode
        assert pod.run("ping", "-n", "-q", "-c", "1", "-w", "5", "-I", pod.result.address6, target.result.address6).returncode == 0
    finally:
        pod.run("ip", "-6", "addr", "del", f"{foreign}/128", "dev", "eth0")
    assert pods[1].pings(target.result.address6), "its owner is not disturbed"


def test_rules_do_not_grow_with_pods(pods):
    node = pods[0].node
    before = rules(node)
    more = node.pod()
    try:
        more.add()
        assert rules(node) == before
    finally:
        more.delete()
        more.remove()
    assert rules(node) == before


def test_a_pod_whose_runtime_switched_ipv6_off(only6_lab, only6):
    pod = only6_lab.nodes[0].pod()
    try:
        pod.run("sh", "-c", "for i in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done")
        pod.add()
        assert pod.pings(only6[-1].result.address6)
    finally:
        pod.delete()
        pod.remove()


# --- going, coming back


def test_delete_leaves_nothing(pods):
    node = pods[0].node
    before = audit.pod_objects(node)
    pod = node.pod()
    pod.add()
    routes = node.run("ip", "-6", "route", "show", "table", str(audit.PODS_TABLE)).stdout
    assert pod.result.address6 in routes
    pod.delete()
    pod.delete()
    pod.remove()
    assert pod.result.address6 not in node.run("ip", "-6", "route", "show", "table", str(audit.PODS_TABLE)).stdout
    proc.wait_until(lambda: audit.pod_objects(node) == before, "its link to be reaped")


def test_kill_and_restart_keep_addresses(pods):
    node = pods[0].node
    gone = node.pod()
    gone.add()
    gone.delete()
    held, ruled, known = audit.books(node), rules(node), node.info()["enis"]
    restart(node, lambda: [p.pings(pods[-1].result.address6) or pytest.fail("a pod lost its network") for p in pods[:-1]])
    assert audit.books(node) == held
    assert {e["id"]: e.get("ipv6_prefix") for e in node.info()["enis"]} == {e["id"]: e.get("ipv6_prefix") for e in known}
    assert rules(node) == ruled
    new = node.pod()
    try:
        new.add()
        assert new.result.address6 not in {p.result.address6 for p in pods}
        assert new.result.address6 != gone.result.address6, "that one is still cooling down"
        assert new.pings(pods[-1].result.address6)
    finally:
        for pod in (new, gone):
            pod.delete()
            pod.remove()
    assert all(p.check() is None for p in pods) and pods[0].pings(pods[-1].result.address6)


def test_a_lost_store_is_learnt_again_from_the_kernel(pods):
    node = pods[0].node

    def addresses():
        return {(p["container_id"], p.get("address"), p.get("address6")) for p in node.info()["pods"]}

    held = addresses()
    restart(node, lambda: node.run("sh", "-c", f"rm -f {node.run_dir}/state.db*"))
    assert addresses() == held
    new = node.pod()
    try:
        new.add()
        assert new.result.address6 not in {p.result.address6 for p in pods}
    finally:
        new.delete()
        new.remove()
    assert all(p.pings(pods[-1].result.address6) for p in pods[:-1]) and pods[0].check() is None


def test_a_prefix_that_is_missing_is_named(make_lab):
    """AssignIpv6Addresses is forbidden: ADD and STATUS say so; once it is allowed, pods are served."""
    lab = make_lab("--ipv6", "--no-daemon", daemon_config={"enable_ipv4": False, "add_wait_ms": 300})
    node = lab.nodes[0]
    lab.fault("AssignIpv6Addresses", "UnauthorizedOperation")
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    pod = node.pod()
    try:
        proc.wait_until(lambda: lab.ec2_calls().get("AssignIpv6Addresses", 0) > 0, "the refused call")
        with pytest.raises(cni.CniError) as error:
            pod.add()
        assert error.value.code == 11 and "ec2:AssignIpv6Addresses" in error.value.msg
        lab.clear_faults()

        def served():
            try:
                return pod.add()
            except cni.CniError as exc:
                assert exc.code == 11
                return None

        proc.wait_until(served, "the prefix to come", timeout=60)
    finally:
        pod.delete()
        pod.remove()


def blocks_at_ec2(node):
    """The /80s of the node's primary ENI, as EC2 lists them."""
    eni = next(e["id"] for e in node.info()["enis"] if e["primary"])
    shown = node.ec2("describe-network-interfaces", "--network-interface-ids", eni)["NetworkInterfaces"][0]
    return [p["Ipv6Prefix"] for p in shown.get("Ipv6Prefixes", [])]


@pytest.mark.parametrize("fault", [{"kind": "close"}, {"kind": "truncate", "bytes": 40}, {"code": "RequestLimitExceeded"}],
                         ids=["no-answer", "half-an-answer", "throttled"])
def test_one_prefix_whatever_becomes_of_the_answer(make_lab, fault):
    lab = make_lab("--ipv6", "--no-daemon", daemon_config={"enable_ipv4": False})
    node = lab.nodes[0]
    lab.fault("AssignIpv6Addresses", **fault, times=1)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    pod = node.pod()
    try:
        assert ipaddress.ip_address(pod.add().address6) in ipaddress.ip_network(blocks_at_ec2(node)[0])
        assert len(blocks_at_ec2(node)) == 1
    finally:
        pod.delete()
        pod.remove()


def test_a_daemon_killed_while_it_asks_finds_the_prefix_again(make_lab):
    """EC2 has given the /80, and the daemon dies before it hears of it."""
    lab = make_lab("--ipv6", "--no-daemon", daemon_config={"enable_ipv4": False})
    node = lab.nodes[0]
    lab.fault("AssignIpv6Addresses", kind="hang", times=1)
    lab.start_daemon(node.name)
    proc.wait_until(lambda: lab.ec2_calls().get("AssignIpv6Addresses", 0) == 1, "the call")
    lab.kill_daemon(node.name)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    pod = node.pod()
    try:
        assert ipaddress.ip_address(pod.add().address6) in ipaddress.ip_network(blocks_at_ec2(node)[0])
        assert len(blocks_at_ec2(node)) == 1
        assert lab.ec2_calls()["AssignIpv6Addresses"] == 1
    finally:
        pod.delete()
        pod.remove()


def test_metadata_alone_tells_the_prefix(make_lab):
    """ENABLE_IMDS_ONLY_MODE: a /80 that somebody else assigned is served without any call to EC2."""
    lab = make_lab("--ipv6", "--no-daemon", daemon_config={"enable_ipv4": False, "imds_only": True})
    node = lab.nodes[0]
    mac = node.imds("mac")
    given = node.ec2("assign-ipv6-addresses", "--ipv6-prefix-count", "1", "--network-interface-id",
                     node.imds(f"network/interfaces/macs/{mac}/interface-id"))["AssignedIpv6Prefixes"]
    calls = lab.ec2_calls()
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    pod = node.pod()
    try:
        assert ipaddress.ip_address(pod.add().address6) in ipaddress.ip_network(given[0])
        assert lab.ec2_calls() == calls
    finally:
        pod.delete()
        pod.remove()


def test_state_of_a_node_without_ipv6_is_taken_over(make_lab):
    """A pod made before IPv6 was switched on keeps what it has; a new one beside it has both, also when it is off again."""
    lab = make_lab(nodes=1, instance_type="t3.small", config={"instances": [{"name": "node-1", "type": "t3.small", "ipv6_addresses": 1,
                                                                                    "role": "vpcwire-node"}]})
    node = lab.nodes[0]
    old, new = node.pod(), node.pod()
    try:
        old.add()
        assert [ipaddress.ip_interface(i["address"]).version for i in old.result.ips] == [4]
        assert len(rules(node)[1]) == 4, "local, pods, marked, main"
        restart(node, lambda: node.run("sh", "-c", "mkdir -p /etc/vpcwire; echo '{\"enable_ipv6\": true}' > /etc/vpcwire/vpcwired.json"))
        assert old.check() is None
        new.add()
        assert new.pings(node_address6(node)) and new.pings(old.result.address) and old.pings(new.result.address)
        held = audit.books(node)
        restart(node)
        assert audit.books(node) == held
        restart(node, lambda: node.run("sh", "-c", "echo '{}' > /etc/vpcwire/vpcwired.json"))
        assert audit.books(node) == held and new.check() is None
        assert new.pings(node_address6(node)) and json.loads(new.fetch(f"http://{INTERNET6}/"))["client"] == new.result.address6
    finally:
        for pod in (old, new):
            pod.delete()
            pod.remove()
