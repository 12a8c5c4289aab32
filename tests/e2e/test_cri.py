# SPDX-License-Identifier: Apache-2.0
"""containerd through its CRI socket, as kubelet drives it: sandboxes, what they ask of CNI, restarts, and what is left."""
import ipaddress
import json
import os

import pytest

from tests.harness import audit, cni, proc
from tests.harness.containerd import Containerd, make_image, make_rootfs
from tests.harness.cri import Cri, CriError
from tests.harness.lab import parallel
from tests.harness.symptoms import quoted

pytest.importorskip("grpc")

LAB = {"nodes": 2, "instance_type": "t3.small", "daemon_config": {"ip_cooldown_s": 1, "add_wait_ms": 20000}}
IMAGE = "vpcwire.test/pod:1"
CRI_CONFIG = """[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{dir}/bin"
    conf_dir = "{dir}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
# between the runtime and us: keeps what it was given, byte for byte
RECORDER = """#!/bin/sh
n="{dir}/calls/$(date +%s%N).$$"
cat > "$n.stdin"
tr '\\0' '\\n' < /proc/$$/environ > "$n.env"
exec {plugin} < "$n.stdin"
"""


class Kubelet:
    """One node's containerd, and what kubelet asks of it."""

    def __init__(self, node, directory):
        self.node, self.dir = node, directory
        for name in ("bin", "net.d", "calls"):
            (directory / name).mkdir()
        for name in ("loopback", "portmap"):
            (directory / "bin" / name).symlink_to(f"/usr/lib/cni/{name}")
        plugin = node.lab.env["CNI_PATH"].split(":")[0] + "/vpcwire"
        (directory / "bin/vpcwire").write_text(RECORDER.format(dir=directory, plugin=plugin))
        os.chmod(directory / "bin/vpcwire", 0o755)
        ours = {**node.conflist["plugins"][0],
                "capabilities": {"bandwidth": True, "dns": True, "io.kubernetes.cri.pod-annotations": True}}
        (directory / "net.d/10-vpcwire.conflist").write_text(json.dumps({
            "cniVersion": "1.0.0", "name": "vpc", "plugins": [ours, {"type": "portmap", "capabilities": {"portMappings": True}}]}))
        make_image(directory / "image.tar", make_rootfs(directory / "rootfs"), IMAGE, ["/bin/sleep", "2147483647"])
        self.containerd = Containerd(node, directory, CRI_CONFIG.format(dir=directory, image=IMAGE))
        self.containerd.ctr("-n", "k8s.io", "images", "import", directory / "image.tar", timeout=60)
        self.cri = Cri(self.containerd.socket, directory)
        self.sandboxes = {}

    def config(self, name, **more):
        return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "attempt": 0}, "hostname": name,
                "log_directory": str(self.dir), **more}

    def run(self, name, **more):
        sandbox = self.cri.RunPodSandbox(config=self.config(name, **more)).pod_sandbox_id
        self.sandboxes[sandbox] = name
        return sandbox

    def address(self, sandbox):
        return self.cri.PodSandboxStatus(pod_sandbox_id=sandbox).status.network.ip

    def start(self, sandbox, *command):
        name = self.sandboxes[sandbox]
        made = self.cri.CreateContainer(pod_sandbox_id=sandbox, sandbox_config=self.config(name),
                                        config={"metadata": {"name": "main"}, "image": {"image": IMAGE}, "command": list(command),
                                                "log_path": f"{name}.log"})
        self.cri.StartContainer(container_id=made.container_id)
        return made.container_id

    def exec(self, container, *command):
        done = self.cri.ExecSync(container_id=container, cmd=list(command), timeout=20)
        return done.exit_code, done.stdout.decode() + done.stderr.decode()

    def stop(self, sandbox):
        self.cri.StopPodSandbox(pod_sandbox_id=sandbox)

    def remove(self, sandbox):
        self.stop(sandbox)
        self.cri.RemovePodSandbox(pod_sandbox_id=sandbox)
        self.sandboxes.pop(sandbox, None)

    def ready(self):
        return {c.type: (c.status, c.message) for c in self.cri.Status().status.conditions}["NetworkReady"]

    def is_back(self):
        try:
            return self.ready()[0]
        except CriError:
            return False            # the channel is still that to the former process

    def calls(self):
        """[(environment, stdin)] of vpcwire's calls since the last time, in order."""
        found = []
        for path in sorted((self.dir / "calls").glob("*.env")):
            env = dict(l.split("=", 1) for l in path.read_text().splitlines() if "=" in l)
            found.append((env, json.loads(path.with_suffix(".stdin").read_text())))
            path.unlink()
            path.with_suffix(".stdin").unlink()
        return found

    def close(self):
        for sandbox in list(self.sandboxes):
            self.remove(sandbox)
        self.cri.close()
        self.containerd.stop()


