#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: one VPC, two nodes, and pods that outgrow an ENI. Every claim that it prints is checked first."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import audit, cni, proc  # noqa: E402
from tests.harness.lab import Lab  # noqa: E402
from tests.harness.spawn import Spawner  # noqa: E402

INTERNET = "203.0.113.10"
PEERED = "192.168.100.10"
STRANGER = "10.0.255.254"       # an address of the VPC that no pod here has
INSTANCE_TYPE = "t3.small"      # 3 ENIs of 4 addresses; one of each is the ENI's own, so an ENI carries 3 pods
DAEMON = {"exclude_snat_cidrs": [PEERED + "/32"],
          "warm_ip_target": 1}  # one address ahead: the node starts with one ENI, and the next one comes while we watch
PODS = (5, 2)                   # on the first and the second node


class Story:
    """Says what happens and counts what was checked; the first claim that is false ends the demo."""

    def __init__(self):
        self.checks = 0
        self.bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    def chapter(self, title):
        print(f"\n{self.bold[0]}{title}{self.bold[1]}", flush=True)

    def say(self, line):
        print(f"  {line}", flush=True)

    def check(self, claim, true):
        if not true:
            raise AssertionError(f"check {self.checks + 1} failed: {claim}")
        self.checks += 1
        print(f"  ok      {claim}", flush=True)


class Wirer:
    """Calls the CNI plugin for pods of one node through a program that takes the time."""

    def __init__(self, node):
        self.node, self.spawner = node, Spawner(node)
        self.plugin = node.lab.env["CNI_PATH"].split(":")[0] + "/vpcwire"
        listed = node.conflist
        listed["cniVersion"] = "1.0.0"
        self.conf = self.spawner.conf_file(f"{node.name}.conf", json.dumps(cni.plugin_conf(listed)))

    def add(self, pod):
        ms, raw = self.spawner.call(self.plugin, self.conf, "ADD", pod.container_id, pod.netns)
        pod.result = cni.Result(raw, "1.0.0")
        return ms

    def delete(self, pod):
        return self.spawner.call(self.plugin, self.conf, "DEL", pod.container_id, pod.netns)[0]


def pool_line(node):
    info = node.info()
    pool = info["pool"]
    return (f"{node.name}: ENIs {len(info['enis'])}, addresses {pool['total']}: {pool['assigned']} assigned, "
            f"{pool['cooling']} cooling down, {pool['available']} free")


def node_pings(node, pod):
    return node.run("ping", "-n", "-q", "-c", "1", "-w", "5", pod.result.address, check=False).returncode == 0


def introduce(story, lab):
    story.chapter(f"1. A VPC with two nodes of type {INSTANCE_TYPE}")
    for node in lab.nodes:
        story.say(f"{node.name}: {node.imds('instance-id')} at {node.imds('local-ipv4')}, public {node.imds('public-ipv4')}")
        proc.wait_until(lambda n=node: n.info()["pool"]["available"] > 0, "a warm pool")
        story.say(pool_line(node))
    story.check("each daemon found its node, its one ENI, and has addresses ready",
                all(n.info()["pool"]["available"] > 0 and len(n.info()["enis"]) == 1 for n in lab.nodes))


def wire_pods(story, lab):
    first = lab.nodes[0]
    seen = {node.name: {eni["id"] for eni in node.info()["enis"]} for node in lab.nodes}
    story.chapter("2. Pods get addresses of the VPC and outgrow the first ENI")
    pods = []
    for node, count in zip(lab.nodes, PODS):
        wirer = Wirer(node)
        for number in range(count):
            pod = node.pod(f"{node.name}-pod{number + 1}")
            pod.wirer = wirer
            ms = wirer.add(pod)
            pod.eni = node.eni_of(pod.result.address)["id"]
            for eni in node.info()["enis"]:
                if eni["id"] not in seen[node.name]:
                    seen[node.name].add(eni["id"])
                    story.say(f"    {node.name} runs out: {eni['id']} is created and attached as {eni['ifname']}")
            pods.append(pod)
            story.say(f"ADD {pod.name:<12} {pod.result.address:<13} on {pod.eni} {ms:8.2f} ms")
    addresses = [p.result.address for p in pods]
    story.check(f"{len(pods)} pods have {len(pods)} different addresses", len(set(addresses)) == len(pods))
    enis = {p.eni for p in pods if p.node is first}
    story.check(f"the pods of {first.name} are on {len(enis)} ENIs", len(enis) >= 2)
    rules = first.json("ip", "-j", "rule")
    story.check(f"{len(rules)} ip rules for {len(first.info()['enis'])} ENIs, none of them for a pod",
                not any(a in json.dumps(rules) for a in addresses))
    for node in lab.nodes:
        story.say(pool_line(node))
    return pods


