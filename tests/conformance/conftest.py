# SPDX-License-Identifier: Apache-2.0
"""Each test gets a node of its own: the test's process moves into a new network namespace (a new one for every test, none
of them the machine's) and runs the plugin there, as a runtime would. Pods are further namespaces.
"""
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import cni, proc  # noqa: E402
from tests.harness.fakedaemon import FakeDaemon  # noqa: E402

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="makes network namespaces: run as root"))


@pytest.fixture(scope="session")
def private_mounts():
    """The namespaces' bind mounts and the bpf file system stay ours, and go when this process does."""
    unshare(CLONE_NEWNS)
    proc.run(["mount", "--make-rprivate", "/"])


class Pod:
    def __init__(self, path):
        self.path = str(path)
        path.touch()
        proc.run(["unshare", f"--net={path}", "true"])

    def run(self, *argv, check=True):
        return proc.run(["nsenter", f"--net={self.path}", *argv], check=check)

    def json(self, *argv):
        out = self.run("ip", "-j", *argv, check=False).stdout
        return json.loads(out) if out.strip() else []

    def links(self):
        return {link["ifname"]: link for link in self.json("-d", "link", "show")}

    def addresses(self, ifname):
        return [a["local"] for link in self.json("-4", "addr", "show", "dev", ifname) for a in link["addr_info"]]

    def remove(self):
        proc.run(["umount", "-l", self.path], check=False)


class Node:
    """A runtime's view: a conflist's one plugin, pods, and the plugin called exactly as libcni calls it."""

    def __init__(self, tmp_path):
        self.tmp, self.pods = tmp_path, []
        proc.run(["ip", "link", "set", "lo", "up"])
        proc.run(["ip", "rule", "add", "prio", "512", "lookup", "22103"])
        self.daemon = FakeDaemon(tmp_path / "d.sock")

    def pod(self):
        self.pods.append(Pod(self.tmp / f"netns{len(self.pods)}"))
        return self.pods[-1]

    def conf(self, version="1.1.0", **more):
        base = {"cniVersion": version, "name": "vpc", "type": "vpcwire", "socket": self.daemon.path}
        return {k: v for k, v in {**base, **more}.items() if v is not None}

    @staticmethod
    def env(command, pod=None, cid="c1", ifname="eth0", args=None, **more):
        env = {"PATH": PATH, "CNI_COMMAND": command, "CNI_PATH": "/opt/cni/bin"}
        if command in ("ADD", "DEL", "CHECK"):
            env.update(CNI_CONTAINERID=cid, CNI_IFNAME=ifname, CNI_NETNS=pod.path if isinstance(pod, Pod) else pod or "")
        if args is not None:
            env["CNI_ARGS"] = args
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def exec(self, env, stdin, **kwargs):
        data = json.dumps(stdin) if isinstance(stdin, (dict, list)) else stdin
        return proc.run([proc.PLUGIN], input=data, env=env, check=False, timeout=20, **kwargs)

    def call(self, command, conf, pod=None, **kwargs):
        """The answer as an object, or CniError; either way held to the protocol (one document, quiet stderr on success)."""
        done = self.exec(self.env(command, pod, **kwargs), conf)
        return cni.judge(done, conf.get("cniVersion") if isinstance(conf, dict) else None, command)

    def add(self, pod, version="1.1.0", prev=None, **kwargs):
        conf = self.conf(version, prevResult=prev, **kwargs.pop("conf", {}))
        return self.call("ADD", conf, pod, **kwargs)

    def delete(self, pod, version="1.1.0", prev=None, **kwargs):
        conf = self.conf(version, prevResult=prev, **kwargs.pop("conf", {}))
        return self.call("DEL", conf, pod, **kwargs)

    def check(self, pod, prev, version="1.1.0", **kwargs):
        conf = self.conf(version, prevResult=prev, **kwargs.pop("conf", {}))
        return self.call("CHECK", conf, pod, **kwargs)

    def json(self, *argv):
        out = proc.run(["ip", "-j", *argv], check=False).stdout
        return json.loads(out) if out.strip() else []

    def state(self):
        """What an ADD that failed, or a DEL, must have put back: every link and route of node and pods."""
        rows = [(l["ifname"], l.get("address"), l["mtu"], l.get("ifalias")) for l in self.json("link", "show")]
        rows += [("route", json.dumps(r, sort_keys=True)) for r in self.json("route", "show", "table", "all")]
        for pod in self.pods:
            rows += [(pod.path, l["ifname"], l.get("address"), l["mtu"]) for l in pod.json("link", "show")]
            rows += [(pod.path, json.dumps(r, sort_keys=True)) for r in pod.json("route", "show", "table", "all")]
        return sorted(map(str, rows))

    def close(self):
        self.daemon.stop()
        for pod in self.pods:
            pod.remove()


@pytest.fixture
def bare_node(private_mounts, tmp_path):
    """No daemon runs."""
    unshare(CLONE_NEWNET)
    node = Node(tmp_path)
    yield node
    node.close()


@pytest.fixture
def node(bare_node):
    bare_node.daemon.start()
    return bare_node


# --- eBPF: a program that lets everything pass, pinned, so that filters can be hung and looked for

BPF_PROG_LOAD, BPF_OBJ_PIN, SCHED_CLS = 5, 6, 3
NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def sys_bpf(cmd, attr):
    fd = libc.syscall(NR_BPF, cmd, ctypes.byref(attr), len(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd


def load_and_pin(path):
    insns = bytes.fromhex("b700000000000000" "9500000000000000")      # r0 = 0; exit
    code, licence = ctypes.create_string_buffer(insns), ctypes.create_string_buffer(b"GPL")
    attr = ctypes.create_string_buffer(128)
    attr[0:16] = SCHED_CLS.to_bytes(4, "little") + (len(insns) // 8).to_bytes(4, "little") + ctypes.addressof(code).to_bytes(8, "little")
    attr[16:24] = ctypes.addressof(licence).to_bytes(8, "little")
    fd = sys_bpf(BPF_PROG_LOAD, attr)
    try:
        name, pin = ctypes.create_string_buffer(str(path).encode()), ctypes.create_string_buffer(128)
        pin[0:12] = ctypes.addressof(name).to_bytes(8, "little") + fd.to_bytes(4, "little")
        sys_bpf(BPF_OBJ_PIN, pin)
    finally:
        os.close(fd)


@pytest.fixture
def pins(node):
    """Two pinned programs, which the daemon tells the plugin to attach."""
    where = node.tmp / "bpf"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "bpf", "bpf", str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no bpf file system here: {done.stderr}")
    for name in ("from_pod", "to_pod"):
        load_and_pin(where / name)
    node.daemon.pins = {"pin_from_pod": str(where / "from_pod"), "pin_to_pod": str(where / "to_pod")}
    yield where
    proc.run(["umount", str(where)])


@pytest.fixture
def cid():
    return uuid.uuid4().hex * 2
