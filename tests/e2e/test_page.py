# SPDX-License-Identifier: Apache-2.0
"""The node's page and aws-node's introspection paths: over HTTP, and in a browser. SCREENSHOT=FILE also writes docs/page.png's picture."""
import html.parser
import ipaddress
import json
import os
import pathlib
import re

import pytest

from tests.e2e.test_metrics import fetch, reconfigure, scrape, value
from tests.harness import chromium, proc, symptoms
from tests.harness.policy import Policies
from tests.harness.symptoms import operator_sees

LAB = {"instance_type": "m5.large", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 1, "ip_cooldown_s": 600}}
URL = "http://127.0.0.1:61679"
STAGES = {"h-add": "all", "h-wait": "wait", "h-policy": "policy", "h-store": "store"}
# what a browser would make markup of, and what no browser can read
EVIL = '<img src>"\'&amp<script>document.write(7)</script>'


def get(node, path, **kwargs):
    return fetch(node, url=URL + path, **kwargs)


def settled(node):
    proc.wait_until(lambda: not node.info()["pool"]["actions_under_way"], "no change at EC2 under way")


class Reader(html.parser.HTMLParser):
    """Texts by id, rows of tables by id, titles of map cells; every tag must be closed as it was opened."""

    VOID = {"meta", "link", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.rows, self.cells, self.tags = [], {}, {}, [], set()
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        assert not [a for a in attrs if a.startswith("on") or a == "style"], attrs
        if tag not in self.VOID:
            self.open.append((tag, attrs.get("id")))
        table = next((i for t, i in reversed(self.open) if t == "table"), None)
        if tag == "tr" and table:
            self.rows.setdefault(table, []).append([])
        if tag == "td" and table:
            self.rows[table][-1].append("")
        if tag == "td" and "title" in attrs:
            self.cells.append((attrs.get("class", ""), attrs["title"]))

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop()[0] == tag, tag

    def handle_data(self, data):
        if not self.open:
            return
        if self.open[-1][1]:
            self.texts[self.open[-1][1]] = self.texts.get(self.open[-1][1], "") + data
        table = next((i for t, i in reversed(self.open) if t == "table"), None)
        if table and any(t == "td" for t, _ in self.open):
            self.rows[table][-1][-1] += data


def read(node):
    status, text = get(node, "/")
    assert status == 200
    return Reader(text)


def agrees(node):
    """Page, metrics, daemon, kernel and EC2 say the same."""
    settled(node)
    page, metrics, info = read(node), scrape(node), node.rpc("query", what="node")["result"]
    number = {k: int(v) for k, v in page.texts.items() if k.startswith(("n-", "h-"))}
    pool = info["pool"]
    # EC2: what the instance's ENIs hold
    held = [e for e in node.ec2("describe-network-interfaces", "--filters",
                                f"Name=attachment.instance-id,Values={info['instance_id']}")["NetworkInterfaces"]]
    prefixes = sorted(p["Ipv4Prefix"] for e in held for p in e.get("Ipv4Prefixes", []))
    singles = sorted(a["PrivateIpAddress"] for e in held for a in e["PrivateIpAddresses"] if not a["Primary"])
    total = 16 * len(prefixes) + len(singles)
    assert number["n-enis"] == len(held) == value(metrics, "awscni_eni_allocated") == len(info["enis"])
    assert number["n-prefixes"] == len(prefixes) == value(metrics, "awscni_total_ipv4_prefixes")
    assert number["n-total"] == total == value(metrics, "awscni_total_ip_addresses") == len(page.cells)
    # the kernel: routes of pods, and their links
    routes = {r["dst"]: r["dev"] for r in node.json("ip", "-j", "route", "show", "table", "22103", "proto", "86") if r.get("type") != "unreachable"}
    pods = {p[1]: p[4] for p in page.rows.get("pods", []) if p}
    assert pods == routes
    up = {link["ifname"] for link in node.json("ip", "-j", "link", "show", "up")}
    assert set(pods.values()) <= up
    assert number["n-pods"] == len(routes) == value(metrics, "vpcwire_pods") == info["n_pods"]
    assert number["n-assigned"] == len(routes) == value(metrics, "awscni_assigned_ip_addresses")
    drawn = {title.split()[0]: cls for cls, title in page.cells}
    assert {ip for ip, cls in drawn.items() if cls == "a"} == set(routes)
    held_ips = {str(ip) for p in prefixes for ip in ipaddress.ip_network(p)} | set(singles)
    assert set(drawn) == held_ips
    states = {s: value(metrics, "vpcwire_addresses", state=s) for s in ("assigned", "cooling", "available")}
    assert states == {"assigned": number["n-assigned"], "cooling": number["n-cooling"], "available": number["n-available"]}
    assert [c for c, _ in page.cells].count("c") == number["n-cooling"] == pool["cooling"]
    for eni in held:
        ours = {str(ip) for p in eni.get("Ipv4Prefixes", []) for ip in ipaddress.ip_network(p["Ipv4Prefix"])} | \
            {a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]}
        assert value(metrics, "awscni_assigned_ip_per_eni", eni=eni["NetworkInterfaceId"]) == len(ours & set(routes))
    for prefix in prefixes:
        inside = sum(ipaddress.ip_address(r) in ipaddress.ip_network(prefix) for r in routes)
        assert value(metrics, "awscni_assigned_ip_per_cidr", cidr=prefix) == inside
    for shown, stage in STAGES.items():
        assert number[shown] == value(metrics, "vpcwire_add_duration_seconds_count", stage=stage)
    assert number["h-del"] == value(metrics, "vpcwire_del_duration_seconds_count")
    # eBPF: a slot in use for each pod
    assert value(metrics, "vpcwire_policy_map_entries", map="np_slots") == len(routes)
    return page


