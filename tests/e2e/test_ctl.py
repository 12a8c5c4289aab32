# SPDX-License-Identifier: Apache-2.0
"""vpcwirectl status, pods, enis: what they print is what the daemon, EC2 and the kernel have."""
import json
import re
import subprocess

import pytest

from tests.harness import proc
from tests.harness.fakedaemon import FakeDaemon
from tests.harness.policy import Policies
from tests.harness.symptoms import operator_sees

LAB = {"instance_type": "m5.large", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 1, "ip_cooldown_s": 600}}


def ctl(node, *words, ok=0):
    done = node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, *words, check=False)
    assert done.returncode == ok, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


def settled(node):
    proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "no change at EC2 under way")


def test_status_draws_prefixes_as_they_are(node):
    settled(node)
    gone = node.pod()
    gone.add()
    made = node.pods(2)
    for pod in made:
        pod.add()
    gone.delete()
    gone.remove()
    settled(node)
    said, info = ctl(node, "status"), node.info()
    assert re.search(r"\(m5\.large, \S+\): serving$", said, re.M) and "WHY" not in said and "TROUBLE" not in said
    assert f"2 pods; IPv4 addresses: 2 with pods, {info['pool']['available']} free, 1 cooling down, {info['pool']['total']} in all" in said
    pictures = dict(re.findall(r"^    (\d\S+/28) +([#~.]{16})$", said, re.M))
    assert sorted(pictures) == sorted(s for e in info["enis"] for s in e["slots"])
    drawn = "".join(pictures.values())
    assert (drawn.count("#"), drawn.count("~"), drawn.count(".")) == (2, 1, info["pool"]["available"])
    for pod in made:
        pod.delete()
        pod.remove()


def test_pods_and_enis_are_listed(node):
    pod = node.pod()
    address = pod.add().address
    line = next(x for x in ctl(node, "pods").splitlines() if pod.name in x)
    assert line.split()[1] == address and line.split()[4] in node.run("ip", "-br", "link").stdout
    listed = json.loads(ctl(node, "--json", "pods"))
    assert [p["address"] for p in listed if p["pod_name"] == pod.name] == [address]
    enis = ctl(node, "enis").splitlines()
    assert len(enis) == len(node.info()["enis"])
    for line, eni in zip(enis, node.info()["enis"]):
        assert eni["id"] in line and eni["ifname"] in line and ("primary" in line) == eni["primary"]
    assert json.loads(ctl(node, "--json", "status"))["cni"] == 0
    pod.delete()
    pod.remove()


def test_a_node_in_trouble_says_why_and_exits_with_4(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 1, "max_pods": 1}).nodes[0]
    pod = node.pod()
    pod.add()
    said = ctl(node, "status", ok=4)
    assert "NEEDS ATTENTION" in said and re.search(r"^WHY no free address: as many addresses as pods may run", said, re.M)
    assert json.loads(ctl(node, "--json", "status", ok=4))["cni"] == 50
    operator_sees(node, "as many addresses as pods may run")


def test_status_names_the_policy_in_force_and_what_is_refused(node):
    folder = Policies(node)
    fine = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    generation = folder.put("fine.json", fine)["generation"]
    assert f"\nnetwork policy: standard, generation {generation} in force, 0 manifests refused\n" in ctl(node, "status")
    folder.write("bad.json", '{"kind": "NetworkPolicy"')
    operator_sees(node, "a manifest is refused")
    said, answer = ctl(node, "status", ok=4), json.loads(ctl(node, "--json", "status", ok=4))
    refused = folder.status()["refused"]
    assert answer["policy"]["refused"] == refused and [r["file"] for r in refused] == ["bad.json"]
    assert "1 manifests refused\nREFUSED bad.json: " in said and refused[0]["reason"] in said
    assert answer["policy"]["generation"] == folder.status()["generation"]
    folder.change(folder.clear)
    said, answer = ctl(node, "status"), json.loads(ctl(node, "--json", "status"))
    assert "REFUSED" not in said and answer["policy"]["refused"] == [] and answer["troubles"] == []
    assert "a manifest is refused" in answer["errors"][0]["text"], "what was wrong can be read afterwards"


def test_no_daemon_and_wrong_words(lab, node):
    assert ctl(node, "pods", "x", ok=2) == "" and ctl(node, "pod", ok=2) == ""
    lab.stop_daemon(node.name)
    try:
        done = node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, "status", check=False)
        assert done.returncode == 3 and node.socket in done.stderr
    finally:
        lab.start_daemon(node.name)
        proc.wait_until(node.serves, "the daemon to serve")


# objects whose members are names: what they hold is not of a fixed shape
BY_NAME = {"restored", "objects", "drops", "events"}


def members(value, found):
    for v in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        members(v, found)
    if isinstance(value, dict):
        for key, v in value.items():
            found.add(key)
            if key in BY_NAME and isinstance(v, dict):
                found -= set(v)
    return found


def test_every_member_that_json_has_is_documented(node):
    """docs/RPC.md names each, so that a script can rely on it."""
    documented = set(re.findall(r"`(\w+)`", (proc.TOP / "docs/RPC.md").read_text()))
    pod, missing = node.pod(), set()
    address = pod.add().address
    for words in (["status"], ["explain", "pod", address], ["pool", "plan"], ["doctor"], ["drain", "--off"], ["policy", "status"],
                  ["policy", "explain", "--from", address, "--to", "192.0.2.1"]):
        done = node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, "--json", *words, check=False)
        assert done.returncode in (0, 4), (words, done.stderr)
        missing |= members(json.loads(done.stdout), set()) - documented
    for line in ctl(node, "--json", "events").splitlines():
        missing |= set(json.loads(line)) - documented
    assert not missing
    pod.delete()
    pod.remove()


NEARLY_FULL = {"mode": "standard", "refused": [], "maps": [{"name": "np_ct", "used": 9, "max": 10}]}
DISAGREES = {"from": "a", "to": "b", "port": "80/tcp", "verdict": "allow", "disagreement": "the tables say deny"}


@pytest.mark.parametrize("words,answer", [(["policy", "status"], NEARLY_FULL), (["policy", "explain", "--from", "a", "--to", "b"], DISAGREES)])
def test_what_wants_attention_does_so_as_json_too(tmp_path, words, answer):
    daemon = FakeDaemon(tmp_path / "sock").start()
    try:
        for options in ([], ["--json"]):
            for said, status in ((answer, 4), ({**answer, "maps": [], "disagreement": ""}, 0)):
                daemon.on("query", {"v": 1, "result": said})
                assert proc.run([proc.BIN / "vpcwirectl", "--socket", daemon.path, *options, *words], check=False).returncode == status, options
    finally:
        daemon.stop()


def test_an_answer_that_cannot_be_written_is_a_failure(tmp_path):
    daemon = FakeDaemon(tmp_path / "sock").start()
    daemon.on("query", {"v": 1, "result": {"cni": 0, "pods": [], "enis": []}})
    try:
        for words in (["status"], ["--json", "pods"], ["--version"], ["--help"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([proc.BIN / "vpcwirectl", "--socket", daemon.path, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                      check=False, timeout=30)
            assert done.returncode == 1 and "cannot be written" in done.stderr, (words, done)
    finally:
        daemon.stop()
