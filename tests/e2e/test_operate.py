# SPDX-License-Identifier: Apache-2.0
"""vpcwirectl doctor, events, drain, dump."""
import io
import json
import re
import subprocess
import tarfile

import pytest

from tests.e2e.test_ctl import ctl, settled
from tests.harness import audit, cni, proc
from tests.harness.policy import Policies
from tests.harness.symptoms import operator_sees

LAB = {"instance_type": "m5.large", "config": {"imds_hop_limit": 1}, "daemon_config": {"warm_ip_target": 2, "drift_repair": False}}
CONFLISTS = "/etc/cni/net.d"
OURS = '{"cniVersion": "1.0.0", "name": "vpcwire", "plugins": [{"type": "vpcwire"}]}'
ACTIONS = {a.removeprefix("ec2:") for s in json.loads((proc.TOP / "deploy/iam/policy.json").read_text())["Statement"] for a in s["Action"]}


def doctor(node, ok=4):
    return json.loads(ctl(node, "--json", "doctor", ok=ok))["checks"]


def examined(node):
    """Whatever it finds."""
    return json.loads(node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, "--json", "doctor", check=False).stdout)["checks"]


def bad(node):
    """-> {part: [(what, todo)]}"""
    found = {}
    for c in doctor(node):
        if not c["ok"]:
            found.setdefault(c["part"], []).append((c["what"], c["todo"]))
    return found


@pytest.fixture(name="clean")
def _clean(node):
    """A node on which doctor has nothing to say: its own /etc/cni/net.d with our conflist alone."""
    settled(node)
    node.run("sh", "-ec", f"mkdir -p {CONFLISTS}; mountpoint -q {CONFLISTS} || mount -t tmpfs tmpfs {CONFLISTS}; rm -f {CONFLISTS}/*; "
             f"cat > {CONFLISTS}/10-vpcwire.conflist", input=OURS)
    return node


def test_a_healthy_node(clean):
    checks = doctor(clean, ok=0)
    assert all(c["ok"] and "todo" not in c for c in checks)
    named = {c["what"].removeprefix("ec2:") for c in checks if c["part"] == "permission"}
    assert named == ACTIONS - {"AssignIpv6Addresses", "UnassignIpv6Addresses"}
    assert {"kernel", "bpffs", "conflist", "other CNIs", "aws-node", "daemon", "subnets", "manifests", "capabilities", "mtu", "metadata", "credentials",
            "clock", "veth", "clsact", "cls_bpf", "policy routing", "nftables", "connection table", "iptables", "programs on ENIs"} <= {c["part"] for c in checks}
    assert ctl(clean, "doctor").endswith(f"0 of {len(checks)} want attention\n")


def test_asking_for_permissions_changes_nothing(clean, lab):
    def held():
        return sorted((e["NetworkInterfaceId"], len(e["PrivateIpAddresses"]), sorted(t["Key"] for t in e["TagSet"]))
                      for e in clean.ec2("describe-network-interfaces")["NetworkInterfaces"])
    before, errors = held(), lab.control("counters")["counters"].get("CreateNetworkInterface", {}).get("errors", {})
    doctor(clean, ok=0)
    assert held() == before
    after = lab.control("counters")["counters"]["CreateNetworkInterface"]["errors"]
    assert after.get("DryRunOperation", 0) == errors.get("DryRunOperation", 0) + 1


@pytest.mark.parametrize("action", sorted(ACTIONS - {"AssignIpv6Addresses", "UnassignIpv6Addresses"}))
def test_each_missing_permission_is_named(clean, lab, action):
    lab.fault(action, "UnauthorizedOperation")
    try:
        assert bad(clean) == {"permission": [(f"ec2:{action} is missing", "add it to the role; deploy/iam/policy.json has all that are needed")]}
    finally:
        lab.clear_faults()


def test_the_role_of_the_simulator_refuses_dry_runs_as_well(make_lab):
    """As EC2: the permission is looked at before DryRun."""
    node = make_lab(config={"roles": [{"name": "vpcwire-node", "deny": ["CreateTags"]}]}, daemon_config={"warm_ip_target": 1}).nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    assert [w for w, _ in bad(node)["permission"]] == ["ec2:CreateTags is missing"]


