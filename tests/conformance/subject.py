# SPDX-License-Identifier: Apache-2.0
"""One plugin on one node, called as libcni calls it; the 60 rows and the plugins' own tests are put to this.

Whole: a node of a lab, with vpcwired. Bare: the test's process is the node (a network namespace of its own), and a scripted daemon
answers the plugin. What differs from plugin to plugin stands in plugins.py.
"""
import contextlib
import json
import os
import sys
import uuid

from tests.harness import audit, cni, proc
from tests.harness.fakedaemon import FakeDaemon

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
CALLS = proc.TOP / "tests/harness/calls.py"


class Pod:
    """A container: an id, a network namespace at `path`, and what its ADDs answered, by interface."""

    def __init__(self, subject, path, cid):
        self.subject, self.path, self.cid, self.results = subject, str(path), cid, {}

    def run_argv(self, *argv):
        return ["nsenter", f"--net={self.path}", *argv]

    def run(self, *argv, check=True):
        return self.subject.run(*self.run_argv(*argv), check=check)

    def json(self, *argv):
        out = self.run("ip", "-j", *argv, check=False).stdout
        return json.loads(out) if out.strip() else []

    def links(self):
        return {link["ifname"]: link for link in self.json("-d", "link", "show")}

    def addresses(self, ifname):
        return [a["local"] for link in self.json("-4", "addr", "show", "dev", ifname) for a in link["addr_info"]]


class Subject:
    """Verbs with the exact environment and stdin, and looks at the kernel."""

    def __init__(self, plugin):
        self.plugin, self.pods, self.always = plugin, [], ()

    # --- what a place has to offer: run(*argv, ...), binary, cni_path, new_pod(), drop_pod(pod), held(), kernel()

    def pod(self, cid="c1"):
        self.pods.append(self.new_pod(cid))
        return self.pods[-1]

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        """The plugin's configuration as libcni builds it from a conflist; a key given as None is left out."""
        base = {"cniVersion": version, "name": "vpc", "type": self.plugin.program}
        return {k: v for k, v in {**base, **self.plugin.conf(self, pod, ifname), **more}.items() if v is not None}

    def env(self, command, pod=None, cid=None, ifname="eth0", args=None, **more):
        env = {"PATH": PATH, "CNI_COMMAND": command, "CNI_PATH": self.cni_path}
        if command in ("ADD", "DEL", "CHECK"):
            env.update(CNI_CONTAINERID=cid or getattr(pod, "cid", "c1"), CNI_IFNAME=ifname,
                       CNI_NETNS=pod.path if isinstance(pod, Pod) else pod or "")
        if args is not None:
            env["CNI_ARGS"] = args
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def exec(self, env, stdin, wrap=(), **kwargs):
        """Run the binary with exactly this environment and these bytes on stdin."""
        data = json.dumps(stdin) if isinstance(stdin, (dict, list)) else stdin
        wrap = (*self.always, *wrap)
        env = {**env, "ASAN_OPTIONS": "detect_leaks=0"} if wrap else env       # the leak checker cannot work while it is traced
        return self.run_exact(env, [*wrap, self.binary], data, **kwargs)

    @contextlib.contextmanager
    def wrapped(self, *argv):
        """Every call of the binary is by this program."""
        self.always = argv
        try:
            yield
        finally:
            self.always = ()

    def call(self, command, conf, pod=None, **kwargs):
        """The answer as an object, or CniError; either way held to the protocol (one document, quiet stderr on success)."""
        done = self.exec(self.env(command, pod, **kwargs), conf)
        return cni.judge(done, conf.get("cniVersion") if isinstance(conf, dict) else None, command)

    def add(self, pod, version="1.1.0", prev=None, ifname="eth0", conf=None, **kwargs):
        conf = self.conf(version, pod, ifname, prevResult=prev, **(conf or {}))
        result = self.call("ADD", conf, pod, ifname=ifname, **kwargs)
        if isinstance(pod, Pod):
            pod.results[ifname] = result
        return result

    def delete(self, pod, version="1.1.0", prev=None, ifname="eth0", conf=None, **kwargs):
        conf = self.conf(version, pod, ifname, prevResult=prev, **(conf or {}))
        return self.call("DEL", conf, pod, ifname=ifname, **kwargs)

    def check(self, pod, prev=..., version="1.1.0", ifname="eth0", conf=None, **kwargs):
        """With the result of the pod's ADD, unless another (or None) is given."""
        conf = self.conf(version, pod, ifname, prevResult=pod.results.get(ifname) if prev is ... else prev, **(conf or {}))
        return self.call("CHECK", conf, pod, ifname=ifname, **kwargs)

    def batch(self, chains, workers=1, timeout_s=60):
        """Many calls from one process on the node: see tests/harness/calls.py."""
        script = json.dumps({"workers": workers, "chains": chains, "timeout_s": timeout_s})
        return json.loads(self.run(sys.executable, str(CALLS), input=script, timeout=timeout_s + 30).stdout)

    def job(self, command, pod=None, conf=None, ifname="eth0", prev=False, argv=None, **env):
        """One call of a batch."""
        return {"argv": argv or [self.binary], "env": self.env(command, pod, ifname=ifname, **env), "prev": prev,
                "stdin": conf if conf is not None else self.conf(pod=pod, ifname=ifname)}

    def json(self, *argv):
        out = self.run("ip", "-j", *argv, check=False).stdout
        return json.loads(out) if out.strip() else []

    def snapshot(self):
        """Everything that an ADD which failed, or a DEL, must have put back: the node, the pods, who holds what."""
        rows = self.kernel() + [f"held: {h}" for h in self.held()]
        for pod in self.pods:
            rows += [f"{pod.path} {row}" for row in audit.netns(pod)]
        return rows

    def settled(self, before, timeout=15):
        """Wait until all is as before: links are reaped in groups, a moment after the DEL that orphaned them."""
        proc.wait_until(lambda: self.snapshot() == before,
                        lambda: f"the node as before\n{audit.difference(before, self.snapshot())}", timeout)

    def lose(self, pod):
        """The container's namespace goes without any DEL, and the kernel has finished removing it."""
        self.pods.remove(pod)
        self.dies(pod)

    def dies(self, pod):
        host = next(i["name"] for i in pod.results["eth0"]["interfaces"] if not i.get("sandbox"))
        self.drop_pod(pod)
        proc.wait_until(lambda: not self.json("link", "show", "dev", host), "the kernel to have removed the namespace")

    def plug_again(self):
        """After an interface was deleted that a runtime expects to outlive its container."""

    def close(self):
        for pod in self.pods:
            self.drop_pod(pod)
        self.pods = []


