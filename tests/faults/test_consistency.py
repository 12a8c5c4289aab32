# SPDX-License-Identifier: Apache-2.0
"""What EC2 and metadata show may be old or not whole. Nothing in use is ever removed on one such word, nothing given back is used."""
import json

import pytest

from tests.faults.world import configure, enis, fill, logged, slots_at_ec2, slots_of, vpc, whole
from tests.harness import proc

TYPE = {"name": "pods.small", "max_enis": 3, "ipv4_per_eni": 4, "nitro": True}
SETTINGS = {"warm_ip_target": 0, "minimum_ip_target": 2, "ip_cooldown_s": 0, "add_wait_ms": 20000, "disable_leaked_eni_cleanup": True}
REMOVES = {"UnassignPrivateIpAddresses", "DetachNetworkInterface", "DeleteNetworkInterface"}


@pytest.fixture
def small(make_lab, wait_until):
    """A node with a second ENI on which pods are; nothing is to spare -> (lab, node, pods)"""
    lab = make_lab(config=vpc(type=TYPE), daemon_config=SETTINGS)
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["available"] == 2, "the pool")
    return lab, node, []


def grow(lab, node, pods, n):
    for pod in node.pods(n):
        pod.add()
        pods.append(pod)
    assert len(enis(lab)) == 2
    lab.control("reset-counters")


def look_again(node, **settings):
    """A survey that began now has ended."""
    configure(node, **{**SETTINGS, **settings})
    proc.wait_until(lambda: not node.info()["surveying"], "the survey")


def untouched(lab, node, pods):
    """Every pod has its address and reaches the others, by ENIs that are ours; EC2 was asked to take nothing back."""
    assert node.info()["pool"]["orphaned"] == 0 and slots_of(node) == slots_at_ec2(lab)
    assert not logged(node, "an ENI is gone") and not logged(node, "an address in use is no longer on its ENI")
    assert {p["container_id"]: p["address"] for p in node.info()["pods"]} == {p.container_id: str(p.result.address) for p in pods}
    assert pods[0].pings(pods[-1].result.address) and pods[-1].pings(pods[0].result.address)
    assert not REMOVES & set(lab.ec2_calls()), lab.ec2_calls()


def recorded(node, query):
    """Rows of the daemon's store."""
    code = "import json, sqlite3, sys; print(json.dumps(list(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True).execute(sys.argv[2]))))"
    return json.loads(node.run("/usr/bin/python3", "-c", code, f"{node.run_dir}/state.db", query).stdout)


def test_what_was_just_created_is_not_there_yet(small):
    """InvalidNetworkInterfaceID.NotFound of the ENI that EC2 has given the id of: asked again, not created again."""
    lab, node, pods = small
    for action in ("AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"):
        lab.fault(action, "InvalidNetworkInterfaceID.NotFound", times=2)
    grow_from = len(enis(lab))
    for pod in node.pods(5):
        pod.add()
        pods.append(pod)
    assert len(enis(lab)) == grow_from + 1
    whole(lab, node, pods)


def test_a_describe_that_does_not_show_what_is_new(small):
    """The ENI and the addresses of this minute are not in EC2's answer: pods that are on them stay, and the ENI, too."""
    lab, node, pods = small
    lab.control("fault", action="DescribeNetworkInterfaces", kind="stale", times=0)
    grow(lab, node, pods, 5)
    look_again(node)
    untouched(lab, node, pods)
    assert slots_of(node) == slots_at_ec2(lab)
    lab.stop_daemon(node.name)         # nor after a restart, which knows from its store alone that they are new
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon")
    untouched(lab, node, pods)
    lab.clear_faults()
    look_again(node)
    whole(lab, node, pods)


def test_a_describe_that_shows_what_was_given_back(small, wait_until):
    lab, node, pods = small
    configure(node, **{**SETTINGS, "minimum_ip_target": 3})
    wait_until(lambda: node.info()["pool"]["total"] == 3, "a third address")
    look_again(node, minimum_ip_target=3)
    lab.control("fault", action="DescribeNetworkInterfaces", kind="stale", times=0)
    configure(node, **{**SETTINGS, "minimum_ip_target": 1})
    wait_until(lambda: len(slots_at_ec2(lab)) == 1, "two of them to be given back", timeout=40)
    look_again(node, minimum_ip_target=1)
    assert slots_of(node) == slots_at_ec2(lab)
    pods += node.pods(3)
    for pod in pods:
        pod.add()
    assert {f"{p.result.address}/32" for p in pods} == set(slots_at_ec2(lab))      # what EC2 has given since, and nothing else
    lab.clear_faults()
    whole(lab, node, pods)


