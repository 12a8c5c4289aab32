#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The fleet bench: run it, keep its figures as JSON, print them as a table and draw each trace as SVG.

    plot.py --fleet build/bin/fleet --out build [--nodes 1000] [--seed 1]

Writes <out>/fleet.json and <out>/fleet-<trace>.svg. Nothing but the standard library is needed.
"""
import argparse
import json
import pathlib
import subprocess
import sys

LIMIT_S = 300
COLOURS = {"vpcwire": "#1b7837", "vpcwire-prefix": "#7fbf7b", "aws-node": "#b2182b", "aws-node-warm-ip-5": "#ef8a62",
           "aws-node-prefix": "#762a83"}
# (title, value of a sample given (pods, waiting, idle, enis, calls, throttled) and the number of nodes)
PANELS = [("pods waiting for an address", lambda s, n: s[1]),
          ("idle addresses per node", lambda s, n: s[2] / n),
          ("EC2 calls so far", lambda s, n: s[4])]
WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 200, 70, 50, 50


def nice(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def polyline(points, colour):
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{text}"/>'


def panel(runs, title, value, top):
    series = {r["side"]: [value(s, r["nodes"]) for s in r["samples"]] for r in runs}
    highest = max((max(v) for v in series.values() if v), default=0) or 1
    longest = max(len(v) for v in series.values())
    minutes = longest * runs[0]["every_ms"] / 60000
    out = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{title}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
           f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{nice(highest)}</text>',
           f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
           f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 16}" text-anchor="end">{minutes:.0f} min</text>']
    for side, values in series.items():
        points = [(LEFT + i * WIDTH / max(longest - 1, 1), top + HEIGHT - v * HEIGHT / highest) for i, v in enumerate(values)]
        out.append(polyline(points, COLOURS[side]))
    return out


def svg(runs):
    height = TOP + len(PANELS) * (HEIGHT + GAP) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{height}" font-family="sans-serif"'
           f' font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for i, r in enumerate(runs):
        out.append(f'<text x="{LEFT + i * 170}" y="18" fill="{COLOURS[r["side"]]}">{r["side"]}</text>')
    for i, (title, value) in enumerate(PANELS):
        out += panel(runs, title, value, TOP + i * (HEIGHT + GAP))
    return "\n".join(out + ["</svg>"]) + "\n"


def table(runs):
    lines = ["| trace | side | pods | EC2 calls per pod | throttled | wait p50 | wait p99 | waited | idle per node |"
             " ENIs per node | fragmentation |", "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"]
    for r in runs:
        w = r["wait_ms"]
        lines.append(f'| {r["trace"]} | {r["side"]} | {r["pods"]:,} | {r["calls_per_pod"]:.3f} | {r["throttled_share"]:.0%} |'
                     f' {w["p50"] / 1000:.1f} s | {w["p99"] / 1000:.1f} s | {r["waited"] / max(r["pods"], 1):.1%} |'
                     f' {r["idle_per_node"]:.1f} | {r["enis_per_node"]:.2f} | {r["fragmentation"]:.0%} |')
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--fleet", required=True)
    p.add_argument("--out", required=True, type=pathlib.Path)
    p.add_argument("--nodes", default="1000")
    p.add_argument("--seed", default="1")
    a = p.parse_args()
    done = subprocess.run([a.fleet, "--nodes", a.nodes, "--seed", a.seed], stdout=subprocess.PIPE, timeout=LIMIT_S, check=True)
    runs = json.loads(done.stdout)["runs"]
    (a.out / "fleet.json").write_bytes(done.stdout)
    for trace in dict.fromkeys(r["trace"] for r in runs):
        (a.out / f"fleet-{trace}.svg").write_text(svg([r for r in runs if r["trace"] == trace]))
    print(table(runs))
    broken = sum(r["violations"] for r in runs)
    if broken:
        print(f"fleet: {broken} violations of EC2's limits or of one address, one pod", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
