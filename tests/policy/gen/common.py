# SPDX-License-Identifier: Apache-2.0
"""What the generators of fixtures share: objects, tables of who reaches whom, and writing a suite.

Nothing here evaluates a policy. Expectations are what the author of a case says; the tables are only a short way to say it.
"""
import json
import pathlib

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def labels(**kv):
    return {"matchLabels": kv}


def expr(key, op, *values):
    return {"matchExpressions": [{"key": key, "operator": op, **({"values": list(values)} if values else {})}]}


def port(number=None, proto=None, end=None):
    """An entry of a NetworkPolicy's ports."""
    out = {}
    if number is not None:
        out["port"] = number
    if proto is not None:
        out["protocol"] = proto
    if end is not None:
        out["endPort"] = end
    return out


def np(ns, name, pods=None, ingress=None, egress=None, types=None):
    """A NetworkPolicy. A direction that is given (also as []) is in policyTypes, unless types says otherwise."""
    spec = {"podSelector": pods if pods is not None else {}}
    if ingress is not None:
        spec["ingress"] = ingress
    if egress is not None:
        spec["egress"] = egress
    if types is None:
        types = [t for t, given in (("Ingress", ingress), ("Egress", egress)) if given is not None]
    if types:
        spec["policyTypes"] = types
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": ns, "name": name}, "spec": spec}


def cnp(name, tier, priority, subject, ingress=None, egress=None):
    spec = {"tier": tier, "priority": priority, "subject": subject}
    if ingress is not None:
        spec["ingress"] = ingress
    if egress is not None:
        spec["egress"] = egress
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": name}, "spec": spec}


class Table:
    """Who reaches whom: everything allowed at first; later words win. An end is "x/a"; "x/*", "*/a" and "*" are sets."""

    def __init__(self, ends, loopback="-", allowed=True):
        self.ends = list(ends)
        self.cell = {(s, d): "." if allowed else "X" for s in self.ends for d in self.ends}
        for end in self.ends:
            self.cell[end, end] = loopback
        self.loopback = loopback

    @staticmethod
    def match(pattern, end):
        if pattern == "*":
            return True
        p, e = pattern.split("/", 1), end.split("/", 1)
        return all(a in ("*", b) for a, b in zip(p, e))

    def _set(self, src, dst, char):
        n = 0
        for s in self.ends:
            for d in self.ends:
                if self.match(src, s) and self.match(dst, d):
                    n += 1
                    if s != d or self.loopback != "-":
                        self.cell[s, d] = char
        assert n, f"{src} -> {dst} is nobody of {self.ends}"
        return self

    def deny(self, src, dst):
        return self._set(src, dst, "X")

    def allow(self, src, dst):
        return self._set(src, dst, ".")

    def skip(self, src, dst):
        return self._set(src, dst, "-")

    def rows(self):
        return ["".join(self.cell[s, d] for d in self.ends) for s in self.ends]


def table_of(ends, allowed, skip=lambda s, d: s == d):
    """A table from a function (source, destination) -> bool."""
    t = Table(ends, loopback="?")
    for s in ends:
        for d in ends:
            t.cell[s, d] = "-" if skip(s, d) else "." if allowed(s, d) else "X"
    return t


def expect(table, *on):
    return {"on": list(on), "rows": table.rows()}


def merged(expects):
    """Expectations with equal tables share one entry."""
    out = []
    for e in expects:
        for o in out:
            if o["rows"] == e["rows"]:
                o["on"] += e["on"]
                break
        else:
            out.append({"on": list(e["on"]), "rows": e["rows"]})
    return out


def step(*do, expect=(), names=None):
    out = {"do": [d if "apply" in d or "delete" in d or "labels" in d or "refuse" in d or "pods" in d or "namespaces" in d
                  else {"apply": d} for d in do], "expect": merged(expect)}
    if names:
        out["names"] = names
    return out


def case(name, title, *steps, **more):
    return {"name": name, "title": title, **more, "steps": list(steps)}


def write(file, suite, source, world, cases, **more):
    """One case a line, so that a change shows which."""
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    head = {"suite": suite, "source": source, **more, "world": world}
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "cases": [\n'
    text += ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases) + "\n]}\n"
    (FIXTURES / file).write_text(text, encoding="utf-8")
    return len(cases)
