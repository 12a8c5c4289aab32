# SPDX-License-Identifier: Apache-2.0
"""Describe actions and tags through boto3: contents, filters, pages."""
import pytest


def ids(answer, key, name):
    return [x[name] for x in answer[key]]


def enis(ec2, *filters, **kwargs):
    return ids(ec2.describe_network_interfaces(Filters=[{"Name": n, "Values": v} for n, v in filters], **kwargs),
               "NetworkInterfaces", "NetworkInterfaceId")


def test_instances(ec2, refused):
    answer = ec2.describe_instances(InstanceIds=["i-0a1"])
    inst = answer["Reservations"][0]["Instances"][0]
    assert (inst["InstanceId"], inst["InstanceType"], inst["State"]) == \
        ("i-0a1", "t3.medium", {"Code": 16, "Name": "running"})
    assert (inst["SubnetId"], inst["VpcId"], inst["PublicIpAddress"]) == ("subnet-0a", "vpc-0a", "198.51.100.7")
    assert inst["Placement"]["AvailabilityZone"] == "eu-central-1a" and inst["Hypervisor"] == "nitro"
    assert inst["Tags"] == [{"Key": "Name", "Value": "node1"}]
    assert inst["SecurityGroups"] == [{"GroupId": "sg-0a", "GroupName": "nodes"}]
    nic = inst["NetworkInterfaces"][0]
    assert nic["PrivateIpAddress"] == inst["PrivateIpAddress"]
    assert nic["Association"]["PublicIp"] == "198.51.100.7"
    assert (nic["Attachment"]["DeviceIndex"], nic["Attachment"]["DeleteOnTermination"]) == (0, True)
    every = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    assert [r["Instances"][0]["InstanceId"] for r in every["Reservations"]] == ["i-0a1", "i-0a2", "i-0a3"]
    some = ec2.describe_instances(Filters=[{"Name": "availability-zone", "Values": ["*a"]},
                                           {"Name": "instance-type", "Values": ["t3.*", "m5.*"]}])
    assert [r["Instances"][0]["InstanceId"] for r in some["Reservations"]] == ["i-0a1"]
    with refused("InvalidInstanceID.NotFound"):
        ec2.describe_instances(InstanceIds=["i-0dead"])


def test_instance_types(ec2, refused):
    answer = ec2.describe_instance_types(InstanceTypes=["t3.medium", "cards.large"])
    types = {t["InstanceType"]: t for t in answer["InstanceTypes"]}
    net = types["t3.medium"]["NetworkInfo"]
    assert (net["MaximumNetworkInterfaces"], net["Ipv4AddressesPerInterface"], net["Ipv6AddressesPerInterface"]) == (3, 6, 6)
    assert types["t3.medium"]["Hypervisor"] == "nitro" and types["t3.medium"]["BareMetal"] is False
    assert [c["MaximumNetworkInterfaces"] for c in types["cards.large"]["NetworkInfo"]["NetworkCards"]] == [2, 2]
    with refused("InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["t9.huge"])
    pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 5}))
    names = [t["InstanceType"] for p in pages for t in p["InstanceTypes"]]
    assert len(pages) > 2 and len(set(names)) == len(names) and {"m5.large", "c5.large", "m5.xlarge"} <= set(names)
    metal = ec2.describe_instance_types(Filters=[{"Name": "bare-metal", "Values": ["true"]}])["InstanceTypes"]
    assert metal and all("Hypervisor" not in t for t in metal)


