# SPDX-License-Identifier: Apache-2.0
"""What went wrong in other implementations, and what the APIs say that no other suite asks.

A* are defects of aws-network-policy-agent and its controller, C* what their users complain about most; those that a verdict on
one packet can show are here, the others are tests of the datapath and of the daemon (README.md says which). S* are statements
of the APIs' own texts, R* objects that must be refused. Tables are written by hand.
"""
from common import Table, case, cnp, expect, expr, labels, np, port, step, write

A, B, C = labels(pod="a"), labels(pod="b"), labels(pod="c")
D, O = "deny", "allow"
ALL = ("80/TCP", "81/TCP", "80/UDP", "80/SCTP", "ICMP", "47")
TCP, REST = ("80/TCP", "81/TCP"), ("80/UDP", "80/SCTP", "ICMP", "47")
ENDS = ["x/a", "x/b", "x/c", "y/a", "out/web", "out/other"]
OUTSIDE = {"web": ["203.0.113.9", "2001:db8::9"], "other": ["198.51.100.7", "2001:db8:ffff::7"]}
PODS = ["x/a", "x/b", "x/c", "y/a"]
WORLD = {"nodes": {"n1": {"ip": ["192.168.7.1", "fd07::1"]}}, "namespaces": {"x": {}, "y": {}}, "services": "each",
         "serve": ["80/TCP", "81/TCP", "80/UDP", "80/SCTP"], "outside": OUTSIDE, "pods": {p: {} for p in PODS}, "ends": ENDS}


def table(*changes, ends=ENDS):
    t = Table(ends)
    for what, src, dst in changes:
        getattr(t, what)(src, dst)
    quiet = [e for e in ends if e.split("/")[0] in ("out", "node", "snat")]
    for a in quiet:
        for b in quiet:
            t.skip(a, b)
    return t


def says(*parts, ends=ENDS):
    """parts: (ports, changes...)"""
    return [expect(table(*changes, ends=ends), *ports) for ports, *changes in parts]


def cidr(v4, v6, **more):
    return [{"ipBlock": {"cidr": c, **{k: v[i] for k, v in more.items()}}} for i, c in enumerate((v4, v6))]


def everywhere(**more):
    return cidr("0.0.0.0/0", "::/0", **more)


# x/b's address in both families: pods are numbered in order of appearance from 10 on
XB4, XB6 = "10.9.0.11", "fd09::b"
ALL_NETS = {"networks": ["0.0.0.0/0", "::/0"]}
EVERY_NS = {"namespaces": {}}
SUBJECT_X = {"namespaces": labels(**{"kubernetes.io/metadata.name": "x"})}


