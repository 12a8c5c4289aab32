# SPDX-License-Identifier: Apache-2.0
"""Pods that start and stop one after another (tests/e2e/podstorm.c), with a flood at both ends when it is to be a race."""
import ipaddress
import json
import pathlib

from tests.harness import cni, proc
from tests.harness.policy import network_policy

NAMESPACE = "storm"
DENIED_OUT, DENIED_IN, ALLOWED_OUT, ALLOWED_IN = 7777, 7778, 7779, 7780

# what got out of a pod: packets that reach IP on the node, from wherever; our hook is before that
COUNTERS = f"""
table inet storm {{
  counter denied {{ }}
  counter allowed {{ }}
  chain arrive {{ type filter hook prerouting priority -400
    udp dport {DENIED_OUT} counter name denied
    udp dport {ALLOWED_OUT} counter name allowed
  }}
}}
"""


def policy():
    """Pods of the storm may send to one port of pods in "default", and be sent to another one; nothing else."""
    others = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}
    return network_policy("storm", namespace=NAMESPACE, policyTypes=["Ingress", "Egress"],
                          ingress=[{"from": [others], "ports": [{"protocol": "UDP", "port": ALLOWED_IN}]}],
                          egress=[{"to": [others], "ports": [{"protocol": "UDP", "port": ALLOWED_OUT}]}])


def _argv(node, count):
    listed = node.conflist
    listed["cniVersion"] = "1.0.0"
    conf = pathlib.Path(node.lab.dir.name) / "storm.conf"
    conf.write_text(json.dumps(cni.plugin_conf(listed)))
    path = node.lab.env["CNI_PATH"]
    return [proc.BIN / "podstorm", f"{path.split(':')[0]}/vpcwire", conf, path, NAMESPACE, count]


def churn(node, count, timeout=600):
    """`count` ADDs and DELs."""
    assert json.loads(node.run(*_argv(node, count), timeout=timeout).stdout)["pods"] == count


def race(node, other, count, timeout=600):
    """The race of podstorm.c against pod `other` -> its sums, with those of the node's counters as out_denied, out_allowed."""
    proc.wait_until(lambda: node.info()["pool"]["total"] and not node.info()["pool"]["actions_under_way"], "a pool at rest")
    nets = sorted({s for e in node.info()["enis"] for s in e["slots"] if ":" not in s})
    address6 = getattr(other.result, "address6", None)
    next6 = ipaddress.ip_address(address6) + 1 if address6 else "-"
    node.run("nft", "-f", "-", input=COUNTERS)
    done = node.run(*_argv(node, count), other.result.address, address6 or "-", next6, other.netns, *nets, timeout=timeout, check=False)
    assert done.returncode == 0, f"{done.stderr}{done.stdout}{node.daemon_log()}"
    told = json.loads(node.run("nft", "-j", "list", "counters", "table", "inet", "storm").stdout)["nftables"]
    node.run("nft", "delete", "table", "inet", "storm")
    counted = {c["counter"]["name"]: c["counter"]["packets"] for c in told if "counter" in c}
    return {**json.loads(done.stdout), "out_denied": counted["denied"], "out_allowed": counted["allowed"]}