def reachability(story, lab, pods, chosen):
    story.chapter("3. They reach each other")
    first, second = lab.nodes
    story.say("from \\ to     " + " ".join(f"{p.name.replace('node-', 'n').replace('-pod', 'p'):>6}" for p in pods))
    every = True
    for a in pods:
        row = ["-" if a is b else "ok" if a.pings(b.result.address) else "LOST" for b in pods]
        every = every and "LOST" not in row
        story.say(f"{a.name:<13} " + " ".join(f"{c:>6}" for c in row))
    story.check("every pod reaches every other, on its own node and on the other", every)
    for pod in chosen:
        story.check(f"{first.name} reaches its pod {pod.name} on {pod.eni}", node_pings(first, pod))
        story.check(f"{pod.name} reaches its node", pod.pings(first.imds("local-ipv4")))
        story.check(f"{second.name} reaches {pod.name}", node_pings(second, pod))


def outside(story, lab, pods, chosen):
    story.chapter("4. The world outside")
    for pod in (*chosen, pods[-1]):
        seen, public = pod.seen_as(INTERNET), pod.node.imds("public-ipv4")
        story.check(f"{pod.name} reaches the internet, which sees {seen}, {pod.node.name}'s public address", seen and seen == public)
    seen = chosen[-1].seen_as(PEERED)
    story.check(f"the peered network, which is set to see no NAT, sees {seen}, the pod's own address", seen == chosen[-1].result.address)
    pod = chosen[-1]
    pod.run("ip", "addr", "add", f"{STRANGER}/32", "dev", "eth0")
    lost = pod.run("ping", "-n", "-q", "-c", "1", "-W", "1", "-I", STRANGER, pods[-1].result.address, check=False).returncode != 0
    pod.run("ip", "addr", "del", f"{STRANGER}/32", "dev", "eth0")
    story.check(f"what {pod.name} sends as {STRANGER}, which is not its address, goes nowhere", lost)
    story.check("as itself it is heard", pod.pings(pods[-1].result.address))


def take_away(story, lab, pods, before):
    story.chapter("5. The pods go away")
    for pod in pods:
        story.say(f"DEL {pod.name:<12} {pod.result.address:<13} {pod.wirer.delete(pod):8.2f} ms")
    story.check("the daemons hold no attachment", not any(audit.books(n) for n in lab.nodes))
    proc.wait_until(lambda: [audit.pod_objects(n) for n in lab.nodes] == before, "links and routes to be gone")
    story.check("no link and no route of a pod is left", [audit.pod_objects(n) for n in lab.nodes] == before)
    for node in lab.nodes:
        story.say(pool_line(node))


def run(story, lab):
    before = [audit.pod_objects(n) for n in lab.nodes]
    introduce(story, lab)
    pods = wire_pods(story, lab)
    # of the first node: one pod on the first ENI and one on another
    chosen = pods[0], next(p for p in pods if p.node is lab.nodes[0] and p.eni != pods[0].eni)
    reachability(story, lab, pods, chosen)
    outside(story, lab, pods, chosen)
    take_away(story, lab, pods, before)


def tell(story, lab):
    try:
        run(story, lab)
    except AssertionError as error:
        for node in lab.nodes:
            print(f"--- vpcwired of {node.name}\n{node.daemon_log()[-4000:]}", file=sys.stderr)
        print(f"--- lab\n{lab.log()[-2000:]}\n---", file=sys.stderr)
        raise SystemExit(f"demo: FAILED: {error}") from None


def main():
    story = Story()
    start = time.monotonic()
    with Lab(nodes=2, instance_type=INSTANCE_TYPE, daemon_config=DAEMON) as lab:
        story.say(f"the lab was up after {time.monotonic() - start:.1f} s")
        tell(story, lab)
        family = [proc.identity(p) for p in proc.descendants(lab.proc.pid)]
    story.chapter("6. The lab goes away")
    proc.wait_until(lambda: not any(map(proc.alive, family)), "the lab's processes to end")
    story.check(f"all its {len(family)} processes have ended, and their namespaces with them", family and not any(map(proc.alive, family)))
    story.say(f"{time.monotonic() - start:.1f} s in all")
    print(f"\ndemo: ok ({story.checks} checks)")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:       # the lab has been taken down on the way here
        sys.exit("demo: interrupted")
