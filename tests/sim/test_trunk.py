# SPDX-License-Identifier: Apache-2.0
"""Trunk and branch interfaces through boto3: association, limits, life and death of both."""
import pytest

NODE = "i-0c1"


@pytest.fixture
def cloud(make_cloud):
    return make_cloud(instances=[{"name": "n", "id": NODE, "type": "m5.large", "subnet": "subnet-0a"},
                                 {"name": "old", "id": "i-0c2", "type": "t3.medium", "subnet": "subnet-0a"}])


def make(ec2, kind, subnet="subnet-0a"):
    return ec2.create_network_interface(SubnetId=subnet, InterfaceType=kind)["NetworkInterface"]["NetworkInterfaceId"]


def look(ec2, eni):
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]


def associate(ec2, branch, trunk, vlan, **more):
    return ec2.associate_trunk_interface(BranchInterfaceId=branch, TrunkInterfaceId=trunk, VlanId=vlan, **more)["InterfaceAssociation"]


def associations(ec2, **more):
    return ec2.describe_trunk_interface_associations(**more)["InterfaceAssociations"]


@pytest.fixture
def trunk(ec2):
    made = make(ec2, "trunk")
    ec2.attach_network_interface(NetworkInterfaceId=made, InstanceId=NODE, DeviceIndex=2)
    return made


def test_life_of_an_association(ec2, trunk, refused):
    branch = make(ec2, "branch")
    assert look(ec2, branch)["InterfaceType"] == "branch" and look(ec2, branch)["Status"] == "available"
    assoc = associate(ec2, branch, trunk, 7)
    assert assoc["AssociationId"].startswith("trunk-assoc-")
    assert {k: assoc[k] for k in ("BranchInterfaceId", "TrunkInterfaceId", "InterfaceProtocol", "VlanId")} == \
        {"BranchInterfaceId": branch, "TrunkInterfaceId": trunk, "InterfaceProtocol": "VLAN", "VlanId": 7}
    assert associations(ec2) == [assoc] == associations(ec2, AssociationIds=[assoc["AssociationId"]])
    assert look(ec2, branch)["Status"] == "associated" and "Attachment" not in look(ec2, branch)
    with refused("InvalidParameterValue", match="currently in use"):
        ec2.delete_network_interface(NetworkInterfaceId=branch)
    ec2.disassociate_trunk_interface(AssociationId=assoc["AssociationId"])
    assert associations(ec2) == [] and look(ec2, branch)["Status"] == "available"
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_trunk_interface(AssociationId=assoc["AssociationId"])
    ec2.delete_network_interface(NetworkInterfaceId=branch)


def test_what_cannot_be_associated(ec2, trunk, refused):
    plain, branch, other = make(ec2, "interface"), make(ec2, "branch"), make(ec2, "branch")
    for pair in ((plain, trunk), (branch, plain), (trunk, branch)):
        with refused("InvalidParameterCombination"):
            associate(ec2, *pair, 1)
    with refused("InvalidParameterCombination", match="zone"):
        associate(ec2, make(ec2, "branch", "subnet-0b"), trunk, 1)
    for vlan in (0, 4095):
        with refused("InvalidParameterValue"):
            associate(ec2, branch, trunk, vlan)
    with refused("MissingParameter"):
        ec2.associate_trunk_interface(BranchInterfaceId=branch, TrunkInterfaceId=trunk)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        associate(ec2, branch, "eni-0123", 1)
    associate(ec2, branch, trunk, 1)
    with refused("Resource.AlreadyAssociated"):
        associate(ec2, branch, trunk, 2)
    with refused("InvalidParameterValue", match="VLAN ID 1"):
        associate(ec2, other, trunk, 1)
    assert [a["VlanId"] for a in associations(ec2)] == [1]


def test_a_branch_is_not_attached_and_a_trunk_not_everywhere(ec2, refused):
    branch, trunk = make(ec2, "branch"), make(ec2, "trunk")
    with refused("InvalidParameterCombination", match="branch"):
        ec2.attach_network_interface(NetworkInterfaceId=branch, InstanceId=NODE, DeviceIndex=1)
    with refused("InvalidParameterCombination", match="trunk"):
        ec2.attach_network_interface(NetworkInterfaceId=trunk, InstanceId="i-0c2", DeviceIndex=1)


def test_the_limit_of_the_instance_type_binds(ec2, trunk, refused):
    """An m5.large has room for 9 branch interfaces, on however many trunks, whenever they were associated."""
    branches = [make(ec2, "branch") for _ in range(11)]
    for vlan, branch in enumerate(branches[:9], 1):
        associate(ec2, branch, trunk, vlan)
    with refused("BranchInterfaceLimitExceeded"):
        associate(ec2, branches[9], trunk, 10)
    second = make(ec2, "trunk")
    associate(ec2, branches[9], second, 1)
    with refused("BranchInterfaceLimitExceeded"):
        ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=NODE, DeviceIndex=1)


def test_a_token_makes_an_association_once(ec2, trunk, refused):
    branch = make(ec2, "branch")
    first = associate(ec2, branch, trunk, 3, ClientToken="t1")
    assert associate(ec2, branch, trunk, 3, ClientToken="t1") == first
    with refused("IdempotentParameterMismatch"):
        associate(ec2, branch, trunk, 4, ClientToken="t1")


def test_filters_and_pages(ec2, trunk):
    other = make(ec2, "trunk")
    made = [associate(ec2, make(ec2, "branch"), trunk if n % 2 else other, n) for n in range(1, 8)]
    by_trunk = associations(ec2, Filters=[{"Name": "trunk-interface-association.trunk-interface-id", "Values": [other]}])
    assert [a["VlanId"] for a in by_trunk] == [2, 4, 6]
    assert len(associations(ec2, Filters=[{"Name": "interface-protocol", "Values": ["VLAN"]}])) == 7
    assert associations(ec2, Filters=[{"Name": "gre-key", "Values": ["1"]}]) == []
    pages = list(ec2.get_paginator("describe_trunk_interface_associations").paginate(PaginationConfig={"PageSize": 5}))
    assert [a for p in pages for a in p["InterfaceAssociations"]] == made and len(pages) == 2


def test_a_trunk_with_branches_stays_attached_unless_forced(cloud, ec2, trunk, refused):
    branch = make(ec2, "branch")
    associate(ec2, branch, trunk, 5)
    attachment = look(ec2, trunk)["Attachment"]["AttachmentId"]
    with refused("OperationNotPermitted"):
        ec2.detach_network_interface(AttachmentId=attachment)
    ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    assert associations(ec2) == [] and look(ec2, branch)["Status"] == "available"


def test_branches_of_a_terminated_instance_are_available(cloud, ec2, trunk):
    branch = make(ec2, "branch")
    associate(ec2, branch, trunk, 5)
    cloud.ctl("terminate-instance", instance="n")
    assert associations(ec2) == [] and look(ec2, branch)["Status"] == "available"


def test_metadata_shows_the_trunk_alone(cloud, ec2, trunk):
    branch = make(ec2, "branch")
    associate(ec2, branch, trunk, 5)
    macs = cloud.imds("n").get("network/interfaces/macs/")
    assert look(ec2, trunk)["MacAddress"] in macs and look(ec2, branch)["MacAddress"] not in macs
