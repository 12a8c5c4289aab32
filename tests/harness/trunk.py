# SPDX-License-Identifier: Apache-2.0
"""Trunks and branch ENIs, as the VPC resource controller makes them through EC2's API."""


def attach_trunk(ec2, node, index=1):
    """A trunk, attached to a node -> what EC2 says of it. Its link is ethN of the node, down."""
    made = ec2.create_network_interface(SubnetId=ec2.primary(node)["SubnetId"], InterfaceType="trunk")["NetworkInterface"]
    ec2.attach_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"], InstanceId=node.facts["instance_id"], DeviceIndex=index)
    return made


class Branch:
    def __init__(self, ec2, trunk, vlan, groups=None, **more):
        self.ec2, self.vlan, self.trunk = ec2, vlan, trunk
        if groups is not None:
            more["Groups"] = groups
        self.eni = ec2.create_network_interface(SubnetId=trunk["SubnetId"], InterfaceType="branch", **more)["NetworkInterface"]
        self.id, self.mac, self.address = (self.eni[k] for k in ("NetworkInterfaceId", "MacAddress", "PrivateIpAddress"))
        self.address6 = next((a["Ipv6Address"] for a in self.eni.get("Ipv6Addresses", [])), "")
        self.assoc = ec2.associate_trunk_interface(BranchInterfaceId=self.id, TrunkInterfaceId=trunk["NetworkInterfaceId"],
                                                   VlanId=vlan)["InterfaceAssociation"]["AssociationId"]

    def close(self):
        self.ec2.disassociate_trunk_interface(AssociationId=self.assoc)
        self.ec2.delete_network_interface(NetworkInterfaceId=self.id)