def test_the_hop_limit_is_found_out(clean, make_lab):
    assert "hop limit 1: pods cannot reach it" in next(c["what"] for c in doctor(clean, ok=0) if c["part"] == "metadata")
    other = make_lab(config={"imds_hop_limit": 2}).nodes[0]
    proc.wait_until(other.serves, "the daemon to serve")
    assert "hop limit 2 or more: pods can reach it" in next(c["what"] for c in json.loads(
        other.run(proc.BIN / "vpcwirectl", "--socket", other.socket, "--json", "doctor", check=False).stdout)["checks"] if c["part"] == "metadata")


def test_metadata_that_does_not_answer(clean, lab):
    lab.fault("IMDSToken", kind="hang")
    try:
        assert "http-put-response-hop-limit 2" in bad(clean)["metadata"][0][1]
    finally:
        lab.clear_faults()


# bpf(2) by hand: iproute2 and bpftool of Debian 12 know no tcx
BPF = """import ctypes, platform, socket, struct, sys
def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr + bytes(128 - len(attr)))
    r = ctypes.CDLL(None, use_errno=True).syscall({"x86_64": 321, "aarch64": 280}[platform.machine()], cmd, buf, 128)
    if r < 0:
        sys.exit(f"bpf({cmd}): errno {ctypes.get_errno()}")
    return r
"""
# BPF_PROG_LOAD of an XDP program that passes all, BPF_OBJ_PIN
XDP = BPF + """code = ctypes.create_string_buffer(bytes([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 16)
words = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(sys.argv[1].encode())
fd = bpf(5, struct.pack("IIQQ", 6, 2, ctypes.addressof(code), ctypes.addressof(words[0])))
bpf(6, struct.pack("QI", ctypes.addressof(words[1]), fd))
"""
# BPF_OBJ_GET, then BPF_PROG_ATTACH or _DETACH as BPF_TCX_INGRESS
TCX = BPF + """path = ctypes.create_string_buffer(sys.argv[2].encode())
fd = bpf(7, struct.pack("Q", ctypes.addressof(path)))
bpf({"attach": 8, "detach": 9}[sys.argv[1]], struct.pack("IIII", socket.if_nametoindex("eth0"), fd, 46, 0))
"""


