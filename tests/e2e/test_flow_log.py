# SPDX-License-Identifier: Apache-2.0
"""Flow logs say what was sent: every packet and byte once, through restarts of the daemon and the end of flows and pods."""
import json
import time

import pytest

from tests.e2e.test_metrics import scrape, value
from tests.harness import proc
from tests.harness.lab import attached
from tests.harness.policy import Policies, network_policy, pod_object
from tests.harness.symptoms import operator_sees
from tests.harness.traffic import Place

PATH = "/etc/vpcwire/flow.jsonl"
LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small",
       "daemon_config": {"flow_log": PATH, "flow_log_interval_s": 1, "node_name": "node-1"}}
SINK = """import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9999))
for line in sys.stdin:
    print("ready", flush=True)
"""
# N datagrams of 100 bytes from port PORT
SEND = """import socket, sys
to, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", port))
for _ in range(n):
    s.sendto(b"." * 100, (to, 9999))
"""


def send(pod, to, port, n):
    pod.run("/usr/bin/python3", "-c", SEND, to, port, n)


def records(node):
    text = node.run("cat", PATH, check=False).stdout
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def total(node, port, **like):
    """Packets and bytes of all records of one port of a pod's."""
    rows = [r for r in records(node) if port in (r.get("srcport"), r.get("dstport")) and all(r[k.replace("_", "-")] == v for k, v in like.items())]
    return sum(r["packets"] for r in rows), sum(r["bytes"] for r in rows)


def told(node, want, port, **like):
    proc.wait_until(lambda: total(node, port, **like) == want, lambda: f"{want} of port {port}: {total(node, port, **like)}")


@pytest.fixture(scope="module")
def pods(lab):
    with attached([lab.nodes[0].pod("here"), lab.nodes[1].pod("there")]) as made:
        sinks = [Place.pod(p).popen("/usr/bin/python3", "-uc", SINK, a) for p in made for a in (p.result.address, p.result.address6)]
        assert {s.say("?\n") for s in sinks} == {"ready"}
        yield made
        for s in sinks:
            s.close()


@pytest.mark.limit(120)
def test_every_packet_once_on_both_nodes_and_through_restarts(lab, pods):
    here, there = pods
    sent = {}
    for n, (stop, port) in enumerate(((None, 5001), (lab.kill_daemon, 5001), (lab.stop_daemon, 5002))):
        if stop:
            stop(here.node.name)
        for to in (there.result.address, there.result.address6):
            send(here, to, port, 50 + n)
            packets, size = sent.get(port, (0, 0))
            sent[port] = packets + 50 + n, size + (50 + n) * (128 if "." in to else 148)
        if stop:
            lab.start_daemon(here.node.name)
            proc.wait_until(here.node.serves, "the daemon to serve again")
    for port, want in sent.items():
        told(here.node, want, port, flow_direction="egress", action="ACCEPT", pod="here")
        told(there.node, want, port, flow_direction="ingress", action="ACCEPT", pod="there")
    one = next(r for r in records(here.node) if r.get("srcport") == 5001 and r["srcaddr"] == here.result.address)
    assert one["version"] == 2 and one["log-status"] == "OK" and one["protocol"] == 17 and one["namespace"] == "default"
    assert one["interface-id"] == here.node.eni_of(here.result.address)["id"] and one["account-id"].isdigit()
    assert one["dstaddr"] == there.result.address and one["dstport"] == 9999
    assert one["start"] <= one["end"] <= time.time() + 1


@pytest.mark.limit(120)
def test_what_is_denied_is_rejected_by_name(pods):
    here, there = pods
    folder = Policies(here.node)
    folder.put("p.json", pod_object(here, {"app": "here"}), network_policy("shut", {"app": "here"}, policyTypes=["Egress"], egress=[]))
    try:
        send(here, there.result.address, 5010, 20)
        told(here.node, (20, 20 * 128), 5010, action="REJECT", flow_direction="egress", policy="default/shut", tier="NetworkPolicy")
        assert total(there.node, 5010) == (0, 0)
    finally:
        folder.change(folder.clear)


