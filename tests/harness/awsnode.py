# SPDX-License-Identifier: Apache-2.0
"""A node as aws-node (amazon-vpc-cni-k8s v1.23) leaves it, written by the commands that a person would use: no code of ours.

What is where is from its sources: pods by cmd/routed-eni-cni-plugin/driver, the host by pkg/networkutils, the checkpoint by
pkg/ipamd/datastore, the policy agent's by aws-ebpf-sdk-go. AwsNode: IPv4, secondary addresses or prefixes. AwsNode6: IPv6.
"""
import hashlib
import ipaddress
import json
import time

from tests.harness import proc
from tests.harness.lab import Pod

CHECKPOINT = "/var/run/aws-node/ipam.json"
NPA_PINS = "/sys/fs/bpf/globals/aws"


def host_name(pod, namespace="default", prefix="eni"):
    return prefix + hashlib.sha1(f"{namespace}.{pod}".encode()).hexdigest()[:11]


class AwsPod(Pod):
    """A pod that aws-cni wired."""

    address = host = eni = None

    def prev_result(self):
        """What aws-cni printed: the container's "mac" is the number of its routing table."""
        return {"cniVersion": "1.0.0", "interfaces": [{"name": self.host, "mac": ""}, {"name": "eth0", "mac": str(self.eni["table"]), "sandbox": self.netns},
                                                      {"name": f"dummy{self.host[3:]}", "mac": "0", "sandbox": "0"}],
                "ips": [{"address": f"{self.address}/{128 if ':' in self.address else 32}", "interface": 1}]}


def enis_of(node):
    """As metadata has them, with the addresses that are there for pods: secondary ones, and all 16 of each prefix."""
    found = []
    for eni in node.info()["enis"]:
        subnet = next(a for l in node.json("ip", "-j", "addr", "show", "dev", eni["ifname"]) for a in l["addr_info"] if a["family"] == "inet")
        found.append({"ifname": eni["ifname"], "table": eni.get("table") or 254, "address": subnet["local"], "length": subnet["prefixlen"],
                      "gateway": eni.get("gateway") or subnet["local"].rsplit(".", 1)[0] + ".1", "primary": eni["primary"],
                      "addresses": [str(ip) for slot in eni["slots"] for ip in ipaddress.ip_network(slot)], "block6": eni.get("ipv6_prefix")})
    found.sort(key=lambda e: not e["primary"])
    for number, eni in enumerate(found[1:], 2):
        eni["table"] = number
    return found


