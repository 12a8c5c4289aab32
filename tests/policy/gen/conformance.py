# SPDX-License-Identifier: Apache-2.0
"""The 92 subtests of network-policy-api's conformance suite, and what was added to it later.

Source: kubernetes-sigs/network-policy-api conformance/base/** and conformance/tests/** (main, 2026-07 and after). A case is one
subtest: the policies as they stand then (subtests change the order of rules, an action, a priority), and what it pokes. A poke
between two namespaces is asked of all their pods, because the policies there speak of namespaces alone.

Each case comes twice: as ClusterNetworkPolicy v1alpha2, as it is today, and as the AdminNetworkPolicy and
BaselineAdminNetworkPolicy v1alpha1 that the suite was written for at first.
"""
import copy

from common import case, expr, labels, np, step, write

PRE = "network-policy-conformance-"
HEROES = {"gryffindor": "harry-potter", "slytherin": "draco-malfoy", "hufflepuff": "cedric-diggory", "ravenclaw": "luna-lovegood",
          "forbidden-forrest": "centaur"}
G, S, H, R = "gryffindor", "slytherin", "hufflepuff", "ravenclaw"
HOST = (34345, 34346, 34347, 34348, 34349, 34350, 34351)        # the suite's HostNetworkPorts
NAME = "kubernetes.io/metadata.name"


def end(house, i):
    return f"{PRE}{house}/{HEROES[house]}-{i}"


ENDS = [end(h, i) for h in HEROES for i in (0, 1)]


def ends_of(who):
    """ "gryffindor" = both pods, "gryffindor-1" = that one """
    house, _, i = who.rpartition("-")
    return [end(house, int(i))] if i.isdigit() else [end(who, 0), end(who, 1)]


def expects(pokes):
    """pokes: (client, server, "80/TCP", allowed). Whoever is not poked is not asked."""
    by_port = {}
    for client, server, on, allowed in pokes:
        cells = by_port.setdefault(on, {})
        for c in ends_of(client):
            for s in ends_of(server):
                assert cells.get((c, s), allowed) == allowed and c != s
                cells[c, s] = allowed
    return [{"on": [on], "rows": ["".join({None: "-", True: ".", False: "X"}[cells.get((c, s))] for s in ENDS) for c in ENDS]}
            for on, cells in by_port.items()]


def by_name(house):
    return {"namespaces": {"matchLabels": {NAME: PRE + house}}}


def by_house(house):
    return {"namespaces": labels(**{"conformance-house": house})}


def pods_of(house):
    return {"pods": {"namespaceSelector": labels(**{"conformance-house": house}), "podSelector": labels(**{"conformance-house": house})}}


def rule(name, action, peers, *ports):
    """ports: (80, "TCP"), ((80, 81), "TCP"), ("web", None). In neither version's words yet."""
    return {"name": name, "action": action, "peers": peers if isinstance(peers, list) else [peers], "ports": ports}


class Policy:
    def __init__(self, name, tier, priority, subject, ingress=(), egress=()):
        self.name, self.tier, self.priority, self.subject = name, tier, priority, subject
        self.rules = {"ingress": list(ingress), "egress": list(egress)}

    def swapped(self, a, b, directions=("ingress", "egress")):
        p = copy.deepcopy(self)
        for d in directions:
            if p.rules[d]:
                p.rules[d][a], p.rules[d][b] = p.rules[d][b], p.rules[d][a]
        return p

    def _rules(self, v1alpha1):
        for d, side in (("ingress", "from"), ("egress", "to")):
            out = []
            for r in self.rules[d]:
                j = {"name": r["name"], "action": "Allow" if v1alpha1 and r["action"] == "Accept" else r["action"], side: r["peers"]}
                if r["ports"]:
                    j["ports" if v1alpha1 else "protocols"] = [old_port(*p) if v1alpha1 else new_port(*p) for p in r["ports"]]
                out.append(j)
            if out:
                yield d, out

    def json(self, v1alpha1):
        group = "policy.networking.k8s.io/"
        if not v1alpha1:
            return {"apiVersion": group + "v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": self.name},
                    "spec": {"tier": self.tier, "priority": self.priority, "subject": self.subject, **dict(self._rules(False))}}
        if self.tier == "Admin":
            return {"apiVersion": group + "v1alpha1", "kind": "AdminNetworkPolicy", "metadata": {"name": self.name},
                    "spec": {"priority": self.priority, "subject": self.subject, **dict(self._rules(True))}}
        return {"apiVersion": group + "v1alpha1", "kind": "BaselineAdminNetworkPolicy", "metadata": {"name": "default"},
                "spec": {"subject": self.subject, **dict(self._rules(True))}}


