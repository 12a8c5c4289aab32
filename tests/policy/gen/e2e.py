# SPDX-License-Identifier: Apache-2.0
"""The data-path cases of Kubernetes' own network policy tests: 42 over TCP, 3 over UDP, 3 over SCTP.

Source: kubernetes/kubernetes test/e2e/network/netpol/network_policy.go at 008b3652, numbered in the order of that file. Each
case has that file's pods, policies, steps and truth tables; what a pod says to itself is ignored there and here. Where it
takes the address of a pod for an ipBlock, the rule has a block of each family, so that one case serves both.
"""
from common import Table, case, expect, expr, labels, np, port, step, write

NAME = "kubernetes.io/metadata.name"
A, B = labels(pod="a"), labels(pod="b")
Y = {"matchLabels": {NAME: "y"}}
NOT_X = expr(NAME, "NotIn", "x")


def ns(selector):
    return {"namespaceSelector": selector}


def pods(selector):
    return {"podSelector": selector}


def both(ns_selector, pod_selector):
    return {"namespaceSelector": ns_selector, "podSelector": pod_selector}


def from_(*peers, ports=None):
    return {"from": list(peers), **({"ports": ports} if ports else {})}


def to(*peers, ports=None):
    return {"to": list(peers), **({"ports": ports} if ports else {})}


def on_x(*ends):
    """-> (pods of the case, its table maker)"""
    return {e: {} for e in ends}, lambda: Table(ends)


def one(number, title, ends, policies, *changes, on=("80/TCP",)):
    """A case of one step: the table, everything allowed but what changes say."""
    t = Table(ends)
    for what, src, dst in changes:
        getattr(t, what)(src, dst)
    return case(f"e2e-{number}", title, step(*policies, expect=[expect(t, *on)]), world={"pods": {e: {} for e in ends}})


def ips(index):
    """Addresses of the pod made as number index (0 = first): see the reader's numbering."""
    return f"10.9.0.{10 + index}", f"fd09::{10 + index:x}"


def blocks(index, except_of=None):
    """A peer for each family: the pod's own address, or the /4 around it without that address."""
    v4, v6 = ips(index)
    if not except_of:
        return [{"ipBlock": {"cidr": f"{v4}/32"}}, {"ipBlock": {"cidr": f"{v6}/128"}}]
    return [{"ipBlock": {"cidr": "0.0.0.0/4", "except": [f"{v4}/32"]}}, {"ipBlock": {"cidr": "f000::/4", "except": [f"{v6}/128"]}}]