def test_the_last_errors_have_what_to_do(node):
    """As status has them: what policy denies, or a busy node tells, does not push them out."""
    folder = Policies(node)
    folder.write("bad.json", "{")
    operator_sees(node, "a manifest is refused")
    error = node.rpc("query", what="node")["result"]["errors"][0]
    assert "a manifest is refused" in error["text"] and error["todo"] == symptoms.rows()["a manifest is refused"]
    folder.clear()
    proc.wait_until(lambda: not folder.status()["refused"], "nothing to be refused any more", timeout=60)
    rows = [r for r in read(node).rows["events"] if r]
    assert [error["ts"], error["kind"], error["text"], str(error["times"]), error["todo"]] in rows


def test_every_number_agrees_with_kernel_and_ec2(node):
    agrees(node)
    pods = node.pods(20)        # more than a prefix: the pool grows
    for pod in pods:
        pod.add()
    agrees(node)
    for pod in pods[:7]:
        pod.delete()
    page = agrees(node)
    assert int(page.texts["n-cooling"]) >= 7
    for pod in pods[7:]:
        pod.delete()
    agrees(node)
    for pod in pods:
        pod.remove()


def test_single_addresses_and_enis_agree_as_well(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 2}).nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    pods = node.pods(12)        # more than one ENI of an m5.large has
    for pod in pods:
        pod.add()
    assert int(agrees(node).texts["n-enis"]) == 2


def test_drops_agree_with_the_kernels_map(node):
    folder, (a, b) = Policies(node), node.pods(2)
    for pod in (a, b):
        pod.address = pod.add().address
    folder.shut(b)
    a.run("nc", "-z", "-w", "1", b.address, "81", check=False)
    rows = proc.wait_until(lambda: read(node).rows.get("denied"), "the denied connection on the page")
    row = next(r for r in rows if r and r[1] == f"default/{b.name}")
    assert row[2] == "ingress" and a.address in row[3] and row[4] == "TCP 81" and row[5].startswith("default/shut") and int(row[7]) >= 1
    pin = next(p for p in node.run("sh", "-c", "ls -d /sys/fs/bpf/vpcwire/*/np_drops /sys/fs/bpf/*/vpcwire/*/np_drops 2>/dev/null || "
                                   "find /sys/fs/bpf -name np_drops").stdout.split())

    def in_kernel():
        dump = json.loads(node.run("bpftool", "-j", "map", "dump", "pinned", pin).stdout)
        return sum(v.get("value", 0) if isinstance(v.get("value"), int) else int.from_bytes(bytes(int(x, 16) for x in v["value"]), "little")
                   for entry in dump for v in entry.get("values", []))

    def both():
        """The kernel's sum and the page, when nothing was dropped meanwhile: pods say things by themselves (IPv6)."""
        before, page = in_kernel(), scrape(node)
        return (before, page) if in_kernel() == before else None

    dropped, page = proc.wait_until(both, "a moment in which nothing is dropped")
    by_policy = {k[1]: v for k, v in page.items() if k[0] == "vpcwire_policy_denied_packets_total"}
    shut = [n for labels, n in by_policy.items() if dict(labels)["policy"] == "default/shut" and dict(labels)["dir"] == "ingress"]
    status = next(r for r in folder.status()["rules"] if r["policy"] == "default/shut" and r["action"] == "deny")
    assert shut == [status["packets"]] and shut[0] >= 1
    assert dropped == sum(v for k, v in page.items() if k[0] == "vpcwire_dropped_packets_total") > 0
    folder.take("shut.json")
    for pod in (a, b):
        pod.delete()
        pod.remove()


