# SPDX-License-Identifier: Apache-2.0
"""The 230 cases that Cyclonus (now policy-assistant of network-policy-api) generates, by category.

Source: mattfenwick/cyclonus pkg/generator (targetcases, rulescases, peerscases, portprotocolcases, examplecases, actioncases,
conflictcases, namespacecases, upstreame2ecases) and kubernetes-sigs/network-policy-api cmd/policy-assistant/pkg/generator.
Nine pods in three namespaces; most cases are a base policy with one thing changed, probed on six ports.

Cyclonus computes its truth tables. Here each building block comes with who it stands for, said by hand beside its JSON: a peer
with the pods that it means, a port with the served ports that it means; a table says: allowed by both ends, where an end is
free, or some rule of it has both. Differences from the source: CIDRs come in both families, so that a case serves both; the
bounds of the six port ranges are ours (79-80 and 80-81 over each protocol), because that version was not at hand.
"""
from common import Table, case, expect, expr, labels, np, port, step, table_of, write

NAMES, PODS = "xyz", "abc"
ENDS = [f"{n}/{p}" for n in NAMES for p in PODS]
ON = [(p, q) for q in ("TCP", "UDP", "SCTP") for p in (80, 81)]
ALL = frozenset(ON)
# all c pods are in one /24 (/120); of these y/c and z/c in one /28 (/124) with z/c, whose address the source takes
LAST = {"a": (1, 17, 33, 49), "b": (2, 17, 33, 49), "c": (3, 40, 9, 13)}


def addresses(end):
    n, p = end.split("/")
    net, host = LAST[p][0], LAST[p][1 + NAMES.index(n)]
    return [f"10.9.{net}.{host}", f"fd09::{net}:{host:x}"]


def ns_of(end):
    return end.split("/")[0].split("-")[0]          # y-2 is labelled ns=y


def pod_of(end):
    return end.split("/")[1]


class Rule:
    """Peers and ports as JSON, each with what it means: a test of an end, a set of (port, protocol). None: left out."""

    def __init__(self, peers=None, ports=None):
        self.peers, self.ports = peers, ports

    def json(self, side):
        out = {}
        if self.peers is not None:
            out[side] = [j for js, _ in self.peers for j in js]
        if self.ports is not None:
            out["ports"] = [j for j, _ in self.ports]
        return out

    def allows(self, end, on):
        return (not self.peers or any(means(end) for _, means in self.peers)) and \
            (not self.ports or any(on in means for _, means in self.ports))


class Policy:
    def __init__(self, ns="x", name="base", selector=None, means=None, ingress=None, egress=None):
        self.ns, self.name, self.ingress, self.egress = ns, name, ingress, egress
        self.selector = labels(pod="a") if selector is None else selector
        self.means = means or (lambda e: pod_of(e) == "a")

    def json(self):
        return np(self.ns, self.name, self.selector, None if self.ingress is None else [r.json("from") for r in self.ingress],
                  None if self.egress is None else [r.json("to") for r in self.egress])

    def target(self, end):
        return end.split("/")[0] == self.ns and self.means(end)


def one_peer(json, means):
    return [json], means


def tables(policies, ends=ENDS, on=ON, there=lambda e: True):
    """What the policies mean together, for each port."""
    def side(self, peer, which, o):
        mine = [p for p in policies if p.target(self) and getattr(p, which) is not None]
        return not mine or any(r.allows(peer, o) for p in mine for r in getattr(p, which))

    def skip(s, d):
        return s == d or not there(s) or not there(d)
    return [expect(table_of(ends, lambda s, d, o=o: side(s, d, "egress", o) and side(d, s, "ingress", o), skip), f"{o[0]}/{o[1]}")
            for o in on]


TCP80 = [(port(80, "TCP"), {(80, "TCP")})]
DNS = Rule(ports=[(port(53, "UDP"), set()), (port(53, "TCP"), set())])


def base(ingress=None, egress=None, **more):
    """The base policy; ingress and egress replace its first rule, or, as a list, all rules."""
    into = Rule([one_peer({"podSelector": expr("pod", "In", "b", "c"), "namespaceSelector": expr("ns", "In", "x", "y")},
                          lambda e: pod_of(e) in "bc" and ns_of(e) in "xy")], TCP80)
    out = Rule([one_peer({"podSelector": expr("pod", "In", "a", "b"), "namespaceSelector": expr("ns", "In", "y", "z")},
                         lambda e: pod_of(e) in "ab" and ns_of(e) in "yz")], TCP80)
    if isinstance(ingress, dict):
        into = Rule(ingress.get("peers", into.peers), ingress.get("ports", into.ports))
    if isinstance(egress, dict):
        out = Rule(egress.get("peers", out.peers), egress.get("ports", out.ports))
    return Policy(ingress=ingress if isinstance(ingress, list) else [into],
                  egress=egress if isinstance(egress, list) else [out, DNS], **more)


