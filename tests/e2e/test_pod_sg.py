# SPDX-License-Identifier: Apache-2.0
"""Security groups of pods: a branch ENI by the annotation of the pod's manifest, strict and standard, judged by the fabric's groups."""
import json

import pytest

from tests.harness import audit, proc
from tests.harness.cni import CniError
from tests.harness.policy import Connection, connects
from tests.harness.sgp import ANNOTATION, MODES, PORT, sgp_lab


@pytest.fixture(scope="module", params=MODES)
def running(request):
    with sgp_lab(request.param) as place:
        yield place


@pytest.fixture
def place(running):
    proc.wait_until(running.node.serves, "the daemon to serve")
    yield running
    running.clear()


def refused(pod):
    with pytest.raises(CniError) as caught:
        pod.add()
    return caught.value


def test_the_pod_has_its_branchs_address_and_none_of_the_pool(place):
    before = place.node.info()["pool"]
    branch = place.branch(3)
    pod = place.pod(3)
    assert pod.result.address == branch.address
    (row,) = [p for p in place.node.info()["pods"] if p["address"] == branch.address]
    assert row["host_ifname"].startswith("vlan" if place.mode == "strict" else "eni")
    assert place.node.info()["pool"]["assigned"] == before["assigned"]
    pod.check()
    assert pod.pings("10.0.0.1")
    assert connects(pod, place.pod(node=place.lab.nodes[1]).result.address)


def test_security_groups_decide(place):
    opened, closed, mute = place.pod(3), place.pod(4, "closed"), place.pod(5, "mute")
    remote, local = place.pod(node=place.lab.nodes[1]), place.pod()
    assert connects(remote, opened.result.address) and connects(opened, remote.result.address)
    assert not connects(remote, closed.result.address) and connects(closed, remote.result.address)
    assert connects(remote, mute.result.address) and not connects(mute, remote.result.address)
    # on one node: strict by the branch, standard directly
    direct = place.mode == "standard"
    assert connects(local, opened.result.address) and connects(opened, local.result.address)
    assert connects(local, closed.result.address) is direct
    assert connects(mute, local.result.address) is direct
    assert connects(opened, closed.result.address) is direct


def test_the_node_reaches_its_pods(place):
    """kubelet's probes: by the VPC and the pod's group in strict mode, directly in standard mode."""
    opened, closed = place.pod(3), place.pod(4, "closed")

    def probe(address):
        return place.node.run("nc", "-z", "-w", "2", address, str(PORT), check=False).returncode == 0
    assert probe(opened.result.address)
    assert probe(closed.result.address) is (place.mode == "standard")


def test_an_add_waits_for_the_annotation_and_takes_no_address_meanwhile(place):
    pod = place.node.pod()
    before = audit.node(place.node)
    assert refused(pod).code == 11                              # not in the manifests at all
    place.tell(pod)
    error = refused(pod)
    assert error.code == 11 and ANNOTATION in error.msg
    place.tell(pod, "[]")
    assert refused(pod).code == 11
    place.branch(3)
    place.tell(pod, place.annotation(3), uid="former")         # only the manifest of a former pod of that name
    with pytest.raises(CniError) as caught:
        pod.add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod.name};K8S_POD_UID=new"})
    assert caught.value.code == 11 and "former" in caught.value.msg
    audit.settled(place.node, before)
    place.tell(pod, place.annotation(3))
    assert pod.add().address == place.branch(3).address
    pod.delete()
    pod.remove()


@pytest.mark.parametrize("more, words", [({"vlanId": 0}, "vlanId"), ({"ifAddress": "x"}, "ifAddress"), ({"privateIp": "x"}, "privateIp"),
                                         ({"subnetCidr": "192.0.2.0/24"}, "subnetCidr"), ({"eniId": ""}, "eniId"),
                                         ({"privateIp": "", "ipv6Addr": ""}, "privateIp")])
def test_an_annotation_that_makes_no_sense_is_named(place, more, words):
    place.branch(3)
    pod = place.node.pod()
    place.tell(pod, place.annotation(3, **more))
    error = refused(pod)
    assert error.code == 7 and words in error.msg and pod.name in error.msg
    pod.remove()


def test_keys_of_the_annotation_in_any_case(place):
    branch = place.branch(3)
    pod = place.node.pod()
    note = json.dumps([{"ENIId": branch.id, "IFADDRESS": branch.mac, "privateip": branch.address, "vlanID": 3, "SubnetCIDR": "10.0.0.0/20"}])
    place.tell(pod, note)
    assert pod.add().address == branch.address
    pod.delete()
    pod.remove()


