# SPDX-License-Identifier: Apache-2.0
"""Network interfaces through boto3: life, limits, addresses, prefixes, idempotency, errors."""
import ipaddress
import time



def make(ec2, subnet="subnet-0a", **kwargs):
    return ec2.create_network_interface(SubnetId=subnet, **kwargs)["NetworkInterface"]


def look(ec2, eni):
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]


def addrs(eni):
    return [a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]]


def prefixes(eni):
    return [p["Ipv4Prefix"] for p in eni["Ipv4Prefixes"]]


def wait_for(condition, what):
    """Poll a condition the simulator's own timers bring about."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within 20 s"


def test_life_of_an_eni(cloud, ec2, refused):
    eni = make(ec2, Description="a <b> & 'c' \"d\" ü", Groups=["sg-0a", "sg-0b"], SecondaryPrivateIpAddressCount=2,
               TagSpecifications=[{"ResourceType": "network-interface", "Tags": [
                   {"Key": "node.k8s.amazonaws.com/instance_id", "Value": "i-0a1"}, {"Key": "empty", "Value": ""}]}])
    assert eni["Description"] == "a <b> & 'c' \"d\" ü"
    assert [g["GroupId"] for g in eni["Groups"]] == ["sg-0a", "sg-0b"]
    assert (eni["SubnetId"], eni["VpcId"], eni["Status"]) == ("subnet-0a", "vpc-0a", "available")
    assert eni["InterfaceType"] == "interface" and eni["SourceDestCheck"] is True
    assert len(addrs(eni)) == 3 and addrs(eni)[0] == eni["PrivateIpAddress"]
    assert [a["Primary"] for a in eni["PrivateIpAddresses"]] == [True, False, False]
    assert {t["Key"]: t["Value"] for t in eni["TagSet"]} == {"node.k8s.amazonaws.com/instance_id": "i-0a1", "empty": ""}
    assert "Attachment" not in eni
    eni_id = eni["NetworkInterfaceId"]

    att = ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId="i-0a1", DeviceIndex=1)
    seen = look(ec2, eni_id)
    assert seen["Status"] == "in-use" and seen["MacAddress"] == eni["MacAddress"]
    a = seen["Attachment"]
    assert (a["AttachmentId"], a["InstanceId"], a["DeviceIndex"], a["Status"], a["DeleteOnTermination"]) == \
        (att["AttachmentId"], "i-0a1", 1, "attached", False)

    with refused("InvalidParameterValue", match="currently in use"):
        ec2.delete_network_interface(NetworkInterfaceId=eni_id)
    with refused("InvalidNetworkInterface.InUse"):
        ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId="i-0a1", DeviceIndex=2)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni_id, Attachment={
        "AttachmentId": att["AttachmentId"], "DeleteOnTermination": True})
    assert look(ec2, eni_id)["Attachment"]["DeleteOnTermination"] is True

    ec2.detach_network_interface(AttachmentId=att["AttachmentId"])
    assert look(ec2, eni_id)["Status"] == "available"
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId=att["AttachmentId"])
    before = cloud.subnet("subnet-0a")["available"]
    ec2.delete_network_interface(NetworkInterfaceId=eni_id)
    assert cloud.subnet("subnet-0a")["available"] == before + 3
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.delete_network_interface(NetworkInterfaceId=eni_id)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        look(ec2, eni_id)


def test_modify_one_attribute_at_a_time(ec2, refused):
    eni = make(ec2)["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Description={"Value": "new"})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=["sg-0b"])
    seen = look(ec2, eni)
    assert (seen["SourceDestCheck"], seen["Description"], seen["Groups"][0]["GroupName"]) == (False, "new", "pods")
    with refused("InvalidParameterCombination"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Description={"Value": "x"},
                                               SourceDestCheck={"Value": True})
    with refused("InvalidParameterCombination"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni)
    with refused("InvalidGroup.NotFound"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=["sg-0dead"])
    with refused("InvalidParameterCombination"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=["sg-0c"])
    with refused("InvalidAttachmentID.NotFound"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Attachment={
            "AttachmentId": "eni-attach-0dead", "DeleteOnTermination": True})
    assert look(ec2, eni)["Description"] == "new"


def test_addresses_that_are_asked_for_by_name(ec2, refused):
    eni = make(ec2, PrivateIpAddress="10.0.0.50")
    assert addrs(eni) == ["10.0.0.50"]
    both = make(ec2, PrivateIpAddresses=[{"PrivateIpAddress": "10.0.0.61", "Primary": False},
                                         {"PrivateIpAddress": "10.0.0.60", "Primary": True}])
    assert addrs(both) == ["10.0.0.60", "10.0.0.61"] and both["PrivateIpAddress"] == "10.0.0.60"
    for code, text, bad in (("InvalidIPAddress.InUse", "in use", "10.0.0.50"),
                            ("InvalidParameterValue", "address range", "10.0.1.50"),
                            ("InvalidParameterValue", "reserved address range", "10.0.0.3"),
                            ("InvalidParameterValue", "reserved address range", "10.0.0.255"),
                            ("InvalidParameterValue", "invalid", "10.0.0.256")):
        with refused(code, match=text):
            make(ec2, PrivateIpAddress=bad)
    with refused("InvalidParameterCombination"):
        make(ec2, PrivateIpAddress="10.0.0.70", PrivateIpAddresses=[{"PrivateIpAddress": "10.0.0.71", "Primary": True}])


def test_what_excludes_each_other(ec2, refused):
    for kwargs in ({"SecondaryPrivateIpAddressCount": 1, "Ipv4PrefixCount": 1},
                   {"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.64/28"}], "Ipv4PrefixCount": 1},
                   {"Ipv6AddressCount": 1, "Ipv6PrefixCount": 1}):
        with refused("InvalidParameterCombination"):
            make(ec2, **kwargs)
    eni = make(ec2)["NetworkInterfaceId"]
    with refused("InvalidParameterCombination"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.0.99"], Ipv4PrefixCount=1)
    with refused("MissingParameter"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni)
    with refused("MissingParameter"):
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni)


def test_prefixes_are_aligned_and_exclusive(cloud, ec2, refused):
    eni = make(ec2, Ipv4PrefixCount=2)
    nets = [ipaddress.ip_network(p) for p in prefixes(eni)]
    assert all(n.prefixlen == 28 and int(n.network_address) % 16 == 0 for n in nets) and nets[0] != nets[1]
    # the first block holds AWS's own addresses, so it is never a prefix; the primary comes from it
    assert ipaddress.ip_address(eni["PrivateIpAddress"]) in ipaddress.ip_network("10.0.0.0/28")
    eni_id = eni["NetworkInterfaceId"]
    given = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni_id, Ipv4Prefixes=["10.0.0.128/28"])
    assert [p["Ipv4Prefix"] for p in given["AssignedIpv4Prefixes"]] == ["10.0.0.128/28"]
    assert given["AssignedPrivateIpAddresses"] == [] and given["NetworkInterfaceId"] == eni_id
    for bad, code in (("10.0.0.128/28", "InvalidIPAddress.InUse"), ("10.0.0.136/28", "InvalidParameterValue"),
                      ("10.0.0.160/27", "InvalidParameterValue"), ("10.0.9.0/28", "InvalidParameterValue"),
                      ("10.0.0.240/28", "InvalidParameterValue")):
        with refused(code):
            ec2.assign_private_ip_addresses(NetworkInterfaceId=eni_id, Ipv4Prefixes=[bad])
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni_id, PrivateIpAddresses=["10.0.0.130"])
    assert prefixes(look(ec2, eni_id)) == prefixes(eni) + ["10.0.0.128/28"]
    before = cloud.subnet("subnet-0a")
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni_id, Ipv4Prefixes=["10.0.0.128/28"])
    after = cloud.subnet("subnet-0a")
    assert (after["available"], after["free_prefixes"]) == (before["available"] + 16, before["free_prefixes"] + 1)
    with refused("InvalidParameterValue", match="not assigned"):
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni_id, Ipv4Prefixes=["10.0.0.128/28"])


def test_a_fragmented_subnet_has_addresses_but_no_prefixes(cloud, ec2, refused):
    assert cloud.subnet("subnet-0c")["free_prefixes"] == 1
    eni = make(ec2, "subnet-0c", Ipv4PrefixCount=1)
    free = cloud.subnet("subnet-0c")["available"]
    with refused("InsufficientCidrBlocks"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"], Ipv4PrefixCount=1)
    assert cloud.subnet("subnet-0c")["available"] == free
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=5)
    cloud.ctl("unfragment", subnet="subnet-0c")
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"], Ipv4PrefixCount=1)
    answer = cloud.ctl("fragment", subnet="subnet-0a", free_prefixes=2, held_per_block=3)
    assert answer["free_prefixes"] == 2
    with refused("InsufficientCidrBlocks"):
        make(ec2, Ipv4PrefixCount=3)
    assert cloud.subnet("subnet-0a")["free_prefixes"] == 2, "all or nothing"


def test_a_full_subnet(cloud, ec2, refused):
    free = cloud.subnet("subnet-0d")["available"]
    assert free == 11
    with refused("InsufficientFreeAddressesInSubnet"):
        make(ec2, "subnet-0d", SecondaryPrivateIpAddressCount=free)
    assert cloud.subnet("subnet-0d")["available"] == free
    eni = make(ec2, "subnet-0d", SecondaryPrivateIpAddressCount=free - 1)
    assert len(set(addrs(eni))) == free and cloud.subnet("subnet-0d")["available"] == 0
    with refused("InsufficientFreeAddressesInSubnet"):
        make(ec2, "subnet-0d")


def test_reservations(ec2, refused):
    assert prefixes(make(ec2, "subnet-0f", Ipv4PrefixCount=1)) == ["10.0.4.32/28"], "prefixes prefer the reservation"
    eni = make(ec2, "subnet-0f", SecondaryPrivateIpAddressCount=30)
    reserved = [ipaddress.ip_network("10.0.4.32/28"), ipaddress.ip_network("10.0.4.48/29")]
    assert not [a for a in addrs(eni) if any(ipaddress.ip_address(a) in n for n in reserved)]
    assert addrs(make(ec2, "subnet-0f", PrivateIpAddress="10.0.4.49")) == ["10.0.4.49"]


def test_limits_of_the_instance_type(ec2, refused):
    enis = [make(ec2)["NetworkInterfaceId"] for _ in range(3)]
    for device in (1, 2):
        ec2.attach_network_interface(NetworkInterfaceId=enis[device - 1], InstanceId="i-0a1", DeviceIndex=device)
    with refused("InvalidParameterValue", match="already has an interface"):
        ec2.attach_network_interface(NetworkInterfaceId=enis[2], InstanceId="i-0a1", DeviceIndex=2)
    with refused("AttachmentLimitExceeded", match="t3.medium"):
        ec2.attach_network_interface(NetworkInterfaceId=enis[2], InstanceId="i-0a1", DeviceIndex=3)
    # t3.medium: six slots, prefixes and addresses together, the primary included
    ec2.assign_private_ip_addresses(NetworkInterfaceId=enis[0], Ipv4PrefixCount=3)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=enis[0], SecondaryPrivateIpAddressCount=2)
    for kwargs in ({"Ipv4PrefixCount": 1}, {"SecondaryPrivateIpAddressCount": 1}):
        with refused("PrivateIpAddressLimitExceeded"):
            ec2.assign_private_ip_addresses(NetworkInterfaceId=enis[0], **kwargs)
    big = make(ec2, SecondaryPrivateIpAddressCount=6)["NetworkInterfaceId"]
    with refused("PrivateIpAddressLimitExceeded"):
        ec2.attach_network_interface(NetworkInterfaceId=big, InstanceId="i-0a3", DeviceIndex=1)


def test_network_cards(cloud, ec2, refused):
    enis = [make(ec2)["NetworkInterfaceId"] for _ in range(4)]
    answer = ec2.attach_network_interface(NetworkInterfaceId=enis[0], InstanceId="i-0a3", DeviceIndex=1,
                                          NetworkCardIndex=1)
    assert answer["NetworkCardIndex"] == 1
    ec2.attach_network_interface(NetworkInterfaceId=enis[1], InstanceId="i-0a3", DeviceIndex=1)
    with refused("AttachmentLimitExceeded"):
        ec2.attach_network_interface(NetworkInterfaceId=enis[2], InstanceId="i-0a3", DeviceIndex=2)
    with refused("InvalidParameterValue", match="Network card index"):
        ec2.attach_network_interface(NetworkInterfaceId=enis[2], InstanceId="i-0a3", DeviceIndex=1, NetworkCardIndex=2)
    imds = cloud.imds("node3")
    assert sorted(imds.eni(m, "network-card") for m in imds.macs()) == ["0", "0", "1"]


def test_attaching_where_it_cannot_be(ec2, refused):
    eni = make(ec2)["NetworkInterfaceId"]
    with refused("InvalidParameterCombination", match="availability zone"):
        ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a2", DeviceIndex=1)
    foreign = make(ec2, "subnet-0e")["NetworkInterfaceId"]
    with refused("InvalidParameterCombination", match="networks"):
        ec2.attach_network_interface(NetworkInterfaceId=foreign, InstanceId="i-0a1", DeviceIndex=1)
    with refused("InvalidInstanceID.NotFound"):
        ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0dead", DeviceIndex=1)
    with refused("InvalidInstanceID.Malformed"):
        ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="node1", DeviceIndex=1)
    with refused("InvalidNetworkInterfaceId.Malformed"):
        ec2.attach_network_interface(NetworkInterfaceId="eni-XYZ", InstanceId="i-0a1", DeviceIndex=1)
    trunk = make(ec2, InterfaceType="trunk")["NetworkInterfaceId"]
    with refused("InvalidParameterCombination", match="trunk"):
        ec2.attach_network_interface(NetworkInterfaceId=trunk, InstanceId="i-0a1", DeviceIndex=1)
    primary = ec2.describe_instances(InstanceIds=["i-0a1"])["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0]
    with refused("OperationNotPermitted"):
        ec2.detach_network_interface(AttachmentId=primary["Attachment"]["AttachmentId"])


def test_delays_of_attach_and_detach(make_cloud, refused):
    cloud = make_cloud(attach_delay_ms=600000, detach_delay_ms=600000)
    ec2 = cloud.client()
    eni = make(ec2)["NetworkInterfaceId"]
    att = ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a1", DeviceIndex=1)["AttachmentId"]
    seen = look(ec2, eni)
    assert (seen["Status"], seen["Attachment"]["Status"]) == ("attaching", "attaching")
    assert seen["MacAddress"] not in cloud.imds("node1").macs()
    with refused("IncorrectState"):
        ec2.detach_network_interface(AttachmentId=att)
    ec2.detach_network_interface(AttachmentId=att, Force=True)
    assert look(ec2, eni)["Status"] == "available"

    cloud.ctl("delays", attach_ms=1, detach_ms=1)
    att = ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a1", DeviceIndex=1)["AttachmentId"]
    wait_for(lambda: look(ec2, eni)["Status"] == "in-use", "attached")
    cloud.ctl("delays", detach_ms=600000)
    ec2.detach_network_interface(AttachmentId=att)
    assert look(ec2, eni)["Status"] == "detaching"
    assert seen["MacAddress"] in cloud.imds("node1").macs()
    with refused("InvalidParameterValue", match="in use"):
        ec2.delete_network_interface(NetworkInterfaceId=eni)


def test_secondary_addresses_move_only_when_allowed(ec2, refused):
    one = make(ec2, PrivateIpAddresses=[{"PrivateIpAddress": "10.0.0.80", "Primary": True},
                                        {"PrivateIpAddress": "10.0.0.81", "Primary": False}])["NetworkInterfaceId"]
    two = make(ec2)["NetworkInterfaceId"]
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.81"])
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.81", "10.0.0.80"],
                                        AllowReassignment=True)
    assert addrs(look(ec2, one)) == ["10.0.0.80", "10.0.0.81"], "a refused request changes nothing"
    ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.81"], AllowReassignment=True)
    assert addrs(look(ec2, one)) == ["10.0.0.80"] and "10.0.0.81" in addrs(look(ec2, two))
    ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.81"], AllowReassignment=True)
    assert addrs(look(ec2, two)).count("10.0.0.81") == 1
    with refused("InvalidParameterValue", match="primary"):
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=one, PrivateIpAddresses=["10.0.0.80"])


def test_ipv6(cloud, ec2, refused):
    eni = make(ec2, Ipv6AddressCount=2)
    six = [a["Ipv6Address"] for a in eni["Ipv6Addresses"]]
    assert len(set(six)) == 2
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network("2001:db8:0:100::/64") for a in six)
    eni_id = eni["NetworkInterfaceId"]
    given = ec2.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6PrefixCount=1)
    assert given["AssignedIpv6Addresses"] == [] and given["AssignedIpv6Prefixes"][0].endswith("/80")
    more = ec2.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Addresses=["2001:db8:0:100::abcd"])
    assert more["AssignedIpv6Addresses"] == ["2001:db8:0:100::abcd"]
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Addresses=["2001:db8:0:100::abcd"])
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Prefixes=["2001:db8:0:100::/80"])
    with refused("InvalidParameterValue"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Addresses=["10.0.0.9"])
    seen = look(ec2, eni_id)
    assert len(seen["Ipv6Addresses"]) == 3 and len(seen["Ipv6Prefixes"]) == 1
    gone = ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Addresses=[six[0]],
                                       Ipv6Prefixes=given["AssignedIpv6Prefixes"])
    assert gone["UnassignedIpv6Addresses"] == [six[0]]
    assert gone["UnassignedIpv6Prefixes"] == given["AssignedIpv6Prefixes"]
    assert len(look(ec2, eni_id)["Ipv6Addresses"]) == 2 and look(ec2, eni_id)["Ipv6Prefixes"] == []
    with refused("InvalidParameterValue", match="IPv6"):
        make(ec2, "subnet-0b", Ipv6AddressCount=1)


def test_a_client_token_makes_one_eni(cloud, ec2, refused):
    first = make(ec2, ClientToken="intent-1", Ipv4PrefixCount=1)
    again = ec2.create_network_interface(SubnetId="subnet-0a", ClientToken="intent-1", Ipv4PrefixCount=1)
    assert again["NetworkInterface"]["NetworkInterfaceId"] == first["NetworkInterfaceId"]
    assert again["ClientToken"] == "intent-1"
    with refused("IdempotentParameterMismatch"):
        make(ec2, ClientToken="intent-1", Ipv4PrefixCount=2)
    other = make(ec2, ClientToken="intent-2", Ipv4PrefixCount=1)
    assert other["NetworkInterfaceId"] != first["NetworkInterfaceId"]
    assert len(cloud.ctl("state")["state"]["enis"]) == 3 + 2
    with refused("InvalidParameterValue"):
        make(ec2, ClientToken="x" * 65)


def test_dry_run_and_rights(cloud, ec2, refused):
    with refused("DryRunOperation", 412):
        make(ec2, DryRun=True)
    with refused("DryRunOperation", 412):
        ec2.describe_network_interfaces(DryRun=True)
    reader = cloud.client(key="AKIAREADER", secret="reader")
    assert len(reader.describe_network_interfaces()["NetworkInterfaces"]) == 3
    with refused("UnauthorizedOperation", 403):
        make(reader)
    with refused("UnauthorizedOperation", 403):
        make(reader, DryRun=True)
    assert len(cloud.ctl("state")["state"]["enis"]) == 3


def test_termination_deletes_what_asked_for_it(cloud, ec2):
    keep, drop = make(ec2)["NetworkInterfaceId"], make(ec2)["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=keep, InstanceId="i-0a1", DeviceIndex=1)
    att = ec2.attach_network_interface(NetworkInterfaceId=drop, InstanceId="i-0a1", DeviceIndex=2)["AttachmentId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=drop, Attachment={
        "AttachmentId": att, "DeleteOnTermination": True})
    cloud.ctl("terminate-instance", instance="node1")
    inst = ec2.describe_instances(InstanceIds=["i-0a1"])["Reservations"][0]["Instances"][0]
    assert inst["State"]["Name"] == "terminated" and inst["NetworkInterfaces"] == []
    left = {e["NetworkInterfaceId"]: e["Status"] for e in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert left.get(keep) == "available" and drop not in left and len(left) == 3


def test_malformed_requests(cloud, ec2, refused):
    with refused("InvalidSubnetID.NotFound"):
        make(ec2, "subnet-0dead")
    with refused("InvalidGroup.NotFound"):
        make(ec2, Groups=["sg-0dead"])
    with refused("MissingParameter", match="subnetId"):
        make(ec2, "")
    with refused("InvalidParameterValue"):
        make(ec2, InterfaceType="nonsense")
    with refused("UnknownParameter", match="SourceDest"):
        ec2.meta.events.register_first("before-call.ec2.DeleteNetworkInterface", lambda params, **kw: (
            params["body"].update({"SourceDest": "1"})))
        ec2.delete_network_interface(NetworkInterfaceId=make(ec2)["NetworkInterfaceId"])
    with refused("InvalidAction"):
        ec2.run_instances(ImageId="ami-0", MinCount=1, MaxCount=1)
    assert cloud.calls("RunInstances") == 1


def test_scattered_addresses(make_cloud):
    cloud = make_cloud(scattered=True)
    got = addrs(make(cloud.client(), SecondaryPrivateIpAddressCount=20))
    assert len(set(got)) == 21 and got != sorted(got, key=ipaddress.ip_address)


