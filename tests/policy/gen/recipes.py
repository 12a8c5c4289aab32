# SPDX-License-Identifier: Apache-2.0
"""The 15 policies of ahmetb's network policy recipes.

Source: ahmetb/kubernetes-network-policy-recipes (01 to 12 and 14), with the pods that Cyclonus' pkg/recipes gives them. The
manifests are as printed there: most leave policyTypes and the namespace out. Besides the pods, the internet (out/web) and the
pods' own node ask and are asked, because several recipes are about them.
"""
from common import Table, case, expect, labels, port, step, write

NS = ("x", "default", "y")
OUT = ["out/web", "node/n1"]


def policy(name, spec, ns=None):
    meta = {"name": name, **({"namespace": ns} if ns else {})}
    return {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": meta, "spec": spec}


def web(app="web", **more):
    return {"podSelector": labels(app=app, **more)}


def recipe(number, title, manifest, pods, *changes, ports=("80/TCP",), closed=(), spaces=NS, namespaces=None):
    """pods: labels of those that have some. changes on all ports; closed: changes on those ports that say so."""
    everyone = {f"{n}/{p}": {"labels": pods.get(f"{n}/{p}", {})} for n in spaces for p in "abc"}
    everyone.update({p: {"labels": pods[p]} for p in pods})
    ends = list(everyone) + OUT

    def table(extra=()):
        t = Table(ends)
        for what, src, dst in (*changes, *extra):
            getattr(t, what)(src, dst)
        t.allow("node/n1", "*").allow("*", "node/n1")       # a pod's own node may always
        for a in OUT:
            for b in OUT:
                t.skip(a, b)
        return t
    say = [expect(table(), *ports)] if ports else []
    say += [expect(table(extra), *on) for on, extra in closed]
    world = {"pods": everyone, "namespaces": {n: (namespaces or {}).get(n, {}) for n in spaces}}
    return case(f"recipe-{number}", title, step(manifest, expect=say), world=world, ends=ends)


def make():
    d, a = "deny", "allow"
    is_web = {"default/b": {"app": "web"}}
    foo = {"default/b": {"app": "foo"}}
    dns = [port(53, "UDP"), port(53, "TCP")]
    monitoring = {e: {"role": "monitoring"} for e in ("x/a", "default/a", "y/a")}
    books = {"default/a": {"app": "bookstore", "role": "search"}, "default/b": {"app": "bookstore", "role": "db"},
             "default/c": {"app": "bookstore", "role": "api"}, "default/d": {"app": "inventory", "role": "web"},
             "y/a": {"app": "bookstore", "role": "search"}, "y/b": {"app": "bookstore", "role": "api"},
             "y/c": {"app": "inventory", "role": "web"}}
    every = ("80/TCP", "5000/TCP", "53/UDP", "53/TCP", "ICMP")
    cases = [
        recipe("01", "deny all traffic to an application", policy("web-deny-all", {**web(), "ingress": []}), is_web,
               (d, "*", "default/b"), ports=every),
        recipe("02", "limit traffic to an application",
               policy("api-allow", {**web("bookstore", role="api"), "ingress": [{"from": [{"podSelector": labels(app="bookstore")}]}]}),
               {"x/b": {"app": "bookstore"}, "default/a": {"app": "bookstore"}, "default/b": {"app": "bookstore", "role": "api"},
                "default/c": {"role": "api"}, "y/c": {"app": "bookstore"}}, (d, "*", "default/b"), (a, "default/a", "default/b"), ports=every),
        recipe("02a", "allow all traffic to an application", policy("web-allow-all", {**web(), "ingress": [{}]}, "default"), is_web, ports=every),
        recipe("03", "deny all traffic in a namespace", policy("default-deny-all", {"podSelector": {}, "ingress": []}, "default"), {},
               (d, "*", "default/*"), ports=every),
        recipe("04", "deny traffic from other namespaces",
               policy("deny-from-other-namespaces", {"podSelector": {"matchLabels": None}, "ingress": [{"from": [{"podSelector": {}}]}]}, "secondary"),
               {}, (d, "*", "secondary/*"), (a, "secondary/*", "secondary/*"), ports=every, spaces=("x", "default", "secondary")),
        recipe("05", "allow traffic from all namespaces",
               policy("web-allow-all-namespaces", {**web(), "ingress": [{"from": [{"namespaceSelector": {}}]}]}, "default"), is_web,
               (d, "out/web", "default/b"), ports=every),
        recipe("06", "allow traffic from a namespace",
               policy("web-allow-prod", {**web(), "ingress": [{"from": [{"namespaceSelector": labels(purpose="production")}]}]}), is_web,
               (d, "*", "default/b"), (a, "x/*", "default/b"), ports=every, namespaces={"x": {"purpose": "production"}}),
        recipe("07", "allow traffic from some pods in another namespace",
               policy("web-allow-all-ns-monitoring", {**web(), "ingress": [{"from": [
                   {"namespaceSelector": labels(team="operations"), "podSelector": labels(type="monitoring")}]}]}, "default"),
               {**is_web, **{e: {"type": "monitoring"} for e in ("x/a", "default/a", "y/a")}},
               (d, "*", "default/b"), (a, "x/a", "default/b"), (a, "y/a", "default/b"), ports=every,
               namespaces={"x": {"team": "operations"}, "y": {"team": "operations"}}),
        recipe("08", "allow traffic from external clients", policy("web-allow-external", {**web(), "ingress": [{"from": []}]}), is_web, ports=every),
        recipe("09", "allow traffic only to a port",
               policy("api-allow-5000", {**web("apiserver"), "ingress": [{"ports": [{"port": 5000}], "from": [{"podSelector": labels(role="monitoring")}]}]}),
               {**monitoring, "default/b": {"app": "apiserver"}}, (d, "*", "default/b"), (a, "default/a", "default/b"), ports=("5000/TCP",),
               closed=[(("80/TCP", "5000/UDP", "ICMP"), [(d, "*", "default/b")])]),
        recipe("10", "allow traffic with multiple selectors",
               policy("redis-allow-services", {**web("bookstore", role="db"), "ingress": [{"from": [
                   {"podSelector": labels(app="bookstore", role="search")}, {"podSelector": labels(app="bookstore", role="api")},
                   {"podSelector": labels(app="inventory", role="web")}]}]}), books,
               (d, "*", "default/b"), *[(a, f"default/{p}", "default/b") for p in "acd"], ports=every),
        recipe("11-1", "deny egress from an application", policy("foo-deny-egress", {**web("foo"), "policyTypes": ["Egress"], "egress": []}), foo,
               (d, "default/b", "*"), ports=every),
        recipe("11-2", "deny egress from an application but for DNS",
               policy("foo-deny-egress", {**web("foo"), "policyTypes": ["Egress"], "egress": [{"ports": dns}]}), foo,
               ports=("53/UDP", "53/TCP"), closed=[(("80/TCP", "5000/TCP", "ICMP"), [(d, "default/b", "*")])]),
        recipe("12", "deny all egress from a namespace",
               policy("default-deny-all-egress", {"policyTypes": ["Egress"], "podSelector": {}, "egress": []}, "default"), {},
               (d, "default/*", "*"), ports=every),
        recipe("14", "deny external egress",
               policy("foo-deny-external-egress", {**web("foo"), "policyTypes": ["Egress"], "egress": [{"ports": dns}, {"to": [{"namespaceSelector": {}}]}]}),
               foo, ports=("53/UDP", "53/TCP"), closed=[(("80/TCP", "5000/TCP", "ICMP"), [(d, "default/b", "out/web")])]),
    ]
    assert len(cases) == 15
    world = {"nodes": {"n1": {"ip": ["192.168.7.1", "fd07::1"]}}, "serve": ["80/TCP", "5000/TCP"], "services": "each",
             "outside": {"web": ["203.0.113.9", "2001:db8::9"]}}
    return write("recipes.json", "recipes", "ahmetb/kubernetes-network-policy-recipes @11f5018", world, cases)