def test_foreign_bytes_are_text(node):
    pods = node.pods(2)
    for pod, name in zip(pods, (EVIL, "caf\u00e9-\u2603")):
        pod.add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}"})
    page = read(node)
    names = [row[0] for row in page.rows["pods"] if row]
    assert f"default/{EVIL}" in names and "img" not in page.tags
    assert any(EVIL in title for _, title in page.cells)
    for pod in pods:
        pod.delete()
        pod.remove()


def test_headers(node):
    for path in ("/", "/v1/enis", "/page.js", "/nothing"):
        said = node.run("curl", "-s", "-i", "--noproxy", "*", URL + path).stdout.lower()
        policy = re.search(r"^content-security-policy: (.*?)\r?$", said, re.M).group(1)
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert "x-content-type-options: nosniff" in said
    assert fetch(node, "-H", "Host: rebound.example", url=URL + "/")[0] == 403
    assert fetch(node, "-X", "POST", url=URL + "/")[0] == 405


def test_the_place_can_be_changed(make_lab):
    node = make_lab(daemon_config={"introspection_address": "127.0.0.1:61999"}).nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    assert get(node, "/")[0] == 0 and fetch(node, url="http://127.0.0.1:61999/")[0] == 200
    before = json.loads(node.run("cat", "/etc/vpcwire/vpcwired.json").stdout)
    reconfigure(node, {**before, "introspection_address": "127.0.0.1:61678"})
    proc.wait_until(lambda: "no page" in node.daemon_log(), "the daemon to say that the port is taken")
    operator_sees(node, "no page")
    reconfigure(node, {**before, "disable_introspection": True})
    proc.wait_until(lambda: fetch(node, url="http://127.0.0.1:61999/")[0] == 0, "the page to be gone")


# --- aws-node's paths

def test_enis_as_aws_node_shows_them(node):
    pods = node.pods(2)
    for pod in pods:
        pod.address = pod.add().address
    pods[1].delete()
    said, info = json.loads(get(node, "/v1/enis")[1]), node.info()
    assert set(said) == {"TotalIPs", "AssignedIPs", "ENIs"} and said["TotalIPs"] == info["pool"]["total"] and said["AssignedIPs"] == 1
    assert set(said["ENIs"]) == {e["id"] for e in info["enis"]}
    for eni in info["enis"]:
        shown = said["ENIs"][eni["id"]]
        assert set(shown) == {"ID", "IsPrimary", "IsTrunk", "IsEFA", "DeviceNumber", "AvailableIPv4Cidrs", "IPv6Cidrs"}
        assert shown["ID"] == eni["id"] and shown["IsPrimary"] == eni["primary"] and shown["DeviceNumber"] == eni["device"]
        assert set(shown["AvailableIPv4Cidrs"]) == set(eni["slots"])
    cidr = next(c for e in said["ENIs"].values() for c in e["AvailableIPv4Cidrs"].values() if pods[0].address in c["IPAddresses"])
    assert cidr["IsPrefix"] is True and cidr["AddressFamily"] == "4" and cidr["Cidr"]["Mask"] == "////8A==", "a /28 as Go's net.IPMask"
    has = cidr["IPAddresses"][pods[0].address]
    assert has["IPAMMetadata"] == {"k8sPodNamespace": "default", "k8sPodName": pods[0].name}
    assert has["IPAMKey"] == {"networkName": "aws-cni", "containerID": "", "ifName": ""}
    assert has["UnassignedTime"] == "0001-01-01T00:00:00Z" < has["AssignedTime"]
    rests = next(c["IPAddresses"][pods[1].address] for e in said["ENIs"].values() for c in e["AvailableIPv4Cidrs"].values()
                 if pods[1].address in c["IPAddresses"])
    assert rests["IPAMMetadata"] == {} and rests["UnassignedTime"] > "2020"
    listed = json.loads(get(node, "/v1/pods")[1])
    assert listed == {f"{pods[0].name}_default_{pods[0].container_id}": {"IP": pods[0].address, "DeviceNumber": 0}}
    pods[0].delete()
    for pod in pods:
        pod.remove()


