# SPDX-License-Identifier: Apache-2.0
"""Other people's plugins behind ours, as libcni runs them: Debian's containernetworking-plugins, and aws-node's own conflist."""
import hashlib
import json
import pathlib
import shutil
import time

import pytest

from tests.harness import audit, cni, policy, proc
from tests.harness.libcni import Chain

LAB = {"nodes": 2}
WEB = ("busybox", "httpd", "-f", "-p", "80", "-h")


@pytest.fixture(autouse=True)
def needs_debians(node):
    if node.run("test", "-x", "/usr/lib/cni/portmap", check=False).returncode:
        pytest.skip("containernetworking-plugins is not installed")


def chain(node, *others, version="1.0.0", **ours):
    listed = node.conflist
    return Chain(node, {"cniVersion": version, "name": "chained", "plugins": [{**listed["plugins"][0], **ours}, *others]})


def iptables(node):
    return node.run("sh", "-c", "iptables-save; ip6tables-save; nft list ruleset").stdout


def around(chained, pod, without=None, **add):
    """ADD and CHECK, in order, of all plugins; what goes is the caller's."""
    result = chained.add(pod, **add)
    assert cni.Result(result, chained.list["cniVersion"]).interfaces[1]["name"] == "eth0"
    chained.check(pod, without=without)
    assert [t for c, t in chained.calls if c == "CHECK"] == [p["type"] for p in chained.list["plugins"] if p["type"] != without]
    return result


def gone(chained, pod, before):
    """DEL, up the list; our objects are gone, and nobody's name the container any more."""
    chained.delete(pod)
    node = chained.node
    assert [t for c, t in chained.calls if c == "DEL"] == [p["type"] for p in reversed(chained.list["plugins"])]
    proc.wait_until(lambda: looks(node) == before, lambda: f"{before}, not {looks(node)}")
    assert pod.container_id not in iptables(node)


def looks(node):
    return {"books": audit.books(node), "objects": audit.pod_objects(node),
            "links": [l["ifname"] for l in node.json("ip", "-j", "link", "show")]}


@pytest.fixture
def before(node):
    return looks(node)


@pytest.fixture
def other(lab):
    """A pod on the other node: somebody to talk to."""
    pod = lab.nodes[1].pod()
    pod.add()
    yield pod
    pod.delete()
    pod.remove()


@pytest.fixture
def bare(node):
    pod = node.pod()
    yield pod
    pod.remove()


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_tuning(node, bare, other, before, version):
    """A MAC that is changed under us: the kernel drops the permanent neighbour, the gateway answers ARP."""
    mac = "c2:b0:57:49:47:f1"
    chained = chain(node, {"type": "tuning", "mac": mac, "mtu": 1400, "sysctl": {"net.core.somaxconn": "500"}}, version=version)
    result = chained.add(bare)
    inside = bare.json("ip", "-j", "link", "show", "dev", "eth0")[0]
    assert (inside["address"], inside["mtu"]) == (mac, 1400)
    assert next(i["mac"] for i in result["interfaces"] if i.get("sandbox")) == mac
    assert bare.run("sysctl", "-n", "net.core.somaxconn").stdout.strip() == "500"
    assert bare.pings(other.result.address) and other.pings(cni.Result(result, version).address)
    if version >= "0.4.0":
        chained.check(bare)
        bare.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
        with pytest.raises(cni.CniError, match="vpcwire: .*02:00:00:00:00:99"):
            chained.check(bare)
    chained.delete(bare)
    proc.wait_until(lambda: audit.pod_objects(node) == before["objects"], "our links and routes to be gone")


def without_ip6tables(lab):
    """A PATH on which there is iptables but no ip6tables. Where both are, CHECK of portmap 1.1.1 looks for IPv4 rules in IPv6's table,
    and fails behind whatever plugin."""
    folder = pathlib.Path(lab.dir.name) / "path"
    if not folder.exists():
        folder.mkdir()
        (folder / "iptables").symlink_to(shutil.which("iptables") or "/usr/sbin/iptables")
    return str(folder)


def test_portmap_and_firewall(lab, bare, other, before):
    portmap_and_firewall(lab, bare, other, before)


def test_portmap_and_firewall_in_a_dual_stack(make_lab):
    dual = make_lab("--ipv6", nodes=2)
    pods = [n.pod() for n in dual.nodes]
    before = looks(dual.nodes[0])
    pods[1].add()
    portmap_and_firewall(dual, *pods, before, without="portmap")


