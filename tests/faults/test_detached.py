# SPDX-License-Identifier: Apache-2.0
"""An ENI is detached behind the daemon's back. The kernel says so, and EC2 need not be asked to stop serving from it."""
import pytest

from tests.faults.world import TYPE, enis, fill, logged, vpc, whole

SETTINGS = {"warm_ip_target": 0, "minimum_ip_target": 8, "ip_cooldown_s": 1, "add_wait_ms": 1500, "disable_leaked_eni_cleanup": True}


@pytest.fixture
def two(make_lab, wait_until):
    """A node with a second ENI that has pods and free addresses -> (lab, node, the ENI's id, its pods, the others)."""
    lab = make_lab(config=vpc(), daemon_config=SETTINGS)
    node = lab.nodes[0]
    wait_until(lambda: len(node.info()["enis"]) == 2 and node.info()["pool"]["available"] == 8, "the second ENI, and all addresses")
    pods = node.pods(6)
    for pod in pods:
        pod.add()
    second = next(e for e in node.info()["enis"] if not e["primary"])
    on = [p for p in pods if node.eni_of(p.result.address)["id"] == second["id"]]
    assert on and second["addresses"] > len(on)
    return lab, node, second["id"], on, [p for p in pods if p not in on]


def unwired(node, eni):
    return [e for e in node.info()["enis"] if e["id"] == eni and not e["wired"]]


def test_free_addresses_stop_at_once_and_pods_keep_theirs(two, wait_until):
    lab, node, eni, on, others = two
    slots = set(next(e for e in node.info()["enis"] if e["id"] == eni)["slots"])
    lab.fault("*", "InternalError")      # nobody but the kernel tells
    lab.control("imds-lag", ms=3600000)
    lab.control("detach-eni", eni=eni)
    wait_until(lambda: unwired(node, eni), "the daemon to hear of it")
    pool = node.info()["pool"]
    assert pool["available"] == TYPE["ipv4_per_eni"] - 1 - len(others)
    got, error = fill(node, 6)
    assert len(got) == pool["available"] and error
    assert not {f"{p.result.address}/32" for p in got} & slots
    held = {p["container_id"]: p["address"] for p in node.info()["pods"]}
    assert all(held[p.container_id] == p.result.address for p in on)
    # EC2 answers again: a new ENI takes its place, pods that are on the old one stay as they are until they go
    lab.clear_faults()
    wait_until(lambda: len(enis(lab)) == 2 and eni not in [e["id"] for e in enis(lab)], "another ENI", timeout=40)
    assert [e for e in node.info()["enis"] if e["id"] == eni]
    lab.control("imds-lag", ms=0)
    for pod in on:
        pod.delete()
    wait_until(lambda: eni not in [e["id"] for e in node.info()["enis"]], "the ENI to be forgotten")
    lab.control("delete-eni", eni=eni)
    whole(lab, node, others + got)


def test_it_is_asked_about_once(two, wait_until):
    lab, node, eni, on, others = two
    for pod in on:
        pod.delete()
    lab.control("reset-counters")
    lab.control("delete-eni", eni=eni)
    wait_until(lambda: eni not in [e["id"] for e in node.info()["enis"]], "the ENI to be forgotten")
    calls = lab.ec2_calls()
    assert calls.pop("DescribeNetworkInterfaces") == 1
    assert set(calls) <= {"CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute",
                          "AssignPrivateIpAddresses"}, calls
    whole(lab, node, others)


def test_it_serves_again_when_it_is_back(two, wait_until):
    lab, node, eni, on, others = two
    slots = set(next(e for e in node.info()["enis"] if e["id"] == eni)["slots"])
    lab.fault("DescribeNetworkInterfaces", "InternalError")
    lab.fault("CreateNetworkInterface", "InternalError")
    lab.control("detach-eni", eni=eni)
    wait_until(lambda: unwired(node, eni), "the daemon to hear of it")
    node.ec2("attach-network-interface", "--network-interface-id", eni, "--instance-id", "i-01", "--device-index", "1")
    wait_until(lambda: not unwired(node, eni), "the daemon to see it again")
    for pod in on:
        assert pod.pings(others[0].result.address)
    got, _ = fill(node, 4)
    assert {f"{p.result.address}/32" for p in got} & slots
    lab.clear_faults()
    whole(lab, node, on + others + got)


def test_a_link_that_is_renamed_stays_the_same(two, wait_until):
    """udev and people rename interfaces; the index stays, routes too, and the daemon knows the name again."""
    lab, node, eni, on, others = two
    link = next(e for e in node.info()["enis"] if e["id"] == eni)["ifname"]
    node.run("sh", "-ec", f"ip link set {link} down; ip link set {link} name pods0; ip link set pods0 up")
    wait_until(lambda: [e for e in node.info()["enis"] if e["ifname"] == "pods0" and e["wired"]], "the new name")
    assert on[0].pings(others[0].result.address)
    assert not logged(node, "level=error")
    whole(lab, node, on + others)


@pytest.mark.parametrize("restart", [True, False], ids=["over a restart", ""])
def test_an_eni_on_its_way_out_is_not_served_from(make_lab, wait_until, restart):
    """EC2 shows it until its detach is over, which takes long, and its link is there as well: nobody gets an address of it."""
    lab = make_lab(config=vpc(), daemon_config=SETTINGS)
    node = lab.nodes[0]
    wait_until(lambda: len(node.info()["enis"]) == 2 and node.info()["pool"]["available"] == 8, "the second ENI, and all addresses")
    second = next(e for e in node.info()["enis"] if not e["primary"])
    lab.control("delays", attach_ms=0, detach_ms=600000)
    if not restart:
        lab.fault("DetachNetworkInterface", kind="close")       # nobody says whether it was done
    node.rpc("drain")
    wait_until(lambda: [e for e in enis(lab) if e["id"] == second["id"] and e["status"] == "detaching"], "its detach to begin")
    node.rpc("drain", off=True)
    if restart:
        lab.kill_daemon(node.name)
        lab.start_daemon(node.name)
        wait_until(node.serves, "the daemon")
    wait_until(lambda: logged(node, "EC2 is detaching an ENI") and not node.info()["surveying"], "a survey that shows it", timeout=60)
    got, _ = fill(node, 8)
    assert not {f"{p.result.address}/32" for p in got} & set(second["slots"])
    lab.clear_faults()
    lab.control("detach-eni", eni=second["id"])         # the end of it
    wait_until(lambda: second["id"] not in [e["id"] for e in lab.control("state")["state"]["enis"]], "it to be deleted", timeout=60)
    whole(lab, node, got)
