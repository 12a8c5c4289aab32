# SPDX-License-Identifier: Apache-2.0
"""The VPC that fault tests happen in, and what must hold in it after every fault."""
import ipaddress
import json

from tests.harness import audit, proc
from tests.harness.cni import CniError

# 3 ENIs of 6 addresses, like a t3.medium
TYPE = {"name": "pods.medium", "max_enis": 3, "ipv4_per_eni": 6, "nitro": True}
SLOTS = TYPE["ipv4_per_eni"] - 1


def vpc(prefix=24, **more):
    return {"vpcs": [{"id": "vpc-0a", "cidr": "10.0.0.0/16"}],
            "subnets": [{"id": "subnet-0a", "cidr": f"10.0.0.0/{prefix}", "az": "a"}], "instance_types": [TYPE],
            "instances": [{"name": "node1", "id": "i-01", "type": TYPE["name"], "subnet": "subnet-0a", "role": "node"}], **more}


def enis(lab, instance="node1"):
    """ENIs that EC2 has attached to this node."""
    return [e for e in lab.control("state")["state"]["enis"] if e.get("node") == instance]


def logged(node, text):
    return text in node.daemon_log()


def configure(node, **settings):
    """As a person does it: a new file moved into place."""
    text = settings.pop("text", None) or json.dumps(settings)
    node.run("sh", "-ec", 'cat > /etc/vpcwire/new; mv /etc/vpcwire/new /etc/vpcwire/vpcwired.json', input=text)


def refused(pod):
    """ADD of @pod must fail, as 'try again' -> its sentence."""
    try:
        pod.add()
    except CniError as exc:
        assert exc.code == 11, exc
        return str(exc)
    raise AssertionError(f"{pod.name} got an address")


def fill(node, limit=3 * SLOTS):
    """Pods until one is refused -> (those with an address, the refusal or None)"""
    got = []
    for pod in node.pods(limit):
        try:
            pod.add()
        except CniError as exc:
            assert exc.code == 11, exc
            return got, str(exc)
        got.append(pod)
    return got, None


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


def whole(lab, node, pods=(), timeout=30):
    """At rest EC2, daemon, kernel and pods say the same: nothing leaked, nothing twice, nothing in use taken away."""
    proc.wait_until(lambda: node.info()["pool"]["actions_under_way"] == 0 and slots_of(node) == slots_at_ec2(lab),
                    lambda: f"daemon and EC2 to agree: {slots_of(node)} and {slots_at_ec2(lab)}", timeout)
    strays = [e["id"] for e in lab.control("state")["state"]["enis"] if not e.get("node")]
    assert not strays, f"leaked: {strays}"
    held = {p["container_id"]: p["address"] for p in node.info()["pods"]}
    assert len(set(held.values())) == len(held), held
    assert held == {p.container_id: str(p.result.address) for p in pods}
    assert len(audit.pod_objects(node)) == 2 * len(pods)
