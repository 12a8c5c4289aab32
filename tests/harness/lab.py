# SPDX-License-Identifier: Apache-2.0
"""A lab (`vpcwire-sim lab`) as Python objects: the lab, its nodes, and the pods that a test makes on them."""
import contextlib
import ipaddress
import itertools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

from tests.harness import cni, proc

ANCHOR = pathlib.Path(__file__).with_name("anchor.py")
RPC = pathlib.Path(__file__).with_name("rpc.py")
START_LIMIT_S = 60
STOP_LIMIT_S = 60
FILTERED = f"status={128 + signal.SIGSYS}"      # how the lab says that a daemon ended so


class Lab:
    """One VPC with its nodes, up from start() to stop(). Also a context manager."""

    def __init__(self, *args, nodes=1, instance_type=None, prefix_delegation=False, config=None, daemon_config=None, sim=proc.SIM):
        """sim: vpcwire-sim; the lab runs the programs that stand beside it."""
        self.sim = str(sim)
        self.args = ["--nodes", str(nodes)]
        if instance_type:
            self.args += ["--instance-type", instance_type]
        if prefix_delegation:
            self.args += ["--prefix-delegation"]
        self.dir = tempfile.TemporaryDirectory(prefix="vpcwire-test-")
        for option, content in (("--config", config), ("--daemon-config", daemon_config)):
            if content is not None:
                path = pathlib.Path(self.dir.name) / f"{option.strip('-')}.json"
                path.write_text(json.dumps(content))
                self.args += [option, str(path)]
        self.args += list(args)
        self.log_path = pathlib.Path(self.dir.name) / "lab.log"
        self.proc = None
        self.nodes = []
        self.env = {}

    def start(self):
        with open(self.log_path, "wb") as log:
            # a system call that the daemon's filter does not know ends it, so that no test overlooks one
            env = {"VPCWIRE_SYSTEM_CALLS": "kill", **os.environ}
            self.proc = subprocess.Popen([self.sim, "lab", *self.args, "--", "/usr/bin/python3", str(ANCHOR), self.dir.name],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True, env=env)
        line = self._first_line()
        if not line:
            self.stop()
            raise AssertionError(f"the lab did not come up: {self.log()}")
        self.env = json.loads(line)
        self.nodes = [Node(self, n) for n in json.loads(self.env["VPCWIRE_NODES"])]
        return self

    def _first_line(self):
        buffer, fd = b"", self.proc.stdout.fileno()
        deadline = time.monotonic() + START_LIMIT_S
        while b"\n" not in buffer:
            ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(fd, 65536) if ready else b""
            if not chunk:
                return None
            buffer += chunk
        return buffer.split(b"\n", 1)[0].decode()

    def stop(self):
        """Let the lab's command end, as a person's shell would, and wait until the lab has taken itself down."""
        if not self.proc:
            return
        try:
            self._say_goodbye()
            self.proc.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
            proc.run([proc.SIM, "lab", "--cleanup"], check=False)
            raise AssertionError(f"the lab did not stop within {STOP_LIMIT_S} s: {self.log()}") from None
        finally:
            self.proc.stdout.close()
            self.proc = None
        assert FILTERED not in self.log(), f"a daemon made a system call that is not on its list (dmesg has which): {self.log()}"

    def _say_goodbye(self):
        try:
            self.proc.stdin.write(b"bye\n")
            self.proc.stdin.close()
        except BrokenPipeError:
            pass        # the lab has ended already

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.dir.cleanup()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def node(self, name):
        return next(n for n in self.nodes if n.name == name)

    def control(self, command, **args):
        """One command on the simulator's control socket (docs/SIM.md) -> its answer; a refusal is an AssertionError."""
        request = json.dumps({"cmd": command, **args})
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(20)
            s.connect(self.env["VPCWIRE_CONTROL"])
            s.sendall(request.encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        assert answer.get("ok"), f"the simulator refused {request}: {answer}"
        return answer

    def fault(self, action, code=None, **how):
        """From now on calls of this action fail with this code (docs/SIM.md, "fault"), until clear_faults()."""
        self.control("fault", **{"action": action, "times": 0, **({"code": code} if code else {}), **how})

    def clear_faults(self):
        self.control("clear-faults")

    def start_daemon(self, node):
        self.control("daemon", node=node, action="start")

    def stop_daemon(self, node):
        """SIGTERM, as a service manager does -> the exit status."""
        self.control("daemon", node=node, action="stop")
        ended = proc.wait_until(lambda: [d for d in [self.control("daemon", node=node)] if d["state"] == "stopped"],
                                "the daemon to end")
        return ended[0]["last_status"]

    def kill_daemon(self, node):
        """kill -9, and gone when this returns."""
        self.control("daemon", node=node, action="kill")
        proc.wait_until(lambda: self.control("daemon", node=node)["state"] == "stopped", "the daemon to be gone")

    def ec2_calls(self):
        """How many EC2 and STS calls the simulator has served, by action."""
        counters = self.control("counters")["counters"]
        return {action: c["calls"] for action, c in counters.items() if not action.startswith("IMDS")}


@contextlib.contextmanager
def made_labs():
    """-> (make, labs): make(...) is a lab as Lab(...), up. All of them are taken down at the end, whatever the others do then."""
    labs = []

    def make(*args, **kwargs):
        labs.append(Lab(*args, **kwargs))
        stack.push(labs[-1])
        return labs[-1].start()

    with contextlib.ExitStack() as stack:
        yield make, labs


class Node:
    """A node of a lab: programs run in its network and mount namespaces."""

    def __init__(self, lab, facts):
        self.lab, self.facts = lab, facts
        self.name, self.pid, self.run_dir = facts["name"], facts["pid"], facts["run_dir"]
        self.socket = f"{self.run_dir}/vpcwired.sock"
        self._serial = itertools.count(1)
        self._conflist = None

    def argv(self, *argv):
        return [proc.SIM, "exec", self.name, "--", *[str(a) for a in argv]]

    def env(self):
        """Of our process: tells `vpcwire-sim exec` which lab is meant."""
        return {**os.environ, **{k: v for k, v in self.lab.env.items() if k == "VPCWIRE_LAB"}}

    def run(self, *argv, **kwargs):
        return proc.run(self.argv(*argv), env=self.env(), **kwargs)

    def json(self, *argv):
        return json.loads(self.run(*argv).stdout or "[]")

    def rpc(self, op, **args):
        """One request to the node's daemon, spoken as the plugin speaks it -> the reply."""
        done = self.run("/usr/bin/python3", RPC, self.socket, json.dumps({"op": op, "vmin": 1, "vmax": 1, **args}))
        return json.loads(done.stdout)

    def daemon_pid(self):
        """Of vpcwired, as the node's own processes see it: the peer of its socket."""
        return int(self.run("/usr/bin/python3", RPC, self.socket).stdout)

    def info(self):
        reply = self.rpc("info")
        assert "error" not in reply, reply
        return reply

    def ec2(self, *words):
        """Debian's AWS CLI, from the node, under the instance's own role -> its answer, None when it has none."""
        # the CLI gives metadata one second and one try: a busy machine needs more. 2.9 does not know AWS_ENDPOINT_URL_EC2.
        patience = ("env", "AWS_METADATA_SERVICE_TIMEOUT=20", "AWS_METADATA_SERVICE_NUM_ATTEMPTS=3")
        said = self.run(*patience, "/usr/bin/aws", "--endpoint-url", self.lab.env["AWS_ENDPOINT_URL_EC2"], "ec2", *words,
                        "--output", "json", timeout=120).stdout
        return json.loads(said) if said.strip() else None

    def eni_of(self, address):
        """The ENI that holds a pod's address, by what the daemon says of its ENIs."""
        wanted = ipaddress.ip_address(address)
        return next(e for e in self.info()["enis"] if any(wanted in ipaddress.ip_network(s) for s in e["slots"]))

    def serves(self):
        """The daemon answers and knows its node."""
        done = self.run("/usr/bin/python3", RPC, self.socket, json.dumps({"op": "info", "vmin": 1, "vmax": 1}), check=False)
        return done.returncode == 0 and json.loads(done.stdout).get("ready") is True

    def imds(self, path):
        """A value of the instance's metadata, asked from inside the node with a session token."""
        base = self.lab.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
        script = ('T=$(curl -sf --noproxy "*" -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$1/latest/api/token") && '
                  'curl -sf --noproxy "*" -H "X-aws-ec2-metadata-token: $T" "$1/latest/meta-data/$2"')
        return self.run("sh", "-c", script, "-", base, path).stdout.strip()

    @property
    def conflist(self):
        if self._conflist is None:
            found = self.run("cat", f"{self.lab.env['NETCONFPATH']}/10-vpcwire.conflist").stdout        # the machine may have others
            self._conflist = json.loads(found)
        return json.loads(json.dumps(self._conflist))

    def daemon_log(self):
        return self.run("tail", "-n", "200", f"{self.run_dir}/vpcwired.log", check=False).stdout

    def pod(self, name=None):
        """A network namespace as a runtime makes one: under the node's own /run/netns, lo still down."""
        name = name or f"pod{next(self._serial)}"
        self.run("ip", "netns", "add", name)
        return Pod(self, name)

    def pods(self, count):
        names = [f"pod{next(self._serial)}" for _ in range(count)]
        self.run("sh", "-ec", "for n; do ip netns add $n; done", "-", *names, timeout=60)
        return [Pod(self, n) for n in names]


class Pod:
    """A container as CNI sees it: an id and a network namespace."""

    def __init__(self, node, name):
        self.node, self.name = node, name
        self.container_id = f"{name}-{node.name}-0123456789abcdef"
        self.netns = f"/run/netns/{name}"
        self.result = None

    def cni_env(self, command, ifname="eth0", **overrides):
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": self.container_id, "CNI_NETNS": self.netns, "CNI_IFNAME": ifname,
               "CNI_PATH": self.node.lab.env["CNI_PATH"],
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={self.name};"
                           f"K8S_POD_INFRA_CONTAINER_ID={self.container_id}"}
        env.update(overrides)
        return [f"{k}={v}" for k, v in env.items() if v is not None]

    def call(self, command, *, version="1.0.0", ifname="eth0", stdin=None, prev_result=None, env=None, conf=None, wrap=(),
             timeout=90):
        """Run the plugin -> its JSON object (None when it printed nothing). CniError when it says so."""
        if stdin is None:
            listed = self.node.conflist
            listed["cniVersion"] = version
            stdin = json.dumps(cni.plugin_conf(listed, prev_result=prev_result, **(conf or {})))
        if wrap:        # a sanitized plugin cannot look for leaks while it is traced
            wrap = ("env", "ASAN_OPTIONS=detect_leaks=0", *wrap)
        done = self.node.run("env", "-i", *self.cni_env(command, ifname, **(env or {})), *wrap,
                             f"{self.node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire", input=stdin, check=False, timeout=timeout)
        return cni.judge(done, version, f"{command} of {self.name} on {self.node.name}")

    def add(self, version="1.0.0", **kwargs):
        raw = self.call("ADD", version=version, **kwargs)
        assert raw is not None, "ADD printed no result"
        self.result = cni.Result(raw, version)
        return self.result

    def delete(self, **kwargs):
        """DEL with what a runtime passes: the result of ADD, where there was one."""
        kwargs.setdefault("prev_result", self.result.raw if self.result else None)
        printed = self.call("DEL", **kwargs)
        assert printed is None, f"DEL printed {printed}"

    def check(self, **kwargs):
        kwargs.setdefault("prev_result", self.result.raw if self.result else None)
        return self.call("CHECK", **kwargs)

    def run(self, *argv, **kwargs):
        """A program in the pod's network namespace (and the node's mount namespace)."""
        return self.node.run("nsenter", f"--net={self.netns}", *argv, **kwargs)

    def popen(self, *argv):
        """A program of the pod's that goes on running; the caller ends it."""
        return subprocess.Popen(self.node.argv("nsenter", f"--net={self.netns}", *argv), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.node.env())

    def json(self, *argv):
        return json.loads(self.run(*argv).stdout or "[]")

    def pings(self, address, deadline_s=5):
        """True when an answer to an ICMP echo came before the deadline; the first one ends the wait."""
        return self.run("ping", "-n", "-q", "-c", "1", "-w", str(deadline_s), "-i", "0.2", address, check=False).returncode == 0

    def fetch(self, url, deadline_s=5):
        """The body of an HTTP answer, or None when none came."""
        done = self.run("curl", "-s", "-f", "--max-time", str(deadline_s), "--noproxy", "*", url, check=False, timeout=deadline_s + 10)
        return done.stdout.strip() if done.returncode == 0 else None

    def seen_as(self, server):
        """Our address as the whoami service of a place outside sees it, or None when it does not answer."""
        body = self.fetch(f"http://{server}/")
        return json.loads(body)["client"] if body else None

    def remove(self):
        self.node.run("ip", "netns", "del", self.name, check=False)


@contextlib.contextmanager
def attached(pods):
    """Pods added, with a loopback that is up; deleted and removed in the end."""
    with contextlib.ExitStack() as stack:
        for pod in pods:
            stack.callback(pod.remove)
            pod.add()
            stack.callback(pod.delete)
            pod.run("ip", "link", "set", "lo", "up")
        yield pods


def parallel(jobs):
    """Run callables at the same time -> their results in order; the first exception is raised after all have ended."""
    results = [None] * len(jobs)
    errors = []

    def work(index, job):
        try:
            results[index] = job()
        except BaseException as exc:  # noqa: B902 - carried to the caller below
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(i, j)) for i, j in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
