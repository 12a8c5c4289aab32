# SPDX-License-Identifier: Apache-2.0
"""PolicyEndpoints as EKS's controller writes them: addresses instead of selectors, in chunks. Tables are written by hand."""
from common import case, np, port, step, write
from regress import A, ALL, D, O, PODS, REST, WORLD, says

IP = {pod: (f"10.9.0.{10 + i}", f"fd09::{10 + i:x}") for i, pod in enumerate(PODS)}          # by order of appearance
ANY = ("0.0.0.0/0", "::/0")


def endpoint(name, of, pods, ingress=None, egress=None, isolation=None, owner=None):
    """A PolicyEndpoint in x. isolation None: the directions that are given."""
    spec = {"policyRef": {"namespace": "x", "name": of},
            "podSelectorEndpoints": [{"namespace": p.split("/")[0], "name": p.split("/")[1], "podIP": IP[p][0], "hostIP": "192.168.7.1"} for p in pods],
            "podIsolation": isolation if isolation is not None else [t for t, given in (("Ingress", ingress), ("Egress", egress)) if given is not None]}
    for key, given in (("ingress", ingress), ("egress", egress)):
        if given is not None:
            spec[key] = given
    meta = {"namespace": "x", "name": name}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": owner, "name": of, "uid": "1"}]
    return {"apiVersion": "networking.k8s.aws/v1alpha1", "kind": "PolicyEndpoint", "metadata": meta, "spec": spec}


def of(pair, *ports, but=None):
    """Entries for an address or block of each family."""
    return [{"cidr": c, **({"ports": list(ports)} if ports else {}), **({"except": [but[i]]} if but else {})} for i, c in enumerate(pair)]


def of_entries():
    b32 = (f"{IP['x/b'][0]}/32", f"{IP['x/b'][1]}/128")
    return [
        case("ingress", "who is listed is isolated, for ingress alone, and reached by the addresses of its entries",
             step(endpoint("p-1", "p", ["x/a"], ingress=of(IP["x/b"], port(80, "TCP")) + of(IP["y/a"])),
                  expect=says((("80/TCP",), (D, "*", "x/a"), (O, "x/b", "x/a"), (O, "y/a", "x/a")),
                              (("81/TCP", *REST), (D, "*", "x/a"), (O, "y/a", "x/a")))),
             step({"delete": "PolicyEndpoint/x/p-1"}, expect=says((ALL,)))),
        case("egress", "blocks with exceptions; what another entry says of the excepted address holds",
             step(endpoint("p-1", "p", ["x/a"], egress=of(ANY, but=b32)), expect=says((ALL, (D, "x/a", "x/b")))),
             step(endpoint("p-1", "p", ["x/a"], egress=of(ANY, but=b32) + of(IP["x/b"], port(81))),
                  expect=says((("81/TCP",),), (("80/TCP", *REST), (D, "x/a", "x/b")))),
             step(endpoint("p-1", "p", ["x/a"], egress=of(("203.0.113.0/24", "2001:db8::/48"), but=("203.0.113.8/29", "2001:db8::8/125"))),
                  expect=says((ALL, (D, "x/a", "*"))))),
        case("ports", "protocol alone, one port, ranges with endPort; without protocol it is TCP",
             step(endpoint("p-1", "p", ["x/a"], ingress=of(ANY, port(80, "TCP", 81), port(None, "UDP"), port(90))),
                  expect=says((("80/TCP", "81/TCP", "90/TCP", "1/UDP", "80/UDP", "65535/UDP"),),
                              (("79/TCP", "82/TCP", "89/TCP", "91/TCP", "80/SCTP", "90/SCTP", "ICMP", "47"), (D, "*", "x/a")))),
             step(endpoint("p-1", "p", ["x/a"], ingress=of(ANY, port(65535, "SCTP", 65535), port(1, "TCP", 65535))),
                  expect=says((("1/TCP", "80/TCP", "65535/TCP", "65535/SCTP"),), (("80/UDP", "65534/SCTP", "ICMP", "47"), (D, "*", "x/a"))))),
        case("one-family", "an entry of one family opens nothing in the other",
             step(endpoint("p-1", "p", ["x/a"], ingress=of((ANY[0],))), expect=says((ALL,)), ), family=4),
        case("other-family", "the same, asked by IPv6", step(endpoint("p-1", "p", ["x/a"], ingress=of((ANY[0],))), expect=says((ALL, (D, "*", "x/a")))), family=6),
        case("names", "egress by domain name",
             step(endpoint("p-1", "p", ["x/a"], egress=[{"domainName": "*.example.com", "ports": [port(80)]}]), names={"out/web": ["www.example.com"]},
                  expect=says((("80/TCP",), (D, "x/a", "*"), (O, "x/a", "out/web")), (("81/TCP", *REST), (D, "x/a", "*"))))),
    ]