class AwsNode:
    """enis: [{ifname, table, address, length, gateway, primary, addresses}], the primary first; addresses are free for pods.

    iptables: the program that aws-node's image has chosen. allocations: what ipamd has in memory.
    """

    FAMILY, LENGTH, KEY = "-4", 32, "ipv4"

    def __init__(self, node, enis, vpc="10.0.0.0/16", iptables="iptables"):
        self.node, self.enis, self.vpc, self.pods, self.iptables, self.allocations = node, enis, vpc, [], iptables, []

    def sh(self, text):
        return self.node.run("sh", "-ec", f'iptables() {{ command {self.iptables} "$@"; }}\n{text}')

    def start(self):
        """What ipamd does at every start: SetupHostNetwork, then each secondary ENI, then the pods' rules from the checkpoint."""
        self.host_network()
        for eni in self.enis[1:]:
            self._eni(eni)
        self.allocations = self.checkpoint()
        for allocation in self.allocations:
            eni = self.eni_of(allocation["ipv4"])
            if not eni["primary"]:
                self.sh(f"ip rule del pref 1536 from {allocation['ipv4']} 2>/dev/null || true; "
                        f"ip rule add pref 1536 from {allocation['ipv4']} lookup {eni['table']}")

    def host_network(self):
        primary = self.enis[0]
        self.sh(f"""
            sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.{primary['ifname']}.rp_filter=2
            ip rule del pref 1024 fwmark 0x80/0x80 2>/dev/null || true
            ip rule add pref 1024 fwmark 0x80/0x80 lookup main
            iptables -t nat -N AWS-SNAT-CHAIN-0 2>/dev/null || iptables -t nat -F AWS-SNAT-CHAIN-0
            iptables -t nat -A AWS-SNAT-CHAIN-0 -d {self.vpc} -m comment --comment "AWS SNAT CHAIN" -j RETURN
            iptables -t nat -A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL \
                -j SNAT --to-source {primary['address']} --random-fully
            iptables -t nat -C POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0 2>/dev/null ||
                iptables -t nat -A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
        """)
        self.rule("mangle", "PREROUTING", "-i", primary["ifname"], "-m", "comment", "--comment", "AWS, primary ENI", "-m", "addrtype",
                  "--dst-type", "LOCAL", "--limit-iface-in", "-j", "CONNMARK", "--set-mark", "0x80/0x80")
        for links in ("eni+", "vlan+"):
            self.rule("mangle", "PREROUTING", "-i", links, "-m", "comment", "--comment", "AWS, primary ENI", "-j", "CONNMARK", "--restore-mark",
                      "--mask", "0x80")
        self.sh("iptables -t nat -N AWS-CONNMARK-CHAIN-0 2>/dev/null || iptables -t nat -F AWS-CONNMARK-CHAIN-0")
        self.rule("nat", "AWS-CONNMARK-CHAIN-0", "-d", self.vpc, "-m", "comment", "--comment", "AWS CONNMARK CHAIN, VPC CIDR", "-j", "RETURN")
        self.rule("nat", "AWS-CONNMARK-CHAIN-0", "-m", "comment", "--comment", "AWS, CONNMARK", "-j", "CONNMARK", "--set-xmark", "0x80/0x80")
        self.rule("nat", "PREROUTING", "-i", "eni+", "-m", "comment", "--comment", "AWS, outbound connections", "-j", "AWS-CONNMARK-CHAIN-0")
        self.rule("nat", "PREROUTING", "-m", "comment", "--comment", "AWS, CONNMARK", "-j", "CONNMARK", "--restore-mark", "--mask", "0x80")

    def rule(self, table, chain, *words):
        if self.node.run(self.iptables, "-t", table, "-C", chain, *words, check=False).returncode:
            self.node.run(self.iptables, "-t", table, "-A", chain, *words)

    def _eni(self, eni):
        dev, table = eni["ifname"], eni["table"]
        subnet = ipaddress.ip_interface(f"{eni['address']}/{eni['length']}").network
        self.sh(f"""
            ip link set {dev} up mtu 9001
            ip addr show dev {dev} | grep -q " {eni['address']}/{eni['length']} " || ip addr add {eni['address']}/{eni['length']} dev {dev}
            ip route replace {eni['gateway']}/32 dev {dev} scope link table {table} proto static
            ip route replace default via {eni['gateway']} dev {dev} table {table} proto static
            ip route del {subnet} dev {dev} table main 2>/dev/null || true
            sysctl -qw net.ipv4.conf.{dev}.rp_filter=2
            ip rule del pref 32765 from {eni['address']} 2>/dev/null || true
            ip rule add pref 32765 from {eni['address']} lookup {table}
        """)

    def eni_of(self, address):
        return next(e for e in self.enis if address in e["addresses"])

    def checkpoint(self):
        """Its allocations, those of whose host veths there is none left out, as ipamd reads it. Fails as ipamd would."""
        text = self.node.run("cat", CHECKPOINT, check=False).stdout
        if not text:
            return []
        read = json.loads(text)
        assert read["version"] == "vpc-cni-ipam/1"
        links = [l["ifname"] for l in self.node.json("ip", "-j", "link")]
        kept = []
        for a in read["allocations"]:
            assert a["networkName"] == "aws-cni" and a["ifName"] == "eth0" and a["allocationTimestamp"] > 0, a
            meta = a["metadata"]
            if any(l.endswith(host_name(meta["k8sPodName"], meta["k8sPodNamespace"], "")) for l in links):
                assert set(a) & {"ipv4", "ipv6"} == {self.KEY}, a
                self.eni_of(a[self.KEY])        # an address that it does not know would be dropped
                kept.append(a)
        return kept

    def free(self, eni):
        """The lowest address that no pod has: ipamd knows nothing of addresses that rested under another master."""
        return next(a for a in eni["addresses"] if a not in [known[self.KEY] for known in self.allocations])

    def add(self, name, eni):
        """aws-cni's ADD."""
        self.node.run("ip", "netns", "add", name)
        pod = AwsPod(self.node, name)
        pod.eni, pod.host = eni, host_name(name)
        pod.address = self.free(eni)
        self.sh(f"""
            ip link add {pod.host} address 0e:11:22:33:44:{len(self.pods):02x} mtu 9001 type veth peer name eth0 netns {name} mtu 9001
            mac=$(cat /sys/class/net/{pod.host}/address)
            ip link set {pod.host} up
            ip -n {name} link set lo up
            ip -n {name} link set eth0 up
            {self.wire(pod)}
            {self.routes(pod)}
        """)
        self.pods.append(pod)
        self.allocations.append({"networkName": "aws-cni", "containerID": pod.container_id, "ifName": "eth0", self.KEY: pod.address,
                                 "allocationTimestamp": time.time_ns(),
                                 "metadata": {"k8sPodNamespace": "default", "k8sPodName": pod.name, "interfacesCount": 1}})
        self.write()
        return pod

    def wire(self, pod):
        return f"""
            ip -n {pod.name} addr add {pod.address}/32 dev eth0
            ip -n {pod.name} route add 169.254.1.1 dev eth0 scope link
            ip -n {pod.name} route add default via 169.254.1.1 dev eth0
            ip -n {pod.name} neigh add 169.254.1.1 lladdr $mac dev eth0 nud permanent
            sysctl -qw net.ipv6.conf.{pod.host}.accept_ra=0 net.ipv6.conf.{pod.host}.forwarding=0
        """

    def routes(self, pod):
        """setupIPBasedContainerRouteRules(), as words for a shell."""
        scope = "scope link" if self.LENGTH == 32 else ""
        behind = "" if pod.eni["primary"] else f"ip rule add pref 1536 from {pod.address} lookup {pod.eni['table']}"
        return f"""
            ip {self.FAMILY} route replace {pod.address}/{self.LENGTH} dev {pod.host} {scope}
            ip {self.FAMILY} rule add pref 512 to {pod.address} lookup main
            {behind}
        """

    def delete(self, allocation):
        """aws-cni's DEL of any pod of the checkpoint: rules and route go, the veth with its namespace."""
        address = allocation[self.KEY]
        self.sh(f"ip {self.FAMILY} rule del pref 512 to {address} lookup main; ip {self.FAMILY} route del {address}/{self.LENGTH} table main")
        if not self.eni_of(address)["primary"]:
            self.sh(f"ip rule del pref 1536 from {address}")
        self.allocations = [a for a in self.allocations if a[self.KEY] != address]
        self.write()

    def again(self):
        """What --from-aws-node-done takes away is there once more."""
        for pod in self.pods:
            self.sh(self.routes(pod))
        for eni in self.enis[1:]:
            self.sh(f"ip rule add pref 32765 from {eni['address']} lookup {eni['table']}")

    def write(self):
        text = json.dumps({"version": "vpc-cni-ipam/1", "allocations": self.allocations})
        self.node.run("sh", "-ec", f"mkdir -p /var/run/aws-node; cat > {CHECKPOINT}", input=text)

    def enforce(self, pod, denied):
        """The policy agent's programs on a pod's host veth: what comes from the address @denied is dropped on its way to the pod."""
        self.node.run(proc.BIN / "npagent", pod.host, denied, f"{pod.name}@default")

    def agents(self):
        """What of the policy agent is there: filters on pods' links, by link, and pins."""
        links = [l["ifname"] for l in self.node.json("ip", "-j", "link") if l["ifname"].startswith("eni")]
        filters = [l for l in links for side in ("ingress", "egress") if "handle_" in self.node.run("tc", "filter", "show", "dev", l, side).stdout]
        pins = self.node.run("sh", "-c", f"find {NPA_PINS} -type f 2>/dev/null", check=False).stdout.split()
        return filters, pins

    def leavings(self):
        """What of it is on the node: rules by its numbers, routes to pods in main, iptables of both kinds."""
        rules, routes = [], []
        for family in ("-4", "-6"):
            rules += [r for r in self.node.json("ip", family, "-j", "rule") if r["priority"] in (512, 1536, 32765) and ("dst" in r or r["src"] != "all")]
            routes += [r for r in self.node.json("ip", family, "-j", "route", "show", "table", "main")
                       if r["dev"].startswith("eni") and "gateway" not in r and not r["dst"].startswith("fe80:")]
        tables = "".join(self.node.run("sh", "-c", f"iptables-{kind}-save 2>/dev/null | grep AWS", check=False).stdout for kind in ("nft", "legacy"))
        return rules, routes, tables


