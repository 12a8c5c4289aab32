# SPDX-License-Identifier: Apache-2.0
"""Credentials end, change or are not believed in the middle of things: fetched anew, once, and no pod hears of it."""
import pytest

from tests.faults.world import refused, vpc
from tests.harness import proc

# every growth is a new ENI: three calls
TYPE = {"name": "pods.wide", "max_enis": 30, "ipv4_per_eni": 2, "nitro": True}
LAB = {"config": vpc(type=TYPE), "daemon_config": {"warm_ip_target": 0, "minimum_ip_target": 1, "ip_cooldown_s": 0,
                                                   "add_wait_ms": 20000, "disable_leaked_eni_cleanup": True}}
GROWTH = ["CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"]


@pytest.fixture
def lab(make_lab):
    """Of each test's own: one that is a minute old gives back what it has too much, and those calls would be counted, too."""
    return make_lab(**LAB)


def grows(lab, node):
    """Pods until one needed an ENI that was not there; all must get their address."""
    lab.control("reset-counters")
    while not lab.ec2_calls().get("CreateNetworkInterface"):
        said = refused(node.pod())
        assert said is None, said
    # the last of its calls comes after the pod has its address
    proc.wait_until(lambda: lab.ec2_calls().get("ModifyNetworkInterfaceAttribute"), "the ENI to be tied to the instance")


def errors(lab):
    return {a: c["errors"] for a, c in lab.control("counters")["counters"].items() if c.get("errors")}


def test_all_sets_run_out(lab, node):
    """EC2 says RequestExpired of an expired token; the new set serves at once."""
    lab.control("expire-credentials")
    grows(lab, node)
    found = errors(lab)
    assert list(found.values()) == [{"RequestExpired": 1}], found


@pytest.mark.parametrize("action", GROWTH)
@pytest.mark.parametrize("code", ["ExpiredToken", "AuthFailure", "InvalidClientTokenId"])
def test_one_call_is_not_believed(lab, node, wait_until, action, code):
    """The role was rotated between two calls of one growth."""
    lab.fault(action, code, times=1)
    grows(lab, node)
    wait_until(lambda: lab.ec2_calls().get(action) == 2, f"{action} to be sent again")
    assert errors(lab) == {action: {code: 1}}


def test_the_clocks_differ(lab, node):
    """EC2 refuses the signature's time; the next one has the time of its own answer. Also when the clock is put right again."""
    for offset in (3600, -3600, 0):
        lab.control("clock", offset_s=offset)
        grows(lab, node)
        found = errors(lab)
        assert sum(sum(c.values()) for c in found.values()) == 1, (offset, found)       # once; the difference is remembered
        assert set(*found.values()) <= {"RequestExpired", "SignatureDoesNotMatch"}, (offset, found)


def test_the_clock_and_a_code_that_does_not_say_so(lab, node):
    """EC2 says AuthFailure of a wrong clock, too: the Date of the answer tells, and the credentials are not blamed."""
    grows(lab, node)
    lab.fault("CreateNetworkInterface", "AuthFailure", times=1)
    lab.control("clock", offset_s=400)
    asked = lab.control("counters")["counters"].get("IMDS", {}).get("calls", 0)
    grows(lab, node)
    assert errors(lab)["CreateNetworkInterface"] == {"AuthFailure": 1}
    assert lab.control("counters")["counters"].get("IMDS", {}).get("calls", 0) <= asked
    lab.control("clock", offset_s=0)