@pytest.mark.limit(300)      # each of a dozen is provoked, found and put right: as many looks by doctor, each of which asks EC2 for every permission
def test_conflicts_on_the_node_are_named(clean):
    # somebody's program: one of ours, where it does not belong
    other = clean.run("sh", "-c", "find /sys/fs/bpf -name from_pod").stdout.split()[0]
    clean.run("sh", "-ec", "cat > /etc/vpcwire/tcx.py", input=TCX)
    clean.run("sh", "-ec", "cat > /etc/vpcwire/xdp.py; python3 /etc/vpcwire/xdp.py /sys/fs/bpf/xdp", input=XDP)

    def tcx(what):
        return f"python3 /etc/vpcwire/tcx.py {what} {other}"
    cases = [
        (f"echo '{{\"name\":\"x\",\"type\":\"bridge\"}}' > {CONFLISTS}/05-x.conf", f"rm {CONFLISTS}/05-x.conf", "conflist",
         f"{CONFLISTS}/05-x.conf comes first and is not vpcwire's"),
        (f"mv {CONFLISTS}/10-vpcwire.conflist /tmp/kept.$$; echo /tmp/kept.$$ > /tmp/kept", f"mv $(cat /tmp/kept) {CONFLISTS}/10-vpcwire.conflist",
         "conflist", f"{CONFLISTS} has no CNI configuration"),
        ("ip link add flannel.1 type veth peer name other1", "ip link del flannel.1", "other CNIs", "interface flannel.1 is Flannel's"),
        ("ip rule add pref 1536 from 10.0.0.99 lookup 2", "ip rule del pref 1536", "aws-node", "1 rules at 512 or 1536 are not vpcwire's"),
        ("mkdir -p /run/systemd/netif; touch /run/systemd/netif/state", "rm -r /run/systemd/netif", "systemd-networkd",
         "runs, and removes routes and rules that are not its own"),
        ("ip rule del pref 512", "ip rule add pref 512 lookup 22103 protocol 86", "kernel", "rule 512: lookup 22103 is missing"),
        # by itself, as iptables-nft makes it, and as iptables-legacy does, where the kernel still has that
        ("nft 'add table inet other; add chain inet other CILIUM_POST_nat'", "nft delete table inet other", "iptables",
         "1 chains of other CNIs: CILIUM_POST_nat of nftables' table inet other is Cilium's"),
        ("iptables-nft -t nat -N AWS-SNAT-CHAIN-0; iptables-nft -t nat -N AWS-CONNMARK-CHAIN-0", "nft delete table ip nat", "iptables",
         "2 chains of other CNIs: AWS-SNAT-CHAIN-0 of nftables' table ip nat is aws-node's"),
        ("iptables-nft -t nat -N KUBE-SERVICES; iptables-nft -N KUBE-ROUTER-FORWARD", "nft 'delete table ip nat; delete table ip filter'", "iptables",
         "1 chains of other CNIs: KUBE-ROUTER-FORWARD of nftables' table ip filter is kube-router's"),
        *([("iptables-legacy -N cali-FORWARD", "iptables-legacy -X cali-FORWARD", "iptables",
            "1 chains of other CNIs: cali-FORWARD of iptables-legacy's table filter is Calico's")]
          if clean.run("iptables-legacy", "-S", check=False).returncode == 0 else []),
        (f"tc filter add dev eth0 ingress bpf da object-pinned {other}", "tc filter del dev eth0 ingress", "programs on ENIs",
         "eth0 has 1 programs on its way in and 0 on its way out that are not vpcwire's"),
        (f"tc filter add dev eth0 egress pref 1 bpf da object-pinned {other}", "tc filter del dev eth0 egress pref 1", "programs on ENIs",
         "eth0 has 0 programs on its way in and 1 on its way out that are not vpcwire's"),
        *([(tcx("attach"), tcx("detach"), "programs on ENIs", "eth0 has 1 programs on its way in and 0 on its way out that are not vpcwire's")]
          if clean.run("sh", "-ec", f"{tcx('attach')}; {tcx('detach')}", check=False).returncode == 0 else []),
        # a balancer's, or Cilium's, below all that tc sees
        ("ip link set dev eth0 xdpgeneric pinned /sys/fs/bpf/xdp", "ip link set dev eth0 xdpgeneric off", "programs on ENIs",
         "eth0 has an XDP program, which is not vpcwire's"),
        ("ip link set dev eth0 mtu 1400", "ip link set dev eth0 mtu 9001", "mtu", "eth0 has an MTU of 1400, pods have 9001"),
    ]
    for breaks, mends, part, what in cases:
        clean.run("sh", "-ec", breaks)
        try:
            found = bad(clean)
            assert what in [w for w, _ in found[part]] and all(todo for _, todo in found[part]), (breaks, found)
        finally:
            clean.run("sh", "-ec", mends)
        assert all(c["ok"] for c in doctor(clean, ok=0)), breaks


def test_a_networkd_that_leaves_foreign_ones_alone_is_none(clean):
    """However systemd lets one write it."""
    clean.run("sh", "-ec", "mkdir -p /run/systemd/netif; touch /run/systemd/netif/state; mount -t tmpfs tmpfs /etc/systemd; "
              "mkdir /etc/systemd/networkd.conf.d; cat > /etc/systemd/networkd.conf.d/vpcwire.conf",
              input="[Network]\nManageForeignRoutes = no\n ManageForeignRoutingPolicyRules=OFF \r\n")
    try:
        assert [c["ok"] for c in examined(clean) if c["part"] == "systemd-networkd"] == [True]
    finally:
        clean.run("sh", "-ec", "umount /etc/systemd; rm -r /run/systemd/netif")


# what somebody does to the node, how it is put right; what doctor finds. {pid}: vpcwired's
WORN = [
    ("sysctl -qw net.ipv4.conf.all.forwarding=0", "sysctl -qw net.ipv4.conf.all.forwarding=1", "kernel", "net.ipv4.conf.all.forwarding is 0"),
    ("mount -t tmpfs tmpfs /sys/fs/bpf", "umount /sys/fs/bpf", "bpffs", "/sys/fs/bpf is no bpffs: programs and maps cannot be pinned"),
    # what the host's own namespace has there, and a lab's node does not
    ("mount -t tmpfs tmpfs /proc/sys/net/core; echo 0 > /proc/sys/net/core/bpf_jit_enable", "umount /proc/sys/net/core", "eBPF compiler",
     "net.core.bpf_jit_enable is 0"),
    ("echo 99999999 > /etc/vpcwire/count; mount --bind /etc/vpcwire/count /proc/sys/net/netfilter/nf_conntrack_count",
     "umount /proc/sys/net/netfilter/nf_conntrack_count", "conntrack", "99999999 of "),
    ("sed 's/^CapEff:.*/CapEff:\t000000c000000000/' /proc/{pid}/status > /etc/vpcwire/status; mount --bind /etc/vpcwire/status /proc/{pid}/status",
     "umount /proc/{pid}/status", "capabilities", "vpcwired has no CAP_NET_ADMIN"),
    ("cp /etc/vpcwire/vpcwired.json /etc/vpcwire/kept; echo '{{' > /etc/vpcwire/vpcwired.json", "mv /etc/vpcwire/kept /etc/vpcwire/vpcwired.json",
     "settings", "is not valid JSON"),
    ("mkdir -p /etc/vpcwire/policy.d; echo '{{' > /etc/vpcwire/policy.d/bad.json", "rm /etc/vpcwire/policy.d/bad.json", "manifests", "1 refused"),
]


