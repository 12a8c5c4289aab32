# SPDX-License-Identifier: Apache-2.0
"""The VPC that fault tests happen in, and what must hold in it after every fault."""
import contextlib
import ipaddress
import json
import re

from tests.harness import audit, proc
from tests.harness.cni import CniError
from tests.harness.lab import Pod

# 3 ENIs of 6 addresses, like a t3.medium
TYPE = {"name": "pods.medium", "max_enis": 3, "ipv4_per_eni": 6, "nitro": True}
SLOTS = TYPE["ipv4_per_eni"] - 1


def vpc(prefix=24, type=TYPE, **more):
    """A VPC with one subnet and one instance of @type."""
    return {"vpcs": [{"id": "vpc-0a", "cidr": "10.0.0.0/16"}],
            "subnets": [{"id": "subnet-0a", "cidr": f"10.0.0.0/{prefix}", "az": "a"}], "instance_types": [type],
            "instances": [{"name": "node1", "id": "i-01", "type": type["name"], "subnet": "subnet-0a", "role": "node"}], **more}


def enis(lab, instance="node1"):
    """ENIs that EC2 has attached to this node."""
    return [e for e in lab.control("state")["state"]["enis"] if e.get("node") == instance]


def logged(node, text):
    return text in node.daemon_log()


CONFIG = "/etc/vpcwire/vpcwired.json"


def write_config(node, text):
    """As a person does it: a new file moved into place."""
    node.run("sh", "-ec", f"cat > {CONFIG}.new; mv {CONFIG}.new {CONFIG}", input=text)


def configure(node, **settings):
    """These settings are in force when this returns."""
    before = node.info()["config"]["loads"]
    write_config(node, json.dumps(settings))
    proc.wait_until(lambda: node.info()["config"]["loads"] > before, lambda: f"the configuration: {node.info()['config']}")


def refused(pod):
    """ADD of @pod, which may be refused, as 'try again' -> the sentence, or None when it got an address."""
    try:
        pod.add()
    except CniError as exc:
        assert exc.code == 11, exc
        return exc.msg
    return None


def refusal(node):
    """A new pod must be refused -> the sentence."""
    said = refused(node.pod())
    assert said, "a pod got an address"
    return said


def fill(node, limit=3 * SLOTS):
    """Pods until one is refused -> (those with an address, the refusal or None)"""
    got = []
    for pod in node.pods(limit):
        said = refused(pod)
        if said:
            return got, said
        got.append(pod)
    return got, None


# what an ADD is told while EC2 has not answered: a call is under way for the first time, waits for the node's own rate, is sent again
UNANSWERED = re.compile(r"the pool is growing|is kept to this node's own rate|\(being tried again\)")


def told(node, text, limit=3 * SLOTS):
    """Pods until one is refused with @text, from its first letter to its last -> those that got an address.

    Who comes while a call is on its way to EC2 hears of that, and asks again, as kubelet does; it may get an address by that call.
    """
    got, said = fill(node, limit)

    def answered():
        nonlocal said
        if said and (re.fullmatch(text, said) or not UNANSWERED.search(said)):
            return True
        pod = node.pod()
        said = refused(pod)
        if not said:
            got.append(pod)
        return False

    proc.wait_until(answered, lambda: f"'{text}' to be said: {said}", timeout=40)
    assert re.fullmatch(text, said), said
    return got


def empty(node):
    """Pods until nothing is left, before growth can come -> those with an address."""
    got = []
    while node.info()["pool"]["available"]:
        got.append(node.pod())
        got[-1].add()
    return got


def recover(lab, node):
    """The faults are over: a new pod gets an address, all go, and everybody agrees about what is whose."""
    lab.clear_faults()
    lab.control("imds-show")
    pod = node.pod()
    proc.wait_until(lambda: refused(pod) is None, "a pod to get an address again", timeout=80)
    for held in node.info()["pods"]:
        Pod(node, held["pod_name"]).delete()
    whole(lab, node)


@contextlib.contextmanager
def cut_off(node):
    """A firewall refuses the way to EC2's endpoint, for connections that are there as well."""
    host = node.lab.env["AWS_ENDPOINT_URL_EC2"].split("/")[2].split(":")[0]
    node.run("nft", "add table ip cut; add chain ip cut out { type filter hook output priority 0; }; "
             f"add rule ip cut out ip daddr {host} tcp dport 8080 reject with tcp reset")
    try:
        yield
    finally:
        node.run("nft", "delete table ip cut")


def slots_at_ec2(lab):
    """{CIDR: ENI id} of what EC2 has assigned to the node's ENIs, primary addresses left out."""
    found = {}
    for e in enis(lab):
        for text in e["v4"][1:]:
            cidr = str(ipaddress.ip_network(text))
            assert cidr not in found, f"{cidr} is on two ENIs"
            found[cidr] = e["id"]
    return found


def slots_of(node):
    return {slot: e["id"] for e in node.info()["enis"] for slot in e["slots"]}


def strays(lab):
    return [e["id"] for e in lab.control("state")["state"]["enis"] if not e.get("node")]


def whole(lab, node, pods=(), timeout=30):
    """At rest EC2, daemon, kernel and pods say the same: nothing leaked, nothing twice, nothing in use taken away."""
    proc.wait_until(lambda: node.info()["pool"]["actions_under_way"] == 0 and slots_of(node) == slots_at_ec2(lab),
                    lambda: f"daemon and EC2 to agree: {slots_of(node)} and {slots_at_ec2(lab)}", timeout)
    # one that is given back belongs to nobody between its detach and its delete
    proc.wait_until(lambda: not strays(lab), lambda: f"ENIs that are nobody's to be deleted: {strays(lab)}", timeout=10)
    held = {p["container_id"]: p["address"] for p in node.info()["pods"]}
    assert len(set(held.values())) == len(held), held
    assert held == {p.container_id: str(p.result.address) for p in pods}
    # links are reaped in groups, a moment after their DEL
    proc.wait_until(lambda: len(audit.pod_objects(node)) == 2 * len(pods), lambda: f"{len(pods)} pods in {audit.pod_objects(node)}")
