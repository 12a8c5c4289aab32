# SPDX-License-Identifier: Apache-2.0
"""ADD and DEL beside what else there is: Debian's bridge + host-local, with portmap behind it and behind ours; and the kernel's part alone.

All on one node, in turns, exec to exit, by cnispawn. Of a chain the times of its plugins are added; writing the next one's stdin is not in it.
"""
import json

from tests.bench import figures
from tests.harness import cni, proc
from tests.harness.lab import Lab
from tests.harness.spawn import Spawner

DEBIAN = "/usr/lib/cni"
WARM_UP = 5
NAMES = {"bridge": "bridge + host-local", "bridge-portmap": "bridge + host-local + portmap"}


class Chain:
    """Plugins one behind the other, as libcni calls them. confs: what each is configured with."""

    def __init__(self, spawner, name, plugins):
        self.spawner, self.name, self.plugins = spawner, name, plugins

    def call(self, command, pod, port):
        """-> milliseconds of all of them"""
        total, result = 0, None
        for path, conf in self.plugins if command == "ADD" else reversed(self.plugins):
            stdin = {"cniVersion": "1.0.0", "name": f"bench-{self.name}", **conf}
            if conf.get("capabilities"):
                stdin["runtimeConfig"] = {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}
            before = result or getattr(pod, "kept", None)
            if before:
                stdin["prevResult"] = before
            stdin.pop("capabilities", None)
            ms, printed = self.spawner.call(path, self.spawner.conf_file(f"{self.name}.conf", json.dumps(stdin)), command, pod.container_id, pod.netns)
            total, result = total + ms, printed or result
        if command == "ADD":
            pod.kept = result
        return total


class Floor:
    """tests/bench/floor.c: the kernel work of an ADD, and a delete of one link."""

    def __init__(self, spawner):
        self.spawner, self.conf = spawner, spawner.conf_file("floor.conf", "{}")

    def call(self, command, pod, port):
        return self.spawner.call(proc.BIN / "floor", self.conf, command, pod.container_id, pod.netns)[0]


def chains(node, spawner):
    listed = node.conflist
    listed["cniVersion"] = "1.0.0"
    ours = (node.lab.env["CNI_PATH"].split(":")[0] + "/vpcwire", cni.plugin_conf(listed))
    portmap = (f"{DEBIAN}/portmap", {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}})

    def bridge(name, net):
        return (f"{DEBIAN}/bridge", {"type": "bridge", "bridge": f"br-{name}", "isGateway": True, "ipMasq": True,
                                     "ipam": {"type": "host-local", "dataDir": str(spawner.dir / f"hl-{name}"), "subnet": net,
                                              "routes": [{"dst": "0.0.0.0/0"}]}})
    return {"ours": Chain(spawner, "ours", [ours]), "ours-portmap": Chain(spawner, "oursp", [ours, portmap]),
            "bridge": Chain(spawner, "b", [bridge("b", "100.65.0.0/16")]),
            "bridge-portmap": Chain(spawner, "bp", [bridge("bp", "100.66.0.0/16"), portmap]), "floor": Floor(spawner)}


def measure(rounds):
    """-> {(who, command): [ms]}"""
    times = {}
    with Lab(instance_type="m5.4xlarge", prefix_delegation=True) as lab:
        node = lab.nodes[0]
        with Spawner(node, f"{DEBIAN}:/opt/cni/bin") as spawner:
            subjects = chains(node, spawner)
            pods = {who: node.pods(rounds + WARM_UP) for who in subjects}
            for command in ("ADD", "DEL"):
                for number in range(rounds + WARM_UP):
                    order = list(subjects) if number % 2 else list(reversed(subjects))
                    for who in order:
                        ms = subjects[who].call(command, pods[who][number], 10000 + number * 8 + order.index(who))
                        if number >= WARM_UP:
                            times.setdefault((who, command), []).append(ms)
    return times


def rows(rounds):
    times = measure(rounds)

    def p(who, command, percent):
        ordered = sorted(times[who, command])
        return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)
    found = []
    for command in ("ADD", "DEL"):
        for percent in (50, 99):
            floor = p("floor", command, percent)
            found += [figures.row(f"{command} p{percent} beside {NAMES['bridge']}", "ms", p("ours", command, percent), p("bridge", command, percent),
                                  NAMES["bridge"], floor),
                      figures.row(f"{command} p{percent}, portmap behind both", "ms", p("ours-portmap", command, percent),
                                  p("bridge-portmap", command, percent), NAMES["bridge-portmap"], floor)]
    return found


# --- the daemon when nothing happens

def idle_rows(pods=100, seconds=20):
    """Processor time of a daemon with so many pods in which nobody does anything."""
    with Lab(instance_type="m5.24xlarge", prefix_delegation=True) as lab:
        node = lab.nodes[0]
        figures.add_pods(node, pods)
        pid = node.daemon_pid()
        figures.at_rest(node, pid)

        def busy_ns():
            return sum(int(line.split()[0]) for line in node.run("sh", "-c", f"cat /proc/{pid}/task/*/schedstat").stdout.splitlines())
        before = busy_ns()
        node.run("sleep", seconds, timeout=seconds + 30)        # the figure is per second of doing nothing
        return [figures.row(f"daemon's processor time when idle, {pods} pods", "us/s", round((busy_ns() - before) / 1000 / seconds, 1))]
