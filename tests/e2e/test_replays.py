# SPDX-License-Identifier: Apache-2.0
"""Replays: the calls that runtimes make, in their order, with their arguments and encodings, where the real ones do not go.

CRI-O is not in Debian 12. podman is run (test_podman.py), but no test of it can choose when the namespace goes. Sources: cri-o server/sandbox_network.go and ocicni pkg/ocicni/ocicni.go; containers/common libnetwork/cni/{run,cni_exec,cni_conversion}.go.
"""
import re

import pytest

from tests.harness import audit, cni, proc
from tests.harness.libcni import Chain


LAB = {"prefix_delegation": True, "daemon_config": {"ip_cooldown_s": 1}}


def conflist(node, version, **ours):
    return Chain(node, {"cniVersion": version, "name": "vpc", "plugins": [{**node.conflist["plugins"][0], **ours}]})


@pytest.fixture
def pods(node):
    made = node.pods(3)
    yield made
    for pod in made:
        pod.remove()
    proc.wait_until(lambda: not audit.pod_objects(node), "our links and routes to be gone")


def test_replay_of_crio(node, pods):
    """lo up by CRI-O itself; ADD, CHECK, CHECK again for a status; at a restart STATUS, then GC of what lives; at boot GC of null."""
    crio = conflist(node, "1.1.0", capabilities={"io.kubernetes.cri.pod-annotations": True, "cgroupPath": True, "bandwidth": True})
    for pod in pods:
        pod.run("ip", "link", "set", "lo", "up")
        capabilities = {"io.kubernetes.cri.pod-annotations": {"a": "b"}, "cgroupPath": "/kubepods/x",
                        "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 4294967295 * 8 - 1}}
        crio.add(pod, capabilities=capabilities, args=f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod.name};"
                                                      f"K8S_POD_INFRA_CONTAINER_ID={pod.container_id};K8S_POD_UID=u")
        crio.check(pod)
        crio.check(pod)
    crio.status()
    crio.gc([(p.container_id, "eth0") for p in pods[:2]])      # deletes the third from its cache first, then asks us
    assert [c for c, _ in crio.calls[-2:]] == ["DEL", "GC"]
    assert len(audit.books(node)) == 2
    for pod in pods[:2]:
        crio.check(pod)
    # boot: the cache is gone, the list is a nil slice, but the pods are alive: nothing of theirs may be taken
    booted = conflist(node, "1.1.0")
    booted.gc(None)
    for pod in pods[:2]:
        crio.check(pod)
    for pod in pods[:2]:
        crio.delete(pod)
        crio.delete(pod)
    assert audit.books(node) == []


def test_replay_of_podman(node, pods):
    """Conflists of 0.4.0, one lock for all (no two calls at once), IP and MAC in CNI_ARGS, aliases by network; every MAC is parsed."""
    podman = conflist(node, "0.4.0", capabilities={"aliases": True, "ips": True, "mac": True})
    aliases = {"aliases": {"vpc": ["web", "www"]}}
    first = podman.add(pods[0], capabilities=aliases, args=f"IgnoreUnknown=1;K8S_POD_NAME={pods[0].name}")
    address = cni.Result(first, "0.4.0").address
    podman.delete(pods[0])
    proc.wait_until(lambda: node.info()["pool"]["cooling"] == 0, "the address to have rested", timeout=60)
    second = podman.add(pods[1], capabilities=aliases,
                        args=f"IgnoreUnknown=1;K8S_POD_NAME={pods[1].name};IP={address};MAC=02:00:00:00:00:09")
    result = cni.Result(second, "0.4.0")
    assert result.address == address and result.pod_interface["mac"] == "02:00:00:00:00:09"
    for iface in result.interfaces:
        assert not iface.get("sandbox") or re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", iface["mac"])
    pods[1].remove()                    # podman tears the namespace down after DEL, but a crash may come between
    podman.delete(pods[1])
    podman.delete(pods[1])
    assert audit.books(node) == []

