# SPDX-License-Identifier: Apache-2.0
"""What pods leave behind: no eBPF map, program, pin or descriptor, no entry in a map, no memory. And none of it grows with pods.

VPCWIRE_CHURN: pods that start and stop (10,000 take some minutes).
"""
import os

import pytest

from tests.harness import bpfmem, proc, storm
from tests.harness.policy import Policies, network_policy

LAB = {"args": ["--ipv6"], "instance_type": "m5.2xlarge", "prefix_delegation": True,
       "daemon_config": {"ip_cooldown_s": 0, "warm_prefix_target": 1}}
CHURN = int(os.environ.get("VPCWIRE_CHURN", proc.times(300)))
WARM_UP = 50
MEMORY_KIB = 1024       # what an allocator may keep; a leak of 100 bytes for each of 10,000 pods would show


@pytest.fixture
def folder(node):
    p = Policies(node)
    p.put("storm.json", storm.policy(), network_policy("deny", policyTypes=["Ingress", "Egress"]))
    yield p
    p.change(p.clear)


def entries(folder):
    return {m["name"]: m["used"] for m in folder.status()["maps"]}


def known(folder):
    return {k: v for k, v in entries(folder).items() if k in ("np_idents", "np_ip4", "np_ip6")}


def dirty_kib(node, pid):
    lines = node.run("cat", f"/proc/{pid}/smaps_rollup").stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Swap:")))


def quiet(node):
    """Links are reaped in groups, with a socket of their own, and the pool grows and shrinks as pods come and go."""
    pool = node.info()["pool"]
    return not node.info()["n_pods"] and not pool["actions_under_way"] and "eni" not in node.run("ip", "-br", "link", "show", "group", "0x56570001").stdout


@pytest.mark.limit(60 + CHURN // 10)
def test_pods_that_went_leave_nothing(node, folder):
    def look():
        proc.wait_until(lambda: quiet(node), "the node to be at rest")
        return bpfmem.held(node, pid), entries(folder)

    pid, nobody = node.daemon_pid(), known(folder)
    storm.churn(node, WARM_UP)
    # the addresses of pods that went give their places back after a barrier, within some seconds
    proc.wait_until(lambda: known(folder) == nobody, lambda: f"no pod's address to be known: {nobody} {known(folder)}")
    before, dirty = look(), dirty_kib(node, pid)
    storm.churn(node, CHURN, timeout=60 + CHURN // 10)
    proc.wait_until(lambda: look() == before, lambda: f"all as before\n{before}\n{look()}", timeout=30)
    grown = dirty_kib(node, pid) - dirty
    print(f"{CHURN} pods: {len(before[0].maps)} maps, {len(before[0].progs)} programs, {len(before[0].pins)} pins, "
          f"{len(before[0].fds)} descriptors before and after, memory {grown:+} KiB of {dirty}")
    assert grown <= MEMORY_KIB


def test_objects_and_their_memory_do_not_grow_with_pods(node, folder):
    def held():
        """Once the pool has grown as it should: a call to EC2 has a connection."""
        proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "no change at EC2 under way")
        return bpfmem.held(node)

    pods = node.pods(15)
    pods[0].add()
    with_one = held()
    for pod in pods[1:]:
        pod.add()
    with_all = held()
    assert (with_all.maps, with_all.progs, with_all.pins, with_all.fds) == (with_one.maps, with_one.progs, with_one.pins, with_one.fds)
    assert with_all.bytes == with_one.bytes
    assert len(with_one.maps) >= 20 and with_one.bytes > 1 << 20
    for pod in pods:
        pod.delete()
        pod.remove()
