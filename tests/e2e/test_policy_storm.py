# SPDX-License-Identifier: Apache-2.0
"""Pods start under policy and under fire: not one packet passes that policy denies, from the first instant to the last.

VPCWIRE_STARTS: how many pods (a thousand take a minute or two).
"""
import os

import pytest

from tests.harness import proc, storm
from tests.harness.policy import Policies

# few addresses that are used again at once: the flood comes round to each of them every few hundred microseconds. Always the same: a
# pod whose address came after the flood had begun would wait for it in vain
LAB = {"args": ["--ipv6"], "instance_type": "t3.medium",
       "daemon_config": {"ip_cooldown_s": 0, "warm_ip_target": 1, "minimum_ip_target": 5, "max_eni": 1}}
STARTS = int(os.environ.get("VPCWIRE_STARTS", proc.times(250)))


@pytest.fixture(scope="module")
def other(lab):
    pod = lab.nodes[0].pod()
    pod.add()
    yield pod
    pod.delete()
    pod.remove()


def test_without_policy_the_packets_are_seen(node, other):
    """The next test looks for absences: first make sure that what it counts is there when nothing denies it."""
    seen = storm.race(node, other, 5)
    assert seen["out_denied"] and seen["collected_denied"] and seen["denied_in"], seen


@pytest.mark.limit(60 + STARTS)
def test_no_packet_passes_before_policy(node, other):
    folder = Policies(node)
    folder.put("storm.json", storm.policy())
    seen = storm.race(node, other, STARTS)
    assert seen["pods"] == STARTS
    assert (seen["out_denied"], seen["collected_denied"], seen["denied_in"]) == (0, 0, 0), seen
    # what podstorm asks of each pod: it fired, and what is allowed passed both ways, in both families
    assert min(seen[k] for k in ("sent_raw", "sent", "answered4", "answered6", "allowed_in", "out_allowed")) >= STARTS, seen
    folder.take("storm.json")