def old_port(number, proto):
    if proto is None:
        return {"namedPort": number}
    if isinstance(number, tuple):
        return {"portRange": {"protocol": proto, "start": number[0], "end": number[1]}}
    return {"portNumber": {"protocol": proto, "port": number}}


def new_port(number, proto):
    if proto is None:
        return {"destinationNamedPort": number}
    if isinstance(number, tuple):
        return {proto.lower(): {"destinationPort": {"range": {"start": number[0], "end": number[1]}}}}
    return {proto.lower(): {"destinationPort": {"number": number}}}


CASES = []


def add(test, title, policies, pokes):
    CASES.append((test, title, list(policies), pokes))


# direction, protocol -> subject; whose rules are reordered; who is denied at a port; who is allowed at a port; the other port
SIMPLE = {
    ("ingress", "TCP"): (G, R, (S, 80), (H, 80), (80, 8080), 3),
    ("ingress", "UDP"): (H, R, (S, 5353), (G, 53), (53, 5353), 4),
    ("ingress", "SCTP"): (R, G, (S, 9003), (H, 9003), (9003, 9005), 5),
    ("egress", "TCP"): (G, R, (S, 80), (H, 8080), (80, 8080), 6),
    ("egress", "UDP"): (H, R, (S, 5353), (G, 53), (53, 5353), 7),
    ("egress", "SCTP"): (R, G, (S, 9003), (H, 9003), (9003, 9005), 8),
}


def simple_rules(tier, order, denied, allowed, proto):
    """The seven rules of the Admin tier; the Baseline tier has no Pass, so five."""
    out = [rule("allow-everything", "Accept", by_name(order)), rule("deny-everything", "Deny", by_name(order)),
           rule("pass-everything", "Pass", by_name(order)),
           rule("deny-at-port", "Deny", by_name(denied[0]), (denied[1], proto)),
           rule("pass-at-port", "Pass", by_name(denied[0]), (denied[1], proto)),
           rule("allow-at-port", "Accept", by_name(allowed[0]), (allowed[1], proto)),
           rule("deny-everything-else", "Deny", by_name(allowed[0]))]
    return [r for r in out if tier == "Admin" or r["action"] != "Pass"]


def simple(tier):
    for (direction, proto), (subject, order, denied, allowed, ports, priority) in SIMPLE.items():
        base = Policy(f"{direction}-{proto.lower()}" if tier == "Admin" else "default", tier, priority if tier == "Admin" else 10,
                      by_name(subject), **{direction: simple_rules(tier, order, denied, allowed, proto)})
        test = f"{tier.lower()}-{direction}-{proto.lower()}"

        def poke(peer, port, ok, direction=direction, subject=subject, proto=proto):
            return (peer, subject, f"{port}/{proto}", ok) if direction == "ingress" else (subject, peer, f"{port}/{proto}", ok)

        def other(port, ports=ports):
            return ports[1] if port == ports[0] else ports[0]
        add(test, "allow, in order", [base], [poke(order, p, True) for p in ports])
        add(test, "allow at the port", [base], [poke(allowed[0], allowed[1], True), poke(allowed[0], other(allowed[1]), False)])
        second = base.swapped(0, 1)
        add(test, "deny, in order", [second], [poke(order, p, False) for p in ports])
        add(test, "deny at the port", [second], [poke(denied[0], denied[1], False), poke(denied[0], other(denied[1]), True)])
        if tier == "Admin":
            third = second.swapped(0, 2)
            add(test, "pass, in order", [third], [poke(order, p, True) for p in ports])
            add(test, "pass at the port", [third.swapped(3, 4)], [poke(denied[0], p, True) for p in ports])