def portmap_and_firewall(lab, bare, other, before, without=None):
    node = bare.node
    chained = chain(node, {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
                    {"type": "firewall", "backend": "iptables"})
    if not without:
        chained.search["portmap"] = without_ip6tables(lab)
    ports = {"portMappings": [{"HostPort": 8088, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]}       # as go-cni spells them
    result = around(chained, bare, without, capabilities=ports)
    rules = iptables(node)
    assert bare.container_id in rules and all(ip["address"].split("/")[0] in rules for ip in result["ips"])
    www = pathlib.Path(lab.dir.name) / "www"
    www.mkdir(exist_ok=True)
    (www / "index.html").write_text("here\n")
    server = bare.popen(*WEB, www)
    try:
        host = node.imds("local-ipv4")
        proc.wait_until(lambda: other.fetch(f"http://{host}:8088/index.html", 2) == "here", "the pod's port on the node's address")
        own = node.run("curl", "-sf", "--noproxy", "*", "--max-time", "5", f"http://{host}:8088/index.html").stdout
        assert own.strip() == "here"
    finally:
        server.terminate()
        server.wait(10)
    gone(chained, bare, before)


@pytest.mark.parametrize("attach", ["tcx"])
def test_bandwidth_of_debian(node, bare, other, before, attach):
    """It owns the qdiscs of the veth: ours hangs its program on tcx."""
    chained = chain(node, {"type": "bandwidth", "capabilities": {"bandwidth": True}}, attach=attach)
    rates = {"bandwidth": {"IngressRate": 8_000_000, "IngressBurst": 800_000, "EgressRate": 8_000_000, "EgressBurst": 800_000}}
    result = around(chained, bare, capabilities=rates)
    host = result["interfaces"][0]["name"]
    kinds = {q["kind"] for q in node.json("tc", "-j", "qdisc", "show", "dev", host)}
    assert kinds == {"tbf", "ingress"}
    assert bare.pings(other.result.address) and other.pings(cni.Result(result, "1.0.0").address)
    spoofed = bare.run("ping", "-c1", "-w1", "-I", "192.0.2.1", other.result.address, check=False)
    assert spoofed.returncode != 0
    gone(chained, bare, before)


def test_bandwidth_of_debian_behind_clsact_fails_and_leaves_nothing(node, bare, before):
    chained = chain(node, {"type": "bandwidth", "capabilities": {"bandwidth": True}}, attach="clsact")
    rates = {"bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000}}
    with pytest.raises(cni.CniError, match="bandwidth: "):
        chained.add(bare, capabilities=rates)
    gone(chained, bare, before)


@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_our_own_bandwidth_with_all_the_others_behind(lab, node, bare, other, before, attach):
    chained = chain(node, {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
                    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "sbr"},
                    attach=attach, capabilities={"bandwidth": True, "ips": True, "mac": True})
    chained.search["portmap"] = without_ip6tables(lab)
    rates = {"bandwidth": {"ingressRate": 80_000_000, "ingressBurst": 4294967295, "egressRate": 80_000_000, "egressBurst": 4294967295},
             "portMappings": [{"hostPort": 8089, "containerPort": 80, "protocol": "tcp"}], "mac": "02:00:00:00:00:07"}
    result = around(chained, bare, capabilities=rates)
    assert {"tbf"} <= {q["kind"] for q in bare.json("tc", "-j", "qdisc", "show", "dev", "eth0")}
    # sbr leaves nothing in main, whoever wired the interface: what the pod sends needs a source
    own = cni.Result(result, "1.0.0").address
    assert other.pings(own)
    assert bare.run("ping", "-c1", "-w5", "-I", own, other.result.address, check=False).returncode == 0
    gone(chained, bare, before)


@pytest.mark.limit(120)
@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_a_policy_beside_qdiscs_of_the_same_veth(node, bare, other, before, attach):
    """Bandwidth's qdiscs and the policy's programs are on one veth: ours behind clsact, Debian's with tcx. Both do their work: what the
    policy forbids is refused both ways, what it lets through is held back; CHECK of all, and DEL leaves nothing."""
    rates = {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000}
    if attach == "tcx":
        chained = chain(node, {"type": "bandwidth", "capabilities": {"bandwidth": True}}, {"type": "firewall"}, attach=attach)
    else:
        chained = chain(node, {"type": "firewall"}, attach=attach, capabilities={"bandwidth": True})
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={bare.name};K8S_POD_INFRA_CONTAINER_ID={bare.container_id}"
    result = around(chained, bare, capabilities={"bandwidth": rates}, args=args)
    bare.result, host = cni.Result(result, "1.0.0"), result["interfaces"][0]["name"]
    assert "tbf" in {q["kind"] for q in node.json("tc", "-j", "qdisc", "show", "dev", host)}
    folder = policy.Policies(node)
    servers = [policy.Server(pod.node, pod.netns, port) for pod in (bare, other) for port in (8080, 8081)]
    own, theirs = bare.result.address, other.result.address
    try:
        folder.put("pods.json", policy.pod_object(bare, {"app": "limited"}))
        assert all(policy.connects(other, own, port) and policy.connects(bare, theirs, port) for port in (8080, 8081))
        only = {"ports": [{"port": 8080}]}
        folder.put("p.json", policy.network_policy("p", {"app": "limited"}, policyTypes=["Ingress", "Egress"], ingress=[only], egress=[only]))
        chained.check(bare)
        for port, allowed in ((8080, True), (8081, False)):
            assert policy.connects(other, own, port) == policy.connects(bare, theirs, port) == allowed, port
        # a megabyte into the pod: at 8 Mbit/s behind a burst of 0.1 MB it takes 0.9 s at least
        started = time.monotonic()
        flood = policy.Connection(other.node, other.netns, own, timeout=10)
        flood.proc.stdin.write("x" * 1_000_000 + "\n")
        flood.proc.stdin.flush()
        assert flood.proc.stdout.readline() == "yes\n"
        assert time.monotonic() - started > 0.8
        flood.close()
    finally:
        for server in servers:
            server.stop()
        folder.change(folder.clear)
    gone(chained, bare, before)


def test_sbr_of_a_second_interface(node, bare, other, before):
    """What sbr is for: what comes from the second address leaves by the second interface, and CHECK of both is content."""
    first, second = chain(node), chain(node, {"type": "sbr"})
    first.add(bare)
    result = second.add(bare, ifname="net1")
    first.check(bare)
    second.check(bare, ifname="net1")
    for address in (first.cache[bare.container_id, "eth0"][1]["ips"][0]["address"], result["ips"][0]["address"]):
        assert bare.run("ping", "-c1", "-w5", "-I", address.split("/")[0], other.result.address, check=False).returncode == 0, address
    second.delete(bare, ifname="net1")
    first.check(bare)
    first.delete(bare)
    proc.wait_until(lambda: audit.pod_objects(node) == before["objects"], "our links and routes to be gone")


# aws-node's misc/10-aws.conflist, as its entrypoint writes it out
AWS = """{
  "cniVersion": "0.4.0",
  "name": "aws-cni",
  "disableCheck": true,
  "plugins": [
    {
      "name": "aws-cni",
      "type": "aws-cni",
      "vethPrefix": "eni",
      "mtu": "9001",
      "podSGEnforcingMode": "strict",
      "pluginLogFile": "/run/aws-routed-eni/plugin.log",
      "pluginLogLevel": "DEBUG",
      "capabilities": {"io.kubernetes.cri.pod-annotations": true}
    },
    {
      "name": "egress-cni",
      "type": "egress-cni",
      "mtu": "9001",
      "enabled": "false",
      "randomizeSNAT": "prng",
      "nodeIP": "",
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "fd00::ac:00/118"}]],
        "routes": [{"dst": "::/0"}],
        "dataDir": "/run/cni/v6pd/egress-v6-ipam"
      },
      "pluginLogFile": "/run/aws-routed-eni/egress-v6-plugin.log",
      "pluginLogLevel": "DEBUG"
    },
    {
      "type": "portmap",
      "capabilities": {"portMappings": true},
      "snat": true
    }
  ]
}"""
# aws-node's egress-cni is not in Debian; switched off, as here, it prints what it was given
EGRESS = """#!/usr/bin/python3
import json, os, sys
conf = json.load(sys.stdin)
assert conf["enabled"] == "false"
if os.environ["CNI_COMMAND"] == "ADD":
    print(json.dumps(conf["prevResult"]))
"""


def test_the_conflist_of_aws_node(lab, node, bare, other, before):
    """Our binary where aws-cni was: same file, untouched."""
    bin_dir = pathlib.Path(lab.dir.name) / "aws-bin"
    bin_dir.mkdir()
    (bin_dir / "egress-cni").write_text(EGRESS)
    (bin_dir / "egress-cni").chmod(0o755)
    (bin_dir / "aws-cni").symlink_to(proc.PLUGIN)
    node.run("mkdir", "-p", "/run/aws-routed-eni")
    chained = Chain(node, json.loads(AWS), f"{bin_dir}:{node.lab.env['CNI_PATH']}")
    capabilities = {"portMappings": [{"HostPort": 8090, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
                    "io.kubernetes.cri.pod-annotations": {"vpc.amazonaws.com/x": "[]", "kubernetes.io/config.source": "api"}}
    args = f"K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID={bare.container_id};K8S_POD_UID=u;IgnoreUnknown=1;K8S_POD_NAMESPACE=default"
    result = cni.Result(chained.add(bare, capabilities=capabilities, args=args), "0.4.0")
    assert result.host_interface["name"] == "eni" + hashlib.sha1(b"default.web").hexdigest()[:11]
    assert bare.json("ip", "-j", "link", "show", "dev", "eth0")[0]["mtu"] == 9001
    chained.check(bare)                         # disableCheck: nothing is called
    assert "CHECK" not in [c for c, _ in chained.calls]
    assert bare.pings(other.result.address)
    log = node.run("cat", "/run/aws-routed-eni/plugin.log").stdout
    assert "command=ADD" in log and bare.container_id in log
    gone(chained, bare, before)