def turned(direction, what):
    return base(**{direction: what})


class Cases:
    def __init__(self, category):
        self.category, self.list = category, []

    def add(self, title, *steps, **more):
        self.list.append(case(f"{self.category}-{len(self.list) + 1:03}", title, *steps, **more))

    def simple(self, title, *policies):
        self.add(title, step(*[p.json() for p in policies], expect=tables(policies)))


def target_cases():
    c = Cases("target")
    for n in NAMES:
        c.simple(f"set namespace to {n}", base(ns=n))
    c.simple("set pod selector to everything", base(selector={}, means=lambda e: True))
    c.simple("set pod selector to pod=a", base(selector=labels(pod="a"), means=lambda e: pod_of(e) == "a"))
    c.simple("set pod selector to pod in a, b", base(selector=expr("pod", "In", "a", "b"), means=lambda e: pod_of(e) in "ab"))
    return c.list


def rule_cases():
    c = Cases("rules")
    for d in ("egress", "ingress"):
        c.simple(f"{d}: deny all", turned(d, []))
        c.simple(f"{d}: allow all", turned(d, [Rule()]))
    return c.list


def peers():
    pod_c, ns_x = labels(pod="c"), labels(ns="x")
    out = [
        ("empty pods + nil ns", {"podSelector": {}}, lambda e: ns_of(e) == "x"),
        ("pods by label + nil ns", {"podSelector": pod_c}, lambda e: e == "x/c"),
        ("nil pods + empty ns", {"namespaceSelector": {}}, lambda e: True),
        ("empty pods + empty ns", {"podSelector": {}, "namespaceSelector": {}}, lambda e: True),
        ("pods by label + empty ns", {"podSelector": pod_c, "namespaceSelector": {}}, lambda e: pod_of(e) == "c"),
        ("nil pods + ns by label", {"namespaceSelector": ns_x}, lambda e: ns_of(e) == "x"),
        ("empty pods + ns by label", {"podSelector": {}, "namespaceSelector": ns_x}, lambda e: ns_of(e) == "x"),
        ("pods by label + ns by label", {"podSelector": pod_c, "namespaceSelector": ns_x}, lambda e: e == "x/c"),
    ]
    out = [(title, [json], means) for title, json, means in out]
    out.append(("simple ipblock", [{"ipBlock": {"cidr": "10.9.3.0/24"}}, {"ipBlock": {"cidr": "fd09::3:0/120"}}],
                lambda e: pod_of(e) == "c"))
    out.append(("ipblock with except", [{"ipBlock": {"cidr": "10.9.3.0/24", "except": ["10.9.3.0/28"]}},
                                        {"ipBlock": {"cidr": "fd09::3:0/120", "except": ["fd09::3:0/124"]}}],
                lambda e: e == "x/c"))
    return out


def peer_cases():
    c = Cases("peers")
    directions = ("ingress", "egress")
    for d in directions:
        c.simple(f"{d}: empty peers", turned(d, {"peers": []}))
    for d in directions:
        for title, json, means in peers():
            c.simple(f"{d}: {title}", turned(d, {"peers": [(json, means)]}))
    for d in directions:
        for i, (t1, j1, m1) in enumerate(peers()):
            for t2, j2, m2 in peers()[i + 1:]:
                c.simple(f"{d}, 2-peer: {t1}, {t2}", turned(d, {"peers": [(j1, m1), (j2, m2)]}))
    return c.list


def ports():
    out = []
    for proto in (None, "TCP", "UDP", "SCTP"):
        p = proto or "TCP"
        out.append((port(proto=proto), {(80, p), (81, p)}))
        out.append((port(80, proto), {(80, p)}))
        out.append((port(81, proto), {(81, p)}))
    for proto in ("TCP", "UDP", "SCTP"):
        for n in (80, 81):
            out.append((port(f"serve-{n}-{proto.lower()}", proto), {(n, proto)}))
    for proto in ("TCP", "UDP", "SCTP"):
        out.append((port(79, proto, 80), {(80, proto)}))
        out.append((port(80, proto, 81), {(80, proto), (81, proto)}))
    return out