def gress(tier):
    def rules(allowed):
        denied = ((80, "TCP"), (53, "UDP"), (9003, "SCTP"))
        out = [rule("allow-everything", "Accept", by_name(R)), rule("deny-everything", "Deny", by_name(R)),
               rule("pass-everything", "Pass", by_name(R)), rule("deny-at-ports", "Deny", by_name(S), *denied),
               rule("pass-at-ports", "Pass", by_name(S), *denied), rule("allow-at-ports", "Accept", by_name(H), *allowed),
               rule("deny-everything-else", "Deny", by_name(H))]
        return [r for r in out if tier == "Admin" or r["action"] != "Pass"]
    base = Policy("gress-rules" if tier == "Admin" else "default", tier, 15 if tier == "Admin" else 10, by_name(G),
                  rules([(80, "TCP"), (5353, "UDP"), (9003, "SCTP")]), rules([(8080, "TCP"), (5353, "UDP"), (9003, "SCTP")]))
    test = f"{tier.lower()}-gress"

    def both(peer, on, ok):
        return [(G, peer, on, ok), (peer, G, on, ok)]
    every = ("80/TCP", "53/UDP", "9003/SCTP")
    others = ("8080/TCP", "5353/UDP", "9005/SCTP")
    add(test, "allow", [base], [p for on in every for p in both(R, on, True)])
    add(test, "allow at the ports", [base],
        [(G, H, "8080/TCP", True), (G, H, "80/TCP", False), (G, H, "5353/UDP", True), (G, H, "53/UDP", False),
         (G, H, "9003/SCTP", True), (G, H, "9005/SCTP", False), (H, G, "80/TCP", True), (H, G, "8080/TCP", False),
         (H, G, "5353/UDP", True), (H, G, "53/UDP", False), (H, G, "9003/SCTP", True), (H, G, "9005/SCTP", False)])
    second = base.swapped(0, 1)
    add(test, "deny", [second], [p for on in every for p in both(R, on, False)])
    add(test, "deny at the ports", [second], [p for on in every for p in both(S, on, False)] + [p for on in others for p in both(S, on, True)])
    if tier == "Admin":
        third = second.swapped(0, 2)
        add(test, "pass", [third], [p for on in ("80/TCP", "53/UDP", "5353/UDP", "9003/SCTP") for p in both(R, on, True)])
        add(test, "pass at the ports", [third.swapped(3, 4)], [p for on in every + others for p in both(S, on, True)])


EVERYWHERE = {"networks": ["0.0.0.0/0", "::/0"]}


def inline_cidr(tier):
    subject = pods_of(G) if tier == "Admin" else by_name(G)
    rules = [rule("allow-egress-to-slytherin", "Accept", pods_of(S)), rule("deny-egress-to-internet", "Deny", EVERYWHERE)]
    name = "inline-cidr-as-peers-example" if tier == "Admin" else "default"
    base = Policy(name, tier, 85 if tier == "Admin" else 10, subject, egress=rules)
    every, test = ("80/TCP", "53/UDP", "9003/SCTP"), f"{tier.lower()}-inline-cidr"
    add(test, "deny to CIDRs", [base], [(G, h, on, ok) for h, ok in ((R, False), (H, False), (S, True)) for on in every])
    index = {h: list(HEROES).index(h) * 2 for h in HEROES}
    nets = [n for h in (R, H) for n in (f"10.9.0.{10 + index[h]}/32", f"fd09::{10 + index[h]:x}/128")]
    more = Policy(name, tier, base.priority, subject, egress=[rule("allow-egress-to-specific-podIPs", "Accept", {"networks": nets})] + rules)
    add(test, "allow to CIDRs", [more], [(G, f"{h}-{i}", on, i == 0) for h in (R, H) for i in (0, 1) for on in every])