@pytest.fixture(scope="module")
def kubelets(lab, tmp_path_factory):
    up = []
    try:
        for node in lab.nodes:
            up.append(Kubelet(node, tmp_path_factory.mktemp(f"cri-{node.name}")))
        yield up
    finally:
        for kubelet in up:
            kubelet.close()


@pytest.fixture
def kubelet(kubelets):
    """The first node's; what a test leaves is removed, and then nothing of it may be left."""
    one = kubelets[0]
    proc.wait_until(lambda: not audit.pod_objects(one.node), "no pod to be left of the test before")
    one.calls()
    yield one
    for sandbox in list(one.sandboxes):
        one.remove(sandbox)
    assert audit.books(one.node) == []
    proc.wait_until(lambda: not audit.pod_objects(one.node), lambda: f"nothing to be left: {audit.pod_objects(one.node)}")


@pytest.mark.limit(120)
def test_a_pod_from_sandbox_to_removal(kubelets, kubelet):
    assert kubelet.ready() == (True, "")
    first, second = kubelet.run("first"), kubelet.run("second")
    other = kubelets[1].run("other")
    addresses = [kubelet.address(first), kubelet.address(second), kubelets[1].address(other)]
    assert [p["address"] for p in sorted(kubelet.node.info()["pods"], key=lambda p: p["pod_name"])] == addresses[:2]
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network("10.0.0.0/16") for a in addresses) and len(set(addresses)) == 3
    container = kubelet.start(first, "sleep", "1000")
    status, shown = kubelet.exec(container, "ip", "addr")
    assert status == 0 and f"inet {addresses[0]}/32" in shown and "127.0.0.1/8" in shown, shown
    for target in addresses[1:]:
        assert kubelet.exec(container, "ping", "-c", "1", "-w", "5", target)[0] == 0, target
    kubelets[1].remove(other)
    kubelet.stop(first)
    kubelet.stop(first)                 # kubelet repeats itself
    kubelet.remove(first)
    assert len(audit.books(kubelet.node)) == 1


def test_what_containerd_sends(kubelet):
    """Go's spelling of keys, arguments in a Go map's order, annotations; and what becomes of it."""
    sandbox = kubelet.run("web", port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 8091}],
                          dns_config={"servers": ["10.0.0.2"], "searches": ["svc.example"], "options": ["ndots:5"]},
                          annotations={"kubernetes.io/ingress-bandwidth": "8M", "kubernetes.io/egress-bandwidth": "16M", "x": "[1]"})
    ((env, conf),) = kubelet.calls()
    assert env["CNI_COMMAND"] == "ADD" and env["CNI_IFNAME"] == "eth0" and env["CNI_CONTAINERID"] == sandbox
    assert {p.split("=")[0] for p in env["CNI_ARGS"].split(";")} == {"IgnoreUnknown", "K8S_POD_NAMESPACE", "K8S_POD_NAME",
                                                                     "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID"}
    sent = conf["runtimeConfig"]
    assert sent["bandwidth"] == {"IngressRate": 8_000_000, "IngressBurst": 4294967295, "EgressRate": 16_000_000, "EgressBurst": 4294967295}
    assert sent["dns"] == {"Servers": ["10.0.0.2"], "Searches": ["svc.example"], "Options": ["ndots:5"]}
    assert sent["io.kubernetes.cri.pod-annotations"]["x"] == "[1]"
    (held,) = kubelet.node.info()["pods"]
    assert (held["pod_namespace"], held["pod_name"], held["container_id"]) == ("default", "web", sandbox)
    (limit,) = [q for q in kubelet.node.json("tc", "-j", "qdisc", "show", "dev", held["host_ifname"]) if q["kind"] == "tbf"]
    assert limit["options"]["rate"] == 1_000_000
    assert f"to:{held['address']}:80" in kubelet.node.run("iptables", "-t", "nat", "-L", "-n").stdout
    kubelet.remove(sandbox)
    (env, conf), *again = kubelet.calls()
    assert env["CNI_COMMAND"] == "DEL" and conf["prevResult"]["ips"] and conf["runtimeConfig"]["bandwidth"]
    assert sandbox[:12] not in kubelet.node.run("iptables-save", "-t", "nat").stdout