def of_subjects():
    return [
        case("isolation", "podIsolation without entries denies; entries isolate where it is silent",
             step(endpoint("p-1", "p", ["x/a"], isolation=["Ingress", "Egress"]), expect=says((ALL, (D, "*", "x/a"), (D, "x/a", "*")))),
             step(endpoint("p-1", "p", ["x/a"], isolation=["Egress"]), expect=says((ALL, (D, "x/a", "*")))),
             step(endpoint("p-1", "p", ["x/a"], isolation=[]), expect=says((ALL,))),
             step(endpoint("p-1", "p", ["x/a"], ingress=of(IP["x/b"]), isolation=[]), expect=says((ALL, (D, "*", "x/a"), (O, "x/b", "x/a"))))),
        case("listed", "pods are named, not selected: labels say nothing, and nobody listed means nobody",
             step(endpoint("p-1", "p", ["x/a", "x/b"], ingress=[], isolation=["Ingress"]), expect=says((ALL, (D, "*", "x/a"), (D, "*", "x/b")))),
             step({"labels": {"Pod/x/a": {"pod": "other"}}}, expect=says((ALL, (D, "*", "x/a"), (D, "*", "x/b")))),
             step(endpoint("p-1", "p", ["x/b"], ingress=[], isolation=["Ingress"]), expect=says((ALL, (D, "*", "x/b")))),
             step(endpoint("p-1", "p", [], ingress=[], isolation=["Ingress"]), expect=says((ALL,)))),
        case("chunks", "all of one policyRef are one policy: rules and pods of any count for all; another policyRef is another policy",
             step(endpoint("p-1", "p", ["x/a"], ingress=of(IP["x/b"])), endpoint("p-2", "p", ["x/c"], ingress=of(IP["y/a"])),
                  expect=says((ALL, (D, "*", "x/a"), (D, "*", "x/c"), (O, "x/b", "x/a"), (O, "x/b", "x/c"), (O, "y/a", "x/a"), (O, "y/a", "x/c")))),
             step(endpoint("p-2", "q", ["x/c"], ingress=of(IP["y/a"])),
                  expect=says((ALL, (D, "*", "x/a"), (D, "*", "x/c"), (O, "x/b", "x/a"), (O, "y/a", "x/c")))),
             step(endpoint("p-2", "q", ["x/a"], ingress=of(IP["y/a"])), expect=says((ALL, (D, "*", "x/a"), (O, "x/b", "x/a"), (O, "y/a", "x/a"))))),
        case("made-of", "the policy itself says it better: its PolicyEndpoints wait, and come into force when it goes",
             step(endpoint("p-1", "p", ["x/a"], ingress=of(ANY)), np("x", "p", A, ingress=[{"ports": [port(80)]}]),
                  expect=says((("80/TCP",),), (("81/TCP", *REST), (D, "*", "x/a")))),
             step({"delete": "NetworkPolicy/x/p"}, expect=says((ALL,))),
             step(endpoint("p-1", "p", ["x/a"], ingress=of(IP["x/b"]), owner="ApplicationNetworkPolicy"), np("x", "p", A, ingress=[{"ports": [port(80)]}]),
                  expect=says((("80/TCP",),), (("81/TCP", *REST), (D, "*", "x/a"), (O, "x/b", "x/a"))))),
        case("union", "beside policies that select the pod: what either allows",
             step(endpoint("p-1", "p", ["x/a"], ingress=of(IP["x/b"])), np("x", "q", A, ingress=[{"ports": [port(80)]}]),
                  expect=says((("80/TCP",),), (("81/TCP", *REST), (D, "*", "x/a"), (O, "x/b", "x/a"))))),
    ]


def refusals():
    elsewhere = endpoint("bad", "bad", ["x/a"], ingress=of(ANY))
    elsewhere["spec"]["policyRef"]["namespace"] = "y"

    def entry(at, direction="ingress", **e):
        return endpoint("bad", "bad", ["x/a"], **{direction: [e]}), f"spec.{direction}[0]{at}"
    bad = [entry(".ports[0]", cidr="10.0.0.0/8", ports=[port(90, "TCP", 89)]), entry(".ports[0]", cidr="10.0.0.0/8", ports=[port(None, "TCP", 89)]),
           entry(".ports[0]", cidr="10.0.0.0/8", ports=[port("web")]), entry(".ports[0]", cidr="10.0.0.0/8", ports=[port(80, "ICMP")]),
           entry(".except[0]", cidr="10.0.0.0/8", **{"except": ["11.0.0.0/9"]}), entry(".except", cidr="10.0.0.1", **{"except": ["10.0.0.1/32"]}),
           entry(".cidr", cidr="10.0.0.0/33"), entry(".cidr", cidr="ten"), entry(".cidr"), entry(".domainName", domainName="example.com"),
           entry(".domainName", "egress", cidr="10.0.0.0/8", domainName="example.com"), entry(".domainName", "egress", domainName="www.*.com"),
           (endpoint("bad", "bad", ["x/a"], isolation=["Sideways"]), "spec.podIsolation[0]"),
           (elsewhere, "spec.policyRef.namespace")]
    return [case("refused", "what nobody could mean is refused, and what is in force stays",
                 step(endpoint("p-1", "p", ["x/a"], ingress=of(ANY, port(80))), *[{"refuse": o, "at": at} for o, at in bad],
                      expect=says((("80/TCP",),), (("81/TCP", *REST), (D, "*", "x/a")))))]


def make():
    return write("endpoints.json", "endpoints", "see tests/policy/gen/endpoints.py", WORLD, of_entries() + of_subjects() + refusals())
