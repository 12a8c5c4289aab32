# SPDX-License-Identifier: Apache-2.0
"""How soon what somebody takes away is back, on a full node of both families: from before the command that takes it until a sysctl has
its value again; of all else until the daemon says that it has restored something of that kind, which it does once it is idle again. A
second is promised.
"""
import json
import string

from tests.bench import figures
from tests.harness.lab import Lab

ROUNDS = 7              # fewer than drift's patience with who does the same thing again and again
ACCEPT_RA = "/proc/sys/net/ipv6/conf/$eni/accept_ra"
# kind, what somebody does; of a sysctl which, and its value
LOSSES = [
    ("rule", "ip rule flush; ip rule add pref 32766 lookup main protocol kernel; ip rule add pref 32767 lookup default protocol kernel"),
    ("route", "ip route flush table 22103"),
    ("route", "ip route del default table $table"),
    ("nft", "nft flush ruleset"),
    ("filter", "tc qdisc del dev $veth clsact"),
    ("sysctl", "echo 0 >/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_forward", "1"),
    ("sysctl", f"echo 2 >{ACCEPT_RA}", ACCEPT_RA, "0"),
    ("link", "ip link set $veth mtu 1280"),
    ("address", "ip -6 addr del fe80::1/64 dev $veth"),
]

# SOCKET ROUNDS < losses -> milliseconds for each; on the node, so that no process is started between two looks
CLOCK = """import json, random, socket, subprocess, sys, time
def drift():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(sys.argv[1])
        s.send(b'{"op":"query","vmin":1,"vmax":1,"what":"drift"}')
        return json.loads(s.recv(1 << 16))["result"]
def rest():
    last = None
    while last != (last := drift()["rounds"]):
        time.sleep(0.3)
took = []
for kind, script, *sysctl in json.load(sys.stdin):
    took.append([])
    for _ in range(int(sys.argv[2])):
        rest()
        time.sleep(random.random())     # anywhere between two looks
        before, began = drift()["restored"][kind], time.monotonic()
        subprocess.run(["sh", "-ec", script], check=True)
        while open(sysctl[0]).read().strip() != sysctl[1] if sysctl else drift()["restored"][kind] == before:
            assert time.monotonic() < began + 20, script
            time.sleep(0.001)
        took[-1].append((time.monotonic() - began) * 1e3)
print(json.dumps(took))
"""


def rows(pods=700):
    with Lab("--ipv6", instance_type="m5.24xlarge") as lab:          # addresses one by one: so many pods need all 15 ENIs
        node = lab.nodes[0]
        figures.add_pods(node, pods)
        info = node.info()
        eni = next(e for e in info["enis"] if not e["primary"])
        names = {"veth": info["pods"][0]["host_ifname"], "eni": eni["ifname"], "table": eni["device"] + 1}
        losses = [[string.Template(word).safe_substitute(names) for word in loss] for loss in LOSSES]
        done = node.run("/usr/bin/python3", "-c", CLOCK, node.socket, ROUNDS, input=json.dumps(losses), timeout=600)
    return [figures.row(f"drift: {script.split(';')[0]}: until it is back, {of} of {ROUNDS}", "ms", round(pick(times), 1))
            for (_, script, *_), times in zip(LOSSES, json.loads(done.stdout))
            for of, pick in (("median", lambda t: sorted(t)[len(t) // 2]), ("worst", max))]
