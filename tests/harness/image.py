# SPDX-License-Identifier: Apache-2.0
"""The container image, built from deploy/container/Dockerfile by podman without a registry: the base images are made of Debian's packages by
debootstrap under the names that the Dockerfile has. All is stored in a folder of the test's own; nothing of the machine's is read or written."""
import pathlib
import re

from tests.harness import proc
from tests.harness.containerd import enter_a_cgroup

DOCKERFILE = proc.TOP / "deploy/container/Dockerfile"
# what podman and its storage would else read and write in /etc, /var/lib and /run
CONFIG = """[containers]
log_driver = "k8s-file"
seccomp_profile = "unconfined"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
tmp_dir = "{dir}/tmp"
static_dir = "{dir}/static"
volume_path = "{dir}/volumes"
"""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
HIDDEN = """mount --make-rprivate /
for d in /var/lib/containers /var/lib/cni /run/containers /run/crun /run/lock; do [ ! -d $d ] || mount -t tmpfs none $d; done
exec "$@"
"""


class Images:
    """podman's images in `directory`, which is on a disk: a build is some GB for a while."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        (self.dir / "home/.config/containers").mkdir(parents=True)
        (self.dir / "home/.config/containers/policy.json").write_text(POLICY)
        (self.dir / "containers.conf").write_text(CONFIG.format(dir=self.dir))
        (self.dir / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.dir}/root"\nrunroot = "{self.dir}/run"\n')

    def argv(self, *words):
        env = [f"{key}={self.dir}/{value}" for key, value in (("CONTAINERS_CONF", "containers.conf"), ("CONTAINERS_STORAGE_CONF", "storage.conf"),
                                                               ("HOME", "home"), ("TMPDIR", ""))]
        return ["env", *env, *enter_a_cgroup("podman", "--root", self.dir / "root", "--runroot", self.dir / "run", *words)]

    def podman(self, *words, **kwargs):
        """On the machine's own network, in a mount namespace of its own."""
        return proc.run(["unshare", "--mount", "sh", "-ec", HIDDEN, "-", *self.argv(*words)], **kwargs)

    def base(self, names, timeout):
        """Debian 12 with the sources of this machine, as the registry's images of these names are."""
        root = self.dir / "base"
        proc.run(["debootstrap", "--variant=minbase", "bookworm", root, mirror()], timeout=timeout)
        sources = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
        if sources.exists():
            (root / "etc/apt/sources.list").unlink()
            (root / "etc/apt/sources.list.d/debian.sources").write_text(sources.read_text())
        proc.run(["tar", "-C", root, "--exclude=./dev/*", "--exclude=./var/cache/apt/archives/*.deb", "-cf", self.dir / "base.tar", "."], timeout=120)
        proc.run(["rm", "-rf", "--one-file-system", root])
        self.podman("import", self.dir / "base.tar", names[0], timeout=120)
        for name in names[1:]:
            self.podman("tag", names[0], name)

    def build(self, tag, timeout):
        """-> what the build said. By the host's network, so that apt works in it as it does here."""
        return self.podman("build", "--network", "host", "--isolation", "chroot", "--pull=never", "-f", DOCKERFILE, "-t", tag, proc.TOP, timeout=timeout).stdout

    def remove(self):
        """podman's layers are immutable to nobody, but mounted by some: by podman itself, then the folder."""
        self.podman("rmi", "--all", "--force", check=False, timeout=120)
        proc.run(["rm", "-rf", "--one-file-system", self.dir], check=False, timeout=120)


def bases():
    """What the Dockerfile starts from: names in a registry, not its own stages."""
    return sorted(set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.M)))


def mirror():
    return "http://deb.debian.org/debian"


def reachable():
    """The mirror answers."""
    return proc.run(["curl", "-sfI", "--max-time", "20", mirror() + "/dists/bookworm/Release"], check=False).returncode == 0
