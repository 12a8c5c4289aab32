# SPDX-License-Identifier: Apache-2.0
"""The packet fabric does what EC2 says: delivery, ARP, source check, internet gateway, ENIs that come and go."""
import ipaddress
import json

import pytest

from tests.harness import proc

INTERNET, PEERED = "203.0.113.10", "192.168.100.10"


def place(lab, name, *argv, **kwargs):
    """A program in the internet, the peered network or the fabric itself."""
    node = lab.nodes[0]
    return proc.run([proc.SIM, "exec", name, "--", *argv], env=node.env(), **kwargs)


def ping(node, address, *options, count=1):
    """How many of @count echoes came back; waits a second for each that does not."""
    done = node.run("ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", "1", *options, address, check=False)
    return int(done.stdout.split(" received")[0].rsplit(None, 1)[1])


def whoami(node, address, *options):
    done = node.run("curl", "-sS", "--fail", "--max-time", "5", *options, f"http://{address}/", check=False)
    return json.loads(done.stdout)["client"] if done.returncode == 0 else None


def report(lab, eni_id):
    """What the fabric counts of an ENI."""
    return next(e for e in lab.control("fabric")["enis"] if e["eni"] == eni_id)


def links(node):
    return {link["ifname"]: link for link in node.json("ip", "-j", "link", "show")}


def create_and_attach(ec2, node, device, **options):
    eni = ec2.create_network_interface(SubnetId=ec2.primary(node)["SubnetId"], **options)["NetworkInterface"]
    eni["AttachmentId"] = ec2.attach_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"], DeviceIndex=device,
                                                       InstanceId=node.facts["instance_id"])["AttachmentId"]
    return eni


def detach_and_delete(ec2, eni):
    ec2.detach_network_interface(AttachmentId=eni["AttachmentId"])
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])


def test_primary_interface_is_configured_as_by_dhcp(vpc, ec2):
    for node in vpc.nodes:
        eni = ec2.primary(node)
        eth0 = node.json("ip", "-j", "addr", "show", "dev", "eth0")[0]
        assert eth0["address"] == eni["MacAddress"]
        assert eth0["mtu"] == 9001
        assert "UP" in eth0["flags"]
        assert [(a["local"], a["prefixlen"]) for a in eth0["addr_info"] if a["family"] == "inet"] == [
            (eni["PrivateIpAddress"], 20)]
        route = node.json("ip", "-j", "route", "show", "default")[0]
        assert route["dev"] == "eth0" and route["gateway"].endswith(".1")


def test_nodes_reach_each_other(vpc):
    one, two = vpc.nodes
    assert ping(one, two.facts["address"]) == 1
    assert ping(two, one.facts["address"]) == 1


def test_jumbo_frames_pass_whole(vpc):
    one, two = vpc.nodes
    assert ping(one, two.facts["address"], "-M", "do", "-s", "8973") == 1
    assert ping(one, two.facts["address"], "-M", "do", "-s", "8974") == 0


def test_internet_sees_the_public_address(vpc, ec2):
    for node in vpc.nodes:
        public = ec2.primary(node)["Association"]["PublicIp"]
        assert whoami(node, INTERNET) == public


def test_peered_network_sees_the_private_address(vpc):
    for node in vpc.nodes:
        assert whoami(node, PEERED) == node.facts["address"]


def test_internet_reaches_public_addresses_only(vpc, ec2):
    node = vpc.nodes[0]
    public = ec2.primary(node)["Association"]["PublicIp"]
    before = vpc.control("fabric")["igw_in_dropped"]
    assert "1 received" in place(vpc, "internet", "ping", "-n", "-q", "-c", "1", "-W", "2", public).stdout
    direct = place(vpc, "internet", "ping", "-n", "-q", "-c", "1", "-W", "1", node.facts["address"], check=False)
    assert " 0 received" in direct.stdout
    assert vpc.control("fabric")["igw_in_dropped"] == before + 1


def test_a_node_reaches_another_by_its_public_address(vpc, ec2):
    one, two = vpc.nodes
    assert ping(one, ec2.primary(two)["Association"]["PublicIp"]) == 1


def test_nobody_answers_arp_for_an_address_that_is_not_assigned(vpc):
    one = vpc.nodes[0]
    assert ping(one, "10.0.15.200") == 0
    entry = one.json("ip", "-j", "neigh", "show", "10.0.15.200", "dev", "eth0")
    assert entry and "lladdr" not in entry[0]


