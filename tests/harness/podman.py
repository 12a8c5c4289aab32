# SPDX-License-Identifier: Apache-2.0
"""podman with its CNI backend on a node of a lab: real containers without images (`--rootfs`), runc, storage in the test's directory,
what runs in the node's own /run (podman wants a short path)."""
import json

from tests.harness.containerd import enter_a_cgroup, make_rootfs

CONFIG = """[containers]
log_driver = "k8s-file"
[network]
network_backend = "cni"
cni_plugin_dirs = {plugins}
network_config_dir = "{dir}/net.d"
default_network = "{network}"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
tmp_dir = "{dir}/tmp"
static_dir = "{dir}/static"
volume_path = "{dir}/volumes"
"""


class Podman:
    """`conflists`: name -> network configuration list; the first one is the default network."""

    def __init__(self, node, directory, conflists):
        self.node, self.dir = node, directory
        self.rootfs = make_rootfs(directory / "rootfs")
        (directory / "net.d").mkdir()
        for name, conflist in conflists.items():
            (directory / "net.d" / f"{name}.conflist").write_text(json.dumps(conflist))
        plugins = json.dumps(node.lab.env["CNI_PATH"].split(":"))
        (directory / "containers.conf").write_text(CONFIG.format(dir=directory, plugins=plugins, network=next(iter(conflists))))
        # the cache of results is at a fixed place
        node.run("sh", "-c", "mkdir -p /var/lib/cni && mount -t tmpfs none /var/lib/cni")

    def __call__(self, *argv, check=True, timeout=60):
        options = ["--root", f"{self.dir}/storage", "--runroot", "/run/podman", "--storage-driver", "vfs"]
        env = [f"CONTAINERS_CONF={self.dir}/containers.conf", f"HOME={self.dir}", f"TMPDIR={self.dir}"]
        return self.node.run("env", *env, *enter_a_cgroup("podman", *options, *argv), check=check, timeout=timeout)

    def start(self, name, *options, command=("/bin/sleep", "10000")):
        """A container in the background -> what podman says of its network."""
        self("run", "--detach", "--name", name, *options, "--rootfs", str(self.rootfs), *command)
        return self.network(name)

    def network(self, name):
        return json.loads(self("inspect", name).stdout)[0]["NetworkSettings"]

    def exec(self, name, *argv, check=True):
        return self("exec", name, *argv, check=check)

    def pid(self, name):
        return json.loads(self("inspect", name).stdout)[0]["State"]["Pid"]

    def stop(self):
        self("rm", "--force", "--all", "--time", "0", check=False)
        self.node.run("umount", "/var/lib/cni", check=False)
