# SPDX-License-Identifier: Apache-2.0
"""What a node looks like: the kernel's network objects and the daemon's books, for comparing before with after."""
import difflib
import json

from tests.harness import proc

PODS_TABLE = 22103

# What changes by itself and says nothing about a leak.
VOLATILE = {"preferred_life_time", "valid_life_time", "stats", "stats64", "txqlen", "expires", "age", "operstate", "carrier_changes"}


def _json(where, *argv):
    return json.loads(where.run(*argv).stdout or "[]")


def _clean(value):
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in sorted(value.items()) if k not in VOLATILE}
    if isinstance(value, list):
        return [_clean(v) for v in value if v != "NO-CARRIER"]      # like operstate: known a moment after a link is up
    return value


def _own_business(name, row):
    """IPv6's link-local addresses and their routes come by themselves, a second or two after a link is up."""
    return name == "route" and str(row.get("dst", "")).startswith(("fe80:", "ff00:")) or \
        name == "addr_info" and row.get("family") == "inet6" and row.get("scope") == "link"


def _free(route):
    """What ENIs have for pods is unreachable where no pod has it: comes and goes with growth, not with pods."""
    return route.get("table") == str(PODS_TABLE) and route.get("type") == "unreachable"


def _lines(name, value):
    rows = [r for r in (value if isinstance(value, list) else [value]) if not _own_business(name, r)]
    for row in rows:
        if "addr_info" in row:
            row["addr_info"] = [a for a in row["addr_info"] if not _own_business("addr_info", a)]
    return sorted(f"{name}: {json.dumps(_clean(r), sort_keys=True)}" for r in rows)


def _no_tentative(node):
    """A node's own IPv6 addresses appear, with their routes, a second after its links came up."""
    proc.wait_until(lambda: "tentative" not in node.run("ip", "addr", "show").stdout, "IPv6 addresses to be settled")


def kernel(node):
    """Links, addresses, routes of all tables, rules, neighbours we pinned, nftables, pinned eBPF objects of a node."""
    _no_tentative(node)
    state = []
    state += _lines("link", _json(node, "ip", "-d", "-j", "link", "show"))
    state += _lines("addr", _json(node, "ip", "-j", "addr", "show"))
    state += _lines("route", [r for r in _json(node, "ip", "-d", "-j", "route", "show", "table", "all") if not _free(r)])
    state += _lines("rule", _json(node, "ip", "-j", "rule", "show"))
    state += _lines("neigh", _json(node, "ip", "-j", "neigh", "show", "nud", "permanent"))
    rules = _json(node, "nft", "-j", "list", "ruleset").get("nftables", [])
    for rule in rules:
        rule.pop("metainfo", None)
    state += [f"nft: {json.dumps(_without_counters(r), sort_keys=True)}" for r in rules]
    pins = node.run("sh", "-c", "find /sys/fs/bpf -type f 2>/dev/null | sort", check=False).stdout.splitlines()
    state += [f"pin: {p}" for p in pins]
    return sorted(state)


def pod_objects(node):
    """Host ends of pods and their routes: what must be empty when no pod is left."""
    links = [l["ifname"] for l in _json(node, "ip", "-j", "link", "show") if l.get("ifalias", "").startswith("vpcwire:")]
    routes = [r["dst"] for r in _json(node, "ip", "-j", "route", "show", "table", "all")
              if r.get("table") == str(PODS_TABLE) and not _free(r)]
    return links + routes


def _without_counters(value):
    if isinstance(value, dict):
        return {k: _without_counters(v) for k, v in value.items() if k not in ("packets", "bytes", "handle")}
    if isinstance(value, list):
        return [_without_counters(v) for v in value]
    return value


def netns(pod):
    """The same for a pod's own namespace."""
    return sorted(_lines("link", _json(pod, "ip", "-d", "-j", "link", "show")) + _lines("addr", _json(pod, "ip", "-j", "addr", "show")) +
                  _lines("route", _json(pod, "ip", "-j", "route", "show", "table", "all")) +
                  _lines("neigh", _json(pod, "ip", "-j", "neigh", "show", "nud", "permanent")))


def books(node):
    """Who holds which address, according to the daemon. Cooling addresses are free for this purpose: they belong to nobody."""
    info = node.info()
    assert info["n_pods"] == len(info["pods"]), "more pods than one reply lists"
    return sorted(json.dumps(p, sort_keys=True) for p in info["pods"])


def node(which):
    """Kernel and books in one list of lines."""
    return kernel(which) + [f"attachment: {a}" for a in books(which)]


def settled(which, before, timeout=20):
    """Wait until a node looks as before: links are reaped in groups, a moment after the DEL that orphaned them."""
    proc.wait_until(lambda: node(which) == before, lambda: f"the node as before\n{difference(before, node(which))}", timeout)


def difference(before, after):
    """'' when equal, else a unified diff that a person can read."""
    return "\n".join(difflib.unified_diff(before, after, "before", "after", lineterm="", n=0))