def named_ports():
    for tier, direction, proto, index, name in (("Admin", "egress", "TCP", 5, "web"), ("Admin", "ingress", "UDP", 5, "dns"),
                                                 ("Baseline", "egress", "UDP", 3, "dns"), ("Baseline", "ingress", "TCP", 3, "web")):
        subject, order, denied, allowed, _, priority = SIMPLE[direction, proto]
        rules = simple_rules(tier, order, denied, allowed, proto)
        rules[index]["ports"] = ((name, None),)
        p = Policy(f"{direction}-{proto.lower()}" if tier == "Admin" else "default", tier, priority if tier == "Admin" else 10,
                   by_name(subject), **{direction: rules})
        pair = (subject, allowed[0]) if direction == "egress" else (allowed[0], subject)
        good, bad = ("80/TCP", "8080/TCP") if name == "web" else ("53/UDP", "5353/UDP")
        add(f"{tier.lower()}-{direction}-named-port", "allow at the named port", [p], [(*pair, good, True), (*pair, bad, False)])


def node_peers():
    linux = {"nodes": labels(**{"kubernetes.io/os": "linux"})}
    admin = Policy("node-and-cidr-as-peers-example", "Admin", 75, pods_of(G), egress=[
        rule("allow-on-nodes", "Accept", linux, (HOST[0], "TCP")), rule("pass-on-nodes", "Pass", linux, (HOST[2], "UDP")),
        rule("deny-egress-to-slytherin-and-nodes-and-internet", "Deny", [pods_of(S), linux, EVERYWHERE])])
    f = "forbidden-forrest"
    add("admin-nodes", "allow to nodes", [admin], [(G, f, f"{HOST[0]}/TCP", True)])
    add("admin-nodes", "pass to nodes", [admin], [(G, f, f"{HOST[2]}/UDP", True)])
    add("admin-nodes", "deny to nodes", [admin], [(G, f, f"{HOST[1]}/TCP", False), (G, f, f"{HOST[4]}/UDP", False), (G, f, f"{HOST[6]}/SCTP", False)])
    base = Policy("default", "Baseline", 10, by_name(G), egress=[
        rule("allow-on-nodes", "Accept", linux, ((HOST[0], HOST[1]), "TCP")),
        rule("deny-egress-to-nodes-and-internet", "Deny", [linux, EVERYWHERE])])
    add("baseline-nodes", "allow to nodes", [base], [(G, f, f"{HOST[0]}/TCP", True), (G, f, f"{HOST[1]}/TCP", True)])
    add("baseline-nodes", "deny to nodes", [base], [(G, f, f"{HOST[4]}/UDP", False), (G, f, f"{HOST[6]}/SCTP", False)])


def two_way(name, tier, priority, subject, action, peer):
    return Policy(name, tier, priority, subject, [rule(f"{action}-ingress", action, peer)], [rule(f"{action}-egress", action, peer)])


def priority_field():
    fifty = two_way("priority-50-example", "Admin", 50, pods_of(G), "Deny", pods_of(S))
    base = two_way("default", "Baseline", 10, pods_of(G), "Accept", pods_of(S))

    def other(priority):
        return two_way("old-priority-60-new-priority-40-example", "Admin", priority, pods_of(G), "Pass", pods_of(S))
    on = ("80/TCP", "8080/TCP")
    add("admin-priority", "deny from the other house", [fifty, other(60), base], [(S, G, o, False) for o in on])
    add("admin-priority", "deny to the other house", [fifty, other(60), base], [(G, S, o, False) for o in on])
    add("admin-priority", "a lower number goes first: passed to the baseline tier", [fifty, other(40), base],
        [(a, b, o, True) for a, b in ((S, G), (G, S)) for o in on])


