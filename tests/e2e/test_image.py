# SPDX-License-Identifier: Apache-2.0
"""The container image, from its Dockerfile to a pod: `make image-test`, which takes minutes and a Debian mirror, so `make check` does not."""
import contextlib
import copy
import json
import os
import shutil
import subprocess
import tempfile

import pytest
import yaml

from tests.harness import apiserver, image, proc

MANIFEST = proc.TOP / "deploy/kubernetes/vpcwire.yaml"
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "none", "namespace": "default"},
          "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}

pytestmark = [pytest.mark.limit(1800), pytest.mark.skipif(not os.environ.get("VPCWIRE_IMAGE_TEST"), reason="builds an image for minutes: make image-test"),
              pytest.mark.skipif(not (shutil.which("podman") and shutil.which("debootstrap")), reason="podman or debootstrap is missing")]


@pytest.fixture(scope="module")
def pod():
    """The DaemonSet's pod, and its ConfigMap."""
    objects = {o["kind"]: o for o in yaml.safe_load_all(MANIFEST.read_text())}
    return objects["DaemonSet"]["spec"]["template"]["spec"], objects["ConfigMap"]["data"]


@pytest.fixture(scope="module")
def images(pod):
    if not image.reachable():
        pytest.skip(f"{image.mirror()} does not answer")
    made = image.Images(tempfile.mkdtemp(prefix="vpcwire-image-", dir="/var/tmp"))
    try:
        made.base(image.bases(), timeout=600)
        made.build(pod[0]["containers"][0]["image"], timeout=1200)
        yield made
    finally:
        made.remove()


class Kubelet:
    """As much of it as starts these containers: volumes, environment, security context and command line become podman's."""

    def __init__(self, images, node, spec, config, folder):
        self.images, self.node, self.spec, self.folder = images, node, spec, folder
        (folder / "config").mkdir()
        for name, text in config.items():
            (folder / "config" / name).write_text(text)
        for name in ("bin", "net.d", "api"):
            (folder / name).mkdir()

    def source(self, volume):
        """Where on the node a volume is; the test's own folders for those of /opt and /etc."""
        path = volume.get("hostPath", {}).get("path")
        if path and path.startswith("/run/vpcwire"):
            return path.replace("/run/vpcwire", self.node.run_dir)
        return {"/opt/cni/bin": f"{self.folder}/bin", "/etc/cni/net.d": f"{self.folder}/net.d", None: f"{self.folder}/{volume['name']}"}.get(path, path)

    def words(self, container, env=()):
        """podman's options for a container of the manifest."""
        context, volumes = container["securityContext"], {v["name"]: v for v in self.spec["volumes"]}
        known = {"privileged", "readOnlyRootFilesystem", "runAsUser", "allowPrivilegeEscalation", "capabilities"}
        assert set(context) <= known, "kubelet knows more than this test"
        said = ["--network", "host", "--name", container["name"], "--read-only-tmpfs=false"]
        said += ["--read-only"] if context.get("readOnlyRootFilesystem") else []
        said += ["--privileged"] if context.get("privileged") else []
        said += [f"--user={context['runAsUser']}"] if "runAsUser" in context else []
        said += ["--security-opt=no-new-privileges"] if context.get("allowPrivilegeEscalation") is False else []
        said += [f"--cap-drop={c}" for c in context.get("capabilities", {}).get("drop", [])]
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if volume.get("emptyDir"):
                said.append(f"--tmpfs={mount['mountPath']}:rw,size={volume['emptyDir']['sizeLimit'].rstrip('i')}")
                continue
            source = self.source(volume)
            if volume.get("hostPath", {}).get("type") == "DirectoryOrCreate":
                self.node.run("mkdir", "-p", source)
            said += ["--volume", f"{source}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}"]
        for one in container.get("env", []):
            said += ["--env", f"{one['name']}={one.get('value', self.node.name)}"]
        said += [word for one in env for word in ("--env", one)]
        if "command" in container:
            said += ["--entrypoint", json.dumps(container["command"])]
        return [*said, container["image"], *container.get("args", [])]

    def podman(self, *words, **kwargs):
        return self.node.run(*self.images.argv(*words), **kwargs)

    def argv(self, container, *more, env=()):
        """`more`: arguments behind the manifest's."""
        return self.node.argv(*self.images.argv("run", *self.words(container, env), *more))


def a_process(lab, node):
    """One on the node, as it is numbered here."""
    folders = node.run("readlink", "/proc/self/ns/mnt").stdout.strip()
    return next(pid for pid in proc.descendants(lab.proc.pid) if os.readlink(f"/proc/{pid}/ns/mnt") == folders)


@contextlib.contextmanager
def running(argv, node, log):
    with log.open("wb") as out:
        process = subprocess.Popen([str(a) for a in argv], env=node.env(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_node_gets_all_it_needs_from_the_image(images, pod, make_lab, tmp_path):
    spec, config = pod
    node = (lab := make_lab(daemon_config={"warm_ip_target": 2})).nodes[0]
    lab.stop_daemon(node.name)
    kubelet = Kubelet(images, node, spec, config, tmp_path)
    install = next(c for c in spec["initContainers"] if c["name"] == "install")
    vpcwired, feed = (next(c for c in spec["containers"] if c["name"] == name) for name in ("vpcwired", "feed"))

    said = proc.run(kubelet.argv(install), env=node.env(), timeout=60).stdout
    assert {p.name for p in (tmp_path / "bin").iterdir()} >= {"vpcwire", "vpcwire-eni", "vpcwire-bridge"} and "/host/opt/cni/bin/vpcwire\n" in said
    assert json.loads((tmp_path / "net.d/10-vpcwire.conflist").read_text()) == json.loads(config["10-vpcwire.conflist"])
    lab.env["CNI_PATH"] = str(tmp_path / "bin")             # pods are made by what the init container has installed

    logs = proc.BUILD / "test-logs"
    # AWS_*: where this account's EC2 and STS are
    with running(kubelet.argv(vpcwired, env=["AWS_*", "VPCWIRE_SYSTEM_CALLS=kill"]), node, logs / "image-vpcwired.log") as daemon:
        proc.wait_until(node.serves, lambda: "the daemon to serve: " + (logs / "image-vpcwired.log").read_text(), timeout=60)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            kubelet.podman("exec", "vpcwired", *vpcwired[probe]["exec"]["command"])
        one = node.pod()
        one.add()
        assert one.pings(node.facts["address"])
        one.check()

        def isolated():
            status = kubelet.podman("exec", "vpcwired", "vpcwirectl", "--json", "policy", "status", check=False).stdout
            return [p["isolated_ingress"] for p in json.loads(status)["pods"]]
        with contextlib.closing(apiserver.Server()) as server:
            server.put(copy.deepcopy(POLICY))
            # with the node's folders, and the network that the test's API server is in
            here = ["nsenter", "--target", a_process(lab, node), "--mount", "--pid"]
            run = images.argv("run", *kubelet.words(feed), "--server", server.url)
            with running([*here, *run], node, logs / "image-feed.log"):
                proc.wait_until(lambda: isolated() == [True], lambda: "the policy: " + (logs / "image-feed.log").read_text())
                for probe in ("livenessProbe", "readinessProbe"):
                    proc.run([*here, *images.argv("exec", "feed", *feed[probe]["exec"]["command"])])
                kubelet.podman("stop", "--time", "10", "feed")
        one.delete()
        one.remove()
        kubelet.podman("stop", "--time", "10", "vpcwired", timeout=30)
        assert daemon.wait(30) == 0, "vpcwired ends in order: " + (logs / "image-vpcwired.log").read_text()
