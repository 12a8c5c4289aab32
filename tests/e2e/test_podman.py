# SPDX-License-Identifier: Apache-2.0
"""Real containers of Debian's podman 4.3 with its CNI backend, `vpcwire` and `portmap` behind it: what it sends and reads is real."""
import ipaddress
import json

import pytest

from tests.harness import audit, proc
from tests.harness.podman import Podman
from tests.harness.traffic import Place

LAB = {"nodes": 2, "prefix_delegation": True, "daemon_config": {"ip_cooldown_s": 1}}
INTERNET = "203.0.113.10"


@pytest.fixture
def podman(lab, node, tmp_path):
    ours = {**node.conflist["plugins"][0], "capabilities": {"aliases": True, "ips": True, "mac": True}}
    made = Podman(node, tmp_path, {"vpc": {"cniVersion": "0.4.0", "name": "vpc", "plugins": [
        ours, {"type": "portmap", "capabilities": {"portMappings": True}}]}})
    yield made
    made.stop()
    proc.wait_until(lambda: not audit.books(node) and not audit.pod_objects(node), "nothing of the containers to be left")


def held(node):
    return sorted(p["address"] for p in node.info()["pods"])


@pytest.mark.limit(180)
def test_containers_from_run_to_rm(lab, node, podman):
    first, second = podman.start("first"), podman.start("second", "--network-alias", "web")
    for network in (first, second):
        assert ipaddress.ip_address(network["IPAddress"]) in ipaddress.ip_network("10.0.0.0/16")
        assert network["Networks"]["vpc"]["MacAddress"].count(":") == 5
    assert held(node) == sorted([first["IPAddress"], second["IPAddress"]])
    assert podman.exec("first", "/bin/ping", "-c1", "-W5", second["IPAddress"]).returncode == 0
    request = f"printf 'GET / HTTP/1.0\\r\\nHost: {INTERNET}\\r\\n\\r\\n' | nc -w 5 {INTERNET} 80"
    seen = podman.exec("first", "/bin/sh", "-c", request).stdout
    assert json.loads(seen.split("\r\n\r\n", 1)[1])["client"] == node.imds("public-ipv4")
    podman("stop", "--time", "0", "first")
    proc.wait_until(lambda: held(node) == [second["IPAddress"]], "a stopped container's address to be free")
    podman("start", "first")
    again = podman.network("first")
    assert sorted([again["IPAddress"], second["IPAddress"]]) == held(node)
    assert podman.exec("second", "/bin/ping", "-c1", "-W5", again["IPAddress"]).returncode == 0
    podman("rm", "--force", "--time", "0", "first", "second")
    assert held(node) == []


@pytest.mark.limit(180)
def test_an_address_and_a_mac_that_are_asked_for(node, podman):
    free = podman.start("first")["IPAddress"]
    podman("rm", "--force", "--time", "0", "first")
    proc.wait_until(lambda: node.info()["pool"]["cooling"] == 0, "the address to have rested", timeout=60)
    network = podman.start("second", "--ip", free, "--mac-address", "02:00:00:00:00:09")
    assert (network["IPAddress"], network["MacAddress"]) == (free, "02:00:00:00:00:09")
    assert "02:00:00:00:00:09" in podman.exec("second", "/bin/ip", "link", "show", "eth0").stdout
    refused = podman("run", "--rm", "--ip", free, "--rootfs", str(podman.rootfs), "/bin/sh", check=False)
    assert refused.returncode != 0 and free in refused.stderr
    assert held(node) == [free]


@pytest.mark.limit(180)
def test_a_published_port(lab, node, podman):
    podman.start("web", "--publish", "8080:80", command=("/bin/sh", "-c", "while :; do echo hello | nc -l -p 80; done"))
    client = Place.node(lab.nodes[1])

    def answered():
        return "hello" in client.run("sh", "-c", f"nc -w 2 {node.imds('local-ipv4')} 8080 </dev/null", check=False).stdout

    proc.wait_until(answered, "the container to answer by the node's port", timeout=30)
    podman("rm", "--force", "--time", "0", "web")
    assert not answered()


@pytest.mark.limit(180)
def test_what_was_killed_is_removed(node, podman):
    """The container dies behind podman's back: `rm` calls DEL. (It does not when the namespace's file is gone as well: that is CNI GC's.)"""
    podman.start("victim")
    node.run("kill", "-KILL", str(podman.pid("victim")))
    podman("rm", "--force", "--time", "0", "victim")
    assert held(node) == []


@pytest.mark.limit(180)
def test_many_at_once(node, podman):
    """podman has one lock for all networks: they come one after the other, and every one is whole."""
    names = [f"c{i}" for i in range(proc.times(50) // 10 or 1)]
    addresses = [podman.start(name)["IPAddress"] for name in names]
    assert len(set(addresses)) == len(names) and held(node) == sorted(addresses)
    podman("rm", "--force", "--time", "0", *names)
    assert held(node) == []
