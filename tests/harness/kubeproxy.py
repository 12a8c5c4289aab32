# SPDX-License-Identifier: Apache-2.0
"""What kube-proxy writes, for a handful of services with one backend each, in both of its dialects.

Written after its iptables and nftables modes: DNAT in prerouting and output, connections by a node port marked 0x4000 and
masqueraded in postrouting (externalTrafficPolicy Cluster) unless the service keeps the client's address (Local), the same for a
pod that reaches itself through its own service, and, in the iptables mode, connections that conntrack finds invalid dropped.
What it has and this has not: several backends, session affinity, topology, health checks.
"""
import dataclasses

MASQUERADE = 0x4000


@dataclasses.dataclass
class Service:
    """One service, both families: virtual addresses, node port, and the backend's addresses (None: not in that family)."""
    vip: str
    vip6: str
    node_port: int
    backend: str
    backend6: str
    port: int = 80
    target_port: int = 9000
    local: bool = False         # externalTrafficPolicy
    host_port: bool = False     # node_port is a hostPort as portmap makes it: no service address

    def of(self, family):
        return (self.vip, self.backend) if family == 4 else (self.vip6, self.backend6)


def _nft_family(services, family):
    ip, addr = ("ip", "ip") if family == 4 else ("ip6", "ip6")
    own = []
    for s in services:
        vip, backend = s.of(family)
        if not backend:
            continue
        to = backend if family == 4 else f"[{backend}]"
        for proto in ("tcp", "udp"):
            if not s.host_port:
                own.append(f"{addr} daddr {vip} {proto} dport {s.port} {addr} saddr {backend} meta mark set meta mark or {MASQUERADE:#x}")
                own.append(f"{addr} daddr {vip} {proto} dport {s.port} dnat to {to}:{s.target_port}")
            if s.node_port:
                if not s.local and not s.host_port:
                    own.append(f"fib daddr type local {proto} dport {s.node_port} meta mark set meta mark or {MASQUERADE:#x}")
                own.append(f"fib daddr type local {proto} dport {s.node_port} dnat to {to}:{s.target_port}")
    rules = "\n".join(f"    {r}" for r in own)
    return f"""
table {ip} kube-proxy
delete table {ip} kube-proxy
table {ip} kube-proxy {{
  chain services {{
{rules}
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump services
  }}
  chain nat-output {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark and {MASQUERADE:#x} == 0 return
    meta mark set meta mark xor {MASQUERADE:#x}
    masquerade fully-random
  }}
}}
"""


def _iptables_family(services, family):
    nat = ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-NODEPORTS - [0:0]", ":KUBE-MARK-MASQ - [0:0]", ":KUBE-POSTROUTING - [0:0]",
           f"-A KUBE-MARK-MASQ -j MARK --or-mark {MASQUERADE:#x}",
           f"-A KUBE-POSTROUTING -m mark ! --mark {MASQUERADE:#x}/{MASQUERADE:#x} -j RETURN",
           f"-A KUBE-POSTROUTING -j MARK --xor-mark {MASQUERADE:#x}",
           '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
           "-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING"]
    for s in services:
        vip, backend = s.of(family)
        if not backend:
            continue
        to = f"{backend}:{s.target_port}" if family == 4 else f"[{backend}]:{s.target_port}"
        for proto in ("tcp", "udp"):
            if not s.host_port:
                nat.append(f"-A KUBE-SERVICES -d {vip} -p {proto} -m {proto} --dport {s.port} -s {backend} -j KUBE-MARK-MASQ")
                nat.append(f"-A KUBE-SERVICES -d {vip} -p {proto} -m {proto} --dport {s.port} -j DNAT --to-destination {to}")
            if s.node_port:
                match = f"-A KUBE-NODEPORTS -p {proto} -m {proto} --dport {s.node_port}"
                if not s.local and not s.host_port:
                    nat.append(f"{match} -j KUBE-MARK-MASQ")
                nat.append(f"{match} -j DNAT --to-destination {to}")
    nat += ["-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", "COMMIT"]
    mangle = ["*filter", ":KUBE-FORWARD - [0:0]", "-A FORWARD -j KUBE-FORWARD",
              "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
              f"-A KUBE-FORWARD -m mark --mark {MASQUERADE:#x}/{MASQUERADE:#x} -j ACCEPT",
              "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "COMMIT"]
    return "\n".join(nat + mangle) + "\n"


DIALECTS = ("nftables", "iptables")


def install(node, services, dialect):
    """Write the services' rules into a node; remove() takes them away again."""
    for family in (4, 6):
        if dialect == "nftables":
            node.run("nft", "-f", "-", input=_nft_family(services, family))
        else:
            tool = "iptables" if family == 4 else "ip6tables"
            node.run(f"{tool}-restore", input=_iptables_family(services, family))


def remove(node, dialect):
    for family in (4, 6):
        if dialect == "nftables":
            ip = "ip" if family == 4 else "ip6"
            node.run("nft", "-f", "-", input=f"table {ip} kube-proxy\ndelete table {ip} kube-proxy\n")
        else:
            # iptables-nft keeps its rules in tables of these names; no other test's lab has any
            node.run(f"{'ip' if family == 4 else 'ip6'}tables-restore", input="*nat\nCOMMIT\n*filter\nCOMMIT\n")