def test_the_router_drops_and_counts_what_goes_to_no_eni(vpc, ec2):
    one = vpc.nodes[0]
    eni = ec2.primary(one)["NetworkInterfaceId"]
    before = report(vpc, eni)["unassigned"]
    assert ping(one, "10.0.31.200", count=2) == 0       # the other subnet: sent to the router
    assert report(vpc, eni)["unassigned"] == before + 2


def test_spoofed_sources_are_dropped_and_counted(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(one)["NetworkInterfaceId"]
    one.run("ip", "addr", "add", "10.0.0.77/32", "dev", "lo")
    try:
        before = report(vpc, eni)["spoofed"]
        assert ping(one, two.facts["address"], "-I", "10.0.0.77", count=3) == 0
        assert report(vpc, eni)["spoofed"] == before + 3
    finally:
        one.run("ip", "addr", "del", "10.0.0.77/32", "dev", "lo")


def test_another_enis_address_is_a_spoofed_source_too(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(one)["NetworkInterfaceId"]
    one.run("ip", "addr", "add", two.facts["address"] + "/32", "dev", "lo")
    try:
        before = report(vpc, eni)["spoofed"]
        assert ping(one, PEERED, "-I", two.facts["address"]) == 0
        assert report(vpc, eni)["spoofed"] == before + 1
    finally:
        one.run("ip", "addr", "del", two.facts["address"] + "/32", "dev", "lo")


def test_frames_from_a_foreign_mac_are_dropped(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(one)
    before = report(vpc, eni["NetworkInterfaceId"])["spoofed"]
    one.run("ip", "link", "set", "eth0", "address", "02:00:00:00:be:ef")
    try:
        ping(one, two.facts["address"])
    finally:
        one.run("ip", "link", "set", "eth0", "address", eni["MacAddress"])
    assert report(vpc, eni["NetworkInterfaceId"])["spoofed"] > before
    assert ping(one, two.facts["address"]) == 1


def test_source_dest_check_can_be_switched_off_and_on(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(one)["NetworkInterfaceId"]
    one.run("ip", "addr", "add", "10.0.0.78/32", "dev", "lo")
    # Answers to an address that no ENI has go nowhere, so look at what arrives.
    two.run("sh", "-c", "nft -f - <<'END'\ntable ip seen { counter c { }\n chain i { type filter hook prerouting priority 0;"
                        " ip saddr 10.0.0.78 counter name c; }\n}\nEND")

    def seen():
        found = two.json("nft", "-j", "list", "counters", "table", "ip", "seen")
        return next(o["counter"]["packets"] for o in found["nftables"] if "counter" in o)

    try:
        ping(one, two.facts["address"], "-I", "10.0.0.78")
        assert seen() == 0
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        ping(one, two.facts["address"], "-I", "10.0.0.78")
        assert seen() == 1
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
        ping(one, two.facts["address"], "-I", "10.0.0.78")
        assert seen() == 1
    finally:
        two.run("nft", "delete", "table", "ip", "seen")
        one.run("ip", "addr", "del", "10.0.0.78/32", "dev", "lo")


def test_an_assigned_address_is_routed_until_it_is_unassigned(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(two)["NetworkInterfaceId"]
    given = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    address = given["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    two.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
    try:
        assert ping(one, address) == 1
        assert ping(two, one.facts["address"], "-I", address) == 1
        assert whoami(two, PEERED, "--interface", address) == address
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[address])
        assert ping(one, address) == 0
        assert ping(two, one.facts["address"], "-I", address) == 0
    finally:
        two.run("ip", "addr", "del", f"{address}/32", "dev", "eth0")


def test_a_delegated_prefix_is_routed_as_a_whole(vpc, ec2):
    one, two = vpc.nodes
    eni = ec2.primary(two)["NetworkInterfaceId"]
    prefix = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=1)["AssignedIpv4Prefixes"][0]["Ipv4Prefix"]
    base, last = prefix.split("/")[0].rsplit(".", 1)
    two.run("ip", "route", "add", "local", prefix, "dev", "lo")
    try:
        for address in (f"{base}.{int(last)}", f"{base}.{int(last) + 15}"):
            assert ping(one, address) == 1
        assert ping(one, f"{base}.{int(last) + 16}") == 0
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=[prefix])
        assert ping(one, f"{base}.{int(last)}") == 0
    finally:
        two.run("ip", "route", "del", "local", prefix, "dev", "lo")


def test_a_secondary_address_does_not_get_past_the_internet_gateway(vpc, ec2):
    two = vpc.nodes[1]
    eni = ec2.primary(two)["NetworkInterfaceId"]
    given = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    address = given["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    two.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
    try:
        before = report(vpc, eni)["no_public_address"]
        assert ping(two, INTERNET, "-I", address, count=2) == 0
        assert report(vpc, eni)["no_public_address"] == before + 2
    finally:
        two.run("ip", "addr", "del", f"{address}/32", "dev", "eth0")
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[address])


def test_a_reassigned_address_moves_to_its_new_eni(vpc, ec2):
    one, two = vpc.nodes
    first, second = (create_and_attach(ec2, two, device) for device in (1, 2))
    address = ec2.assign_private_ip_addresses(NetworkInterfaceId=first["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=1)
    address = address["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]

    def route():
        return json.loads(place(vpc, "fabric", "ip", "-j", "route", "get", address).stdout)[0]["dev"]

    try:
        assert route() == report(vpc, first["NetworkInterfaceId"])["fabric_ifname"]
        ec2.assign_private_ip_addresses(NetworkInterfaceId=second["NetworkInterfaceId"], PrivateIpAddresses=[address],
                                        AllowReassignment=True)
        assert route() == report(vpc, second["NetworkInterfaceId"])["fabric_ifname"]
    finally:
        detach_and_delete(ec2, first)
        detach_and_delete(ec2, second)


def test_an_attached_eni_appears_in_its_node_alone_and_down(vpc, ec2):
    one, two = vpc.nodes
    eni = create_and_attach(ec2, two, 1)
    try:
        eth1 = links(two)["eth1"]
        assert eth1["address"] == eni["MacAddress"]
        assert eth1["mtu"] == 9001
        assert "UP" not in eth1["flags"]
        assert "eth1" not in links(one)
        two.run("ip", "link", "set", "eth1", "up")
        two.run("ip", "addr", "add", eni["PrivateIpAddress"] + "/32", "dev", "eth1")
        two.run("ip", "route", "add", "default", "via", "10.0.16.1", "dev", "eth1", "onlink", "table", "2")
        two.run("ip", "rule", "add", "from", eni["PrivateIpAddress"], "lookup", "2")
        try:
            assert ping(one, eni["PrivateIpAddress"]) == 1
        finally:
            two.run("ip", "rule", "del", "from", eni["PrivateIpAddress"], "lookup", "2")
        assert report(vpc, eni["NetworkInterfaceId"])["spoofed"] == 0
    finally:
        detach_and_delete(ec2, eni)
    assert "eth1" not in links(two)
    assert not any(e["eni"] == eni["NetworkInterfaceId"] for e in vpc.control("fabric")["enis"])
    assert ping(one, eni["PrivateIpAddress"]) == 0


def test_attach_and_detach_leave_the_fabric_as_it_was(vpc, ec2):
    def state():
        routes = place(vpc, "fabric", "ip", "route").stdout
        neighbours = place(vpc, "fabric", "ip", "neigh", "show", "nud", "permanent").stdout
        sets = json.loads(place(vpc, "fabric", "nft", "-j", "list", "sets").stdout)["nftables"]
        elements = {o["set"]["name"]: len(o["set"].get("elem", [])) for o in sets if "set" in o}
        return sorted(routes.splitlines()), sorted(neighbours.splitlines()), elements["macs"], elements["unchecked"]

    before = state()
    for _ in range(3):
        eni = create_and_attach(ec2, vpc.nodes[0], 1, SecondaryPrivateIpAddressCount=3)
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni["NetworkInterfaceId"], SourceDestCheck={"Value": False})
        assert state() != before
        detach_and_delete(ec2, eni)
    assert state() == before


@pytest.mark.parametrize("death", ["namespace", "link"])
def test_an_eni_outlives_the_namespace_that_it_was_moved_to(vpc, ec2, death, wait_until):
    """As hardware does: it is in its node again, with all its addresses, under a name that nobody has."""
    node = vpc.nodes[0]
    subnet = ec2.primary(node)["SubnetId"]
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    attached = ec2.attach_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"], InstanceId=node.facts["instance_id"], DeviceIndex=1)
    extra = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=1)
    second = extra["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    node.run("ip", "netns", "add", "c1")
    node.run("ip", "link", "set", "eth1", "netns", "c1")
    if death == "namespace":
        node.run("ip", "netns", "del", "c1")
    else:
        node.run("ip", "-n", "c1", "link", "del", "eth1")
        node.run("ip", "netns", "del", "c1")

    def back():
        return [l for l in node.json("ip", "-j", "link", "show") if l["address"] == eni["MacAddress"]]

    (link,) = wait_until(back, "the ENI to be back")
    assert link["ifname"].startswith("dev") and "UP" not in link["flags"]
    node.run("ip", "netns", "add", "c2")
    node.run("ip", "link", "set", link["ifname"], "netns", "c2", "name", "eth0")
    for name in ("lo", "eth0"):
        node.run("ip", "-n", "c2", "link", "set", name, "up")
    node.run("ip", "-n", "c2", "addr", "add", f"{eni['PrivateIpAddress']}/20", "dev", "eth0")
    node.run("ip", "-n", "c2", "addr", "add", f"{second}/32", "dev", "eth0")
    router = str(ipaddress.ip_network(f"{eni['PrivateIpAddress']}/20", strict=False).network_address + 1)
    node.run("ip", "-n", "c2", "route", "add", "default", "via", router, "dev", "eth0")
    for address in (eni["PrivateIpAddress"], second):
        assert vpc.nodes[1].run("ping", "-n", "-q", "-c1", "-W5", address, check=False).returncode == 0, address
    ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
    assert not back()
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    node.run("ip", "netns", "del", "c2")


def test_the_interface_comes_when_the_attachment_is_attached(make_lab, make_ec2):
    """With a delay longer than the test, the API says attaching and there is no interface; without one, there is at once."""
    lab = make_lab("--no-daemon", config={"attach_delay_ms": 600000})
    ec2, node = make_ec2(lab), lab.nodes[0]
    eni = create_and_attach(ec2, node, 1)
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert found["Attachment"]["Status"] == "attaching"
    assert "eth1" not in links(node)


def test_ipv6_addresses_and_prefixes_are_routed(make_lab, make_ec2):
    config = {"vpcs": [{"cidr": "10.0.0.0/16", "ipv6_cidrs": ["2001:db8:0:100::/56"]}],
              "subnets": [{"cidr": "10.0.0.0/24", "az": "a", "ipv6": "2001:db8:0:100::/64"},
                          {"cidr": "10.0.1.0/24", "az": "b", "ipv6": "2001:db8:0:101::/64"}]}
    lab = make_lab("--no-daemon", "--ipv6", nodes=2, config=config)
    ec2 = make_ec2(lab)
    one, two = lab.nodes
    address = ec2.primary(two)["Ipv6Addresses"][0]["Ipv6Address"]
    assert ping(one, address) == 1
    assert whoami(one, "[fd00:db8:100::10]") == ec2.primary(one)["Ipv6Addresses"][0]["Ipv6Address"]
    assert whoami(one, "[2001:db8:ffff::10]") == ec2.primary(one)["Ipv6Addresses"][0]["Ipv6Address"]
    prefix = ec2.assign_ipv6_addresses(NetworkInterfaceId=ec2.primary(two)["NetworkInterfaceId"],
                                       Ipv6PrefixCount=1)["AssignedIpv6Prefixes"][0]
    inside = prefix.split("/")[0] + "abcd" if prefix.endswith("::/80") else prefix.split("/")[0][:-1] + "abcd"
    two.run("ip", "-6", "route", "add", "local", prefix, "dev", "lo")
    assert ping(one, inside) == 1
    one.run("ip", "-6", "addr", "add", "2001:db8:0:100::bad/128", "dev", "lo")
    eni = ec2.primary(one)["NetworkInterfaceId"]
    before = report(lab, eni)["spoofed"]
    assert ping(one, address, "-I", "2001:db8:0:100::bad", count=2) == 0
    assert report(lab, eni)["spoofed"] == before + 2


def test_a_terminated_instance_loses_its_interfaces(make_lab):
    lab = make_lab("--no-daemon", nodes=2)
    one, two = lab.nodes
    assert ping(one, two.facts["address"]) == 1
    lab.control("terminate-instance", instance=two.facts["instance_id"])
    assert set(links(two)) == {"lo"}
    assert ping(one, two.facts["address"]) == 0
    assert [n["address"] for n in lab.control("nodes")["nodes"]] == [one.facts["address"], two.facts["address"]]
    assert len(lab.control("fabric")["enis"]) == 1


def test_endpoints_answer_where_nodes_expect_them(vpc):
    for node in vpc.nodes:
        assert node.imds("instance-id") == node.facts["instance_id"]
        assert node.imds("local-ipv4") == node.facts["address"]
