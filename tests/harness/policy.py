# SPDX-License-Identifier: Apache-2.0
"""Network policy in a lab: a node's folder of manifests, the objects in it, and connections that say whether they live."""
import contextlib
import json
import subprocess

from tests.harness import proc

POLICY_DIR = "/etc/vpcwire/policy.d"
PORT = 8080

SERVER = """
import socket, sys, threading
server = socket.create_server(("", int(sys.argv[1])), backlog=64)
print("ready", flush=True)
def echo(conn):
    for line in conn.makefile("rb"):
        conn.sendall(line)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""

CLIENT = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
except OSError as exc:
    print(f"no: {exc}", flush=True)
    sys.exit()
print("yes", flush=True)
s.settimeout(float(sys.argv[3]))
answers = s.makefile("rb")
for line in sys.stdin.buffer:
    try:
        s.sendall(line)
        print("yes" if answers.readline() == line else "no: closed", flush=True)
    except OSError as exc:
        print(f"no: {exc}", flush=True)
        break
"""


class Policies:
    """The folder of one node, and what vpcwirectl says of it."""

    def __init__(self, node):
        self.node = node

    def write(self, name, *objects):
        """As a person does it: a new file moved into place. Objects, or text as it is."""
        text = "\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        self.node.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat > "$1.new"; mv "$1.new" "$1"', "-", f"{POLICY_DIR}/{name}", input=text)

    def remove(self, *names):
        self.node.run("rm", "-f", *[f"{POLICY_DIR}/{n}" for n in names])

    def clear(self):
        self.node.run("sh", "-c", f"rm -f {POLICY_DIR}/*")

    def ctl(self, *words, ok=(0, 4)):
        done = self.node.run(proc.BIN / "vpcwirectl", "--socket", self.node.socket, "--json", *words, check=False)
        assert done.returncode in ok, f"vpcwirectl {' '.join(words)}: exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def status(self):
        return self.ctl("policy", "status")

    def settled(self, after=-1):
        s = self.ctl("policy", "status", ok=(0, 3, 4))      # 3: it starts
        return s if s and s["generation"] > after and s["applied"] == s["generation"] and not s["pending"] else None

    def change(self, act):
        """Do something to the folder and wait until it is applied -> the status then."""
        before = self.status()["generation"]
        act()
        return proc.wait_until(lambda: self.settled(before), lambda: f"a change of policy to be applied: {self.status()}")

    def put(self, name, *objects):
        return self.change(lambda: self.write(name, *objects))

    def take(self, *names):
        return self.change(lambda: self.remove(*names))

    def shut(self, pod):
        """Nobody may connect to this pod from now on, by policy default/shut in shut.json."""
        name = {"name": pod.name, "namespace": "default", "labels": {"shut": pod.name}}
        self.put("shut.json", {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "shut", "namespace": "default"},
                               "spec": {"podSelector": {"matchLabels": {"shut": pod.name}}, "policyTypes": ["Ingress"]}},
                 {"apiVersion": "v1", "kind": "Pod", "metadata": name})

    def log(self):
        text = self.node.run("cat", f"{self.node.run_dir}/policy.jsonl").stdout
        return [json.loads(line) for line in text.splitlines()]


@contextlib.contextmanager
def settings(folder, **values):
    """Settings of the daemon of @folder's node, in force."""
    def put(these):
        folder.node.run("sh", "-ec", 'cat > /etc/vpcwire/new; mv /etc/vpcwire/new /etc/vpcwire/vpcwired.json', input=json.dumps(these))
    folder.change(lambda: put(values))
    try:
        yield
    finally:        # the next test of this lab is not to fail as well
        folder.change(lambda: put({}))


class Server:
    """A TCP echo server in a pod (or, with netns None, on the node itself)."""

    def __init__(self, node, netns, port=PORT):
        self.port = port
        self.proc = subprocess.Popen(inside(node, netns, SERVER, port), stdout=subprocess.PIPE, text=True, env=node.env())
        assert self.proc.stdout.readline() == "ready\n"

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()


class Connection:
    """A TCP connection to an echo server; alive() sends a line and waits for it to come back."""

    def __init__(self, node, netns, address, port=PORT, timeout=1.0):
        self.proc = subprocess.Popen(inside(node, netns, CLIENT, address, port, timeout), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     text=True, bufsize=1, env=node.env())
        self.open = self.proc.stdout.readline() == "yes\n"

    def alive(self):
        if not self.open:
            return False
        try:
            self.proc.stdin.write("ping\n")
            self.open = self.proc.stdout.readline() == "yes\n"
        except BrokenPipeError:
            self.open = False
        return self.open

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()


def inside(node, netns, script, *args):
    enter = ["nsenter", f"--net={netns}"] if netns else []
    return node.argv(*enter, "/usr/bin/python3", "-u", "-c", script, *args)


def connects(pod, address, port=PORT, timeout=1.0):
    """One attempt to open a TCP connection and have a line answered."""
    c = Connection(pod.node, pod.netns, address, port, timeout)
    try:
        return c.alive()
    finally:
        c.close()


def pod_object(pod, labels=None, namespace="default", ports=(), **status):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": pod.name, "labels": labels or {}},
            "spec": {"nodeName": pod.node.name, "containers": [{"name": "c", "image": "c", "ports": list(ports)}]},
            "status": {"phase": "Running", "podIP": pod.result.address, "podIPs": [{"ip": pod.result.address}], **status}}


def network_policy(name, selector=None, namespace="default", **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": namespace, "name": name},
            "spec": {"podSelector": {"matchLabels": selector} if selector else {}, **spec}}