def test_subnets_vpcs_and_groups(ec2, refused):
    subnet = ec2.describe_subnets(SubnetIds=["subnet-0a"])["Subnets"][0]
    assert (subnet["CidrBlock"], subnet["VpcId"], subnet["AvailabilityZone"]) == \
        ("10.0.0.0/24", "vpc-0a", "eu-central-1a")
    assert subnet["AvailableIpAddressCount"] == 256 - 5 - 2
    assert subnet["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == "2001:db8:0:100::/64"
    by_tag = ec2.describe_subnets(Filters=[{"Name": "tag:kubernetes.io/role/cni", "Values": ["1"]},
                                           {"Name": "vpc-id", "Values": ["vpc-0a"]}])
    assert ids(by_tag, "Subnets", "SubnetId") == ["subnet-0a"]
    vpcs = ec2.describe_vpcs()["Vpcs"]
    assert [(v["VpcId"], v["CidrBlock"]) for v in vpcs] == [("vpc-0a", "10.0.0.0/16"), ("vpc-0b", "10.9.0.0/16")]
    assert vpcs[0]["CidrBlockAssociationSet"][0]["CidrBlock"] == "10.0.0.0/16"
    assert vpcs[0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == "2001:db8:0:100::/56"
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": ["vpc-0a"]}])
    assert ids(groups, "SecurityGroups", "GroupName") == ["nodes", "pods"]
    assert ec2.describe_security_groups(GroupIds=["sg-0a"])["SecurityGroups"][0]["Description"] == "the nodes"
    for call, kwargs, code in ((ec2.describe_subnets, {"SubnetIds": ["subnet-0dead"]}, "InvalidSubnetID.NotFound"),
                               (ec2.describe_vpcs, {"VpcIds": ["vpc-0dead"]}, "InvalidVpcID.NotFound"),
                               (ec2.describe_security_groups, {"GroupIds": ["sg-0dead"]}, "InvalidGroup.NotFound")):
        with refused(code):
            call(**kwargs)


def test_eni_filters(ec2, refused):
    mine = [ec2.create_network_interface(SubnetId="subnet-0a", Description=f"aws-K8S-i-0a{n}", TagSpecifications=[
        {"ResourceType": "network-interface", "Tags": [{"Key": "owner", "Value": f"node{n}"}]}]
        )["NetworkInterface"]["NetworkInterfaceId"] for n in (1, 2)]
    ec2.attach_network_interface(NetworkInterfaceId=mine[0], InstanceId="i-0a1", DeviceIndex=1)
    assert enis(ec2, ("tag:owner", ["node1"])) == [mine[0]]
    assert enis(ec2, ("tag:owner", ["node?"])) == mine
    assert enis(ec2, ("tag-key", ["own*"])) == mine
    assert enis(ec2, ("tag-key", ["owner"]), ("status", ["available"])) == [mine[1]]
    assert enis(ec2, ("description", ["aws-K8S-*"])) == mine
    assert enis(ec2, ("description", ["aws-K8S-\\*"])) == []
    assert mine[0] in enis(ec2, ("attachment.instance-id", ["i-0a1"]), ("attachment.device-index", ["1"]))
    assert len(enis(ec2, ("attachment.instance-id", ["i-0a1"]))) == 2
    assert len(enis(ec2, ("status", ["in-use", "available"]))) == 5
    assert enis(ec2, ("subnet-id", ["subnet-0b"]), ("interface-type", ["interface"])) != []
    assert enis(ec2, ("status", ["nonsense"])) == []
    with refused("InvalidParameterValue", match="nonsense"):
        enis(ec2, ("nonsense", ["x"]))


def test_pages_neither_repeat_nor_skip(cloud, ec2, refused):
    made = [ec2.create_network_interface(SubnetId="subnet-0a")["NetworkInterface"]["NetworkInterfaceId"]
            for _ in range(20)]
    pages = list(ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 7}))
    got = [e["NetworkInterfaceId"] for p in pages for e in p["NetworkInterfaces"]]
    assert len(pages) == 4 and len(got) == 23 and got[3:] == made
    first = ec2.describe_network_interfaces(MaxResults=10)
    for gone in (made[5], made[6], made[8]):            # around the border of the first page
        ec2.delete_network_interface(NetworkInterfaceId=gone)
    second = ec2.describe_network_interfaces(MaxResults=10, NextToken=first["NextToken"])
    assert ids(second, "NetworkInterfaces", "NetworkInterfaceId") == [m for m in made[7:] if m != made[8]][:10]
    exact = ec2.describe_network_interfaces(MaxResults=20)
    assert len(exact["NetworkInterfaces"]) == 20 and "NextToken" not in exact
    with refused("InvalidNextToken"):
        ec2.describe_network_interfaces(MaxResults=10, NextToken="nonsense")
    with refused("InvalidParameterValue"):
        cloud.client(validate=False).describe_network_interfaces(MaxResults=4)
    with refused("InvalidParameterCombination"):
        ec2.describe_network_interfaces(MaxResults=10, NetworkInterfaceIds=[made[0]])


@pytest.mark.parametrize("resource", ["eni", "i-0a1", "subnet-0a", "vpc-0a", "sg-0a"])
def test_tags(ec2, resource):
    if resource == "eni":
        resource = ec2.create_network_interface(SubnetId="subnet-0a")["NetworkInterface"]["NetworkInterfaceId"]

    def tags():
        kind = {"eni": ("describe_network_interfaces", "NetworkInterfaceIds", "NetworkInterfaces", "TagSet"),
                "i": ("describe_instances", "InstanceIds", "Reservations", "Tags"),
                "subnet": ("describe_subnets", "SubnetIds", "Subnets", "Tags"),
                "vpc": ("describe_vpcs", "VpcIds", "Vpcs", "Tags"),
                "sg": ("describe_security_groups", "GroupIds", "SecurityGroups", "Tags")}[resource.split("-")[0]]
        item = getattr(ec2, kind[0])(**{kind[1]: [resource]})[kind[2]][0]
        item = item["Instances"][0] if "Instances" in item else item
        return {t["Key"]: t["Value"] for t in item.get(kind[3], [])}

    before = tags()
    ec2.create_tags(Resources=[resource], Tags=[{"Key": "k 1", "Value": "v&1"}, {"Key": "k2", "Value": ""}])
    assert tags() == {**before, "k 1": "v&1", "k2": ""}
    ec2.create_tags(Resources=[resource], Tags=[{"Key": "k 1", "Value": "other"}])
    ec2.delete_tags(Resources=[resource], Tags=[{"Key": "k 1", "Value": "v&1"}])
    assert tags()["k 1"] == "other", "another value is not that tag"
    ec2.delete_tags(Resources=[resource], Tags=[{"Key": "k 1"}, {"Key": "k2", "Value": ""}, {"Key": "never was"}])
    assert tags() == before
    ec2.delete_tags(Resources=[resource])
    assert tags() == {}


def test_tags_that_are_refused(ec2, refused):
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.create_tags(Resources=["subnet-0a", "eni-0dead"], Tags=[{"Key": "a", "Value": "b"}])
    with refused("InvalidID"):
        ec2.create_tags(Resources=["what"], Tags=[{"Key": "a", "Value": "b"}])
    with refused("InvalidParameterValue", match="reserved"):
        ec2.create_tags(Resources=["subnet-0a"], Tags=[{"Key": "aws:x", "Value": "b"}])
    with refused("InvalidParameterValue", match="length"):
        ec2.create_tags(Resources=["subnet-0a"], Tags=[{"Key": "k", "Value": "v" * 256}])
    with refused("TagLimitExceeded"):
        ec2.create_tags(Resources=["subnet-0a"], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(49)])
    assert len(ec2.describe_subnets(SubnetIds=["subnet-0a"])["Subnets"][0]["Tags"]) == 2
