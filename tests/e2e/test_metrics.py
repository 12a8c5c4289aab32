# SPDX-License-Identifier: Apache-2.0
"""The page that Prometheus reads: in its format, and saying what the daemon, EC2 and the kernel say."""
import json
import re
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import cni, proc
from tests.harness.policy import Policies
from tests.harness.symptoms import operator_sees

LAB = {"instance_type": "m5.large", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 1}}
CONFIG = "/etc/vpcwire/vpcwired.json"
URL = "http://127.0.0.1:61678/metrics"


def fetch(node, *words, url=URL):
    """-> (HTTP status, body); status 0 when nobody listens."""
    done = node.run("curl", "-s", "-m", "10", "--noproxy", "*", "-o", "-", "-w", "\n%{http_code}", *words, url, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def scrape(node):
    """-> {(sample name, sorted labels): value}, parsed by Prometheus' own client; no family and no sample may stand twice."""
    status, text = fetch(node)
    assert status == 200, text
    found, families = {}, set()
    for family in text_string_to_metric_families(text):
        assert family.name not in families and family.documentation and family.type != "unknown", family
        families.add(family.name)
        for s in family.samples:
            key = (s.name, tuple(sorted(s.labels.items())))
            assert key not in found, key
            found[key] = s.value
    return found


def value(page, name, **labels):
    """Of a sample; the parser calls a counter NAME_total also where it is written as NAME, as aws-node does."""
    key = tuple(sorted(labels.items()))
    return page[name, key] if (name, key) in page else page[name + "_total", key]


def reconfigure(node, settings):
    node.run("sh", "-ec", 'cat > "$1.new"; mv "$1.new" "$1"', "-", CONFIG, input=json.dumps(settings))


def settled(node):
    proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "no change at EC2 under way")


def test_the_page_says_what_the_daemon_says(node):
    made = node.pods(3)
    for pod in made:
        pod.add()
    settled(node)
    page, info = scrape(node), node.info()
    pool = info["pool"]
    assert value(page, "vpcwire_ready") == 1 and value(page, "vpcwire_pods") == len(info["pods"]) == 3
    assert value(page, "awscni_total_ip_addresses") == pool["total"]
    assert value(page, "awscni_assigned_ip_addresses") == pool["assigned"] == 3
    assert value(page, "awscni_total_ipv4_prefixes") == pool["prefixes"]
    assert value(page, "awscni_eni_allocated") == len(info["enis"])
    for eni in info["enis"]:
        assert value(page, "awscni_assigned_ip_per_eni", eni=eni["id"]) == eni["assigned"]
        for slot in eni["slots"]:
            assert ("awscni_assigned_ip_per_cidr", (("cidr", slot),)) in page
    states = {k[1][0][1]: v for k, v in page.items() if k[0] == "vpcwire_addresses"}
    assert sum(v for s, v in states.items() if s != "taken_away") == pool["total"] and states["available"] == pool["available"]
    # m5.large: 3 ENIs of 10 addresses; 9 slots on each take a /28
    assert value(page, "awscni_eni_max") == 3 and value(page, "awscni_ip_max") == 3 * 9 * 16
    for pod in made:
        pod.delete()
        pod.remove()
    assert value(scrape(node), "vpcwire_addresses", state="cooling") == pool["cooling"] + 3


def test_every_metric_is_in_the_docs_and_the_other_way_round(node):
    said = set(re.findall(r"^# TYPE (\w+)", fetch(node)[1], re.M))
    written = set(re.findall(r"`((?:awscni|vpcwire)_\w*[a-z0-9])`", (proc.TOP / "docs/METRICS.md").read_text()))
    assert said == written


def test_requests_are_counted_once_each(node):
    pod, before = node.pod(), scrape(node)
    pod.add()
    pod.delete()
    pod.remove()
    after = scrape(node)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)
    assert more("awscni_add_ip_req_count") == 1
    assert more("vpcwire_add_duration_seconds_count", stage="all") == 1
    assert more("vpcwire_add_duration_seconds_count", stage="policy") == more("vpcwire_add_duration_seconds_count", stage="store") == 1
    assert more("vpcwire_add_duration_seconds_count", stage="wait") == 0, "there were free addresses"
    assert more("vpcwire_del_duration_seconds_count") == 1
    assert 0 < more("vpcwire_add_duration_seconds_sum", stage="all") < 60
    for stage in ("all", "wait", "policy", "store"):
        buckets = [(float(dict(k[1])["le"]), v) for k, v in after.items()
                   if k[0] == "vpcwire_add_duration_seconds_bucket" and dict(k[1])["stage"] == stage]
        counts = [v for _, v in sorted(buckets)]
        assert counts == sorted(counts) and counts[-1] == value(after, "vpcwire_add_duration_seconds_count", stage=stage)