class AwsNode6(AwsNode):
    """ENABLE_IPv6: pods have addresses of the primary ENI's /80, from its very first on; no SNAT, no marks of connections, no other ENI.

    With ENABLE_V4_EGRESS, which is its default, each has an interface v4if0 by egress-cni beside it.
    """

    FAMILY, LENGTH, KEY = "-6", 128, "ipv6"
    EGRESS = ipaddress.ip_network("169.254.172.0/22")

    def start(self):
        self.host_network()
        self.allocations = self.checkpoint()

    def host_network(self):
        primary = self.enis[0]["ifname"]
        self.sh(f"""
            sysctl -qw net.ipv6.conf.{primary}.accept_ra=2 net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
            ip -6 rule del pref 1024 fwmark 0x80/0x80 2>/dev/null || true
            ip -6 rule add pref 1024 fwmark 0x80/0x80 lookup main
        """)

    def eni_of(self, address):
        assert ipaddress.ip_address(address) in ipaddress.ip_network(self.enis[0]["block6"]), address
        return self.enis[0]

    def free(self, eni):
        used = [known[self.KEY] for known in self.allocations]
        return next(str(ip) for ip in ipaddress.ip_network(eni["block6"]) if str(ip) not in used)

    def wire(self, pod):
        return f"""
            sysctl -qw net.ipv6.conf.{pod.host}.accept_ra=0 net.ipv6.conf.{pod.host}.accept_redirects=1 net.ipv6.conf.{pod.host}.forwarding=0
            ip -n {pod.name} -6 addr add {pod.address}/128 dev eth0 nodad
            ip -n {pod.name} -6 route add fe80::1 dev eth0
            ip -n {pod.name} -6 route add default via fe80::1 dev eth0
            ip -n {pod.name} -6 neigh add fe80::1 lladdr $mac dev eth0 nud permanent
            {self.egress(pod)}
        """

    def chain(self, pod):
        return "CNI-E4-" + hashlib.sha1(pod.container_id.encode()).hexdigest()[:21]

    def egress(self, pod):
        """egress-cni: host-local gives addresses from the second on; its first is the gateway's."""
        number = len(self.pods) + 2
        inside, gateway, chain = self.EGRESS[number], self.EGRESS[1], self.chain(pod)
        words = f"-m comment --comment 'name: \"aws-cni\" id: \"{pod.container_id}\"'"
        return f"""
            ip link add vethe{number} mtu 9001 type veth peer name v4if0 netns {pod.name} mtu 9001
            ip addr add {gateway}/32 dev vethe{number}
            ip link set vethe{number} up
            ip -n {pod.name} link set v4if0 up
            ip -n {pod.name} addr add {inside}/{self.EGRESS.prefixlen} dev v4if0
            ip -n {pod.name} route add default via {gateway} dev v4if0
            ip route add {inside}/32 dev vethe{number}
            iptables -t nat -N {chain}
            iptables -t nat -A {chain} -d 224.0.0.0/4 {words} -j ACCEPT
            iptables -t nat -A {chain} {words} -j SNAT --to-source {self.enis[0]['address']} --random-fully
            iptables -t nat -A POSTROUTING -s {inside}/32 {words} -j {chain}
        """