@pytest.mark.parametrize("breaks,mends,part,what", WORN, ids=[w[2] for w in WORN])
def test_what_is_wrong_with_the_node_or_the_daemon_is_named(clean, breaks, mends, part, what):
    pid = clean.daemon_pid()
    clean.run("sh", "-ec", breaks.format(pid=pid))
    try:
        found = proc.wait_until(lambda: [f for f in [{c["part"]: c for c in examined(clean) if not c["ok"]}] if part in f],
                                lambda: f"{part} to be found: {examined(clean)}", timeout=60)[0]
        assert set(found) == {part} and what in found[part]["what"] and found[part]["todo"], found
    finally:
        clean.run("sh", "-ec", mends.format(pid=pid))
    proc.wait_until(lambda: all(c["ok"] for c in examined(clean)), lambda: f"all to be well again: {examined(clean)}", timeout=60)


def test_a_clock_that_is_wrong_and_credentials_that_cannot_be_had(clean, lab):
    def found():
        return {c["part"]: c["what"] for c in examined(clean) if not c["ok"]}
    lab.control("clock", offset_s=400)
    try:
        proc.wait_until(lambda: set(found()) == {"clock"}, lambda: f"the clock to be found wrong: {found()}", timeout=60)
        assert re.fullmatch(r"(39\d|40\d) s behind EC2's", found()["clock"])
    finally:
        lab.control("clock", offset_s=0)
    proc.wait_until(lambda: not found(), lambda: f"the clock to be right again: {found()}", timeout=60)
    lab.fault("IMDS", path="security-credentials", kind="body", status=404)     # first, or a call of this moment would fetch the next set
    lab.control("expire-credentials")
    try:
        proc.wait_until(lambda: "the instance has no role" in found().get("credentials", ""), lambda: f"no credentials: {found()}", timeout=60)
    finally:
        lab.clear_faults()
    proc.wait_until(lambda: not found(), lambda: f"all to be well again: {found()}", timeout=60)


def test_a_kernel_that_is_too_old(clean):
    done = clean.run("setarch", "--uname-2.6", proc.BIN / "vpcwirectl", "--socket", clean.socket, "--json", "doctor", check=False)
    found = [c for c in json.loads(done.stdout)["checks"] if not c["ok"]]
    assert done.returncode == 4 and [c["part"] for c in found] == ["kernel"] and found[0]["what"].startswith("Linux 2.6."), found


@pytest.mark.parametrize("call,part,todo", [("sendto:error=EOPNOTSUPP:when=1", "veth", "CONFIG_VETH"),
                                            ("sendto:error=EOPNOTSUPP:when=2", "clsact", "CONFIG_NET_SCH_INGRESS"),
                                            ("sendto:error=EOPNOTSUPP:when=3", "cls_bpf", "CONFIG_NET_CLS_BPF"),
                                            ("sendto:error=EOPNOTSUPP:when=4", "policy routing", "CONFIG_IP_MULTIPLE_TABLES"),
                                            ("sendto:error=EOPNOTSUPP:when=5", "nftables", "CONFIG_NFT_NAT"),
                                            ("sendto:error=EOPNOTSUPP:when=6", "connection table", "CONFIG_NF_CT_NETLINK"),
                                            ("unshare:error=EPERM", "kernel features", "run it as root")])