def tcp():
    d, a = "deny", "allow"
    cases = [
        one("01", "default-deny-ingress", ["x/a", "x/b", "y/a", "y/b"], [np("x", "deny-ingress", ingress=[])], (d, "*", "x/*")),
        one("02", "default-deny-all", ["x/a", "x/b", "y/a"], [np("x", "deny-all", ingress=[], egress=[])],
            (d, "*", "x/*"), (d, "x/*", "*")),
        one("03", "only from a pod of the same namespace", ["x/a", "x/b", "x/c", "y/a"],
            [np("x", "x-a-allows-x-b", A, [from_(pods(B))])], (d, "*", "x/a"), (a, "x/b", "x/a")),
        one("04", "deny all, and allow all to one pod", ["x/a", "x/b", "y/a"],
            [np("x", "deny-all", ingress=[]), np("x", "allow-all-to-a", A, [from_(both({}, {}))])],
            (a, "*", "x/a"), (d, "*", "x/b")),
        one("05", "from all namespaces", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-from-another-ns", A, [from_(ns({"matchLabels": {}}))])]),
        one("06", "only from another namespace", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-client-a-via-ns-selector", A, [from_(ns(Y))])], (d, "x/*", "x/a"), (d, "z/*", "x/a")),
        one("07", "podSelector with matchExpressions", ["x/a", "x/b", "y/a"],
            [np("x", "x-a-allows-x-b", A, [from_(pods(expr("pod", "In", "b")))])], (d, "*", "x/a"), (a, "x/b", "x/a")),
        one("08", "namespaceSelector with matchExpressions", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-ns-y-match-selector", A, [from_(ns(expr(NAME, "In", "y")))])],
            (d, "x/*", "x/a"), (d, "z/*", "x/a")),
        one("09", "podSelector or namespaceSelector", ["x/a", "x/b", "x/c", "y/a"],
            [np("x", "allow-ns-y-match-selector", A, [from_(ns(NOT_X), pods(B))])], (d, "x/a", "x/a"), (d, "x/c", "x/a")),
        one("10", "podSelector and namespaceSelector", ["x/a", "x/b", "y/a", "y/b", "z/b"],
            [np("x", "allow-ns-y-podselector-and-nsselector", A, [from_(both(NOT_X, B))])],
            (d, "*", "x/a"), (a, "y/b", "x/a"), (a, "z/b", "x/a")),
        one("11", "several podSelectors and namespaceSelectors", ["x/a", "x/b", "y/a", "y/b", "y/c"],
            [np("x", "allow-ns-y-z-pod-b-c", A, [from_(both(NOT_X, expr("pod", "In", "b", "c")))])],
            (d, "x/*", "x/a"), (d, "y/a", "x/a")),
        one("12", "any of two podSelectors", ["x/a", "x/b", "x/c"],
            [np("x", "allow-ns-x-pod-b-c", A, [from_(pods(B), pods(labels(pod="c")))])],
            (d, "*", "x/a"), (a, "x/b", "x/a"), (a, "x/c", "x/a")),
        one("13", "only from one pod of another namespace", ["x/a", "x/b", "y/a", "y/b", "z/a"],
            [np("x", "allow-ns-y-pod-a-via-namespace-pod-selector", A, [from_(both(Y, A))])],
            (d, "*", "x/a"), (a, "y/a", "x/a")),
        one("14", "a port", ["x/a", "x/b", "y/a", "y/b", "z/a"],
            [np("x", "allow-client-a-via-ns-selector", A, [from_(ns(Y), ports=[port(81, "TCP")])])],
            (d, "x/*", "x/a"), (a, "y/*", "x/a"), (d, "z/*", "x/a"), on=("81/TCP",)),
    ]
    ends = ["x/a", "x/b", "y/a", "y/b", "z/a"]
    allow = Table(ends).deny("x/*", "x/a").allow("y/*", "x/a").deny("z/*", "x/a")
    cases.append(case("e2e-15", "stacked policies with overlapping podSelectors",
                      step(np("x", "allow-client-a-via-ns-selector", A, [from_(ns(Y), ports=[port(81, "TCP")])]),
                           expect=[expect(allow, "81/TCP"), expect(Table(ends).deny("*", "x/a"), "80/TCP")]),
                      step(np("x", "allow-client-a-via-ns-selector-80", A, [from_(ns(Y), ports=[port(80, "TCP")])]),
                           expect=[expect(allow, "80/TCP")]), world={"pods": {e: {} for e in ends}}))
    cases.append(one("16", "allow-all", ["x/a", "x/b", "y/a"], [np("x", "allow-all", {"matchLabels": {}}, [{}])],
                     on=("80/TCP", "81/TCP")))
    ends = ["x/a", "x/b", "y/a"]
    cases.append(case("e2e-17", "ingress to one named port",
                      step(np("x", "allow-all", {"matchLabels": {}}, [{"ports": [port("serve-81-tcp")]}]),
                           expect=[expect(Table(ends), "81/TCP"), expect(Table(ends).deny("*", "x/*"), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    ends = ["x/a", "x/b", "y/a", "z/a"]
    cases.append(case("e2e-18", "ingress from a namespace to one named port",
                      step(np("x", "allow-client-a-via-ns-selector-80", A, [from_(ns(Y), ports=[port("serve-80-tcp", "TCP")])]),
                           expect=[expect(Table(ends).deny("x/*", "x/a").deny("z/*", "x/a"), "80/TCP"),
                                   expect(Table(ends).deny("*", "x/a"), "81/TCP")]), world={"pods": {e: {} for e in ends}}))
    ends = ["x/a", "y/a"]
    cases.append(case("e2e-19", "egress to one named port",
                      step(np("x", "allow-egress", {"matchLabels": {}}, egress=[{"ports": [port("serve-80-tcp")]}]),
                           expect=[expect(Table(ends), "80/TCP"), expect(Table(ends).deny("x/*", "*"), "81/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases.append(case("e2e-20", "an updated policy",
                      step(np("x", "allow-all-mutate-to-deny-all", {"matchLabels": {}}, [{}]), expect=[expect(Table(ends), "81/TCP")]),
                      step(np("x", "allow-all-mutate-to-deny-all", {"matchLabels": {}}, []),
                           expect=[expect(Table(ends).deny("*", "x/*"), "81/TCP")]), world={"pods": {e: {} for e in ends}}))
    denied = Table(ends).deny("*", "x/a")
    cases.append(case("e2e-21", "ingress from an updated namespace",
                      step(np("x", "allow-client-a-via-ns-selector", A, [from_(ns(labels(ns2="updated")))]), expect=[expect(denied, "80/TCP")]),
                      step({"labels": {"Namespace/y": {"ns2": "updated"}}},
                           expect=[expect(Table(ends).deny("*", "x/a").allow("y/*", "*"), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    ends = ["x/a", "x/b"]
    denied = Table(ends).deny("*", "x/a")
    cases.append(case("e2e-22", "ingress from an updated pod",
                      step(np("x", "allow-client-a-via-pod-selector", A, [from_(pods(labels(pod="b", pod2="updated")))]),
                           expect=[expect(denied, "80/TCP")]),
                      step({"labels": {"Pod/x/b": {"pod": "b", "pod2": "updated"}}},
                           expect=[expect(Table(ends).deny("*", "x/a").allow("x/b", "x/a"), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases.append(one("23", "ingress from its own namespace alone", ["x/a", "x/b", "y/a", "z/a"],
                     [np("x", "deny-empty-policy", ingress=[from_(pods({"matchLabels": {}}))])], (d, "y/*", "x/*"), (d, "z/*", "x/*")))
    ends = ["x/a", "y/a"]
    cases.append(case("e2e-24", "an updated pod becomes isolated",
                      step(np("x", "deny-ingress-via-label-selector", labels(target="isolated"), []), expect=[expect(Table(ends), "80/TCP")]),
                      step({"labels": {"Pod/x/a": {"pod": "a", "target": "isolated"}}},
                           expect=[expect(Table(ends).deny("*", "x/a"), "80/TCP")]), world={"pods": {e: {} for e in ends}}))
    cases += [
        one("25", "egress denied by podSelector", ["x/a", "x/b", "y/a"], [np("x", "deny-egress-pod-a", A, egress=[])], (d, "x/a", "*")),
        one("26", "egress denied for a namespace", ["x/a", "x/b", "y/a"], [np("x", "deny-egress-ns-x", egress=[])], (d, "x/*", "*")),
    ]
    ends = ["x/a", "x/b", "x/c", "y/a"]
    cases.append(case("e2e-27", "ingress and egress together",
                      step(np("x", "allow-client-a-via-pod-selector", A, [from_(pods(B))], [{"ports": [port(80)]}], ["Egress", "Ingress"]),
                           expect=[expect(Table(ends).deny("*", "x/a").allow("x/b", "x/a"), "80/TCP"),
                                   expect(Table(ends).deny("*", "x/a").deny("x/a", "*").allow("x/b", "x/a"), "81/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    x = {"matchLabels": {NAME: "x"}}
    cases += [
        one("28", "egress denied at the client though the server allows it", ["x/a", "y/a", "y/b"],
            [np("x", "allow-to-ns-y-pod-a", A, egress=[to(both(Y, A))]),
             np("y", "allow-from-xa-on-ya-match-selector", A, [from_(both(x, A))]),
             np("y", "allow-from-xa-on-yb-match-selector", B, [from_(both(x, A))])],
            (d, "x/a", "*"), (d, "*", "y/a"), (a, "x/a", "y/a"), (d, "*", "y/b")),
        one("29", "egress to one pod of another namespace", ["x/a", "y/a", "y/b"],
            [np("x", "allow-to-ns-y-pod-a-via-namespace-pod-selector", A, egress=[to(both(Y, A))])],
            (d, "x/a", "*"), (a, "x/a", "y/a")),
    ]
    ends = ["x/a", "y/a"]
    cases.append(case("e2e-30", "any port of one protocol",
                      step(np("x", "allow-ingress-by-proto", A, [{"ports": [port(proto="TCP")]}]),
                           expect=[expect(Table(ends), "80/TCP"), expect(Table(ends).deny("*", "x/a"), "80/UDP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases.append(case("e2e-31", "an ingress allow-all beside a narrow policy",
                      step(np("x", "allow-ingress-port-80", {"matchLabels": {}}, [{"ports": [port(80)]}]),
                           expect=[expect(Table(ends).deny("*", "x/*"), "81/TCP")]),
                      step(np("x", "allow-ingress", {"matchLabels": {}}, [{}]), expect=[expect(Table(ends), "81/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases.append(case("e2e-32", "an egress allow-all beside a narrow policy",
                      step(np("x", "allow-egress-port-80", {"matchLabels": {}}, egress=[{"ports": [port(80)]}]),
                           expect=[expect(Table(ends).deny("x/*", "*"), "81/TCP")]),
                      step(np("x", "allow-egress", {"matchLabels": {}}, egress=[{}]), expect=[expect(Table(ends), "81/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases.append(case("e2e-33", "policies that are deleted",
                      step(np("x", "deny-all", ingress=[], egress=[]), expect=[expect(Table(ends).deny("x/*", "*").deny("*", "x/*"), "80/TCP")]),
                      step({"delete": "NetworkPolicy/x/deny-all"}, expect=[expect(Table(ends), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    name = "allow-client-a-via-cidr-egress-rule"
    cases += [
        one("34", "egress to a CIDR", ["x/a", "y/a", "y/b"], [np("x", name, A, egress=[to(*blocks(2))])], (d, "x/a", "*"), (a, "x/a", "y/b")),
        one("35", "egress to a CIDR with except", ["x/a", "x/b", "x/c"], [np("x", name, A, egress=[to(*blocks(1, True))])],
            (d, "x/a", "x/b")),
    ]
    ends = ["x/a", "x/b", "x/c"]
    cases.append(case("e2e-36", "what was in except is allowed by a later version",
                      step(np("x", name, A, egress=[to(*blocks(1, True))]), expect=[expect(Table(ends).deny("x/a", "x/b"), "80/TCP")]),
                      step(np("x", name, A, egress=[to(*blocks(1))]),
                           expect=[expect(Table(ends).deny("x/a", "*").allow("x/a", "x/b"), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    ends = ["x/a", "x/b", "y/a"]
    cases.append(case("e2e-37", "ingress and egress are independent",
                      step(np("x", "allow-egress-for-target", A, egress=[{}]), expect=[expect(Table(ends), "80/TCP")]),
                      step(np("x", "deny-ingress-via-label-selector", A, []), expect=[expect(Table(ends).deny("*", "x/a"), "80/TCP")]),
                      world={"pods": {e: {} for e in ends}}))
    cases += [
        one("38", "SCTP is not TCP", ["x/a", "y/a"],
            [np("x", "deny-ingress", ingress=[]), np("x", "allow-only-sctp-ingress-on-port-81", A, [{"ports": [port(81, "SCTP")]}])],
            (d, "*", "x/*"), on=("81/TCP",)),
        one("39", "a policy with SCTP alone isolates", ["x/a", "y/a"],
            [np("x", "allow-only-sctp-ingress-on-port-80", A, [{"ports": [port(80, "SCTP")]}])], (d, "*", "x/a"), on=("81/TCP",)),
        one("40", "UDP is not TCP", ["x/a", "y/a"],
            [np("x", "allow-only-udp-ingress-on-port-81", A, [{"ports": [port(81, "UDP")]}])], (d, "*", "x/a"), on=("81/TCP",)),
        one("41", "a namespace by its default label", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-client-a-via-ns-selector-for-immutable-ns-label", A, [from_(ns(Y))])], (d, "x/*", "x/a"), (d, "z/*", "x/a")),
        one("42", "not a namespace, by its default label", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-ns-y-match-selector-for-immutable-ns-label", A, egress=[to(ns(expr(NAME, "NotIn", "y")))])],
            (d, "x/a", "y/*")),
    ]
    return cases


def other(letter, proto):
    d, a = "deny", "allow"
    return [
        one(f"{letter}1", f"default-deny-ingress over {proto}", ["x/a", "x/b", "y/a", "y/b"], [np("x", "deny-all", ingress=[])],
            (d, "*", "x/*"), on=(f"80/{proto}",)),
        one(f"{letter}2", f"a port over {proto}", ["x/a", "x/b", "y/a", "z/a"],
            [np("x", "allow-ingress-on-port-81-ns-x", A, [from_(ns(Y), ports=[port(81, proto)])])],
            (d, "x/*", "x/a"), (d, "z/*", "x/a"), on=(f"81/{proto}",)),
        one(f"{letter}3", f"only from one pod of another namespace over {proto}", ["x/a", "x/b", "y/a"],
            [np("x", "allow-ns-y-pod-a-via-namespace-pod-selector", A, [from_(both(Y, A))])],
            (d, "*", "x/a"), (a, "y/a", "x/a"), on=(f"80/{proto}",)),
    ]


def make():
    cases = tcp() + other("U", "UDP") + other("S", "SCTP")
    assert len(cases) == 48
    world = {"nodes": {"n1": {"ip": ["192.168.7.1", "fd07::1"]}}, "namespaces": {"x": {}, "y": {}, "z": {}},
             "serve": ["80/TCP", "81/TCP", "80/UDP", "81/UDP", "80/SCTP", "81/SCTP"], "services": "each"}
    return write("k8s-e2e.json", "k8s-e2e", "kubernetes/kubernetes test/e2e/network/netpol/network_policy.go @008b3652", world, cases)