def port_cases():
    c = Cases("port")
    directions = ("egress", "ingress")
    for d in directions:
        c.simple(f"{d}: empty port/protocol", turned(d, {"ports": []}))
    for d in directions:
        for json, means in ports():
            c.simple(f"{d}: {json}", turned(d, {"ports": [(json, means)]}))
        c.simple(f"{d}: open a named port that doesn't match its protocol", turned(d, {"ports": [(port("serve-81-udp", "TCP"), set())]}))
        c.simple(f"{d}: open a named port that isn't served", turned(d, {"ports": [(port("serve-7981-udp", "TCP"), set())]}))
        c.simple(f"{d}: open a numbered port that isn't served", turned(d, {"ports": [(port(7981, "TCP"), set())]}))
    every = (port(), {(80, "TCP"), (81, "TCP")})
    tcp80 = (port(80), {(80, "TCP")})
    pairs = [
        [every, tcp80],
        [every, (port("serve-80-tcp"), {(80, "TCP")})],
        [every, (port(proto="UDP"), {(80, "UDP"), (81, "UDP")})],
        [tcp80, (port(81), {(81, "TCP")})],
        [tcp80, (port("serve-81-tcp"), {(81, "TCP")})],
        [tcp80, (port("serve-81-udp", "UDP"), {(81, "UDP")})],
        [(port(80, "UDP"), {(80, "UDP")}), (port("serve-81-udp", "UDP"), {(81, "UDP")})],
    ]
    for d in directions:
        for pair in pairs:
            c.simple(f"{d}: {pair[0][0]}, {pair[1][0]}", turned(d, {"ports": pair}))
    return c.list


def example_cases():
    c = Cases("example")
    p = Policy(name="allow-all", selector={"matchLabels": {}}, means=lambda e: True,
               ingress=[Rule(ports=[(port("serve-81-tcp"), {(81, "TCP")})])])
    ends = ENDS + ["w/a"]

    def look(with_w, on=ON):
        return tables([p], ends, on, lambda e: with_w or e != "w/a")
    c.add("ingress to one named port, while a namespace comes and goes",
          step(p.json(), expect=look(False)),
          step({"namespaces": {"w": {"ns": "w"}}}, {"pods": {"w/a": {}}}, expect=look(True)),
          step({"delete": "Pod/w/a"}, expect=look(False)), step({"delete": "Namespace/w"}, expect=look(False)),
          step(expect=look(False)), step(expect=look(False, [(81, "TCP")])), step(expect=look(False, [(81, "TCP")])), ends=ends)
    return c.list


def action_cases():
    c = Cases("action")
    b = base()
    c.add("create/delete policy", step(b.json(), expect=tables([b])), step({"delete": "NetworkPolicy/x/base"}, expect=tables([])))
    u = turned("ingress", {"ports": [(port("serve-81-udp", "UDP"), {(81, "UDP")})]})
    c.add("create/update policy", step(b.json(), expect=tables([b])), step(u.json(), expect=tables([u])))
    ends = ENDS + ["y-2/a", "y-2/b"]

    def look(there, which=ends):
        return tables([b], which, ON, lambda e: there or e in ENDS)
    c.add("create/delete namespace", step(b.json(), expect=look(False)),
          step({"namespaces": {"y-2": {"ns": "y"}}}, {"pods": {"y-2/a": {}, "y-2/b": {}}}, expect=look(True)),
          step({"delete": "Namespace/y-2"}, expect=look(False)), ends=ends)
    nobody = one_peer({"namespaceSelector": labels(**{"new-ns": "qrs"})}, lambda e: False)
    before, during = turned("ingress", {"peers": [nobody]}), turned("ingress", {"peers": [(nobody[0], lambda e: ns_of(e) == "y")]})
    c.add("update namespace so that policy applies, then again so it no longer applies",
          step(before.json(), expect=tables([before])),
          step({"labels": {"Namespace/y": {"ns": "y", "new-ns": "qrs"}}}, expect=tables([during])),
          step({"labels": {"Namespace/y": {"ns": "y"}}}, expect=tables([before])))
    ends = ENDS + ["x/d"]
    c.add("create/delete pod", step(b.json(), expect=look(False, ends)), step({"pods": {"x/d": {}}}, expect=look(True, ends)),
          step({"delete": "Pod/x/d"}, expect=look(False, ends)), ends=ends)
    nobody = one_peer({"podSelector": labels(**{"new-label": "abc"}), "namespaceSelector": expr("ns", "In", "y", "z")}, lambda e: False)
    before, during = turned("ingress", {"peers": [nobody]}), turned("ingress", {"peers": [(nobody[0], lambda e: e == "y/b")]})
    c.add("update pod so that policy applies, then again so it no longer applies",
          step(before.json(), expect=tables([before])),
          step({"labels": {"Pod/y/b": {"pod": "b", "new-label": "abc"}}}, expect=tables([during])),
          step({"labels": {"Pod/y/b": {"pod": "b"}}}, expect=tables([before])))
    return c.list


