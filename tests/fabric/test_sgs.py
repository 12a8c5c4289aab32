# SPDX-License-Identifier: Apache-2.0
"""Security groups as packets see them: stateful, both directions, other groups as peers, IPv4 and IPv6."""
import contextlib
import subprocess

import pytest

from tests.harness import proc
from tests.harness.ec2 import Ec2
from tests.harness.lab import Lab

ALL = {"cidr": "0.0.0.0/0"}
GROUPS = [
    {"name": "open"},
    {"name": "client"},
    {"name": "web", "ingress": [{"protocol": "tcp", "ports": "8000-8001", "group": "client"},
                                {"protocol": "icmp", "type": 8, "group": "client"},
                                {"protocol": "icmpv6", "cidr": "::/0"}],
     "egress": [{"protocol": "udp", "cidr": "0.0.0.0/0"}]},
]
INSTANCES = [{"name": name, "type": "t3.medium", "ipv6_addresses": 1, "security_groups": [group], "role": "vpcwire-node", "public_ip": f"198.51.100.{n}"}
             for n, (name, group) in enumerate((("client", "client"), ("web", "web"), ("other", "open")), 1)]
CONFIG = {"security_groups": GROUPS, "instances": INSTANCES}


@pytest.fixture(scope="module")
def vpc():
    with Lab("--no-daemon", "--ipv6", config=CONFIG) as lab:
        yield lab


@pytest.fixture(scope="module")
def ec2(vpc):
    client = Ec2(vpc)
    yield client
    client.close()


@pytest.fixture(scope="module")
def enis(vpc, ec2):
    return {n.name: ec2.primary(n) for n in vpc.nodes}


def address(enis, name):
    return enis[name]["PrivateIpAddress"]


@contextlib.contextmanager
def serving(node, *ports, host="0.0.0.0"):
    """TCP servers that accept and close, ready when this returns."""
    script = ("import socket,sys\nss=[socket.create_server((sys.argv[1],int(p)),family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET) "
              "for p in sys.argv[2:]]\nprint('ready',flush=True)\nsys.stdin.read()")
    with proc.beside(node.argv("/usr/bin/python3", "-c", script, host, *ports), env=node.env(), stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        yield
        server.stdin.close()


def connects(node, to, port, seconds=1):
    return node.run("nc", "-z", "-w", seconds, to, port, check=False).returncode == 0


def pings(node, to):
    return node.run("ping", "-n", "-q", "-c1", "-W1", to, check=False).returncode == 0


def denied(vpc, eni, direction):
    return next(e for e in vpc.control("fabric")["enis"] if e["eni"] == eni["NetworkInterfaceId"])[f"{direction}_denied"]


def test_ingress_by_group_port_and_type(vpc, enis):
    web, client, other = address(enis, "web"), vpc.node("client"), vpc.node("other")
    with serving(vpc.node("web"), 8000, 8001, 8002):
        before = denied(vpc, enis["web"], "ingress")
        assert connects(client, web, 8000) and connects(client, web, 8001) and pings(client, web)
        assert not connects(client, web, 8002) and not connects(other, web, 8000) and not pings(other, web)
        assert denied(vpc, enis["web"], "ingress") >= before + 3


def test_a_public_address_does_not_get_around_it(vpc, enis):
    with serving(vpc.node("web"), 8000):
        assert not connects(vpc.node("other"), "198.51.100.2", 8000)


def test_egress_and_answers_to_what_came_in(vpc, enis):
    """Web may send UDP alone; but its answers to clients belong to flows that passed."""
    web, before = vpc.node("web"), denied(vpc, enis["web"], "egress")
    with serving(vpc.node("other"), 8000):
        assert not connects(web, address(enis, "other"), 8000) and not pings(web, address(enis, "other"))
    assert denied(vpc, enis["web"], "egress") >= before + 2
    listener = subprocess.Popen(vpc.node("other").argv("timeout", "10", "nc", "-u", "-l", "-p", "9000"), env=vpc.node("other").env(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    proc.wait_until(lambda: ":9000" in vpc.node("other").run("ss", "-ulnH").stdout, "the listener")
    web.run("sh", "-c", f"echo hello | nc -u -w1 {address(enis, 'other')} 9000", check=False)
    assert listener.stdout.readline() == b"hello\n"
    listener.kill()
    listener.wait()


def test_metadata_and_endpoints_ask_no_group(vpc):
    assert vpc.node("web").imds("instance-id").startswith("i-")


def test_ipv6_has_rules_of_its_own(vpc, enis):
    web6, client = enis["web"]["Ipv6Addresses"][0]["Ipv6Address"], vpc.node("client")
    with serving(vpc.node("web"), 8000, 8002, host="::"):
        assert pings(vpc.node("other"), web6)
        assert connects(client, web6, 8000) and not connects(client, web6, 8002) and not connects(vpc.node("other"), web6, 8000)


def test_every_address_of_a_member_counts(vpc, ec2, enis):
    """A secondary address and a delegated prefix of the client's ENI are the client."""
    eni = enis["client"]["NetworkInterfaceId"]
    extra = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)["AssignedPrivateIpAddresses"][0]
    client = vpc.node("client")
    client.run("ip", "addr", "add", f"{extra['PrivateIpAddress']}/32", "dev", "eth0")
    assert client.run("ping", "-n", "-q", "-c1", "-W2", "-I", extra["PrivateIpAddress"], address(enis, "web"), check=False).returncode == 0
    client.run("ip", "addr", "del", f"{extra['PrivateIpAddress']}/32", "dev", "eth0")
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[extra["PrivateIpAddress"]])


def test_an_eni_gets_other_groups(vpc, ec2, enis):
    groups = {g["GroupName"]: g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]}
    other = vpc.node("other")
    assert not pings(other, address(enis, "web"))
    ec2.modify_network_interface_attribute(NetworkInterfaceId=enis["other"]["NetworkInterfaceId"], Groups=[groups["client"]])
    assert pings(other, address(enis, "web"))
    ec2.modify_network_interface_attribute(NetworkInterfaceId=enis["other"]["NetworkInterfaceId"], Groups=[groups["open"]])
    assert not pings(other, address(enis, "web"))


def test_rules_change_under_traffic(vpc, ec2, enis):
    """A rule more, a rule less: the next flow knows. Counters of what was denied before stay."""
    gid = next(g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"] == "web")
    rule = [{"IpProtocol": "tcp", "FromPort": 8002, "ToPort": 8002, "IpRanges": [{"CidrIp": f"{address(enis, 'other')}/32"}]}]
    other, web = vpc.node("other"), address(enis, "web")
    with serving(vpc.node("web"), 8002):
        before = denied(vpc, enis["web"], "ingress")
        assert not connects(other, web, 8002)
        ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=rule)
        assert connects(other, web, 8002) and not connects(vpc.node("client"), web, 8002)
        ec2.revoke_security_group_ingress(GroupId=gid, IpPermissions=rule)
        assert not connects(other, web, 8002)
        assert denied(vpc, enis["web"], "ingress") >= before + 3


def test_open_groups_cost_nothing(make_lab):
    """No group with rules of its own: the filter has no chain for any of them."""
    lab = make_lab("--no-daemon", nodes=1)
    listing = lab.nodes[0].lab
    chains = proc.run([proc.SIM, "exec", "fabric", "--", "nft", "list", "table", "inet", "fabric"], env=listing.nodes[0].env()).stdout
    assert "sg_in_eni" not in chains and "sg_out_eni" not in chains