def test_a_feature_that_the_kernel_lacks_is_found_by_trying(clean, call, part, todo):
    """The kernel refuses the one call that asks for it; all else is as it should be."""
    done = clean.run("strace", "-f", "-o", "/dev/null", "-e", f"inject={call}", proc.BIN / "vpcwirectl", "--socket", clean.socket, "--json", "doctor",
                     check=False)
    found = [c for c in json.loads(done.stdout)["checks"] if not c["ok"]]
    assert done.returncode == 4 and [c["part"] for c in found] == [part] and todo in found[0]["todo"], (done, found)


def test_doctor_leaves_the_node_as_it_was(clean):
    """It makes what it tries out in a namespace of its own."""
    before = audit.kernel(clean)
    doctor(clean, ok=0)
    assert audit.kernel(clean) == before, audit.difference(before, audit.kernel(clean))


def test_doctor_without_a_daemon_looks_all_the_same(clean, lab):
    lab.stop_daemon(clean.name)
    try:
        checks = doctor(clean, ok=3)
        assert [c["part"] for c in checks if not c["ok"]] == ["daemon"] and {"kernel", "conflist"} <= {c["part"] for c in checks}
    finally:
        lab.start_daemon(clean.name)
        proc.wait_until(clean.serves, "the daemon to serve")


# --- events

def followed(node, *words):
    argv = node.argv(proc.BIN / "vpcwirectl", "--socket", node.socket, *words)
    return subprocess.Popen(argv, env=node.env(), stdout=subprocess.PIPE, text=True)


def test_events_are_followed_as_they_happen(node, lab):
    child = followed(node, "--json", "events", "-f")
    try:
        first = json.loads(child.stdout.readline())
        assert first["seq"] == 1 and set(first) == {"seq", "ts", "kind", "text"} and re.fullmatch(r"[\d-]+T[\d:]+\.\d{3}Z", first["ts"])
        node.run("sh", "-ec", f"echo '{{' > {node.run_dir}/x; kill -HUP {node.daemon_pid()}")
        seen = [first]
        while "configuration reloaded" not in seen[-1]["text"]:
            seen.append(json.loads(child.stdout.readline()))
        assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1)) and seen[-1]["kind"] == "info"
        lab.stop_daemon(node.name)
        child.stdout.read()
        assert child.wait(20) in (1, 3), "a daemon that ends ends the story"
    finally:
        child.kill()
        child.wait()
        lab.start_daemon(node.name)
        proc.wait_until(node.serves, "the daemon to serve")


def test_a_denied_connection_is_an_event_and_is_counted_once(node):
    folder, (a, b) = Policies(node), node.pods(2)
    for pod in (a, b):
        pod.address = pod.add().address
    folder.shut(b)
    a.run("timeout", "5", "nc", "-z", "-w", "1", b.address, "81", check=False)

    def denied():
        flows = node.rpc("query", what="denied")["result"]["flows"]
        return [f for f in flows if f.get("pod") == f"default/{b.name}"]
    flow = proc.wait_until(denied, "the denied connection to be known")[0]
    assert flow["policy"] == "default/shut" and flow["dir"] == "ingress" and flow["dport"] == 81 and flow["address"] == a.address
    assert len(denied()) == 1 and flow["count"] >= 1
    events = [json.loads(line) for line in ctl(node, "--json", "events").splitlines()]
    assert any(e["kind"] == "denied" and 'policy="default/shut"' in e["text"] for e in events)
    folder.take("shut.json")
    for pod in (a, b):
        pod.delete()
        pod.remove()


# --- drain

def test_a_drained_node_takes_no_pods_and_gives_all_back(make_lab):
    lab = make_lab(daemon_config={"warm_ip_target": 12, "ip_cooldown_s": 0})
    node = lab.nodes[0]
    proc.wait_until(lambda: node.info()["pool"]["available"] == 12 and len(node.info()["enis"]) == 2, "a second ENI")
    stays, late = node.pods(2)
    address = stays.add().address
    said = json.loads(ctl(node, "--json", "drain"))
    assert said["draining"] is True and said["n_pods"] == 1 and said["empty"] is False
    with pytest.raises(cni.CniError) as refused:
        late.add()
    assert refused.value.code == 11 and "this node is being drained and takes no new pods" in refused.value.msg
    assert node.rpc("status")["cni"] == 50
    operator_sees(node, "this node is being drained and takes no new pods")
    assert ctl(node, "--timeout", "1", "drain", "--wait", ok=4).startswith("draining: 1 pods")
    assert stays.pings(node.facts["address"]), "who is there keeps what it has"
    lab.kill_daemon(node.name)
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve")
    assert node.info()["draining"] is True, "it outlives the daemon"
    stays.delete()
    assert ctl(node, "--timeout", "25", "drain", "--wait") == "draining: 0 pods, 0 addresses, 1 ENIs\n"
    held = node.ec2("describe-network-interfaces")["NetworkInterfaces"]
    assert [len(e["PrivateIpAddresses"]) for e in held] == [1], (address, held)
    assert json.loads(ctl(node, "--json", "drain", "--off"))["draining"] is False
    late.add()
    late.delete()
    for pod in (stays, late):
        pod.remove()


