# SPDX-License-Identifier: Apache-2.0
"""A lab's node on its way from aws-node to vpcwire and back: docs/MIGRATION.md's commands, and echoes that none of them may cost."""
import contextlib
import re
import subprocess

from tests.harness import audit, proc
from tests.harness.awsnode import AwsNode, enis_of


@contextlib.contextmanager
def pings(ways):
    """An echo every 5 ms on each way, until the block ends: none may be lost. ways: {name: (who, address)}."""
    running = {name: subprocess.Popen(who.node.argv("nsenter", f"--net={who.netns}", "ping", "-n", "-q", "-i", "0.005", address),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=who.node.env())
               for name, (who, address) in ways.items()}
    told = {}
    try:
        yield told
    finally:
        for name, process in running.items():
            inner = [p for p in proc.descendants(process.pid) or [process.pid]]
            subprocess.run(["kill", "-INT", str(inner[-1])], check=False)
            told[name] = process.communicate(timeout=20)[0]
    for name, text in told.items():
        sent, received = (int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        assert sent > 100 and sent - received <= 1, f"{name}: {text}"       # the last one may be under way


def as_aws_node(lab, kind=AwsNode, n_enis=2, **how):
    """The first node's ENIs as they are, and nothing of vpcwire any more: what aws-node would find."""
    node = lab.nodes[0]
    proc.wait_until(lambda: len(node.info()["enis"]) == n_enis and all(e["slots"] or e.get("ipv6_prefix") for e in node.info()["enis"]),
                    lambda: f"{n_enis} ENIs: {node.info()['enis']}")
    made = kind(node, enis_of(node), **how)
    lab.stop_daemon(node.name)
    node.run(proc.BIN / "vpcwired", "--run-dir", node.run_dir, "--cleanup")
    assert not audit.pod_objects(node)
    made.start()
    return made


def with_four(made):
    """With four pods, two of them behind the secondary ENI."""
    enis = made.enis
    for name, eni in (("one", enis[0]), ("two", enis[0]), ("three", enis[1]), ("four", enis[1])):
        made.add(name, eni)
    return made


def vpcwired(node, *words, ok=True):
    return node.run(proc.BIN / "vpcwired", "--run-dir", node.run_dir, *words, check=ok)


def serving(lab, node):
    lab.start_daemon(node.name)
    proc.wait_until(lambda: node.serves() and node.info()["discovered"], lambda: "vpcwired to serve: " + node.daemon_log())
