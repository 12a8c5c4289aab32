# SPDX-License-Identifier: Apache-2.0
"""A node as aws-node (amazon-vpc-cni-k8s v1.23) leaves it, written by the commands that a person would use: no code of ours.

What is where is from its sources: pods by cmd/routed-eni-cni-plugin/driver, the host by pkg/networkutils, the checkpoint by
pkg/ipamd/datastore. Secondary addresses, no prefixes, IPv4.
"""
import hashlib
import ipaddress
import json
import time

from tests.harness.lab import Pod

CHECKPOINT = "/var/run/aws-node/ipam.json"


def host_name(pod, namespace="default", prefix="eni"):
    return prefix + hashlib.sha1(f"{namespace}.{pod}".encode()).hexdigest()[:11]


class AwsPod(Pod):
    """A pod that aws-cni wired."""

    address = host = eni = None

    def prev_result(self):
        """What aws-cni printed: the container's "mac" is the number of its routing table."""
        return {"cniVersion": "1.0.0", "interfaces": [{"name": self.host, "mac": ""}, {"name": "eth0", "mac": str(self.eni["table"]), "sandbox": self.netns},
                                                      {"name": f"dummy{self.host[3:]}", "mac": "0", "sandbox": "0"}],
                "ips": [{"address": f"{self.address}/32", "interface": 1}]}


class AwsNode:
    """enis: [{ifname, table, address, length, gateway, primary, addresses}], the primary first; addresses are free for pods."""

    def __init__(self, node, enis, vpc="10.0.0.0/16"):
        self.node, self.enis, self.vpc, self.pods = node, enis, vpc, []

    def sh(self, text):
        return self.node.run("sh", "-ec", text)

    def start(self):
        """What ipamd does at every start: SetupHostNetwork, then each secondary ENI, then the pods' rules from the checkpoint."""
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
        self.rule("mangle", "PREROUTING", "-i", "eni+", "-m", "comment", "--comment", "AWS, primary ENI", "-j", "CONNMARK", "--restore-mark",
                  "--mask", "0x80")
        self.sh("iptables -t nat -N AWS-CONNMARK-CHAIN-0 2>/dev/null || iptables -t nat -F AWS-CONNMARK-CHAIN-0")
        self.rule("nat", "AWS-CONNMARK-CHAIN-0", "-d", self.vpc, "-m", "comment", "--comment", "AWS CONNMARK CHAIN, VPC CIDR", "-j", "RETURN")
        self.rule("nat", "AWS-CONNMARK-CHAIN-0", "-m", "comment", "--comment", "AWS, CONNMARK", "-j", "CONNMARK", "--set-xmark", "0x80/0x80")
        self.rule("nat", "PREROUTING", "-i", "eni+", "-m", "comment", "--comment", "AWS, outbound connections", "-j", "AWS-CONNMARK-CHAIN-0")
        self.rule("nat", "PREROUTING", "-m", "comment", "--comment", "AWS, CONNMARK", "-j", "CONNMARK", "--restore-mark", "--mask", "0x80")
        for eni in self.enis[1:]:
            self._eni(eni)
        for allocation in self.checkpoint():
            eni = self.eni_of(allocation["ipv4"])
            if not eni["primary"]:
                self.sh(f"ip rule del pref 1536 from {allocation['ipv4']} 2>/dev/null || true; "
                        f"ip rule add pref 1536 from {allocation['ipv4']} lookup {eni['table']}")

    def rule(self, table, chain, *words):
        if self.node.run("iptables", "-t", table, "-C", chain, *words, check=False).returncode:
            self.node.run("iptables", "-t", table, "-A", chain, *words)

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
                self.eni_of(a["ipv4"])          # an address that it does not know would be dropped
                kept.append(a)
        return kept

    def add(self, name, eni):
        """aws-cni's ADD."""
        self.node.run("ip", "netns", "add", name)
        pod = AwsPod(self.node, name)
        pod.eni, pod.host = eni, host_name(name)
        pod.address = next(a for a in eni["addresses"] if a not in [p.address for p in self.pods])
        self.sh(f"""
            ip link add {pod.host} address 0e:11:22:33:44:{len(self.pods):02x} mtu 9001 type veth peer name eth0 netns {name} mtu 9001
            mac=$(cat /sys/class/net/{pod.host}/address)
            ip link set {pod.host} up
            ip -n {name} link set lo up
            ip -n {name} link set eth0 up
            ip -n {name} addr add {pod.address}/32 dev eth0
            ip -n {name} route add 169.254.1.1 dev eth0 scope link
            ip -n {name} route add default via 169.254.1.1 dev eth0
            ip -n {name} neigh add 169.254.1.1 lladdr $mac dev eth0 nud permanent
            sysctl -qw net.ipv6.conf.{pod.host}.accept_ra=0 net.ipv6.conf.{pod.host}.forwarding=0
            ip route replace {pod.address}/32 dev {pod.host} scope link
            ip rule add pref 512 to {pod.address} lookup main
        """)
        if not eni["primary"]:
            self.sh(f"ip rule add pref 1536 from {pod.address} lookup {eni['table']}")
        self.pods.append(pod)
        self.write()
        return pod

    def delete(self, allocation):
        """aws-cni's DEL of any pod of the checkpoint: rules and route go, the veth with its namespace."""
        address = allocation["ipv4"]
        self.sh(f"ip rule del pref 512 to {address} lookup main; ip route del {address}/32 table main")
        if not self.eni_of(address)["primary"]:
            self.sh(f"ip rule del pref 1536 from {address}")

    def write(self):
        allocations = [{"networkName": "aws-cni", "containerID": p.container_id, "ifName": "eth0", "ipv4": p.address,
                        "allocationTimestamp": time.time_ns(),
                        "metadata": {"k8sPodNamespace": "default", "k8sPodName": p.name, "interfacesCount": 1}} for p in self.pods]
        text = json.dumps({"version": "vpc-cni-ipam/1", "allocations": allocations})
        self.node.run("sh", "-ec", f"mkdir -p /var/run/aws-node; cat > {CHECKPOINT}", input=text)

    def leavings(self):
        """What of it is on the node: rules by its numbers, routes to pods in main, iptables."""
        rules = [r for r in self.node.json("ip", "-j", "rule") if r["priority"] in (512, 1536, 32765) and ("dst" in r or r["src"] != "all")]
        routes = [r for r in self.node.json("ip", "-j", "route", "show", "table", "main") if r["dev"].startswith("eni") and "gateway" not in r]
        tables = self.node.run("sh", "-c", "iptables-save | grep AWS", check=False).stdout
        return rules, routes, tables