class Bare(Subject):
    """The process itself is the node."""

    def __init__(self, plugin, tmp):
        super().__init__(plugin)
        self.tmp, self.binary, self.cni_path = tmp, str(proc.BIN / plugin.program), "/usr/lib/cni"
        proc.run(["ip", "link", "set", "lo", "up"])
        proc.run(["ip", "rule", "add", "prio", "512", "lookup", "22103"])
        self.daemon = FakeDaemon(tmp / "d.sock")
        self.socket = self.daemon.path

    def run(self, *argv, **kwargs):
        return proc.run(argv, **kwargs)

    def run_exact(self, env, argv, data, **kwargs):
        return proc.run(argv, input=data, env=env, **{"check": False, "timeout": 20, **kwargs})

    def new_pod(self, cid):
        path = self.tmp / f"netns{len(self.pods)}"
        path.touch()
        proc.run(["unshare", f"--net={path}", "true"])
        return Pod(self, path, cid)

    def drop_pod(self, pod):
        proc.run(["umount", "-l", pod.path], check=False)

    def held(self):
        return sorted("/".join(key) for key in self.daemon.attachments)

    def kernel(self):
        return audit.kernel(self)

    def state(self):
        return self.snapshot()

    def backend(self, up):
        """The daemon behind the plugin starts or goes."""
        if up:
            self.daemon.start()
        else:
            self.daemon.stop()

    def close(self):
        super().close()
        self.daemon.stop()


class Whole(Subject):
    """A node of a lab, and vpcwired behind the plugin."""

    def __init__(self, plugin, lab, node, tmp):
        super().__init__(plugin)
        self.lab, self.node, self.tmp = lab, node, tmp
        self.cni_path = lab.env["CNI_PATH"]
        self.binary = f"{self.cni_path.split(':')[0]}/{plugin.program}"
        self.socket = node.socket
        self.run = node.run

    def run_exact(self, env, argv, data, **kwargs):
        assert not any("\0" in v for v in env.values())
        return self.node.run("env", "-i", *[f"{k}={v}" for k, v in env.items()], *argv, input=data,
                             **{"check": False, "timeout": 40, **kwargs})

    def new_pod(self, cid):
        made = self.node.pod()
        return Pod(self, made.netns, f"{made.name}-{uuid.uuid4().hex}" if cid == "c1" else cid)

    def new_pods(self, count):
        """Many at once, which is quicker."""
        made = [Pod(self, p.netns, f"{p.name}-{uuid.uuid4().hex}") for p in self.node.pods(count)]
        self.pods += made
        return made

    def reachable(self):
        """An address that a pod can ping: the VPC's router."""
        return "10.0.0.1"

    def drop_pod(self, pod):
        self.run("ip", "netns", "del", os.path.basename(pod.path), check=False)

    def held(self):
        return sorted(f"{p['container_id']}/{p['ifname']}" for p in self.node.info()["pods"])

    def kernel(self):
        return audit.kernel(self.node)

    def left_over(self):
        return audit.pod_objects(self.node)

    def calls_elsewhere(self):
        """What EC2 was asked until now."""
        return self.lab.ec2_calls()

    def rested(self):
        proc.wait_until(lambda: self.node.info()["pool"]["cooling"] == 0, "freed addresses to have rested")

    def close(self):
        self.batch([[[self.job("DEL", pod, ifname=ifname)]] for pod in self.pods for ifname in {"eth0", *pod.results}], workers=4)
        super().close()

    def backend(self, up):
        if up:
            self.lab.start_daemon(self.node.name)
            proc.wait_until(self.node.serves, "the daemon to serve")
        else:
            self.lab.kill_daemon(self.node.name)
