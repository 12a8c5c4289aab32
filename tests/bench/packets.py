# SPDX-License-Identifier: Apache-2.0
"""Packets that a node forwards in a second of processor time, for a pod alone and among 737; and with two rules for each pod instead.

A real node of a lab: the daemon's rules, routes, nftables and eBPF programs. One pod sends (blast.c); what leaves by the ENI is counted and
then dropped at the router's end, so that nothing but the node's own work is measured. The layouts take turns.
"""
import json

from tests.bench import figures
from tests.harness import cni, proc
from tests.harness.lab import Lab
from tests.harness.spawn import Spawner

PODS = figures.PODS
# rules stay as the bench writes them; addresses are free again as soon as their pods are gone
NODE = {**figures.NODE, "daemon_config": {"ip_cooldown_s": 0, "drift_repair": False}}
BEYOND = "10.0.250.250"         # in the VPC, outside the node's subnet: routed by the gateway, not translated
WARM_UP = 20000
PACKETS = 100000
TRIES = 4                       # the best of them: all else on the machine only ever takes away


def drop_at_router(lab, node, ifname):
    index = node.json("ip", "-j", "link", "show", "dev", ifname)[0]["link_index"]
    fabric = [proc.SIM, "exec", "fabric", "--"]
    links = json.loads(proc.run([*fabric, "ip", "-j", "link"], env=node.env()).stdout)
    device = next(l["ifname"] for l in links if l["ifindex"] == index)
    proc.run([*fabric, "nft", f"table netdev bench {{ chain c {{ type filter hook ingress device {device} priority -500; udp dport 9 drop; }} ; }}"],
             env=node.env())


class Node:
    """The first pod of it sends; the others come and go."""

    def __init__(self, lab):
        self.node = lab.nodes[0]
        self.spawner = Spawner(self.node)
        listed = self.node.conflist
        listed["cniVersion"] = "1.0.0"
        self.conf = self.spawner.conf_file("packets.conf", json.dumps(cni.plugin_conf(listed)))
        self.plugin = f"{lab.env['CNI_PATH'].split(':')[0]}/vpcwire"
        self.sender, *self.others = self.node.pods(PODS)
        self.address = self.call("ADD", self.sender)["ips"][0]["address"].split("/")[0]
        self.mac = self.sender.json("ip", "-j", "neigh", "show", "169.254.1.1")[0]["lladdr"]
        self.eni = self.node.json("ip", "-j", "route", "get", BEYOND, "from", self.address, "iif",
                                  next(p["host_ifname"] for p in self.node.info()["pods"]))[0]["dev"]
        drop_at_router(lab, self.node, self.eni)

    def call(self, command, pod):
        return self.spawner.call(self.plugin, self.conf, command, pod.container_id, pod.netns)[1]

    def crowd(self, command):
        for pod in self.others:
            self.call(command, pod)
        proc.wait_until(self.calm, "the node at rest", timeout=60)

    def calm(self):
        links = len([l for l in self.node.json("ip", "-j", "link") if l["ifname"].startswith("eni")])
        info = self.node.info()
        return links == info["n_pods"] and not info["pool"]["actions_under_way"]

    def forwarded(self):
        return int(self.node.run("cat", f"/sys/class/net/{self.eni}/statistics/tx_packets").stdout)

    def blast(self, packets):
        before = self.forwarded()
        us, _ = map(int, self.sender.run(proc.BIN / "blast", "eth0", self.mac, self.address, BEYOND, packets, timeout=60).stdout.split())
        passed = self.forwarded() - before
        assert passed >= packets * 0.99, f"{passed} of {packets} packets left the node"
        return passed / us * 1e3         # thousand a second

    def measure(self):
        self.blast(WARM_UP)
        return max(self.blast(PACKETS) for _ in range(TRIES))

    def two_rules_a_pod(self, add):
        """What aws-node has in their place: to each pod's address, and from it."""
        pods = [p["dst"] for p in self.node.json("ip", "-j", "route", "show", "table", "22103") if p.get("type", "unicast") == "unicast"]
        verb = "add" if add else "del"
        lines = [f"rule {'del' if add else 'add'} pref 512 lookup 22103" + (" protocol 86" if not add else "")]
        lines += [f"rule {verb} pref 512 to {p} lookup 22103" for p in pods]
        lines += [f"rule {verb} pref 1535 from {p} lookup main" for p in pods]
        self.node.run("ip", "-batch", "-", input="\n".join(lines) + "\n", timeout=60)

    def close(self):
        self.spawner.__exit__()


def rows(rounds):
    """-> rows: medians of `rounds`."""
    seen = {"alone": [], "crowd": [], "rules": []}
    with Lab(**NODE) as lab:
        node = Node(lab)
        for _ in range(rounds):
            seen["alone"].append(node.measure())
            node.crowd("ADD")
            seen["crowd"].append(node.measure())
            node.two_rules_a_pod(True)
            seen["rules"].append(node.measure())
            node.two_rules_a_pod(False)
            node.crowd("DEL")
        node.close()
    # what belongs to one turn was measured in the same seconds
    alone, crowd, rules = (sorted(seen[k])[rounds // 2] for k in ("alone", "crowd", "rules"))
    of_one = sorted(c / a for c, a in zip(seen["crowd"], seen["alone"]))[rounds // 2]
    rules_of_one = sorted(r / a for r, a in zip(seen["rules"], seen["alone"]))[rounds // 2]
    peer = "two rules a pod"
    return [figures.row(f"packets forwarded with {PODS} pods", "k/s", round(crowd, 1), round(rules, 1), peer),
            figures.row("packets forwarded with 1 pod", "k/s", round(alone, 1)),
            figures.row(f"packets forwarded with {PODS} pods, of those with 1", "%", round(100 * of_one, 1), round(100 * rules_of_one, 1), peer)]
