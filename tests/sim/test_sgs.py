# SPDX-License-Identifier: Apache-2.0
"""Security groups and their rules through boto3 and the AWS CLI."""


def group(ec2, name="web", **more):
    return ec2.create_security_group(GroupName=name, Description="d", VpcId="vpc-0a", **more)["GroupId"]


def look(ec2, gid):
    return ec2.describe_security_groups(GroupIds=[gid])["SecurityGroups"][0]


def tcp(port, *cidrs, **more):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": c} for c in cidrs], **more}


def test_a_new_group_lets_everything_out_and_nothing_in(ec2, refused):
    gid = group(ec2, TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}])
    seen = look(ec2, gid)
    assert (seen["GroupName"], seen["Description"], seen["VpcId"], seen["Tags"]) == ("web", "d", "vpc-0a", [{"Key": "a", "Value": "b"}])
    assert seen["IpPermissions"] == []
    (out,) = seen["IpPermissionsEgress"]
    assert out["IpProtocol"] == "-1" and out["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}] and out["Ipv6Ranges"] == [{"CidrIpv6": "::/0"}]
    with refused("InvalidGroup.Duplicate"):
        group(ec2)
    ec2.delete_security_group(GroupId=gid)
    with refused("InvalidGroup.NotFound"):
        look(ec2, gid)


def test_rules_are_added_described_and_taken_away(ec2, refused):
    gid, peer = group(ec2), group(ec2, "peer")
    done = ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=[
        tcp(80, "10.0.0.0/16", "192.0.2.0/24", Ipv6Ranges=[{"CidrIpv6": "2001:db8::/32", "Description": "six"}]),
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": peer}]}])
    rules = done["SecurityGroupRules"]
    assert len(rules) == 5 and len({r["SecurityGroupRuleId"] for r in rules}) == 5
    assert {(r["IpProtocol"], r.get("CidrIpv4") or r.get("CidrIpv6") or r["ReferencedGroupInfo"]["GroupId"]) for r in rules} == \
        {("tcp", "10.0.0.0/16"), ("tcp", "192.0.2.0/24"), ("tcp", "2001:db8::/32"), ("icmp", "0.0.0.0/0"), ("-1", peer)}
    web = next(p for p in look(ec2, gid)["IpPermissions"] if p["IpProtocol"] == "tcp")
    assert (web["FromPort"], web["ToPort"]) == (80, 80)
    assert web["IpRanges"] == [{"CidrIp": "10.0.0.0/16"}, {"CidrIp": "192.0.2.0/24"}]
    assert web["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/32", "Description": "six"}]
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=[tcp(80, "192.0.2.0/24")])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=peer)
    ec2.revoke_security_group_ingress(GroupId=gid, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": peer}]}])
    ec2.delete_security_group(GroupId=peer)
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=gid, IpPermissions=[tcp(81, "10.0.0.0/16")])
    ec2.revoke_security_group_egress(GroupId=gid, IpPermissions=look(ec2, gid)["IpPermissionsEgress"])
    assert look(ec2, gid)["IpPermissionsEgress"] == []


def test_bad_rules(ec2, refused):
    gid = group(ec2)
    for bad in ({"IpProtocol": "x"}, tcp(80, "10.0.0.1/16"), tcp(80, "10.0.0.0/33"), tcp(70000, "10.0.0.0/8"),
                {"IpProtocol": "tcp", "FromPort": 90, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
                {"IpProtocol": "tcp", "FromPort": 90, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}):
        with refused("InvalidParameterValue"):
            ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=[bad])
    with refused("InvalidGroup.NotFound"):
        ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-0999"}]}])
    with refused("MissingParameter"):
        ec2.authorize_security_group_ingress(GroupId=gid, IpPermissions=[{"IpProtocol": "-1"}])
    assert look(ec2, gid)["IpPermissions"] == []


def test_a_group_that_an_eni_has_is_in_use(ec2, refused):
    gid = group(ec2)
    eni = ec2.create_network_interface(SubnetId="subnet-0a", Groups=[gid])["NetworkInterface"]["NetworkInterfaceId"]
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=gid)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    ec2.delete_security_group(GroupId=gid)


def test_groups_of_the_configuration(make_cloud):
    cloud = make_cloud(security_groups=[
        {"id": "sg-0a", "name": "nodes", "vpc": "vpc-0a"},
        {"id": "sg-0b", "name": "pods", "vpc": "vpc-0a", "ingress": [
            {"protocol": "tcp", "ports": "80-90", "group": "late"}, {"protocol": "udp", "ports": 53, "cidr": "10.0.0.0/16"},
            {"protocol": "icmp", "type": 8, "cidr": "0.0.0.0/0"}]},
        {"id": "sg-0c", "name": "late", "vpc": "vpc-0a", "egress": []}])
    ec2 = cloud.client()
    assert [len(look(ec2, "sg-0a")[k]) for k in ("IpPermissions", "IpPermissionsEgress")] == [1, 1]
    pods = look(ec2, "sg-0b")
    assert [(p["IpProtocol"], p["FromPort"], p["ToPort"]) for p in pods["IpPermissions"]] == \
        [("tcp", 80, 90), ("udp", 53, 53), ("icmp", 8, -1)]
    assert pods["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == "sg-0c" and len(pods["IpPermissionsEgress"]) == 1
    assert look(ec2, "sg-0c")["IpPermissions"] == look(ec2, "sg-0c")["IpPermissionsEgress"] == []
