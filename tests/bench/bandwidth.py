# SPDX-License-Identifier: Apache-2.0
"""How near the `bandwidth` capability comes to what was asked for, beside Debian's bandwidth plugin behind ptp.

One TCP connection for each direction and limit. The receiver counts what arrives in a time of its own, after the burst is used up;
the row has that in per cent of the limit. Headers are the difference to 100: 0.7 % of a frame of 9001 bytes, 4 % of 1500.
"""
import json
import subprocess

from tests.harness.lab import Lab
from tests.harness.libcni import Chain

SINK = """
import socket, sys, time
s = socket.create_server((sys.argv[1], 5001))
print("ready", flush=True)
c, _ = s.accept()
skip, take = float(sys.argv[2]), float(sys.argv[3])
began, n = time.monotonic(), 0
while time.monotonic() - began < skip:
    c.recv(65536)
start = time.monotonic()
while (now := time.monotonic()) - start < take:
    n += len(c.recv(65536))
print(n * 8 / (now - start))
"""
SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 5001), 10) as c:
    try:
        while True:
            c.sendall(bytes(65536))
    except OSError:
        pass
"""
PEER = {"cniVersion": "1.0.0", "name": "peer", "plugins": [
    {"type": "ptp", "ipam": {"type": "host-local", "subnet": "100.64.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "bandwidth", "capabilities": {"bandwidth": True}}]}
SKIP_S, TAKE_S = 1, 3


def rate(sender, receiver, address, env):
    """Bits a second that arrive. `sender`, `receiver`: argv that leads to where they are."""
    def start(where, script, *args):
        return subprocess.Popen([*where, "/usr/bin/python3", "-c", script, address, *map(str, args)], stdout=subprocess.PIPE, text=True, env=env)

    sink = start(receiver, SINK, SKIP_S, TAKE_S)
    assert sink.stdout.readline() == "ready\n"
    source = start(sender, SOURCE)
    try:
        return float(sink.communicate(timeout=30)[0])
    finally:
        source.kill()
        source.communicate()


def measure(node, chain, limit, gateway):
    """-> (to the pod, from the pod), in per cent of the limit."""
    pod = node.pod()
    try:
        result = chain.add(pod, capabilities={"bandwidth": {"ingressRate": limit, "ingressBurst": 2**32 - 1, "egressRate": limit,
                                                            "egressBurst": 2**32 - 1}})
        address = result["ips"][0]["address"].split("/")[0]
        inside, outside = node.argv("nsenter", f"--net={pod.netns}"), node.argv()
        ways = [(outside, inside, address), (inside, outside, gateway or result["ips"][0]["gateway"])]
        return [100 * rate(*way, node.env()) / limit for way in ways]
    finally:
        chain.delete(pod)
        pod.remove()


def rows():
    with Lab() as lab:
        node, found = lab.nodes[0], []
        ours = {"cniVersion": "1.0.0", "name": "vpc",
                "plugins": [{**node.conflist["plugins"][0], "capabilities": {"bandwidth": True}}]}
        for limit, name in ((10_000_000, "10 Mbit/s"), (1_000_000_000, "1 Gbit/s")):
            mine = measure(node, Chain(node, ours), limit, node.imds("local-ipv4"))
            peer = measure(node, Chain(node, json.loads(json.dumps(PEER))), limit, None)
            for way, a, b in zip(("to the pod", "from the pod"), mine, peer):
                found.append({"name": f"bandwidth {name} {way}", "unit": "%", "ours": round(a, 1), "peer": round(b, 1),
                              "peer_name": "ptp + bandwidth", "floor": None})
        return found