@pytest.mark.limit(180)
def test_many_at_once_beside_their_loopback(kubelet):
    """go-cni runs loopback and us side by side in each sandbox; here in several sandboxes at the same time."""
    for round_ in range(3):
        made = parallel([lambda i=i, r=round_: kubelet.run(f"p{r}-{i}") for i in range(5)])
        addresses = [kubelet.address(s) for s in made]
        assert len(set(addresses)) == 5 and sorted(p["address"] for p in kubelet.node.info()["pods"]) == sorted(addresses)
        for sandbox in made:
            (pid,) = {t.split()[1] for t in kubelet.containerd.ctr("-n", "k8s.io", "tasks", "ls").stdout.splitlines() if t.startswith(sandbox)}
            lo = kubelet.node.run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "addr", "show", "dev", "lo").stdout
            assert "UP" in json.loads(lo)[0]["flags"] and "127.0.0.1" in lo
        parallel([lambda s=s: kubelet.remove(s) for s in made])


@pytest.mark.limit(120)
def test_a_sandbox_that_gets_no_address(kubelet):
    """kubelet shows the cause to a person; the failed sandbox leaves nothing."""
    made = []
    with pytest.raises(CriError) as caught:
        for number in range(20):
            made.append(kubelet.run(f"f{number}"))
    assert 'plugin type="vpcwire" failed (add): no free address: all slots are in use and no ENI can be added' in str(caught.value)
    assert quoted('failed to setup network for sandbox ...: plugin type="vpcwire" failed (add): ...').search(str(caught.value)), caught.value
    assert len(audit.books(kubelet.node)) == len(made)


@pytest.mark.limit(120)
def test_what_outlives_the_runtime_and_the_daemon(lab, kubelet):
    """containerd is killed, the sandbox's namespace vanishes, vpcwired is away: StopPodSandbox still ends, and nothing is left."""
    sandbox = kubelet.run("orphan")
    kubelet.calls()
    kubelet.containerd.kill()
    ids = kubelet.node.run("sh", "-c", "ls /run/netns /var/run/netns 2>/dev/null | grep cni- | sort -u").stdout.split()
    for name in ids:
        kubelet.node.run("sh", "-c", f"umount /run/netns/{name}; rm -f /run/netns/{name}")
    lab.kill_daemon(kubelet.node.name)
    try:
        kubelet.containerd.start()
        proc.wait_until(kubelet.is_back, "containerd's network to be ready")
        kubelet.stop(sandbox)
        dels = [env for env, _ in kubelet.calls() if env["CNI_COMMAND"] == "DEL"]
        assert dels and all(env.get("CNI_NETNS", "") == "" for env in dels)
    finally:
        lab.start_daemon(kubelet.node.name)
        proc.wait_until(kubelet.node.serves, "the daemon to serve")
    proc.wait_until(lambda: audit.books(kubelet.node) == [], "the noted DEL to have been made up for")


def test_it_is_a_result_that_a_person_can_trust(kubelet):
    """What containerd cached is what the kernel has: checked by CHECK, which containerd itself never calls."""
    sandbox = kubelet.run("checked")
    ((env, conf),) = kubelet.calls()
    cached = json.loads(kubelet.node.run("sh", "-c", f"cat /var/lib/cni/results/vpc-{sandbox}-eth0").stdout)
    prev = cached["result"]
    done = kubelet.node.run("env", "-i", *[f"{k}={v}" for k, v in {**env, "CNI_COMMAND": "CHECK"}.items() if k.startswith("CNI_")],
                            kubelet.node.lab.env["CNI_PATH"].split(":")[0] + "/vpcwire", input=json.dumps({**conf, "prevResult": prev}),
                            check=False)
    assert cni.judge(done, "1.0.0", "CHECK") is None