def integration():
    ns = PRE + G
    name = "allow-gress-from-to-slytherin-to-gryffindor"
    peer = [{"namespaceSelector": labels(**{"conformance-house": S})}]
    policy = np(ns, name, ingress=[{"from": peer}], egress=[{"to": peer}])
    base = two_way("default", "Baseline", 10, by_house(G), "Deny", by_house(S))

    def admin(ingress, egress):
        return Policy("pass-example", "Admin", 10, by_house(G), [rule("ingress", ingress, by_house(S))], [rule("egress", egress, by_house(S))])
    on = ("80/TCP", "8080/TCP")

    def pokes(a, b, ok):
        return [(a, b, o, ok) for o in on]
    t = "admin-integration"
    add(t, "deny from the other house", [admin("Deny", "Deny"), policy, base], pokes(S, G, False))
    add(t, "deny to the other house", [admin("Deny", "Deny"), policy, base], pokes(G, S, False))
    add(t, "ingress passed to the network policy", [admin("Pass", "Deny"), policy, base], pokes(S, G, True))
    add(t, "egress passed to the network policy", [admin("Pass", "Pass"), policy, base], pokes(G, S, True))
    add(t, "ingress passed to the baseline tier", [admin("Pass", "Pass"), base], pokes(S, G, False))
    add(t, "egress passed to the baseline tier", [admin("Pass", "Pass"), base], pokes(G, S, False))


def later():
    """Tests that the suite got after the 92: one direction leaves the other alone, port ranges, pod selectors, hairpin."""
    for (direction, proto), (subject, order, denied, allowed, ports, priority) in SIMPLE.items():
        for tier in ("Admin", "Baseline"):
            p = Policy(f"{direction}-{proto.lower()}" if tier == "Admin" else "default", tier, priority, by_name(subject),
                       **{direction: simple_rules(tier, order, denied, allowed, proto)})
            pair = (lambda peer, s=subject: (s, peer)) if direction == "ingress" else (lambda peer, s=subject: (peer, s))
            add(f"later-{tier.lower()}-{direction}-{proto.lower()}", "the other direction is left alone", [p],
                [(*pair(x), f"{n}/{proto}", True) for x in (order, denied[0], allowed[0]) for n in ports])
    houses = {"namespaces": expr("conformance-house", "Exists")}
    for tier in ("Admin", "Baseline"):
        rules = [rule("tcp-range", "Accept", by_name(R), ((80, 8080), "TCP")), rule("udp-range", "Accept", by_name(H), ((53, 5353), "UDP")),
                 rule("sctp-range", "Accept", by_name(S), ((9003, 9005), "SCTP")), rule("deny-all", "Deny", houses)]
        p = Policy("port-range-rules" if tier == "Admin" else "default", tier, 9, by_name(G), rules, rules)
        says = [(R, "80/TCP", True), (R, "8080/TCP", True), (R, "53/UDP", False), (H, "53/UDP", True), (H, "5353/UDP", True),
                (H, "80/TCP", False), (S, "9003/SCTP", True), (S, "9005/SCTP", True), (S, "80/TCP", False)]
        add(f"later-{tier.lower()}-port-range", "egress", [p], [(G, h, on, ok) for h, on, ok in says])
        add(f"later-{tier.lower()}-port-range", "ingress", [p], [(h, G, on, ok) for h, on, ok in says])
    house = "conformance-house"
    one = "statefulset.kubernetes.io/pod-name"

    def only(key, value, in_house=None):
        ns = {"namespaceSelector": labels(**{house: in_house})} if in_house else {}
        return {"pods": {**ns, "podSelector": labels(**{key: value})}}
    cedric = only(one, "cedric-diggory-0", H)
    rules = Policy("pod-selector-rules", "Admin", 20, only(house, G),
                   [rule("deny-from-slytherin-pods", "Deny", only(house, S)), rule("deny-from-cedric-diggory-0", "Deny", cedric)],
                   [rule("deny-to-ravenclaw-pods", "Deny", only(house, R)), rule("deny-to-cedric-diggory-0", "Deny", cedric)])
    luna = Policy("pod-name-subject-rules", "Admin", 21, only(one, "luna-lovegood-0", R), egress=[rule("deny-to-slytherin", "Deny", by_name(S))])
    both = [rules, luna]
    add("later-admin-pod-selector", "egress", both, [(G, R, "80/TCP", False), (G, H + "-0", "80/TCP", False), (G, H + "-1", "80/TCP", True)])
    add("later-admin-pod-selector", "ingress", both, [(S, G, "80/TCP", False), (H + "-0", G, "80/TCP", False), (H + "-1", G, "80/TCP", True)])
    add("later-admin-pod-selector", "subject", both, [(S, H + "-0", "80/TCP", True), (R + "-0", S, "80/TCP", False), (R + "-1", S, "80/TCP", True)])
    deny = Policy("gress-omitted-namespaceselector", "Admin", 3, by_name(R),
                  [rule("deny-from-all-conformance-pods", "Deny", {"pods": {"podSelector": expr(house, "Exists")}})])
    add("later-admin-omitted-namespaceselector", "pods of all namespaces", [deny], [(h, R, "80/TCP", False) for h in (G, H, S)])
    hairpin = Policy("hairpin-ingress-deny", "Admin", 15, by_name(G), [rule("deny-gryffindor-ingress", "Deny", by_name(G))])
    add("later-admin-hairpin", "the other pod of the service", [hairpin], [(G + "-0", G + "-1", "80/TCP", False)])


