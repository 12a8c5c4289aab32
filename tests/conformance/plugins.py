# SPDX-License-Identifier: Apache-2.0
"""The plugin binaries that the 60 rows are put to, and modes of theirs: one entry each, with what a row has to know of a plugin, and which rows mean
nothing there (`without`: row -> why).
"""
import contextlib
import functools
import ipaddress
import re

from tests.conformance.branchnode import SPARE, TRUNK, BranchSubject
from tests.conformance.bridgenode import BridgeSubject
from tests.conformance.eninode import EniSubject
from tests.conformance.subject import Bare, Whole
from tests.harness import proc, trace
from tests.harness.lab import Lab
from tests.harness.netns import unshare_net


class Vpcwire:
    name = program = "vpcwire"
    without = {}
    has_daemon = True           # that can be away
    delegates = True            # the choice of addresses, where `ipam` says so
    chooses = True              # among addresses
    takes = False
    lab = {"instance_type": "m5.2xlarge", "prefix_delegation": True, "daemon_config": {"ip_cooldown_s": 1}}
    # few pods fit on this one: two ENIs with one address each beside their own
    tight_lab = {"instance_type": "t2.micro", "daemon_config": {"ip_cooldown_s": 1}}
    tight_room = 2

    # what a runtime may send and it cannot serve
    unsupported = {"runtimeConfig": {"ipRanges": [[{"subnet": "192.0.2.0/24"}]], "deviceID": "0000:04:00.5",
                                     "infinibandGUID": "c2:11:22:33:44",
                                     "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}
    # system calls that it cannot do without
    must_fail = {"connect", "sendto", "recvmsg", "setns", "socket", "write"}
    # an address behind the pod's gateway
    beyond = "192.0.2.200"
    # damages to the node that would be in the way of the next one
    undo = {"ip rule del prio 512": "ip rule add prio 512 lookup 22103"}

    def whole(self, labs, tmp):
        """On a node of a lab, everything behind it real."""
        lab = labs(self)
        return Whole(self, lab, lab.nodes[0], tmp)

    @contextlib.contextmanager
    def tight(self, tmp):
        """On a node with room for few pods."""
        with Lab(**self.tight_lab) as lab:
            yield Whole(self, lab, lab.nodes[0], tmp)

    def bare(self, tmp):
        """Where nobody mends what a row breaks."""
        return Bare(self, tmp)

    @staticmethod
    def conf(subject, _pod, _ifname):
        """The keys of its own that this attachment needs."""
        return {"socket": subject.socket}

    @staticmethod
    def damages(pod):
        """(where, command, words of CHECK's complaint): everything that CHECK must miss, one at a time."""
        address = pod.results["eth0"]["ips"][0]["address"].split("/")[0]
        host, host_mac = (pod.results["eth0"]["interfaces"][0][key] for key in ("name", "mac"))
        return [
            ("pod", "ip link set eth0 down", "down"),
            ("pod", f"ip addr del {address}/32 dev eth0", f"address {address}/32"),
            ("pod", "ip route del default", "default route"),
            ("pod", "ip route del 169.254.1.1", "route"),
            ("pod", "ip neigh del 169.254.1.1 dev eth0", "neighbour"),
            ("pod", "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", "neighbour"),
            ("pod", f"ip neigh replace 169.254.1.1 lladdr {host_mac} dev eth0 nud stale", "permanent"),
            ("pod", "ip link set eth0 mtu 9500", "MTU 9500"),
            ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
            ("pod", "ip link set eth0 name eth7", "eth0"),
            ("pod", "ip link del eth0", host),
            ("node", f"ip link set {host} down", "down"),
            ("node", f"ip link set {host} mtu 1280", "MTU 1280"),
            ("node", f"ip link set {host} address 02:00:00:00:00:99", "MAC"),
            ("node", f"ip link set {host} name gone0", host),
            ("node", f"ip route del {address} table 22103", f"route to {address}"),
            ("node", f"ip route replace {address} dev lo table 22103", f"route to {address}"),
            ("node", "ip rule del prio 512", f"route to {address}"),
            ("node", f"tc qdisc del dev {host} clsact", "leaves the pod"),
            ("node", f"tc filter del dev {host} ingress", "leaves the pod"),
            ("node", f"tc filter del dev {host} egress", "enters the pod"),
        ]

    @staticmethod
    def addresses(subject, count):
        """Addresses of one prefix that a pod could ask for: the node's, free, and rested."""
        subject.rested()
        info = subject.node.info()
        taken = {p["address"] for p in info["pods"]}
        for slot in [s for eni in info["enis"] for s in eni["slots"] if s.endswith("/28")]:
            free = [str(a) for a in ipaddress.ip_network(slot) if str(a) not in taken][1:-1]
            if len(free) >= count:
                return free[:count]
        raise AssertionError(f"no prefix with {count} free addresses: {info}")

    @staticmethod
    def lose_an_eni(subject):
        """EC2 takes a secondary ENI, with a pod's address on it, behind the node's back."""
        eni = next(e for e in subject.node.info()["enis"] if not e["primary"])
        subject.lab.control("detach-eni", eni=eni["id"])

    @staticmethod
    def status_fails(subject):
        subject.daemon.on("status", {"v": 1, "cni": 50, "msg": "no address in any subnet"})

    @staticmethod
    @contextlib.contextmanager
    def undeletable(subject, times):
        """The kernel refuses the daemon's next requests to remove something, so many times; to each belongs a look at the link."""
        path = subject.tmp / "refusals.strace"
        with trace.Attached(subject.node, subject.node.daemon_pid(), path, "-e", f"inject=sendto:error=EPERM:when=2..{2 * times}+2"):
            yield

    @staticmethod
    @contextlib.contextmanager
    def blinded(subject):
        """The kernel does not tell the daemon whether a link is there."""
        path = subject.tmp / "blind.strace"
        with trace.Attached(subject.node, subject.node.daemon_pid(), path, "-e", "inject=sendto:error=ENOBUFS:when=1"):
            yield

    @staticmethod
    def reported_as_living(subject, pod):
        return any("interface lives" in line and pod.cid in line for line in subject.node.daemon_log().splitlines())


class VpcwireEni:
    name = program = "vpcwire-eni"
    _alone = "no daemon has a part in it: what it needs for a DEL is in a file beside it"
    _no_delegate = "it runs no delegate that could fail: row 49 sees that it refuses to, row 51 that nothing is forwarded"
    without = {33: _alone, 50: _no_delegate}
    has_daemon = False
    delegates = False           # an ENI's addresses are EC2's, and stand in the configuration
    chooses = False
    takes = False               # any address and MAC that a runtime asks for
    tight_room = 1              # an ENI is for one container
    unsupported = Vpcwire.unsupported
    must_fail = {"sendto", "recvmsg", "setns", "socket", "write", "openat"}
    beyond = "192.0.2.200"
    undo = {}

    def whole(self, _labs, tmp):
        unshare_net()
        return EniSubject(self, tmp)

    bare = functools.partialmethod(whole, None)

    @contextlib.contextmanager
    def tight(self, tmp):
        unshare_net()
        yield EniSubject(self, tmp, only_one=True)

    @staticmethod
    def damages(pod):
        eni = pod.subject.eni_of(pod, "eth0")
        return [
            ("pod", "ip link set eth0 down", "down"),
            ("pod", f"ip addr del {eni.address}/24 dev eth0", f"address {eni.address}/24"),
            ("pod", "ip route del default", "default route"),
            ("pod", f"ip route del 10.0.{eni.n}.0/24", "gateway"),
            ("pod", "ip link set eth0 mtu 9100", "MTU 9100"),
            ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
            ("pod", "ip link set eth0 alias other", "not the ENI"),
            ("pod", "ip link set eth0 name eth7", "eth0"),
            ("pod", "ip link del eth0", "eth0"),
        ]

    @staticmethod
    def lose_an_eni(subject):
        """EC2 detaches what a container has."""
        subject.in_router("ip", "link", "del", f"v{subject.spare.n}")

    @staticmethod
    def status_fails(subject):
        proc.run(["ip", "link", "del", subject.spare.name])

    @staticmethod
    @contextlib.contextmanager
    def undeletable(subject, times):
        """The kernel refuses the first changes of what came back: each is the third request about its interface."""
        with subject.wrapped("strace", "-qq", "-o", "/dev/null", "-e", f"inject=sendto:error=EPERM:when=3..{3 * times}+3"):
            yield

    @staticmethod
    @contextlib.contextmanager
    def blinded(subject):
        """The kernel does not tell the plugin which interfaces a container has."""
        with subject.wrapped("strace", "-qq", "-o", "/dev/null", "-e", "inject=sendto:error=ENOBUFS:when=1"):
            yield

    @staticmethod
    def reported_as_living(subject, pod):
        return any("interface lives" in line and pod.cid in line for line in (subject.tmp / "gc.log").read_text().splitlines())


class VpcwireEniBranch(VpcwireEni):
    """The same binary with the keys of vpc-branch-eni."""
    name = "vpcwire-eni-branch"
    must_fail = VpcwireEni.must_fail | {"bpf"}

    def whole(self, _labs, tmp):
        unshare_net()
        return BranchSubject(self, tmp)

    bare = functools.partialmethod(whole, None)

    @contextlib.contextmanager
    def tight(self, tmp):
        unshare_net()
        yield BranchSubject(self, tmp, only_one=True)

    @staticmethod
    def damages(pod):
        tag = pod.subject.tag(pod, "eth0")
        net, outer = pod.subject.subnet(tag), f"{TRUNK}.{tag}"
        return [
            ("pod", "ip link set eth0 down", "down"),
            ("pod", f"ip addr del {net}.5/24 dev eth0", f"address {net}.5/24"),
            ("pod", "ip route del default", "default route"),
            ("pod", f"ip route del {net}.0/24", "gateway"),
            ("pod", "ip link set eth0 mtu 9100", "MTU 9100"),
            ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
            ("pod", "ip link set eth0 name eth7", "eth0"),
            ("pod", "ip link del eth0", outer),
            ("node", f"ip link set {outer} down", "down"),
            ("node", f"ip link set {outer} alias other", "another's"),
            ("node", f"ip link set {outer} name gone0", outer),
            ("node", f"tc qdisc del dev {outer} clsact", "tags"),
            # this stays, for every later container
            ("node", f"tc qdisc del dev {TRUNK} clsact", "trunk"),
        ]

    @staticmethod
    def lose_an_eni(subject):
        """EC2 detaches the trunk, with all its branches."""
        subject.in_router("ip", "link", "del", "v1")

    @staticmethod
    def status_fails(_subject):
        """The tag that a configuration of nobody's names is taken."""
        proc.run(["ip", "link", "add", f"{TRUNK}.{SPARE}", "type", "veth", "peer", "other"])


class VpcwireBridge(VpcwireEni):
    name = program = "vpcwire-bridge"
    takes = True                # any address that is nobody's
    tight_room = 1              # one address is for one container
    unsupported = {"runtimeConfig": {"ipRanges": [[{"subnet": "192.0.2.0/24"}]], "deviceID": "0000:04:00.5",
                                     "infinibandGUID": "c2:11:22:33:44", "bandwidth": {"ingressRate": 1000000}}}

    def whole(self, _labs, tmp):
        unshare_net()
        return BridgeSubject(self, tmp)

    bare = functools.partialmethod(whole, None)

    @contextlib.contextmanager
    def tight(self, tmp):
        unshare_net()
        yield BridgeSubject(self, tmp, only_one=True)

    @staticmethod
    def damages(pod):
        node, bridge = pod.subject, "vbr020000000001"
        address = pod.results["eth0"]["ips"][0]["address"].split("/")[0]
        end, table = node.host_end(pod), f"inet vpcwire-{bridge}"
        tables = sorted({r["table"] for r in node.json("rule", "show") if str(r["table"]).isdigit()})
        return [
            ("pod", "ip link set eth0 down", "down"),
            ("pod", f"ip addr del {address}/32 dev eth0", f"address {address}/32"),
            ("pod", "ip route del default", "default route"),
            ("pod", "ip route del 10.0.1.1", "route"),
            ("pod", "ip neigh del 10.0.1.1 dev eth0", "neighbour"),
            ("pod", "ip link set eth0 mtu 9100", "MTU 9100"),
            ("pod", "ip link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
            ("pod", "ip link set eth0 name eth7", "eth0"),
            ("pod", "ip link del eth0", end),
            ("node", f"ip link set {end} down", "down"),
            ("node", f"ip link set {end} nomaster", f"no port of bridge {bridge}"),
            ("node", f"ip link set {end} alias other", "not this container's"),
            ("node", f"ip link set {end} name gone0", end),
            ("node", f"ip route del {address} table {tables[0]}", f"route to {address}"),
            ("node", f"nft delete element {table} private4 {{ {address} }}", f"{address} is missing in set private4"),
            ("node", f"ip link set {bridge} down", f"{bridge} is down"),
            ("node", f"ip route del default table {tables[1]}", "default route"),
            # these stay, for every later container: each is seen before the one above it
            ("node", f"ip rule del prio 1500 iif {bridge}", "rule"),
            ("node", "ip link set eth1 down", "ENI eth1"),
            ("node", f"ip link set {bridge} alias other", bridge),
        ]

    @staticmethod
    def lose_an_eni(subject):
        """EC2 detaches what the containers are behind."""
        subject.in_router("ip", "link", "del", "v1")

    @staticmethod
    def status_fails(subject):
        """The ENI is gone that a configuration of nobody's names."""
        proc.run(["ip", "link", "del", "eth2"])

    @staticmethod
    @contextlib.contextmanager
    def undeletable(subject, times):
        """The kernel refuses the first requests: one, and a container is given up."""
        with subject.wrapped("strace", "-qq", "-o", "/dev/null", "-e", f"inject=sendto:error=EPERM:when=1..{times}"):
            yield


PLUGINS = {p.name: p for p in (Vpcwire(), VpcwireEni(), VpcwireEniBranch(), VpcwireBridge())}

# The 30 rows on which containerd, CRI-O, podman or nerdctl depend: how they call (verbs, environment, keys, several at once), what
# they read (results, versions, errors), and what they rely on when things go wrong (killed, repeated, too late).
RUNTIME_ROWS = {1, 2, 3, 5, 6, 9, 11, 13, 15, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 34, 40, 44, 46, 48, 53, 56, 57, 58}


def row_of(test_name):
    """The number of the row that a test is, or None."""
    found = re.match(r"test_row_(\d\d)_", test_name)
    return int(found[1]) if found else None
