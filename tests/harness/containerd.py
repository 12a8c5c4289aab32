# SPDX-License-Identifier: Apache-2.0
"""A containerd of a test's own on a node of a lab, and the image that its containers are made of.

What it stores lies in the test's directory, its state in the node's own /run; the machine's containerd, if there is one, is not touched.
"""
import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

from tests.harness import proc

APPLETS = ("sh", "ip", "ping", "cat", "nc", "echo", "printf", "sleep", "httpd", "wget")
UNUSED = ("io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
          "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs")
CONFIG = """version = 2
root = "{dir}/root"
state = "/run/containerd/state"
disabled_plugins = {disabled}
[grpc]
  address = "{dir}/c.sock"
[ttrpc]
  address = "{dir}/c.sock.ttrpc"
{more}
"""


# The node sees a cgroup of its own as the root of each hierarchy. runc must see it so too, or its containers, which mount theirs, look
# for it in the wrong place: so a runtime is in that cgroup, and in a namespace of it.
IN_A_CGROUP = """for d in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
	[ -e $d/cgroup.procs ] || continue
	[ ! -e $d/cpuset.cpus ] || [ -n "$(cat $d/cpuset.cpus)" ] || cat /sys/devices/system/cpu/online > $d/cpuset.cpus
	[ ! -e $d/cpuset.mems ] || [ -n "$(cat $d/cpuset.mems)" ] || echo 0 > $d/cpuset.mems
	echo $$ > $d/cgroup.procs
done 2>/dev/null
exec unshare --cgroup "$@"
"""


def enter_a_cgroup(*argv):
    """The command, in the node's cgroup as the root of a namespace of its own."""
    return ["sh", "-c", IN_A_CGROUP, "-", *[str(a) for a in argv]]


def make_rootfs(folder):
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "run"):
        (folder / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    return folder


def make_image(path, rootfs, name, entrypoint):
    """A docker-archive with one layer, as `ctr images import` takes it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(rootfs, arcname=".")
    config = json.dumps({"architecture": {"x86_64": "amd64", "aarch64": "arm64"}[proc.run(["uname", "-m"]).stdout.strip()], "os": "linux",
                         "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}})
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}])
    with tarfile.open(path, mode="w") as tar:
        for member, data in (("layer.tar", layer.getvalue()), ("config.json", config.encode()), ("manifest.json", manifest.encode())):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Containerd:
    """`more`: lines of its configuration; the CRI plugin is on when they configure it."""

    def __init__(self, node, directory, more=""):
        self.node, self.dir = node, directory
        self.socket = f"{directory}/c.sock"
        self.log = open(directory / "containerd.log", "ab")
        disabled = [*UNUSED] if "cri" in more else ["io.containerd.grpc.v1.cri", *UNUSED]
        (directory / "config.toml").write_text(CONFIG.format(dir=directory, disabled=json.dumps(disabled), more=more))
        self.start()

    def start(self):
        argv = self.node.argv("sh", "-c", 'echo $$; exec "$@"', "-", *enter_a_cgroup("containerd", "--config", self.dir / "config.toml"))
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=self.node.env())
        line = self.proc.stdout.readline()
        assert line.strip(), self.messages()
        self.pid = int(line)
        proc.wait_until(lambda: self.ctr("version", check=False).returncode == 0, lambda: f"containerd to serve: {self.messages()}",
                        timeout=30)

    def messages(self):
        return (self.dir / "containerd.log").read_text(errors="replace")[-6000:]

    def ctr_argv(self, *argv):
        return ["ctr", "-a", self.socket, *argv]

    def ctr(self, *argv, **kwargs):
        return self.node.run(*self.ctr_argv(*argv), **kwargs)

    def kill(self):
        """kill -9; the shims and their containers live on."""
        self.node.run("kill", "-KILL", str(self.pid))
        self.proc.wait(10)
        self.proc.stdout.close()

    def stop(self):
        self.node.run("kill", "-TERM", str(self.pid), check=False)
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.node.run("kill", "-KILL", str(self.pid), check=False)
            self.proc.wait(10)
        with contextlib.suppress(ValueError):
            self.proc.stdout.close()
        self.log.close()