@pytest.mark.limit(120)
def test_a_pod_that_goes_is_told_to_its_end(lab, pods):
    node = lab.nodes[0]
    with attached([node.pod("brief")]) as (brief,):
        address = brief.result.address
        send(brief, pods[1].result.address, 5020, 30)
    told(node, (30, 30 * 128), 5020, pod="brief", srcaddr=address)


@pytest.mark.limit(60)
def test_an_interface_without_traffic_has_no_data(lab):
    quiet = lab.nodes[1]
    proc.wait_until(lambda: any(r["log-status"] == "NODATA" for r in records(quiet)), "an interval without traffic")
    assert all("srcaddr" not in r for r in records(quiet) if r["log-status"] == "NODATA")


# a connection that stays: N bytes for each line, and one back when they are there
ANSWER = """import socket
server = socket.create_server(("", 9998))
print("ready", flush=True)
conn = server.accept()[0]
while True:
    want = int.from_bytes(conn.recv(4, socket.MSG_WAITALL), "big")
    got = conn.recv(want, socket.MSG_WAITALL) if want else b""
    if not got:
        break
    conn.sendall(b"!")
"""
ASK = """import socket, sys
conn = socket.create_connection((sys.argv[1], 9998), source_address=("", int(sys.argv[2])))
for line in sys.stdin:
    n = int(line)
    conn.sendall(n.to_bytes(4, "big") + b"." * n)
    print(conn.recv(1).decode(), flush=True)
"""
FULL = "/run/flows"
# whatever page the log has begun is gone with it: not a byte more fits
FILL = f"cat /dev/zero > {FULL}/a 2>/dev/null || :; rm -f {FULL}/log; cat /dev/zero > {FULL}/b 2>/dev/null || :"


@pytest.mark.limit(180)
def test_a_full_disk_is_told_and_nothing_of_what_lives_is_lost(make_lab):
    """First there is no folder, then no room in it, then there is: metrics, status and log say so each time, and the node serves pods throughout."""
    node = make_lab(daemon_config={"flow_log": f"{FULL}/log", "flow_log_interval_s": 1}).nodes[0]

    def failing(want):
        proc.wait_until(lambda: value(scrape(node), "vpcwire_flow_log_failing") == want, f"vpcwire_flow_log_failing to be {want}", 60)

    def sent_of(port):
        text = node.run("cat", f"{FULL}/log", check=False).stdout
        rows = [json.loads(line) for line in text.splitlines()]
        return sum(r["bytes"] for r in rows if r.get("srcport") == port and r["flow-direction"] == "egress"), {r["log-status"] for r in rows}

    failing(1)
    operator_sees(node, "flow logs cannot be written")
    node.run("sh", "-ec", f"mkdir {FULL}; mount -t tmpfs -o size=64k tmpfs {FULL}")
    failing(0)
    with attached(node.pods(2)) as (here, there):
        answers = Place.pod(there).popen("/usr/bin/python3", "-uc", ANSWER)
        assert answers.process.stdout.readline() == "ready\n"
        asks = Place.pod(here).popen("/usr/bin/python3", "-uc", ASK, there.result.address, 6001)
        try:
            assert asks.say("1000\n") == "!"
            proc.wait_until(lambda: sent_of(6001)[0] >= 1000, lambda: f"1000 bytes: {sent_of(6001)}", 60)
            node.run("sh", "-c", FILL)
            assert asks.say("100000\n") == "!"
            failing(1)
            operator_sees(node, "flow logs cannot be written")
            page = scrape(node)
            assert value(page, "vpcwire_flow_log_errors_total", what="write") > 0
            assert value(page, "vpcwire_flow_log_records_total", result="failed") > 0
            with attached([node.pod("meanwhile")]) as (pod,):
                assert pod.pings(there.result.address), "no service suffers from it"
            node.run("rm", f"{FULL}/a", f"{FULL}/b")
            failing(0)
            proc.wait_until(lambda: sent_of(6001)[0] >= 100000, lambda: f"100000 bytes: {sent_of(6001)}", 60)
            told_bytes, statuses = sent_of(6001)
            assert told_bytes < 150000, "and once"
            assert "SKIPDATA" in statuses
            assert "flow logs are written again" in node.daemon_log()
            assert value(scrape(node), "vpcwire_flow_log_records_total", result="written") > 0
        finally:
            asks.close()
            answers.close()