def conflict_cases():
    c = Cases("conflict")
    everyone = Rule()
    by_pod = Rule([one_peer({"namespaceSelector": {}}, lambda e: True)])
    by_ip = Rule([([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}], lambda e: True)])
    no_ip = Rule([([{"ipBlock": {"cidr": "0.0.0.0/31"}}, {"ipBlock": {"cidr": "::/127"}}], lambda e: False)])
    no_pod = Rule([one_peer({"namespaceSelector": labels(**{"this-will-never-happen": "qrs123"})}, lambda e: False)])

    def at(ns, pod, name, direction, rules):
        return Policy(ns, name, labels(pod=pod), lambda e: pod_of(e) == pod, **{direction: rules})

    def src(name, rules):
        return at("x", "b", name, "egress", rules)

    def src_in(name, rules):
        return at("x", "b", name, "ingress", rules)

    def dst(name, rules):
        return at("y", "c", name, "ingress", rules)

    def add(title, *policies):
        dns = [at("x", "b", "allow-dns", "egress", [DNS])] if any(p.egress is not None for p in policies) else []
        c.simple(title, *policies, *dns)
    add("deny all from source, allow all to dest", src("deny-all-egress", []), dst("allow-all-ingress", [everyone]))
    add("allow all from source, deny all to dest", src("allow-all-egress", [everyone]), dst("deny-all-ingress", []))
    add("deny all + allow all from same source", src("deny-all-egress", []), src("allow-all-egress", [everyone]))
    add("deny all + allow all to same dest", dst("deny-all-ingress", []), dst("allow-all-ingress", [everyone]))
    for direction, make in (("from", src), ("to", src_in)):
        add(f"deny all + allow all by pod {direction} same source", make("deny-all", []), make("allow-all-by-pod", [by_pod]))
        add(f"deny all + allow all by IP {direction} same source", make("deny-all", []), make("allow-all-by-ip", [by_ip]))
        add(f"deny all by IP + allow all by pod {direction} same source", make("deny-all-by-ip", [no_ip]), make("allow-all-by-pod", [by_pod]))
        add(f"deny all by pod + allow all by IP {direction} same source", make("deny-all-by-pod", [no_pod]), make("allow-all-by-ip", [by_ip]))
    add("egress: deny all by IP", src("deny-all-egress-by-ip", [no_ip]))
    add("egress: deny all by pod", src("deny-all-egress-by-pod", [no_pod]))
    add("ingress: deny all by IP", src_in("deny-all-ingress-by-ip", [no_ip]))
    add("ingress: deny all by pod", src_in("deny-all-ingress-by-pod", [no_pod]))
    return c.list


def namespace_cases():
    c = Cases("default-label")
    z = one_peer({"namespaceSelector": labels(**{"kubernetes.io/metadata.name": "z"})}, lambda e: ns_of(e) == "z")
    for d in ("ingress", "egress"):
        c.simple(f"{d}: select namespace by default label", turned(d, {"peers": [z]}))
    return c.list


def on_all(table):
    return [expect(table, *[f"{p}/{q}" for p, q in ON])]