def test_del_leaves_nothing_and_the_branch_is_free_for_the_next(place):
    place.pod().delete()                                        # whatever comes with a first pod is there
    before = audit.node(place.node)
    for _ in range(3):
        pod = place.pod(3)
        assert pod.pings("10.0.0.1")
        pod.check()
        pod.delete()
        audit.settled(place.node, before)
    # and after a container that died
    pod = place.pod(3)
    place.pods.pop()[1].stop()
    pod.remove()
    pod.delete()
    audit.settled(place.node, before)


def test_a_branch_that_another_pod_has_is_refused(place):
    """A stale annotation names the branch of a pod that lives."""
    first = place.pod(3)
    pod = place.node.pod()
    place.tell(pod, place.annotation(3))
    assert refused(pod).code == 11
    first.check()
    assert first.pings("10.0.0.1")
    pod.remove()


def test_a_restart_changes_nothing(place):
    pod, remote = place.pod(3), place.pod(node=place.lab.nodes[1])
    for how in (place.lab.kill_daemon, place.lab.stop_daemon):
        how(place.node.name)
        assert connects(remote, pod.result.address)
        place.lab.start_daemon(place.node.name)
        proc.wait_until(place.node.serves, "the daemon to serve")
        pod.check()
        assert connects(remote, pod.result.address) and connects(pod, remote.result.address)


LOSSES = {"deleted": "rm -f $1/state.db*", "corrupt": "for f in $1/state.db*; do head -c 8192 /dev/urandom >$f; done"}


@pytest.mark.limit(120)
@pytest.mark.parametrize("how", LOSSES)
def test_the_loss_of_the_store_loses_no_pod(place, how):
    """All that is known of a pod and its branch is found again in the kernel; it goes on, is judged as ever, and leaves nothing."""
    place.pod(3).delete()       # the trunk stays up
    before = audit.node(place.node)
    pod, remote, local = place.pod(3), place.pod(node=place.lab.nodes[1]), place.pod()
    wired, rows = audit.kernel(place.node), audit.books(place.node)
    flow = Connection(pod.node, pod.netns, remote.result.address, timeout=20)
    assert flow.alive()
    place.lab.kill_daemon(place.node.name)
    place.node.run("sh", "-c", LOSSES[how], "-", place.node.run_dir)
    place.lab.start_daemon(place.node.name)
    proc.wait_until(place.node.serves, "the daemon to serve")
    log = place.node.daemon_log()
    assert flow.alive(), log
    flow.close()
    assert audit.kernel(place.node) == wired, audit.difference(wired, audit.kernel(place.node))
    # names of pods are the store's alone
    found = [{k: json.loads(r).get(k) for k in ("container_id", "address", "host_ifname", "slot", "eni")} for r in audit.books(place.node)]
    assert found == [{k: json.loads(r).get(k) for k in ("container_id", "address", "host_ifname", "slot", "eni")} for r in rows]
    for p in (pod, local):
        p.check()
        assert connects(remote, p.result.address) and connects(p, remote.result.address)
    second = place.node.pod()
    place.tell(second, place.annotation(3))
    assert refused(second).code == 11       # the branch has its pod
    second.remove()
    place.pods, mine = place.pods[:1], place.pods[1:]
    for p, server in mine:
        server.stop()
        p.delete()
        p.remove()
    audit.settled(place.node, before)


def test_a_pod_whose_branch_cannot_be_told_any_more_is_taken_down(place):
    """The store is lost and so are its routes: a pod without the groups that it is to have must not go on."""
    place.pod(3).delete()       # the trunk stays up
    before = audit.node(place.node)
    pod = place.pod(3)
    place.lab.kill_daemon(place.node.name)
    place.node.run("sh", "-c", LOSSES["deleted"] + "; ip route flush table 103; ip route flush table 22103", "-", place.node.run_dir)
    place.lab.start_daemon(place.node.name)
    proc.wait_until(place.node.serves, "the daemon to serve")
    assert "its runtime must start it anew" in place.node.daemon_log()
    pod.delete()
    audit.settled(place.node, before)
    again = place.pod(3)
    assert again.pings("10.0.0.1")


def test_other_pods_are_as_ever(place):
    local, remote = place.pod(), place.pod(node=place.lab.nodes[1])
    assert connects(local, remote.result.address) and connects(remote, local.result.address)
    assert place.node.run("nc", "-z", "-w", "2", local.result.address, str(PORT), check=False).returncode == 0


def test_the_pool_leaves_trunk_and_branches_alone(place):
    place.pod(3)
    ids = {e["id"] for e in place.node.info()["enis"]}
    assert place.trunk["NetworkInterfaceId"] not in ids and not ids & {b.id for b in place.branches.values()}