def make():
    CASES.clear()
    for tier in ("Admin", "Baseline"):
        simple(tier)
        gress(tier)
        inline_cidr(tier)
    named_ports()
    node_peers()
    priority_field()
    integration()
    assert len(CASES) == 92
    later()
    world = {
        "nodes": {f"n{i}": {"ip": [f"192.168.7.{i}", f"fd07::{i}"], "labels": {"kubernetes.io/os": "linux"}} for i in (1, 2)},
        "namespaces": {PRE + h: {"conformance-house": h} for h in HEROES}, "services": "each", "ends": ENDS,
        "serve": ["web=80/TCP", "web-8080=8080/TCP", "dns=53/UDP", "dns-5353=5353/UDP", "sctp-9003=9003/SCTP", "sctp-9005=9005/SCTP"],
        "pods": {end(h, i): {"labels": {"conformance-house": h, "statefulset.kubernetes.io/pod-name": f"{HEROES[h]}-{i}"},
                             **({"hostNetwork": True, "node": f"n{i + 1}", "ip": [f"192.168.7.{i + 1}", f"fd07::{i + 1}"]}
                                if HEROES[h] == "centaur" else {})} for h in HEROES for i in (0, 1)},
    }
    counts, out = {}, {False: [], True: []}
    for test, title, policies, pokes in CASES:
        counts[test] = counts.get(test, 0) + 1
        for old in (False, True):
            objs = [p.json(old) if isinstance(p, Policy) else p for p in policies]
            out[old].append(case(f"{'anp' if old else 'cnp'}-{test}-{counts[test]}", title, step(*objs, expect=expects(pokes))))
    source = "kubernetes-sigs/network-policy-api conformance/base, conformance/tests"
    return write("conformance-v1alpha2.json", "conformance", source, world, out[False]) + \
        write("conformance-v1alpha1.json", "conformance", source, world, out[True])
