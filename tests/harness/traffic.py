# SPDX-License-Identifier: Apache-2.0
"""Who reaches whom, and as whom: places of a lab that ask and answer (agent.py), and how a test talks to them."""
import contextlib
import json
import pathlib
import subprocess

from tests.harness import proc

AGENT = pathlib.Path(__file__).with_name("agent.py")
PORT = 9000

# TCP echo on port 9100; says "ready" again for each line
ECHO = """import socket, sys, threading
def serve(c):
    while data := c.recv(4096):
        c.sendall(data)
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 9100))
    s.listen()
    threading.Thread(target=lambda s=s: [threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start() for _ in iter(int, 1)],
                     daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print("ready", flush=True)
"""

# one connection to ADDRESS; each line is sent and must come back
FLOW = """import socket, sys
s = socket.create_connection((sys.argv[1], 9100), timeout=30)
for line in sys.stdin:
    s.sendall(line.encode())
    got = b""
    while not got.endswith(b"\\n"):
        got += s.recv(4096)
    print(got.decode().strip(), flush=True)
"""


class Place:
    """A network namespace of a lab from which probes are sent and in which servers run.

    A pod, a node, a host-network pod (a node's network, but processes, mounts and host name of its own), or a host outside:
    "internet", "peered".
    """

    def __init__(self, name, argv, env, address=None, address6=None):
        self.name, self._argv, self._env = name, argv, env
        self.address, self.address6 = address, address6
        self.server = None

    @classmethod
    def pod(cls, pod):
        address6 = pod.result.address6 if any(":" in i["address"] for i in pod.result.ips) else None
        address = pod.result.address if any("." in i["address"] for i in pod.result.ips) else None
        return cls(f"{pod.name}@{pod.node.name}", pod.node.argv("nsenter", f"--net={pod.netns}"), pod.node.env(), address, address6)

    @classmethod
    def node(cls, node):
        return cls(node.name, node.argv(), node.env(), node.imds("local-ipv4"), node_address6(node))

    @classmethod
    def host_network_pod(cls, node):
        unshare = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
        return cls(f"host-network@{node.name}", node.argv(*unshare), node.env(), node.imds("local-ipv4"), node_address6(node))

    @classmethod
    def outside(cls, lab, which):
        v4, v6 = {"internet": ("203.0.113.10", "2001:db8:ffff::10"), "peered": ("192.168.100.10", "fd00:db8:100::10")}[which]
        node = lab.nodes[0]
        return cls(which, [proc.SIM, "exec", which, "--"], node.env(), v4, v6)

    def of(self, family):
        return self.address if family == 4 else self.address6

    def run(self, *argv, **kwargs):
        return proc.run([*self._argv, *[str(a) for a in argv]], env=self._env, **kwargs)

    def popen(self, *argv):
        """A program that stays and answers lines with lines: say(), close()."""
        return Talker(subprocess.Popen([*self._argv, *[str(a) for a in argv]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True, bufsize=1, env=self._env))

    def serve(self, port=PORT):
        """Answer on `port` until stop(); a context manager."""
        self.server = subprocess.Popen([*self._argv, "/usr/bin/python3", str(AGENT), "serve", self.name, str(port)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._env)
        assert self.server.stdout.readline() == "ready\n", f"no server in {self.name}"
        return self

    def stop(self):
        if self.server:
            self.server.stdin.close()
            self.server.wait(60)
            self.server.stdout.close()
            self.server = None

    __enter__ = serve

    def __exit__(self, *_):
        self.stop()

    def ask(self, probes):
        """Many probes at once -> answers in their order: what the server said, or {"error": ...}."""
        done = self.run("/usr/bin/python3", AGENT, "ask", input=json.dumps(probes), timeout=60)
        return json.loads(done.stdout)

    def reaches(self, to, port=PORT, proto="tcp", **more):
        """-> the server's answer, or None."""
        answer = self.ask([{"proto": proto, "to": to, "port": port, **more}])[0]
        return None if "error" in answer else answer


class Talker:
    def __init__(self, process):
        self.process = process

    def say(self, line):
        self.process.stdin.write(line)
        answer = self.process.stdout.readline()
        assert answer, "it has ended"
        return answer.strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def node_address6(node):
    return next((e.get("address6") for e in node.info()["enis"] if e["primary"]), None)


@contextlib.contextmanager
def behind_both(node, at_most=9):
    """A pod behind the first ENI of a node, and one behind another: which ENI a pod gets is the pool's own business.

    `at_most`: what a node of the test's lab has room for; 9 on a t3.small.
    """
    found, made = {}, []
    try:
        while set(found) != {True, False}:
            assert len(made) < at_most, "all pods are behind one ENI"
            made.append(node.pod())
            found.setdefault(node.eni_of(made[-1].add().address)["primary"], made[-1])
        yield found[True], found[False]
    finally:
        for pod in made:
            pod.delete()
            pod.remove()


def serving(places, port=PORT):
    """Servers in all of them; ends them again. A context manager."""
    return _Serving(places, port)


class _Serving:
    def __init__(self, places, port):
        self.places, self.port = places, port

    def __enter__(self):
        try:
            for place in self.places:
                place.serve(self.port)
        except BaseException:
            self.__exit__()
            raise
        return self.places

    def __exit__(self, *_):
        for place in self.places:
            place.stop()