def of_aws():
    out = []
    out.append(case("A4-second-family", "a rule for one family opens nothing on the other, and ICMPv6 is no exception",
                    step(np("x", "v4", A, egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], ingress=[{"from": [{"ipBlock": {"cidr": "::/0"}}], "ports": [port(80)]}]),
                         np("x", "v6-too", A, egress=[{"to": [{"ipBlock": {"cidr": "::/0"}}]}], ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [port(80)]}]),
                         expect=says((("80/TCP",),), (("81/TCP", "ICMP", "80/UDP", "47"), (D, "*", "x/a")))),
                    step({"delete": "NetworkPolicy/x/v6-too"}, np("x", "v4", A, egress=[{"to": [{"ipBlock": {"cidr": "10.9.0.11/32"}}]}, {"to": [{"ipBlock": {"cidr": "fd09::c/128"}}]}], ingress=[]),
                         expect=says((ALL, (D, "*", "x/a"), (D, "x/a", "*"), ("skip", "x/a", "x/b"), ("skip", "x/a", "x/c"))))))
    many = [port(1000 + 7 * i, ("TCP", "UDP", "SCTP")[i % 3]) for i in range(200)]
    out.append(case("A7-C11-many-ports", "no more than 24 ports of a peer are no limit",
                    step(np("x", "many", A, [{"from": [{"podSelector": B}], "ports": many + [port(30000, "TCP", 32767)]}]),
                         expect=says((["1000/TCP", "1007/UDP", "1014/SCTP", "1525/TCP", "2393/UDP", "30000/TCP", "31111/TCP", "32767/TCP"], (D, "*", "x/a"), (O, "x/b", "x/a")),
                                     (["1000/UDP", "1001/TCP", "999/TCP", "29999/TCP", "32768/TCP", "30000/UDP", "ICMP"], (D, "*", "x/a"))))))
    excepting = {"to": everywhere(**{"except": [[f"{XB4}/32"], [f"{XB6}/128"]]})}
    out.append(case("A8-except-is-its-own", "an exception of one rule takes nothing from another rule, policy, or tier",
                    step(np("x", "but-b", A, egress=[excepting]), expect=says((ALL, (D, "x/a", "x/b")))),
                    step(np("x", "but-b", A, egress=[excepting, {"to": cidr("10.9.0.0/16", "fd09::/64"), "ports": [port(80)]}]),
                         expect=says((("80/TCP",),), (("81/TCP", "80/UDP", "ICMP"), (D, "x/a", "x/b")))),
                    step(np("x", "but-b", A, egress=[excepting]), np("x", "same-cidr", A, egress=[{"to": everywhere()}]), expect=says((ALL,))),
                    step({"delete": "NetworkPolicy/x/same-cidr"}, np("x", "by-pod", A, egress=[{"to": [{"podSelector": B}]}]), expect=says((ALL,))),
                    step({"delete": "NetworkPolicy/x/by-pod"}, np("x", "b-but-b", A, egress=[{"to": cidr(f"{XB4}/31", f"{XB6}/127", **{"except": [[f"{XB4}/32"], [f"{XB6}/128"]]})}]),
                         expect=says((ALL, (D, "x/a", "x/b"))))))
    base = cnp("base", "Baseline", 10, SUBJECT_X, ingress=[{"action": "Deny", "from": [EVERY_NS]}], egress=[{"action": "Deny", "to": [ALL_NETS]}])
    out.append(case("A9-baseline-of-the-other-direction", "a policy for ingress alone leaves egress to the baseline tier, and the other way round",
                    step(base, np("x", "in", A, [{}]), expect=says((ALL, (D, "x/*", "*"), (D, "x/*", "x/*"), (D, "y/a", "x/*"), (O, "y/a", "x/a")))),
                    step({"delete": "NetworkPolicy/x/in"}, np("x", "out", A, egress=[{}]),
                         expect=says((ALL, (D, "*", "x/*"), (O, "out/*", "x/*"), (D, "x/*", "*"), (O, "x/a", "y/a"), (O, "x/a", "out/*"))))))
    first = [{"action": "Accept", "from": [{"pods": {"podSelector": B}}]}, {"action": "Deny", "from": [EVERY_NS]},
             {"action": "Accept", "from": [{"pods": {"podSelector": C}}]}]
    aws = {"apiVersion": "networking.k8s.aws/v1alpha1", "kind": "ClusterNetworkPolicy", "metadata": {"name": "order"},
           "spec": {"tier": "Admin", "priority": 5, "subject": {"namespaces": labels(**{"kubernetes.io/metadata.name": "x"})}, "ingress": first}}
    order = cnp("order", "Admin", 5, SUBJECT_X, ingress=first)
    in_order = says((ALL, (D, "*", "x/*"), (O, "x/b", "x/*"), (O, "out/*", "x/*")))
    out.append(case("A10-rule-order", "inside a cluster policy the first rule that matches decides", step(order, expect=in_order)))
    out.append(case("A10-rule-order-aws", "the same in AWS's shape", step(aws, expect=in_order)))
    out.append(case("A12-empty-lists", "from: [] and to: [] mean everyone, ports: [] every port",
                    step(np("x", "empty", A, [{"from": [], "ports": []}], [{"to": [], "ports": []}]), expect=says((ALL,))),
                    step(np("x", "empty", A, [{"from": [], "ports": [port(80)]}], [{"to": [], "ports": [port(81)]}]),
                         expect=says((("80/TCP",), (D, "x/a", "*")), (("81/TCP",), (D, "*", "x/a")), (REST, (D, "x/a", "*"), (D, "*", "x/a"))))))
    out.append(case("A13-named-port-without-to", "a named port without \"to\" means the ports of pods, and nobody outside",
                    step(np("x", "named", A, egress=[{"ports": [port("serve-80-tcp"), port("web", "UDP")]}]),
                         expect=says((("80/TCP",), (D, "x/a", "out/*")), (("81/TCP", *REST), (D, "x/a", "*"))))))
    return out