def test_an_answer_is_lost_and_the_describe_in_its_place_is_old(small, wait_until):
    """It shows what was given back a moment ago: that is not what was just given, and belongs to others."""
    lab, node, pods = small
    lab.control("fault", action="AssignPrivateIpAddresses", kind="close")       # so that this describe has been asked before
    configure(node, **{**SETTINGS, "minimum_ip_target": 3})
    wait_until(lambda: node.info()["pool"]["total"] == 3, "a third address")
    configure(node, **{**SETTINGS, "minimum_ip_target": 2})
    wait_until(lambda: len(slots_at_ec2(lab)) == 2, "it to be given back", timeout=40)
    wait_until(lambda: len(slots_of(node)) == 2, "the daemon to hear of that")
    # it is somebody else's from now on
    other = node.ec2("create-network-interface", "--subnet-id", "subnet-0a")["NetworkInterface"]["NetworkInterfaceId"]
    lab.control("fault", action="DescribeNetworkInterfaces", kind="stale", times=0)
    lab.control("fault", action="AssignPrivateIpAddresses", kind="close")
    configure(node, **{**SETTINGS, "minimum_ip_target": 3})
    wait_until(lambda: node.info()["pool"]["total"] == 3, "another third address")
    assert set(slots_of(node)) <= set(slots_at_ec2(lab))
    pods += node.pods(3)
    for pod in pods:
        pod.add()
    assert {f"{p.result.address}/32" for p in pods} <= set(slots_at_ec2(lab))
    lab.clear_faults()
    node.ec2("delete-network-interface", "--network-interface-id", other)
    whole(lab, node, pods, timeout=60)      # and what the call that was lost brought is found


@pytest.mark.parametrize("restart", [False, True], ids=["", "over a restart"])
def test_metadata_is_an_hour_old_and_ec2_does_not_answer(small, restart):
    """Metadata knows nothing of the second ENI, and nobody else says anything."""
    lab, node, pods = small
    lab.control("imds-lag", ms=3600000)
    grow(lab, node, pods, 5)
    lab.fault("*", "InternalError")
    if restart:
        lab.stop_daemon(node.name)
        lab.start_daemon(node.name)
        proc.wait_until(lambda: node.serves() and node.info()["discovered"], "the daemon", timeout=40)
    else:
        look_again(node)
    untouched(lab, node, pods)
    assert all(a for [a] in recorded(node, "SELECT attachment_id FROM eni")), "by which an ENI is detached; metadata does not tell it"
    lab.clear_faults()
    lab.control("imds-lag", ms=0)
    whole(lab, node, pods, timeout=60)


@pytest.mark.parametrize("hidden", ["subnet-ipv4-cidr-block", "local-ipv4s", "ipv4-prefix", "subnet-id", "vpc-ipv4-cidr-blocks",
                                    "security-group-ids"])
def test_metadata_is_not_whole(make_lab, wait_until, hidden):
    """Keys of an ENI are missing, at a change, and at a start where EC2 says nothing: what is known goes on serving."""
    settings = {**SETTINGS, "prefix_delegation": True, "minimum_ip_target": 17}
    lab = make_lab(config=vpc(type={**TYPE, "ipv4_per_eni": 2}), daemon_config=settings)
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["total"] == 32, "two ENIs with a prefix each")
    pods, said = fill(node, 18)
    assert not said
    lab.control("imds-hide", path=hidden)
    lab.control("reset-counters")
    look_again(node, **{k: v for k, v in settings.items() if k not in SETTINGS or SETTINGS[k] != v})
    untouched(lab, node, pods)
    lab.fault("*", "InternalError")
    lab.stop_daemon(node.name)
    lab.start_daemon(node.name)
    wait_until(node.serves, "the daemon")
    wait_until(lambda: not node.info()["surveying"], "the survey", timeout=40)
    untouched(lab, node, pods)
    assert "10.0.0.0/16" in node.run("nft", "list", "table", "ip", "vpcwire").stdout, "what stays in the VPC is not translated"
    lab.clear_faults()
    lab.control("imds-show")
    wait_until(lambda: node.info()["discovered"] and not node.info()["surveying"], "a survey", timeout=40)
    whole(lab, node, pods, timeout=40)


@pytest.mark.limit(150)
def test_more_changes_than_can_be_under_way(make_lab, wait_until):
    """What could not be begun is planned anew, and nothing is created for it twice."""
    many = {"name": "pods.many", "max_enis": 24, "ipv4_per_eni": 2, "nitro": True}
    settings = {"minimum_ip_target": 20}
    lab = make_lab(config=vpc(type=many), daemon_config={**SETTINGS, **settings})
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["total"] == 20 and not node.info()["pool"]["actions_under_way"], "20 ENIs", timeout=90)
    assert logged(node, "an action could not be started, retrying"), "there was room for all of them"
    assert recorded(node, "SELECT * FROM intent") == []
    look_again(node, **settings, log_level="info")     # what a survey finds open it goes on with
    whole(lab, node)
    assert len(enis(lab)) == 20


@pytest.mark.limit(240)
def test_the_vpc_gets_another_range(make_lab, wait_until):
    """Nothing tells of it: what pods send there is not translated a minute later, and EC2 is not asked."""
    config = vpc()
    config["vpcs"][0]["cidrs"] = ["100.64.0.0/16"]
    lab = make_lab("--no-daemon", config=config, daemon_config=SETTINGS)
    node = lab.nodes[0]
    lab.control("imds-hide", path="vpc-ipv4-cidr-blocks")
    lab.start_daemon(node.name)
    wait_until(lambda: node.serves() and not node.info()["surveying"] and not node.info()["pool"]["actions_under_way"], "the daemon", timeout=90)

    def stays_in_the_vpc():
        return "100.64.0.0/16" in node.run("nft", "list", "table", "ip", "vpcwire").stdout

    assert not stays_in_the_vpc()
    lab.control("reset-counters")
    lab.control("imds-show")
    wait_until(stays_in_the_vpc, "the range", timeout=100)
    assert not lab.ec2_calls()
    assert "100.64.0.0/16" in json.loads(recorded(node, "SELECT value FROM meta WHERE key='node'")[0][0])["vpc_cidrs"]