def test_words_that_are_wrong(node):
    for words in (["drain", "--off", "--wait"], ["drain", "x"], ["events", "x"], ["dump", "x"], ["doctor", "x"], ["drain", "--of"]):
        ctl(node, *words, ok=2 if words[1] != "--of" else 0)


# --- dump

CANARIES = ["AKIAIOSFODNN7CANARY1", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEY1", "hunter2canary"]


def test_the_archive_has_it_all_but_secrets(node, make_lab, tmp_path):
    secret = {"Team": CANARIES[0], "db_password": CANARIES[2], "note": CANARIES[1]}
    node = make_lab(daemon_config={"warm_ip_target": 1, "additional_eni_tags": secret}).nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    pod = node.pod()
    address = pod.add().address
    path = f"{node.run_dir}/dump.tar.gz"
    assert ctl(node, "dump", "--output", path).strip() == path
    raw = subprocess.run(node.argv("cat", path), env=node.env(), capture_output=True, check=True, timeout=30).stdout
    assert node.run("stat", "-c", "%a", path).stdout.strip() == "600"
    listed = subprocess.run(["tar", "-tzf", "-"], input=raw, capture_output=True, check=True, timeout=30).stdout.decode().split()
    files = {}
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as tar:
        for member in tar.getmembers():
            assert member.isfile() and not member.name.startswith(("/", "..")) and member.mode == 0o644
            files[member.name] = tar.extractfile(member).read().decode()
    assert set(listed) == set(files)
    assert {"README", "vpcwired.json", "daemon/node.json", "daemon/doctor.json", "daemon/events.json", "daemon/metrics.txt", "daemon/pool-plan.json",
            "daemon/policy-status.json", "node/rule.txt", "node/nft.txt", "node/route.txt", "node/look.json"} <= set(files)
    assert not [n for n in files if n.endswith(".error")], files
    assert json.loads(files["daemon/node.json"])["pods"][0]["address"] == address and f"{address} dev eni" in files["node/route.txt"]
    assert "table ip vpcwire" in files["node/nft.txt"] and "awscni_eni_max 3" in files["daemon/metrics.txt"]
    assert json.loads(files["vpcwired.json"])["warm_ip_target"] == 1, "still JSON"
    for name, text in files.items():
        assert not [c for c in CANARIES if c in text], name
    assert files["vpcwired.json"].count("(removed)") == 3


def test_an_archive_that_cannot_be_written_leaves_nothing(node):
    ctl(node, "dump", "--output", "/nonexistent/x.tar.gz", ok=1)
    node.run("sh", "-ec", f"mkdir -p {node.run_dir}/full; mount -t tmpfs -o size=4k tmpfs {node.run_dir}/full")
    ctl(node, "dump", "--output", f"{node.run_dir}/full/x.tar.gz", ok=1)
    assert node.run("ls", f"{node.run_dir}/full").stdout == ""
    node.run("umount", f"{node.run_dir}/full")


def test_a_killed_dump_is_in_the_way_of_no_other(node):
    folder, names = f"{node.run_dir}/killed", "rename,renameat,renameat2"
    node.run("mkdir", folder)
    words = [proc.BIN / "vpcwirectl", "--socket", node.socket, "dump", "--output", f"{folder}/x.tar.gz"]
    node.run("strace", "-o", "/dev/null", "-e", f"trace={names}", "-e", f"inject={names}:signal=KILL:when=1", *words, check=False)
    left = node.run("ls", folder).stdout.split()
    assert len(left) == 1 and left != ["x.tar.gz"]
    node.run(*words)
    assert node.run("ls", folder).stdout.split() == ["x.tar.gz"]
    node.run("rm", "-r", folder)