def of_users():
    out = []
    no = np("x", "shut", {}, [], [])
    ends = ENDS + ["x/d"]
    out.append(case("C1-new-pod", "a pod is under policy from the step in which it appears",
                    step(no, expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), ("skip", "*", "x/d"), ("skip", "x/d", "*")), ends=ends)),
                    step({"pods": {"x/d": {}}}, expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*")), ends=ends)), ends=ends))
    ends = ENDS + ["node/n1"]
    out.append(case("C3-strict", "strict mode: what no policy isolates is denied, but for the pod's own node",
                    step(expect=says((ALL, (D, "*", "*"), (O, "node/n1", "*"), (O, "*", "node/n1")), ends=ends)),
                    step(np("x", "open", A, [{}], [{}]), np("y", "open", {}, [{}], [{}]),
                         expect=says((ALL, (D, "*", "*"), (O, "node/n1", "*"), (O, "*", "node/n1"), (O, "x/a", "y/a"), (O, "y/a", "x/a"),
                                      (O, "x/a", "out/*"), (O, "y/a", "out/*"), (O, "out/*", "x/a"), (O, "out/*", "y/a")), ends=ends)),
                    step({"delete": ["NetworkPolicy/x/open", "NetworkPolicy/y/open"]},
                         cnp("admin", "Admin", 1, SUBJECT_X, ingress=[{"action": "Accept", "from": [EVERY_NS]}]),
                         cnp("base", "Baseline", 1, {"namespaces": {}}, egress=[{"action": "Accept", "to": [{"pods": {"podSelector": A}}]}]),
                         expect=says((ALL, (D, "*", "*"), (O, "node/n1", "*"), (O, "*", "node/n1"), (O, "x/b", "x/a"), (O, "x/c", "x/a"), (O, "y/a", "x/a")), ends=ends)),
                    strict=True, ends=ends))
    web = {"x/web-7d9f-aaa": {"labels": {"app": "web", "tier": "front"}}, "x/web-7d9f-bbb": {"labels": {"app": "web", "tier": "back"}},
           "x/job-1": {"labels": {"job": "old"}}, "y/a": {}}
    wends = list(web)
    out.append(case("C5-names-say-nothing", "pods whose names begin alike have policies of their own; a name that comes again inherits nothing",
                    step(np("x", "back", labels(tier="back"), []), np("x", "job", labels(job="old"), [], []),
                         expect=says((ALL, (D, "*", "x/web-7d9f-bbb"), (D, "*", "x/job-1"), (D, "x/job-1", "*")), ends=wends)),
                    step({"delete": "Pod/x/job-1"}, {"pods": {"x/job-1": {"labels": {"job": "new"}}}},
                         expect=says((ALL, (D, "*", "x/web-7d9f-bbb")), ends=wends)),
                    world={"pods": web}, ends=wends))
    out.append(case("C6-both-at-once", "both directions of a pod, and all chunks of a policy, are one state",
                    step(np("x", "p", {}, [{"from": [{"podSelector": {}}]}], [{"to": [{"podSelector": {}}]}]),
                         expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), (O, "x/*", "x/*"))))))
    svc = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "x", "name": "front"},
           "spec": {"clusterIP": "172.21.0.9", "clusterIPs": ["172.21.0.9", "fd21::9"], "selector": {"nobody": "here"}, "ports": [{"port": 443, "targetPort": 81}]}}
    out.append(case("C9-by-service", "egress by pod label and pod port holds by the service's address, whose port and selector are others",
                    step(svc, np("x", "to-b", A, egress=[{"to": [{"podSelector": B}], "ports": [port(80)]}]),
                         expect=says((("80/TCP",), (D, "x/a", "*"), (O, "x/a", "x/b")), (("81/TCP", "1080/TCP", "443/TCP", "80/UDP"), (D, "x/a", "*")))),
                    step(np("x", "to-b", A, egress=[{"to": cidr(f"{XB4}/32", f"{XB6}/128")}]), expect=says((ALL, (D, "x/a", "*"), (O, "x/a", "x/b"))))))
    out.append(case("C10-cidrs", "overlapping, nested and touching CIDRs; host bits; the longest prefix decides nothing by itself",
                    step(np("x", "cidrs", A, egress=[
                        {"to": cidr("203.0.113.77/24", "2001:db8::77/64", **{"except": [["203.0.113.8/30", "203.0.113.128/25"], ["2001:db8::8/126", "2001:db8:0:0:8000::/65"]]})},
                        {"to": cidr("198.51.100.7/32", "2001:db8:ffff::7/128"), "ports": [port(81)]},
                        {"to": cidr("10.9.0.8/29", "fd09::8/125", **{"except": [["10.9.0.12/31"], ["fd09::c/127"]]})},
                        {"to": cidr("10.9.0.13/32", "fd09::d/128"), "ports": [port(80, "UDP")]}]),
                        expect=says((("81/TCP",), (D, "x/a", "*"), (O, "x/a", "x/b"), (O, "x/a", "out/other")),
                                    (("80/UDP",), (D, "x/a", "*"), (O, "x/a", "x/b"), (O, "x/a", "y/a")),
                                    (("80/TCP", "ICMP"), (D, "x/a", "*"), (O, "x/a", "x/b")))),
                    step(np("x", "cidrs", A, egress=[{"to": cidr("203.0.113.0/24", "2001:db8::/64", **{"except": [["203.0.113.8/32"], ["2001:db8::8/128"]]})}]),
                         expect=says((ALL, (D, "x/a", "*"), (O, "x/a", "out/web")))),
                    step(np("x", "cidrs", A, egress=[{"to": cidr("128.0.0.0/1", "2000::/3", **{"except": [["203.0.0.0/8"], ["2001:db8::/33"]]})}]),
                         expect=says((ALL, (D, "x/a", "*"), (O, "x/a", "out/other"))))))
    return out