def test_settings_as_aws_node_shows_them(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 4, "external_snat": True, "exclude_snat_cidrs": ["192.168.0.0/16"], "eni_mtu": 1500,
                                   "randomize_snat": "hashrandom"}).nodes[0]
    proc.wait_until(node.serves, "the daemon to serve")
    assert json.loads(get(node, "/v1/networkutils-env-settings")[1]) == {
        "AWS_VPC_K8S_CNI_CONNMARK": 128, "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": ["192.168.0.0/16"], "AWS_VPC_K8S_CNI_EXTERNALSNAT": True,
        "AWS_VPC_ENI_MTU": 1500, "AWS_VPC_K8S_CNI_VETHPREFIX": "eni", "AWS_VPC_CNI_NODE_PORT_SUPPORT": True, "AWS_VPC_K8S_CNI_RANDOMIZESNAT": 1}
    assert json.loads(get(node, "/v1/ipamd-env-settings")[1]) == {
        "WARM_IP_TARGET": 4, "WARM_ENI_TARGET": 1, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": False}
    assert get(node, "/v1/eni-configs") == (404, "this node has no ENIConfig")
    assert "/v1/enis" in json.loads(get(node, "/v1/")[1])["AvailableCommands"]


# --- in a browser

@pytest.mark.limit(150)
def test_in_a_browser(node):
    if chromium.missing():
        pytest.skip(chromium.missing())
    pods = node.pods(21)
    for pod in pods[:-1]:
        pod.address = pod.add().address
    folder = Policies(node)
    target = pods[1]
    folder.shut(target)
    pods[0].run("nc", "-z", "-w", "1", target.address, "443", check=False)
    proc.wait_until(lambda: read(node).rows.get("denied"), "the denied connection on the page")
    pods[2].delete()
    settled(node)
    rows = "[...document.querySelectorAll('#pods tbody tr')].filter(r => !r.hidden).length"
    with chromium.Chromium(node) as browser:
        browser.open(URL + "/")
        assert browser.js("document.title").startswith("vpcwire i-") and browser.js("document.body.dataset.state") == "ready"
        assert browser.js("document.querySelectorAll('.map td.a').length") == browser.js(rows) == 19
        assert browser.js("getComputedStyle(document.querySelector('.map td.a')).backgroundColor") == "rgb(47, 126, 216)", "the style is in force"
        assert "default/shut" in browser.js("document.querySelector('#denied').textContent")
        assert browser.complaints() == []
        if os.environ.get("SCREENSHOT"):
            pathlib.Path(os.environ["SCREENSHOT"]).write_bytes(browser.screenshot(1240, 1180))
        assert browser.screenshot(1240, 900)[:8] == b"\x89PNG\r\n\x1a\n"
        # narrowing the list
        browser.js(f"(f => {{ f.value = '{pods[3].name}'; f.dispatchEvent(new Event('input')); }})(document.getElementById('filter'))")
        shown = browser.js(rows)
        assert 1 <= shown < 19
        browser.js("(f => { f.value = ''; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))")
        # a pod with a name of markup comes: the page takes it in by itself, as text
        pods[-1].add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={EVIL}"})
        proc.wait_until(lambda: browser.js(rows) == 20, "the new pod on the page", timeout=30, every=0.3)
        assert browser.js("document.body.dataset.state") == "live" and browser.js("document.querySelectorAll('main img, main script').length") == 0
        assert browser.js("document.title").startswith("vpcwire i-"), "nothing that was in a name has run"
        # script from elsewhere and inside the page is refused by the policy
        browser.js("document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 3'}))")
        assert browser.js("document.title").startswith("vpcwire i-")
        # without script it says the same
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.open(URL + "/")
        text = browser.call("DOM.getOuterHTML", nodeId=browser.call("DOM.getDocument", depth=-1)["root"]["nodeId"])["outerHTML"]
        assert text.count('class="a"') == 20 and f"default/{pods[4].name}" in text and 'id="filter"' not in text
    folder.take("shut.json")
    for index, pod in enumerate(pods):
        if index != 2:
            pod.delete()
        pod.remove()
