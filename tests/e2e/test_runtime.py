# SPDX-License-Identifier: Apache-2.0
"""Real containers: Debian's containerd and runc, `ctr run --cni`, one containerd on each of two nodes.

A node of the lab has its own /run, /etc and /opt, so `ctr` finds the node's CNI configuration and plugins in their usual
places, and the machine's containerd, if there is one, is not touched. What containerd stores lies in the test's directory.
"""
import ipaddress
import json
import os
import pathlib
import re
import select
import subprocess
import time

import pytest

from tests.harness import audit, proc
from tests.harness.containerd import Containerd, make_rootfs

LAB = {"nodes": 2}
INTERNET = "203.0.113.10"


class Runtime(Containerd):
    """With a root file system instead of images, for `ctr run --rootfs`."""

    def __init__(self, node, directory):
        self.rootfs = make_rootfs(directory / "rootfs")
        super().__init__(node, directory)


class Container:
    """`ctr run --cni` in the foreground: it lives until its stdin closes, and ctr calls CNI DEL when it has ended."""

    def __init__(self, runtime, name):
        self.runtime, self.name = runtime, name
        self.errors = open(runtime.dir / f"{name}.err", "wb")
        argv = runtime.node.argv(*runtime.ctr_argv("run", "--rm", "--rootfs", "--cni", str(runtime.rootfs), name, "/bin/sh", "-c",
                                                   "ip addr; ip route; echo ready; exec cat"))
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=runtime.node.env())
        self.said = self._read_until(b"ready\n")
        self.address = re.search(r"inet (10\.[0-9.]+)/32", self.said)[1]

    def _read_until(self, wanted):
        data, deadline = b"", time.monotonic() + 30
        while not data.endswith(wanted):
            ready, _, _ = select.select([self.proc.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.proc.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"{self.name} did not start: {data!r} {self.messages()}"
            data += chunk
        return data.decode()

    def messages(self):
        return pathlib.Path(self.errors.name).read_text(errors="replace")

    def exec(self, *argv, check=True):
        return self.runtime.ctr("task", "exec", "--exec-id", f"x{time.monotonic_ns()}", self.name, *argv, check=check)

    def stop(self):
        self.proc.stdin.close()
        assert self.proc.wait(30) == 0, self.messages()
        self.proc.stdout.close()
        self.errors.close()


@pytest.fixture(scope="module")
def runtimes(lab, tmp_path_factory):
    up = []
    try:
        for node in lab.nodes:
            up.append(Runtime(node, tmp_path_factory.mktemp(f"containerd-{node.name}")))
        yield up
    finally:
        for runtime in up:
            runtime.stop()


@pytest.mark.limit(120)
def test_containers_of_containerd(lab, runtimes):
    before = [audit.pod_objects(n) for n in lab.nodes]
    first, second = Container(runtimes[0], "first"), Container(runtimes[0], "second")
    other = Container(runtimes[1], "other")

    for container in (first, second, other):
        info = container.runtime.node.info()
        assert container.address in json.dumps(info["pods"])
        assert ipaddress.ip_address(container.address) in ipaddress.ip_network("10.0.0.0/16")
        assert re.search(r"default via 169\.254\.1\.1 dev eth0", container.said), container.said
        assert re.search(r"eth0@if\d+: <[A-Z,_-]*\bUP,LOWER_UP\b", container.said), container.said
    assert len({first.address, second.address, other.address}) == 3

    for client, server in ((first, second), (first, other), (other, second)):
        assert client.exec("/bin/ping", "-c", "1", "-w", "5", server.address, check=False).returncode == 0, (client.name, server.name)
    # nc rather than wget: Debian's static busybox crashes in the resolver, even for a literal address
    request = f"printf 'GET / HTTP/1.0\\r\\nHost: {INTERNET}\\r\\n\\r\\n' | nc -w 5 {INTERNET} 80"
    seen = first.exec("/bin/sh", "-c", request).stdout
    assert json.loads(seen.split("\r\n\r\n", 1)[1])["client"] == lab.nodes[0].imds("public-ipv4")

    for container in (first, second, other):
        container.stop()
    for node, was in zip(lab.nodes, before):
        assert not audit.books(node)
        proc.wait_until(lambda n=node, w=was: audit.pod_objects(n) == w, "the containers' links and routes to be gone")