def test_ec2_calls_are_those_that_ec2_saw(lab, node):
    settled(node)
    seen = lab.ec2_calls()
    page = scrape(node)
    ours = {dict(k[1])["fn"]: v for k, v in page.items() if k[0].startswith("awscni_ec2api_req_count")}
    assert ours and all(seen[action] == n for action, n in ours.items()), (ours, seen)
    coded = {}
    for k, v in page.items():
        if k[0] == "vpcwire_ec2_requests_total":
            coded[dict(k[1])["action"]] = coded.get(dict(k[1])["action"], 0) + v
    assert coded == ours


def test_a_failed_add_is_counted_by_its_code(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 1, "max_pods": 1, "add_wait_ms": 300}).nodes[0]
    proc.wait_until(lambda: node.info()["pool"]["available"] == 1, "the one address")
    first, second = node.pods(2)
    first.add()
    with pytest.raises(cni.CniError):
        second.add()
    page = scrape(node)
    assert value(page, "vpcwire_add_failures_total", code="11") == 1
    assert value(page, "awscni_no_available_ip_addresses") == 1


def test_a_refused_manifest_is_seen(node):
    folder = Policies(node)
    assert value(scrape(node), "vpcwire_policy_refused_manifests") == 0
    folder.write("bad.json", "{")
    proc.wait_until(lambda: value(scrape(node), "vpcwire_policy_refused_manifests") == 1, "the refusal to be counted")
    assert len(folder.status()["refused"]) == 1
    folder.remove("bad.json")
    proc.wait_until(lambda: value(scrape(node), "vpcwire_policy_refused_manifests") == 0, "the refusal to be over")
    page, status = scrape(node), folder.status()
    assert value(page, "vpcwire_policy_generation") == status["generation"]
    for use in status["maps"]:
        assert value(page, "vpcwire_policy_map_entries_max", map=use["name"]) == use["max"]
    dropped = {dict(k[1])["reason"]: v for k, v in page.items() if k[0] == "vpcwire_dropped_packets_total"}
    assert {r: n for r, n in dropped.items() if n} == status["drops"]


@pytest.mark.parametrize("words,status", [(["-X", "POST", "-d", "x=1"], 405), (["-X", "DELETE"], 405), (["-I"], 200),
                                          (["-H", "Host: vpcwire.attacker.example"], 403), (["-H", "Host: localhost:61678"], 200),
                                          (["-H", "Host: [::1]:61678"], 200), (["--http1.0", "-H", "Host:"], 200)])
def test_only_reading_and_only_from_here(node, words, status):
    assert fetch(node, *words)[0] == status


def test_other_pages_are_not_found(node):
    for path in ("/", "/metrics/", "/metrics/../etc/passwd", "/%2e%2e/"):
        assert fetch(node, "--path-as-is", url=f"http://127.0.0.1:61678{path}")[0] == 404, path


HOLDER = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", 61678)) for _ in range(16)]
held[0].sendall(bytes([0, 255]) * 100 + b"\\r\\n\\r\\n")
print("ready", flush=True)
sys.stdin.read()
"""


def test_garbage_and_silence_hold_nothing_up(node):
    """Connections that say nothing take the server's places; pods do not care, and the page is back when they are gone."""
    child = subprocess.Popen(node.argv("/usr/bin/python3", "-c", HOLDER), env=node.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        pod = node.pod()
        pod.add()
        pod.delete()
        pod.remove()
    finally:
        child.communicate()
    assert fetch(node)[0] == 200


def test_the_place_can_be_changed_and_a_taken_port_is_not_fatal(make_lab):
    lab = make_lab(daemon_config={"metrics_address": "unix:/run/vpcwire-metrics.sock"})
    node = lab.nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    assert fetch(node)[0] == 0, "nobody listens at the default place"
    assert fetch(node, "--unix-socket", "/run/vpcwire-metrics.sock", url="http://localhost/metrics")[0] == 200
    before = json.loads(node.run("cat", CONFIG).stdout)
    listener = node.run("sh", "-c", "python3 -m http.server 61999 --bind 127.0.0.1 >/dev/null 2>&1 & echo $!").stdout.strip()
    proc.wait_until(lambda: fetch(node, url="http://127.0.0.1:61999/")[0] == 200, "somebody else to listen")
    reconfigure(node, {**before, "metrics_address": "127.0.0.1:61999"})
    proc.wait_until(lambda: "no metrics" in node.daemon_log(), "the daemon to say that the port is taken")
    operator_sees(node, "no metrics")
    assert node.serves()
    node.run("kill", listener)
    reconfigure(node, {**before, "metrics_address": "[::1]:61999"})
    proc.wait_until(lambda: fetch(node, url="http://[::1]:61999/metrics")[0] == 200, "the page at its new place")


def test_a_repair_is_counted(node):
    def repairs():
        return value(scrape(node), "vpcwire_drift_repairs_total", kind="rule")
    before = repairs()
    node.run("ip", "rule", "del", "pref", "512")
    proc.wait_until(lambda: repairs() == before + 1, "the repair of a rule to be counted")
    assert node.run("ip", "rule", "show", "pref", "512").stdout