def of_networkpolicy():
    out = []
    out.append(case("S-policy-types", "what a policy without policyTypes isolates",
                    step(np("x", "p", A, [{"from": [{"podSelector": B}]}], types=[]), expect=says((ALL, (D, "*", "x/a"), (O, "x/b", "x/a")))),
                    step(np("x", "p", A, egress=[{"to": [{"podSelector": B}]}], types=[]),
                         expect=says((ALL, (D, "*", "x/a"), (D, "x/a", "*"), (O, "x/a", "x/b")))),
                    step(np("x", "p", A, egress=[], types=[]), expect=says((ALL, (D, "*", "x/a")))),
                    step(np("x", "p", A, types=["Egress"]), expect=says((ALL, (D, "x/a", "*")))),
                    step(np("x", "p", A, [{"from": [{"podSelector": B}]}], types=["Egress"]), expect=says((ALL, (D, "x/a", "*")))),
                    step({"apply": {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "x", "name": "p"}, "spec": {}}},
                         expect=says((ALL, (D, "*", "x/*"))))))
    out.append(selectors())
    out.append(case("S-protocols", "what has no ports is let through by rules without ports alone",
                    step(np("x", "p", A, [{"from": [{"podSelector": B}], "ports": [port()]}, {"from": [{"podSelector": C}], "ports": [port(proto="UDP"), port(proto="SCTP")]}, {"from": [{"namespaceSelector": Y}]}]),
                         expect=says((TCP, (D, "*", "x/a"), (O, "x/b", "x/a"), (O, "y/a", "x/a")), (("80/UDP", "80/SCTP"), (D, "*", "x/a"), (O, "x/c", "x/a"), (O, "y/a", "x/a")),
                                     (("ICMP", "47"), (D, "*", "x/a"), (O, "y/a", "x/a"))))))
    out.append(case("S-end-port", "a range includes its ends, and may be one port",
                    step(np("x", "p", A, [{"ports": [port(80, "TCP", 81), port(90, "UDP", 90), port(1, "SCTP", 65535)]}]),
                         expect=says((("80/TCP", "81/TCP", "90/UDP", "1/SCTP", "65535/SCTP"),), (("79/TCP", "82/TCP", "89/UDP", "91/UDP", "80/UDP", "ICMP"), (D, "*", "x/a"))))))
    named = {"x/a": {"ports": ["http=8080/TCP", "dns=53/UDP"]}, "x/b": {"ports": ["http=9090/TCP"]}, "x/c": {"ports": ["http=8080/UDP", "metrics=9090/TCP"]}, "y/a": {"ports": ["http=80/TCP"]}}
    on = ("8080/TCP", "9090/TCP", "80/TCP", "8080/UDP", "53/UDP")
    out.append(case("S-named-ports-ingress", "a named port means on each selected pod what that pod calls so",
                    step(np("x", "p", {}, [{"ports": [port("http")]}]),
                         expect=says((("8080/TCP",), (D, "*", "x/*"), (O, "*", "x/a")), (("9090/TCP",), (D, "*", "x/*"), (O, "*", "x/b")), (on[2:], (D, "*", "x/*")))),
                    world={"pods": named}))
    to_pods = {"to": [{"namespaceSelector": {}}], "ports": [port("http")]}
    open_named = says((("8080/TCP",), (D, "x/a", "*")), (("9090/TCP",), (D, "x/a", "*"), (O, "x/a", "x/b")), (("80/TCP",), (D, "x/a", "*"), (O, "x/a", "y/a")), (on[3:], (D, "x/a", "*")))
    out.append(case("S-named-ports-egress", "a named port means on each destination what that pod calls so, and on an ipBlock nothing",
                    step(np("x", "p", A, egress=[to_pods]), expect=open_named),
                    step(np("x", "p", A, egress=[{"ports": [port("http")]}]), expect=open_named),
                    step(np("x", "p", A, egress=[{"to": everywhere(), "ports": [port("http")]}]), expect=says((on, (D, "x/a", "*")))),
                    step(np("x", "p", A, egress=[{"to": everywhere() + [{"podSelector": {}}], "ports": [port("http")]}]),
                         expect=says((("9090/TCP",), (D, "x/a", "*"), (O, "x/a", "x/b")), (("8080/TCP", *on[2:]), (D, "x/a", "*")))),
                    world={"pods": named}))
    sidecar = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": "s", "labels": {"pod": "s"}},
               "spec": {"nodeName": "n1", "containers": [{"name": "c"}],
                        "initContainers": [{"name": "once", "ports": [{"name": "once", "containerPort": 7000}]},
                                           {"name": "side", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 7001, "protocol": "TCP"}]}]},
               "status": {"phase": "Running", "podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}, {"ip": "fd09::9:9"}]}}
    ends = ["x/a", "x/s"]
    out.append(case("S-named-ports-sidecar", "an init container that stays serves named ports, one that ends does not",
                    step(sidecar, np("x", "p", labels(pod="s"), [{"ports": [port("side"), port("once")]}]),
                         expect=says((("7001/TCP",),), (("7000/TCP", "7001/UDP"), (D, "x/a", "x/s")), ends=ends)), ends=ends))
    return out


def selectors():
    pods = {"x/a": {}, "x/b": {"labels": {"pod": "b", "team": "blue"}}, "x/c": {}, "x/d": {"labels": {"pod": "d", "team": "red"}}, "y/a": {"labels": {"team": "red"}}}
    ends = list(pods)
    tests = (
        (expr("team", "NotIn", "red"), ["x/b", "x/c"]), (expr("team", "NotIn", "red", "blue"), ["x/c"]),
        (expr("team", "Exists"), ["x/b", "x/d"]), (expr("team", "DoesNotExist"), ["x/c"]), (expr("team", "In", "red", "blue"), ["x/b", "x/d"]),
        ({"matchLabels": {"pod": "b"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["red"]}]}, []),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}, {"key": "pod", "operator": "NotIn", "values": ["d"]}]}, ["x/b"]),
        ({"matchLabels": {"team": "red"}, "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}, []))
    steps = [step(np("x", "p", A, [{"from": [{"podSelector": sel}]}]), expect=says((ALL, (D, "*", "x/a"), *[(O, e, "x/a") for e in who]), ends=ends))
             for sel, who in tests]
    return case("S-match-expressions", "In, NotIn (also without the key), Exists, DoesNotExist, and all of them together", *steps, world={"pods": pods}, ends=ends)


Y = labels(**{"kubernetes.io/metadata.name": "y"})


def of_places():
    """Nodes, hosts, phases."""
    out = []
    nodes = {"n1": {"ip": ["192.168.7.1", "fd07::1"], "labels": {"zone": "one"}}, "n2": {"ip": ["192.168.7.2", "fd07::2"], "labels": {"zone": "two"}}}
    pods = {"x/a": {}, "x/b": {"node": "n2"}, "x/host": {"hostNetwork": True, "node": "n1", "ip": nodes["n1"]["ip"]}, "y/a": {"node": "n2"}}
    ends = ["x/a", "x/b", "y/a", "node/n1", "node/n2", "snat/n1", "snat/n2"]
    world = {"nodes": nodes, "pods": pods}
    own = [(O, "node/n1", "x/a"), (O, "node/n2", "x/b"), (O, "node/n2", "y/a"), (O, "x/a", "node/n1"), (O, "x/b", "node/n2"), (O, "y/a", "node/n2"),
           (O, "x/a", "snat/n1"), (O, "x/b", "snat/n2"), (O, "y/a", "snat/n2")]
    shut = np("x", "shut", {}, [], [])
    out.append(case("S-own-node", "a pod's own node may always, other nodes are peers like any other, and what is forwarded with a node's address is no node",
                    step(shut, expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), *own), ends=ends)),
                    step(np("x", "shut", {}, [{"from": cidr("192.168.7.0/24", "fd07::/64"), "ports": [port(80)]}], [{"to": cidr("192.168.7.2/32", "fd07::2/128"), "ports": [port(81)]}]),
                         expect=says((("80/TCP",), (D, "x/*", "*"), (D, "y/*", "x/*"), *own), (("81/TCP",), (D, "*", "x/*"), (D, "x/*", "*"), (O, "x/*", "node/n2"), (O, "x/*", "snat/n2"), *own),
                                     (REST, (D, "*", "x/*"), (D, "x/*", "*"), *own), ends=ends)), world=world, ends=ends))
    out.append(case("S-host-network", "pods in the host's network are selected neither as subject nor as peer; an ipBlock finds their node",
                    step(np("x", "p", {}, [{"from": [{"podSelector": labels(pod="host")}]}], [{"to": [{"podSelector": labels(pod="host")}]}]),
                         expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), *own), ends=ends)),
                    step(np("x", "p", {}, [{"from": [{"podSelector": {}}]}], [{"to": [{"namespaceSelector": {}}]}]),
                         expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), (O, "x/*", "x/*"), (O, "x/*", "y/a"), *own), ends=ends)), world=world, ends=ends))
    nodes_peer = {"nodes": {}}
    out.append(case("S-nodes-and-own-node", "an explicit Deny of a cluster policy on nodes or networks holds for the pod's own node too; ingress has no such peer",
                    step(cnp("n", "Admin", 1, SUBJECT_X, egress=[{"action": "Accept", "to": [{"nodes": labels(zone="two")}], "protocols": [{"tcp": {"destinationPort": {"number": 81}}}]}, {"action": "Deny", "to": [nodes_peer]}]),
                         expect=says((("81/TCP",), (D, "x/*", "node/n1"), (D, "x/*", "snat/n1")), (("80/TCP", *REST), (D, "x/*", "node/*"), (D, "x/*", "snat/*")), ends=ends)),
                    step(cnp("n", "Baseline", 1, SUBJECT_X, egress=[{"action": "Deny", "to": [ALL_NETS]}]), expect=says((ALL, (D, "x/*", "*")), ends=ends)),
                    step(shut, expect=says((ALL, (D, "*", "x/*"), (D, "x/*", "*"), *own), ends=ends)),
                    step({"delete": "NetworkPolicy/x/shut"}, cnp("n", "Admin", 1, SUBJECT_X, ingress=[{"action": "Deny", "from": [EVERY_NS]}]),
                         expect=says((ALL, (D, "x/*", "x/*"), (D, "y/*", "x/*")), ends=ends)), world=world, ends=ends))
    ends = ["x/a", "x/b", "x/gone", "y/a"]
    allow_gone = np("x", "p", A, [{"from": [{"podSelector": labels(pod="gone")}]}], [{"to": [{"podSelector": labels(pod="gone")}]}])
    gone = {"labels": {"pod": "gone"}, "ip": ["10.9.5.5", "fd09::5:5"]}

    def quiet(*changes):
        return [expect(table(*changes, ("skip", "x/gone", "x/gone"), ends=ends), *ALL)]
    out.append(case("S-phases", "a pod that is over is neither peer nor subject, and its address may be another's at once",
                    step({"pods": {"x/gone": gone}}, allow_gone, expect=quiet((D, "*", "x/a"), (D, "x/a", "*"), (O, "x/gone", "x/a"), (O, "x/a", "x/gone"))),
                    step({"pods": {"x/gone": {**gone, "phase": "Succeeded"}}}, expect=quiet((D, "*", "x/a"), (D, "x/a", "*"))),
                    step({"pods": {"x/gone": {**gone, "phase": "Failed"}}}, expect=quiet((D, "*", "x/a"), (D, "x/a", "*"))),
                    step({"pods": {"x/gone": {**gone, "phase": "Pending"}}}, expect=quiet((D, "*", "x/a"), (D, "x/a", "*"), (O, "x/gone", "x/a"), (O, "x/a", "x/gone"))),
                    ends=ends))
    ends = ["x/a", "x/old", "y/new"]
    out.append(case("S-address-of-the-dead", "the address of a pod that is over belongs to the pod that has it now",
                    step({"pods": {"x/old": {"ip": ["10.9.5.5", "fd09::5:5"], "labels": {"app": "db"}, "phase": "Succeeded"}, "y/new": {"ip": ["10.9.5.5", "fd09::5:5"], "labels": {"app": "web"}}}},
                         np("x", "p", A, egress=[{"to": [{"podSelector": labels(app="db")}]}]),
                         expect=[expect(table((D, "x/a", "*"), ("skip", "*", "x/old"), ("skip", "x/old", "*"), ends=ends), *ALL)]),
                    step(np("x", "p", A, egress=[{"to": [{"namespaceSelector": Y}]}]),
                         expect=[expect(table(("skip", "*", "x/old"), ("skip", "x/old", "*"), ends=ends), *ALL)]), ends=ends))
    out.append(case("S-namespace-unknown", "a namespace that nobody described still has its name for a label",
                    step({"pods": {"dark/a": {}}}, np("x", "p", A, [{"from": [{"namespaceSelector": labels(**{"kubernetes.io/metadata.name": "dark"})}]}]),
                         np("dark", "q", {}, egress=[{"to": [{"namespaceSelector": expr("kubernetes.io/metadata.name", "NotIn", "y")}]}]),
                         expect=[expect(table((D, "*", "x/a"), (O, "dark/a", "x/a"), (D, "dark/a", "y/a"), (D, "dark/a", "out/web"), ends=["x/a", "x/b", "y/a", "dark/a", "out/web"]), *ALL)]),
                    ends=["x/a", "x/b", "y/a", "dark/a", "out/web"]))
    return out


