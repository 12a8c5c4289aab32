#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The curves of docs/PERFORMANCE.md: measured, kept as JSON, drawn as SVG. Nothing but the standard library is needed.

    curves.py [--out DIR] [--only add-latency packets new-flow burst] [--draw JSON]

Writes DIR/curve-<name>.svg and DIR/curves.json ({name: {"x": ..., "y": ..., "series": {who: [[x, y], ...]}}}); --draw takes such a file instead
of measuring.
"""
import argparse
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.bench import figures, packets, run  # noqa: E402
from tests.harness import proc  # noqa: E402
from tests.harness.lab import Lab  # noqa: E402
from tests.harness.spawn import Spawner  # noqa: E402

COLOURS = ("#1b7837", "#b2182b", "#762a83", "#777777")
WIDTH, HEIGHT, LEFT, TOP = 640, 300, 70, 60
BUCKET = 50             # pods whose median is one point


def median(values):
    return sorted(values)[len(values) // 2]


def add_latency():
    """Pods come one by one, ours and Debian's in turns, until there are 700 of each on the node."""
    seen = {"vpcwire": [], run.PEER_NAME: []}
    with Lab(**figures.NODE) as lab:
        node = lab.nodes[0]
        with Spawner(node) as spawner, Spawner(node, run.PEER_PATH) as peer_spawner:
            both = {"vpcwire": run.Ours(node, spawner), run.PEER_NAME: run.Peer(node, peer_spawner)}
            for _ in range(14):
                times = {who: [] for who in both}
                for pods in zip(*[node.pods(BUCKET) for _ in both]):
                    for who, pod in zip(both, pods):
                        times[who].append(both[who].add(pod))
                for who, values in times.items():
                    seen[who].append([(len(seen[who]) + 1) * BUCKET, round(median(values), 3)])
    return {"title": "ADD, exec to result, median", "x": "pods on the node, of each kind", "y": "ms", "series": seen}


def packets_over_pods():
    """What a node forwards in a second of processor time, with ever more pods beside the one that sends."""
    seen = {"vpcwire": [], "two rules a pod": []}
    with Lab(**packets.NODE) as lab:
        node = packets.Node(lab)
        everybody, done = node.others, 0
        for count in (0, 184, 368, 552, figures.PODS - 1):
            for pod in everybody[done:count]:
                node.call("ADD", pod)
            done = count
            proc.wait_until(node.calm, "the node at rest", timeout=60)
            seen["vpcwire"].append([count + 1, round(node.measure(), 1)])
            node.two_rules_a_pod(True)
            seen["two rules a pod"].append([count + 1, round(node.measure(), 1)])
            node.two_rules_a_pod(False)
        node.close()
    return {"title": "60-byte packets forwarded in a second of one processor", "x": "pods on the node", "y": "thousands", "series": seen}


def new_flow():
    """policy_bench's rows "... of 10,000 peers in use", without the floor."""
    out = subprocess.run([proc.BUILD / "bin/policy_bench", "15", "peers in use"], check=True, capture_output=True, text=True, timeout=120)
    seen = {}
    for r in json.loads(out.stdout):
        who, used = r["name"].split(", ")[0], int(r["name"].split(", ", 1)[1].split(" of ")[0].split(", ")[-1])
        who = {"new flow judged": "vpcwire", "per-pod LPM": "per-pod LPM, 24 port slots"}.get(who, who)
        seen.setdefault(who, []).append([used, r["ours"] - r["floor"]])
    return {"title": "judging a new flow, without the empty program", "x": "peers in use, of 10,000 known", "y": "ns", "log": True, "series": seen}


def burst():
    """So many ADDs at the same moment; the other kind waits its turn."""
    seen = {"vpcwire": [], run.PEER_NAME: []}
    with Lab(instance_type="m5.4xlarge", prefix_delegation=True) as lab:
        for size in (1, 5, 10, 20, 30, 40, 50):
            rounds = [run.burst(lab.nodes[0], size) for _ in range(3)]
            for who, key in (("vpcwire", "ours"), (run.PEER_NAME, "peer")):
                seen[who].append([size, round(median([median(r[key]) for r in rounds]), 2)])
    return {"title": "ADDs at the same moment, median of each", "x": "how many at once", "y": "ms", "series": seen}


CURVES = {"add-latency": add_latency, "packets": packets_over_pods, "new-flow": new_flow, "burst": burst}


# --- drawing

def nice(value):
    """The next 1, 2 or 5 times a power of ten."""
    step = 1.0
    while step < value:
        step *= 10
    return next(step * f for f in (0.1, 0.2, 0.5, 1) if step * f >= value)


def scale(curve):
    """-> (functions of x and of y to places, ticks of x, the highest y)"""
    xs = [x for points in curve["series"].values() for x, _ in points]
    top = nice(max(y for points in curve["series"].values() for _, y in points))
    if curve.get("log"):
        ticks = sorted(set(xs))
        return lambda x: LEFT + ticks.index(x) * WIDTH / max(1, len(ticks) - 1), lambda y: TOP + HEIGHT * (1 - y / top), ticks, top
    right = max(xs)
    step = nice(right / 8)
    ticks = [i * step for i in range(int(right / step) + 1)]
    return lambda x: LEFT + x * WIDTH / right, lambda y: TOP + HEIGHT * (1 - y / top), ticks, top


def svg(curve):
    at_x, at_y, ticks, top = scale(curve)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{TOP + HEIGHT + 50}" font-family="sans-serif" font-size="12">'
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="18" font-weight="bold">{curve["title"]}</text>',
           f'<text x="{LEFT - 6}" y="{TOP - 10}" text-anchor="end">{curve["y"]}</text>',
           f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 36}" text-anchor="end">{curve["x"]}</text>']
    for i in range(6):
        y = top * i / 5
        out += [f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at_y(y):.1f}" y2="{at_y(y):.1f}" stroke="#ddd"/>',
                f'<text x="{LEFT - 6}" y="{at_y(y) + 4:.1f}" text-anchor="end">{y:g}</text>']
    out += [f'<text x="{at_x(x):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{x:,g}</text>' for x in ticks]
    for i, (who, points) in enumerate(curve["series"].items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        out += [f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>',
                *[f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in points],
                f'<text x="{LEFT + i * 210}" y="38" fill="{colour}">{who}</text>']
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=pathlib.Path, default=proc.BUILD)
    p.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES))
    p.add_argument("--draw", type=pathlib.Path)
    a = p.parse_args()
    kept = a.out / "curves.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    measured = json.loads(a.draw.read_text()) if a.draw else {}
    for name in measured or a.only:
        curve = found[name] = measured.get(name) or CURVES[name]()
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (a.out / f"curve-{name}.svg").write_text(svg(curve))
        print(f"{name}: {json.dumps(curve['series'])}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
