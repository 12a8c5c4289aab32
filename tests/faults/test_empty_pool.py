# SPDX-License-Identifier: Apache-2.0
"""ADD on an empty pool that cannot grow fails as "try again" with the cause in words that name what is to be done about it."""
import pytest

from tests.faults.world import configure, cut_off, told, vpc, whole
from tests.harness.symptoms import operator_sees

# many ENIs of one address each: every growth is a new ENI, and there is always room for one more
TYPE = {"name": "pods.wide", "max_enis": 30, "ipv4_per_eni": 2, "nitro": True}
SETTINGS = {"warm_ip_target": 1, "ip_cooldown_s": 0, "add_wait_ms": 1200, "disable_leaked_eni_cleanup": True}
LAB = {"config": vpc(type=TYPE), "daemon_config": SETTINGS}
GROW = "(CreateNetworkInterface|AssignPrivateIpAddresses)"      # the latter where an ENI has just given its address back
NEXT = r" \(next try in \d+ s\)"
AGAIN = rf"({NEXT}| \(being tried again\))"
DENIED = "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/node/i-01 is not authorized to " \
         "perform: ec2:CreateTags on resource: arn:aws:ec2:eu-central-1:1:network-interface/*"


def says(node, text):
    """ADDs until the pool is empty; the refusal must be @text, from its first letter to its last. -> the pods that got one"""
    return told(node, text, 30)


def test_which_action_is_throttled_and_until_when(lab, node):
    lab.control("bucket", action="CreateNetworkInterface", size=1, refill_per_s=0)
    says(node, "no free address: EC2 throttles: ec2:CreateNetworkInterface" + NEXT)
    operator_sees(node, "no free address: EC2 throttles: ec2:")
    lab.control("bucket", action="CreateNetworkInterface", size=0)


def test_throttled_while_a_call_backs_off(lab, node):
    """The ENI is created; the attach that follows is refused again and again. That is no growth, it is throttling."""
    lab.fault("AttachNetworkInterface", "RequestLimitExceeded")
    says(node, "no free address: EC2 throttles: ec2:AttachNetworkInterface" + AGAIN)


def test_throttled_while_the_next_try_is_under_way(lab, node, wait_until):
    lab.fault("CreateNetworkInterface", "RequestLimitExceeded", times=1)
    lab.fault("CreateNetworkInterface", kind="delay", delay_ms=8000, nth=1)
    got = says(node, "no free address: EC2 throttles: ec2:CreateNetworkInterface" + AGAIN)
    wait_until(lambda: node.info()["pool"]["actions_under_way"], "the next try")
    says(node, r"no free address: EC2 throttles: ec2:CreateNetworkInterface \(being tried again\)")
    assert got


@pytest.mark.parametrize("message,action", [("", "CreateNetworkInterface"), (DENIED, "CreateTags")])
def test_which_permission_is_missing(lab, node, message, action):
    lab.fault("CreateNetworkInterface", "UnauthorizedOperation", message=message)
    says(node, f"no free address: a permission is missing: ec2:{action}" + NEXT)
    operator_sees(node, "no free address: a permission is missing: ec2:")


def test_how_many_enis_there_may_be(lab, node):
    with_max = {**SETTINGS, "max_eni": len(node.info()["enis"]) + 1}
    configure(node, **with_max)
    n = with_max["max_eni"]
    says(node, rf"no free address: all slots are in use and no ENI can be added: {n} of {n} ENIs \(MAX_ENI\)")
    operator_sees(node, "no free address: all slots are in use and no ENI can be added:")
    configure(node, **SETTINGS)


def test_ec2_allows_no_more_enis(lab, node):
    lab.fault("AttachNetworkInterface", "AttachmentLimitExceeded", message="Interface count 2 exceeds the limit for i-01")
    says(node, "no free address: all slots are in use and no ENI can be added: AttachNetworkInterface: no more interfaces allowed "
               r"on this instance or in this region \(AttachmentLimitExceeded\); look for interfaces that others attached, or ask "
               "AWS to raise the limit: Interface count 2 exceeds the limit for i-01" + NEXT)


def test_no_credentials(lab, node):
    lab.fault("IMDS", path="security-credentials", kind="body", status=404)     # first, or a call of this moment would fetch the next set
    lab.control("expire-credentials")
    says(node, f"no free address: no valid AWS credentials: {GROW}: no credentials: credentials from the "
               "instance's role: the instance has no role; attach an instance profile to it" + AGAIN)
    operator_sees(node, "no free address: no valid AWS credentials:")


def test_ec2_is_out_of_reach(lab, node):
    # the survey that follows is a call of growth, too: it is what is said while the next one of the others is on its way
    with cut_off(node):
        says(node, f"no free address: EC2 failed: ({GROW}|DescribeNetworkInterfaces): EC2 cannot be reached or has a failure of its own; tried again later; "
                   "check the route to its endpoint if it goes on: 198.18.0.10: (Failed to connect to 198.18.0.10 port 8080|Recv failure|Send failure).*" + AGAIN)
        operator_sees(node, "EC2 cannot be reached or has a failure of its own")


def test_provisioning_is_switched_off(node):
    configure(node, **SETTINGS, disable_provisioning=True)
    says(node, "no free address: provisioning of ENIs and addresses is switched off")
    operator_sees(node, "no free address: provisioning of ENIs and addresses is switched off")
    configure(node, **SETTINGS)


def test_the_subnet_is_exhausted(make_lab):
    """A /28 of 11 addresses, and an instance that could have more."""
    lab = make_lab(config=vpc(prefix=28, type=TYPE), daemon_config=SETTINGS)
    node = lab.nodes[0]
    got = says(node, "no free address: no free address in subnet subnet-0a" + NEXT)
    operator_sees(node, "no free address: no free address in subnet")
    assert lab.control("state")["state"]["subnets"][0]["available"] == 1       # an ENI needs one for itself
    whole(lab, node, got)