def of_tiers():
    out = []

    def rule(action, *peers, name="r", proto=None, side="to"):
        return {"name": name, "action": action, side: list(peers), **({"protocols": proto} if proto else {})}
    pass_b = cnp("one", "Admin", 1, SUBJECT_X, egress=[rule("Pass", {"pods": {"podSelector": B}})])
    deny = cnp("two", "Admin", 2, SUBJECT_X, egress=[rule("Deny", EVERY_NS)])
    base = cnp("base", "Baseline", 7, SUBJECT_X, egress=[rule("Pass", {"namespaces": Y}), rule("Deny", EVERY_NS), rule("Deny", ALL_NETS)])
    out.append(case("S-pass", "Pass skips the rest of its tier: in Admin to NetworkPolicy, then Baseline; in Baseline to the default",
                    step(pass_b, deny, expect=says((ALL, (D, "x/*", "*"), (O, "x/*", "x/b"), (O, "x/*", "out/*")))),
                    step(base, expect=says((ALL, (D, "x/*", "*")))),
                    step(np("x", "p", C, egress=[{"to": [{"podSelector": B}]}]), expect=says((ALL, (D, "x/*", "*"), (O, "x/c", "x/b")))),
                    step({"delete": ["ClusterNetworkPolicy/one", "ClusterNetworkPolicy/two"]}, expect=says((ALL, (D, "x/*", "*"), (O, "x/c", "x/b"), (O, "x/a", "y/a"), (O, "x/b", "y/a"))))))
    out.append(case("S-priorities", "lower numbers go first, whatever the names; of equal ones the name decides",
                    step(cnp("z", "Admin", 0, SUBJECT_X, egress=[rule("Accept", {"pods": {"podSelector": B}})]), cnp("a", "Admin", 1000, SUBJECT_X, egress=[rule("Deny", EVERY_NS)]),
                         expect=says((ALL, (D, "x/*", "*"), (O, "x/*", "x/b"), (O, "x/*", "out/*")))),
                    step(cnp("z", "Admin", 1000, SUBJECT_X, egress=[rule("Accept", {"pods": {"podSelector": B}})]), expect=says((ALL, (D, "x/*", "*"), (O, "x/*", "out/*"))))))
    out.append(case("S-unknown-peer", "a peer of a kind that nobody knows fails closed: Accept matches nothing, Deny and Pass deny all",
                    step(cnp("u", "Admin", 1, SUBJECT_X, egress=[rule("Accept", {}, {"pods": {"podSelector": B}}), rule("Deny", EVERY_NS)]), expect=says((ALL, (D, "x/*", "*"), (O, "x/*", "out/*")))),
                    step(cnp("u", "Admin", 1, SUBJECT_X, egress=[rule("Accept", {"pods": {"podSelector": B}}), rule("Deny", {"pods": {"podSelector": C}}, {}, proto=[{"tcp": {"destinationPort": {"number": 80}}}])]),
                         expect=says((ALL, (D, "x/*", "*"), (O, "x/*", "x/b")))),
                    step(cnp("u", "Admin", 1, SUBJECT_X, egress=[rule("Pass", {})]), expect=says((ALL, (D, "x/*", "*")))),
                    step(cnp("u", "Baseline", 1, SUBJECT_X, ingress=[rule("Deny", {}, side="from")]), expect=says((ALL, (D, "*", "x/*"))))))
    out.append(case("S-cluster-ports", "protocols of a cluster rule: a number, a range, a whole protocol, a named port",
                    step(cnp("p", "Admin", 1, SUBJECT_X, egress=[
                        rule("Accept", EVERY_NS, proto=[{"tcp": {"destinationPort": {"range": {"start": 80, "end": 82}}}}, {"udp": {"destinationPort": {"number": 53}}}, {"destinationNamedPort": "serve-80-sctp"}]),
                        rule("Deny", EVERY_NS)]),
                        expect=says((("80/TCP", "81/TCP", "82/TCP", "53/UDP", "80/SCTP"),), (("79/TCP", "83/TCP", "54/UDP", "81/SCTP", "ICMP", "47"), (D, "x/*", "*"), (O, "x/*", "out/*"))))))
    out.append(case("S-networks-match-pods", "networks match pods and ICMP; a Pass for pods before them is the way out",
                    step(cnp("n", "Admin", 1, SUBJECT_X, egress=[rule("Deny", ALL_NETS)]), expect=says((ALL, (D, "x/*", "*")))),
                    step(cnp("n", "Admin", 1, SUBJECT_X, egress=[rule("Pass", EVERY_NS), rule("Deny", {"networks": ["0.0.0.0/0"]}, {"networks": ["::/0"]})]), expect=says((ALL, (D, "x/*", "out/*"))))))
    names = {"out/web": ["www.Example.com."], "out/other": ["example.com", "deep.in.example.org"]}

    def fqdn(*domains, **more):
        return cnp("f", "Admin", 1, SUBJECT_X, egress=[{"action": "Accept", "to": [{"domainNames": list(domains)}], **more}, {"action": "Deny", "to": [ALL_NETS]}])
    shut = (D, "x/*", "*")
    out.append(case("S-domain-names", "a name stands for itself alone, *.name for what has more labels before it; case and the last dot do not matter",
                    *[step(fqdn(*domains), names=names, expect=says((ALL, shut, *[(O, "x/*", e) for e in who])))
                      for domains, who in ((["www.example.com"], ["out/web"]), (["*.example.com"], ["out/web"]), (["example.com"], ["out/other"]), (["EXAMPLE.com."], ["out/other"]),
                                           (["*.example.org"], ["out/other"]), (["*.in.example.org", "*.example.com"], ["out/web", "out/other"]), (["ww.example.com", "*.www.example.com", "ample.com"], []))],
                    step(fqdn("www.example.com", protocols=[{"tcp": {"destinationPort": {"number": 80}}}]), names=names, expect=says((("80/TCP",), shut, (O, "x/*", "out/web")), (("81/TCP", *REST), shut))),
                    step(fqdn("www.example.com"), expect=says((ALL, shut)))))
    aws = {"apiVersion": "networking.k8s.aws/v1alpha1", "kind": "ApplicationNetworkPolicy", "metadata": {"namespace": "x", "name": "app"},
           "spec": {"podSelector": A, "policyTypes": ["Egress"], "egress": [{"to": [{"domainNames": ["*.example.com"]}], "ports": [port(80)]}, {"to": [{"podSelector": B}]}]}}
    out.append(case("S-application-policy", "AWS's ApplicationNetworkPolicy is a NetworkPolicy with names in egress",
                    step(aws, names=names, expect=says((("80/TCP",), (D, "x/a", "*"), (O, "x/a", "x/b"), (O, "x/a", "out/web")), (("81/TCP", *REST), (D, "x/a", "*"), (O, "x/a", "x/b"))))))

    def of_amazon(*egress):
        return {"apiVersion": "networking.k8s.aws/v1alpha1", "kind": "ClusterNetworkPolicy", "metadata": {"name": "amazon"},
                "spec": {"tier": "Admin", "priority": 1, "subject": SUBJECT_X, "egress": list(egress)}}
    out.append(case("S-aws-cluster", "AWS's cluster policies have no nodes as peers, so that they fail closed, and may Pass by name",
                    step(of_amazon(rule("Deny", {"nodes": {}})), expect=says((ALL, shut))),
                    step(of_amazon(rule("Accept", {"nodes": {}}, EVERY_NS), rule("Deny", ALL_NETS)), expect=says((ALL, shut))),
                    step(of_amazon(rule("Pass", {"domainNames": ["*.example.com"]}), rule("Deny", ALL_NETS)), names=names, expect=says((ALL, shut, (O, "x/*", "out/web")))),
                    step(np("x", "one", A, egress=[]), names=names, expect=says((ALL, shut, (O, "x/b", "out/web"), (O, "x/c", "out/web"))))))
    old = {"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy", "metadata": {"name": "old"},
           "spec": {"priority": 3, "subject": {"pods": {"namespaceSelector": {}, "podSelector": A}}, "ingress": [
               {"action": "Allow", "from": [{"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}], "ports": [{"portRange": {"protocol": "TCP", "start": 80, "end": 81}}, {"namedPort": "serve-80-udp"}]},
               {"action": "Deny", "from": [{"namespaces": {}}]}]}}
    banp = {"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "BaselineAdminNetworkPolicy", "metadata": {"name": "default"},
            "spec": {"subject": {"namespaces": {}}, "egress": [{"action": "Deny", "to": [{"networks": ["198.51.100.0/24", "2001:db8:ffff::/48"]}]}]}}
    out.append(case("S-v1alpha1", "AdminNetworkPolicy and BaselineAdminNetworkPolicy",
                    step(old, banp, expect=says(((*TCP, "80/UDP"), (D, "*", "x/a"), (O, "y/a", "x/a"), (O, "out/*", "x/a"), (D, "x/b", "y/a"), (D, "x/c", "y/a"), (D, "*", "y/a"), (O, "out/*", "y/a"), (D, "*", "out/other")),
                                                (("80/SCTP", "ICMP", "47"), (D, "*", "x/a"), (O, "out/*", "x/a"), (D, "*", "y/a"), (O, "out/*", "y/a"), (D, "*", "out/other"))))))
    by_name = {"apiVersion": "networking.k8s.aws/v1alpha1", "kind": "ClusterNetworkPolicy", "metadata": {"name": "passes"},
               "spec": {"tier": "Admin", "priority": 1, "subject": {"pods": {"podSelector": A}},
                        "egress": [{"action": "Pass", "to": [{"domainNames": ["example.com"]}]}]}}
    other = cnp("other", "Baseline", 1, {"pods": {"podSelector": A}},
                egress=[{"action": "Accept", "to": [{"domainNames": ["*.b.example.com"]}]}, {"action": "Deny", "to": [ALL_NETS]}])
    out.append(case("S-pass-by-name", "an address that passes by one name is not let through as another",
                    step(by_name, other, names={"out/web": ["example.com", "a.b.example.com"], "out/other": ["a.b.example.com"]},
                         expect=says((ALL, (D, "x/a", "*"), (O, "x/a", "out/other"), (D, "y/a", "*"), (O, "y/a", "out/other"))))))
    return out


def refusals():
    def ports(**p):
        return np("x", "bad", A, [{"ports": [p]}]), "spec.ingress[0].ports[0]"

    def peer(**p):
        return np("x", "bad", A, egress=[{"to": [p]}]), "spec.egress[0].to[0]"

    def cluster(at, **spec):
        return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "bad"},
                "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, **spec}}, at
    groups = {
        "R-API2-ports": ("endPort wants a numeric port that is not above it; other ports out of range", [
            ports(endPort=90), ports(port="http", endPort=90), ports(port=90, endPort=89), ports(port=0), ports(port=65536), ports(port=80, endPort=65536),
            ports(port="80"), ports(port="a_b"), ports(port="abcdefghijklmnop"), ports(protocol="ICMP", port=1), ports(protocol="tcp", port=1)]),
        "R-peers": ("peers that mean nothing or two things", [
            peer(), peer(ipBlock={"cidr": "10.0.0.0/8"}, podSelector={}), peer(ipBlock={"cidr": "10.0.0.0/8"}, namespaceSelector={}),
            peer(ipBlock={"cidr": "10.0.0.0/33"}), peer(ipBlock={"cidr": "ten/8"}), peer(ipBlock={}), peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}),
            peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["10.0.0.0/7"]}), peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["fd00::/9"]})]),
        "R-selectors": ("selectors that cannot be evaluated", [
            peer(podSelector=expr("k", "In")), peer(podSelector=expr("k", "Exists", "v")), peer(podSelector=expr("k", "NotIn")),
            peer(podSelector=expr("k", "DoesNotExist", "v")), peer(podSelector=expr("k", "Near", "v")), peer(podSelector={"matchExpressions": [{"operator": "Exists"}]}),
            (np("x", "bad", A, types=["Sideways"]), "spec.policyTypes[0]")]),
        "R-cluster": ("cluster policies", [
            cluster("spec.tier", tier="Middle"), cluster("spec.priority", priority=1001), cluster("spec.priority", priority=-1), cluster("spec.subject", subject={}),
            cluster("spec.subject", subject={"namespaces": {}, "pods": {"podSelector": {}}}),
            cluster("spec.egress[0].action", egress=[{"action": "Reject", "to": [EVERY_NS]}]), cluster("spec.ingress[0].from", ingress=[{"action": "Deny", "from": []}]),
            cluster("spec.egress[0].to[0]", egress=[{"action": "Deny", "to": [{"namespaces": {}, "networks": ["10.0.0.0/8"]}]}]),
            cluster("spec.egress[0].to[0].networks[0]", egress=[{"action": "Deny", "to": [{"networks": ["10.0.0.0"]}]}]),
            cluster("spec.egress[0].to[0].domainNames", egress=[{"action": "Deny", "to": [{"domainNames": ["example.com"]}]}]),
            cluster("spec.egress[0].to[0].domainNames[0]", egress=[{"action": "Accept", "to": [{"domainNames": ["www.*.com"]}]}]),
            cluster("spec.egress[0].protocols[0]", egress=[{"action": "Accept", "to": [EVERY_NS], "protocols": [{"tcp": {"destinationPort": {"range": {"start": 9, "end": 9}}}}]}]),
            cluster("spec.egress[0].protocols[0]", egress=[{"action": "Accept", "to": [EVERY_NS], "protocols": [{"udp": {"destinationPort": {"number": 0}}}]}])]),
    }
    good = np("x", "good", A, [{"ports": [port(80, "TCP", 80), port(90, "TCP", 91)]}])
    return [case(name, title, step(good, *[{"refuse": obj, "at": at} for obj, at in bad],
                                   expect=says((("80/TCP", "90/TCP", "91/TCP"),), (("81/TCP", "89/TCP", "92/TCP"), (D, "*", "x/a")))))
            for name, (title, bad) in groups.items()]


def make():
    cases = of_aws() + of_users() + of_networkpolicy() + of_places() + of_tiers() + refusals()
    return write("regress.json", "regress", "see tests/policy/gen/regress.py", WORLD, cases)