def upstream_cases():
    """Older forms of some of Kubernetes' own tests, on nine pods and all ports."""
    c = Cases("upstream-e2e")
    a, b = labels(pod="a"), labels(pod="b")
    x, y = {"namespaceSelector": labels(ns="x")}, {"namespaceSelector": labels(ns="y")}

    def t():
        return Table(ENDS)

    def mixed(special, other):
        """special: {(port, protocol): table}; the rest of the ports: other"""
        return [expect(special.get(o, other), f"{o[0]}/{o[1]}") for o in ON]
    c.add("default-deny-ingress", step(np("x", "deny-ingress", ingress=[]), expect=on_all(t().deny("*", "x/*"))))
    c.add("default-deny-all", step(np("x", "deny-all-allow-dns", ingress=[], egress=[DNS.json("to")]),
                                   expect=on_all(t().deny("*", "x/*").deny("x/*", "*"))))
    peer = {"namespaceSelector": expr("ns", "NotIn", "x"), "podSelector": expr("pod", "In", "b", "c")}
    t3 = t().deny("*", "x/a")
    for e in ("y/b", "y/c", "z/b", "z/c"):
        t3.allow(e, "x/a")
    c.add("several podSelectors and namespaceSelectors", step(np("x", "allow-ns-y-z-pod-b-c", a, [{"from": [peer]}]), expect=on_all(t3)))
    only_y, none = t().deny("*", "x/a").allow("y/*", "x/a"), t().deny("*", "x/a")

    def stacked(n):
        return np("x", f"allow-client-a-via-ns-selector-{n}", a, [{"from": [y], "ports": [port(n, "TCP")]}])
    c.add("stacked policies with overlapping podSelectors",
          step(stacked(81), expect=mixed({(81, "TCP"): only_y}, none)), step(expect=mixed({(81, "TCP"): only_y}, none)),
          step(stacked(80), expect=mixed({(81, "TCP"): only_y, (80, "TCP"): only_y}, none)))
    c.add("allow-all", step(np("x", "allow-all", {"matchLabels": {}}, [{}]), expect=on_all(t())), step(expect=on_all(t())))
    c.add("ingress to one named port",
          step(np("x", "allow-all", {"matchLabels": {}}, [{"ports": [port("serve-81-tcp")]}]), expect=[expect(t(), "81/TCP")]),
          step(expect=mixed({(81, "TCP"): t()}, t().deny("*", "x/*"))))
    name = "allow-all-mutate-to-deny-all"
    c.add("updated policy", step(np("x", name, {"matchLabels": {}}, [{}]), expect=on_all(t())),
          step(np("x", name, {"matchLabels": {}}, []), expect=on_all(t().deny("*", "x/*"))))
    c.add("ingress from updated namespace",
          step(np("x", "allow-client-a-via-ns-selector", a, [{"from": [{"namespaceSelector": labels(ns2="updated")}]}]), expect=on_all(none)),
          step({"labels": {"Namespace/y": {"ns": "y", "ns2": "updated"}}}, expect=on_all(only_y)))
    c.add("ingress from updated pod",
          step(np("x", "allow-client-a-via-pod-selector", a, [{"from": [{"podSelector": labels(pod="b", pod2="updated")}]}]),
               expect=on_all(none)),
          step({"labels": {"Pod/x/b": {"pod": "b", "pod2": "updated"}}}, expect=on_all(t().deny("*", "x/a").allow("x/b", "x/a"))))
    c.add("ingress denied to updated pod",
          step(np("x", "deny-ingress-via-label-selector", labels(target="isolated"), []), expect=on_all(t())),
          step({"labels": {"Pod/x/a": {"target": "isolated"}}}, expect=on_all(none)))
    into = t().deny("*", "x/a").allow("x/b", "x/a")
    closed = t().deny("*", "x/a").deny("x/a", "*").allow("x/b", "x/a")
    c.add("ingress and egress together",
          step(np("x", "allow-client-a-via-pod-selector", a, [{"from": [{"podSelector": b}]}], [{"ports": [port(80), port(53, "UDP")]}]),
               expect=mixed({(80, "TCP"): into}, closed)), step(expect=mixed({(80, "TCP"): into}, closed)))
    t12 = t().deny("x/a", "*").deny("*", "y/a").allow("x/a", "y/a").deny("*", "y/b")
    c.add("egress denied at the client though the server allows it",
          step(np("x", "allow-to-ns-y-pod-a", a, egress=[{"to": [{**y, "podSelector": a}]}, {"ports": [port(53, "UDP")]}]),
               np("y", "allow-from-xa-on-ya-match-selector", a, [{"from": [{**x, "podSelector": a}]}]),
               np("y", "allow-from-xa-on-yb-match-selector", b, [{"from": [{**x, "podSelector": a}]}]), expect=on_all(t12)))
    c.add("policies that are deleted",
          step(np("x", "deny-all", ingress=[], egress=[]), expect=on_all(t().deny("x/*", "*").deny("*", "x/*"))),
          step({"delete": "NetworkPolicy/x/deny-all"}, expect=on_all(t())))
    return c.list


def make():
    parts = [target_cases(), rule_cases(), peer_cases(), port_cases(), example_cases(), action_cases(), conflict_cases(),
             namespace_cases(), upstream_cases()]
    assert [len(p) for p in parts] == [6, 4, 112, 70, 1, 6, 16, 2, 13]
    world = {"nodes": {"n1": {"ip": ["192.168.7.1", "fd07::1"]}}, "namespaces": {n: {"ns": n} for n in NAMES},
             "serve": [f"{p}/{q}" for p, q in ON], "services": "each", "pods": {e: {"ip": addresses(e)} for e in ENDS}}
    return write("generated.json", "generated", "mattfenwick/cyclonus pkg/generator @12f646f; network-policy-api cmd/policy-assistant",
                 world, [c for p in parts for c in p])
