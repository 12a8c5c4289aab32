# SPDX-License-Identifier: Apache-2.0
"""The metadata service: tokens, the tree, lag, what is missing, role credentials."""
import json
import time


def make_eni(cloud, node="i-0a1", device=1, **kwargs):
    ec2 = cloud.client()
    eni = ec2.create_network_interface(SubnetId="subnet-0a", **kwargs)["NetworkInterface"]
    eni["AttachmentId"] = ec2.attach_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"], InstanceId=node,
                                                       DeviceIndex=device)["AttachmentId"]
    return eni


def test_tokens(cloud):
    imds = cloud.imds("node1")
    assert imds.request("GET", "/latest/meta-data/")[0] == 401
    assert imds.request("PUT", "/latest/api/token")[0] == 400
    for ttl in ("0", "21601", "-1", "ten", ""):
        assert imds.request("PUT", "/latest/api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": ttl})[0] == 400, ttl
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    assert imds.request("PUT", "/latest/api/token", **ttl, **{"X-Forwarded-For": "10.0.0.1"})[0] == 403
    status, token, headers = imds.request("PUT", "/latest/api/token", **ttl)
    assert status == 200 and headers["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"] == "60"
    ask = {"X-aws-ec2-metadata-token": token}
    assert imds.request("GET", "/latest/meta-data/instance-id", **ask)[1] == "i-0a1"
    assert imds.request("GET", "/2021-07-15/meta-data/instance-id", **ask)[1] == "i-0a1"
    assert imds.request("GET", "/latest/meta-data/instance-id", **{"X-aws-ec2-metadata-token": token[:-3] + "==="})[0] == 401
    assert cloud.imds("node2").request("GET", "/latest/meta-data/instance-id", **ask)[0] == 401, "another's token"
    cloud.ctl("clock", offset_s=59)
    assert imds.request("GET", "/latest/meta-data/instance-id", **ask)[0] == 200
    cloud.ctl("clock", offset_s=120)
    assert imds.request("GET", "/latest/meta-data/instance-id", **ask)[0] == 401
    assert imds.request("POST", "/latest/meta-data/", **ask)[0] == 405


def test_the_tree(cloud):
    imds = cloud.imds("node1")
    assert imds.raw("")[1].split() == ["dynamic/", "meta-data/"]
    assert {"instance-id", "network/", "placement/", "iam/", "mac"} <= set(imds.get("").split())
    assert imds.get("network").split() == imds.get("network/").split() == ["interfaces/"]
    assert (imds.get("instance-type"), imds.get("placement/availability-zone"), imds.get("placement/region")) == \
        ("t3.medium", "eu-central-1a", "eu-central-1")
    assert imds.get("services/domain") == "amazonaws.com" and imds.get("public-ipv4") == "198.51.100.7"
    assert imds.get("nonsense") is None and imds.get("network/interfaces/macs/02:00:00:00:00:00/") is None
    assert imds.get("instance-id/deeper") is None
    doc = json.loads(imds.raw("dynamic/instance-identity/document")[1])
    assert (doc["instanceId"], doc["region"], doc["privateIp"]) == ("i-0a1", "eu-central-1", imds.get("local-ipv4"))
    mac = imds.get("mac")
    assert imds.macs() == [mac]
    assert imds.eni(mac, "device-number") == "0" and imds.eni(mac, "network-card") is None
    assert imds.eni(mac, "local-ipv4s") == imds.get("local-ipv4")
    assert imds.eni(mac, "subnet-ipv4-cidr-block") == "10.0.0.0/24"
    assert imds.eni(mac, "subnet-ipv6-cidr-blocks") == "2001:db8:0:100::/64"
    assert imds.eni(mac, "vpc-ipv4-cidr-blocks") == "10.0.0.0/16"
    assert imds.eni(mac, "vpc-ipv6-cidr-blocks") == "2001:db8:0:100::/56"
    assert imds.eni(mac, "security-group-ids") == "sg-0a" and imds.eni(mac, "owner-id") == "123456789012"
    assert imds.eni(mac, "public-ipv4s") == "198.51.100.7" and imds.eni(mac, "vpc-id") == "vpc-0a"
    assert imds.eni(mac, "ipv4-prefix") is None


def test_it_follows_ec2(cloud):
    ec2, imds = cloud.client(), cloud.imds("node1")
    eni = make_eni(cloud, Ipv4PrefixCount=1, SecondaryPrivateIpAddressCount=0, Ipv6AddressCount=1)
    mac = eni["MacAddress"]
    assert mac in imds.macs() and imds.eni(mac, "interface-id") == eni["NetworkInterfaceId"]
    assert imds.eni(mac, "device-number") == "1" and imds.eni(mac, "ipv6s") == eni["Ipv6Addresses"][0]["Ipv6Address"]
    more = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"], Ipv4PrefixCount=1)
    assert imds.eni(mac, "ipv4-prefix").split() == [eni["Ipv4Prefixes"][0]["Ipv4Prefix"],
                                                    more["AssignedIpv4Prefixes"][0]["Ipv4Prefix"]]
    more = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni["NetworkInterfaceId"],
                                           SecondaryPrivateIpAddressCount=2)
    assert imds.eni(mac, "local-ipv4s").split() == [eni["PrivateIpAddress"]] + \
        [a["PrivateIpAddress"] for a in more["AssignedPrivateIpAddresses"]]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=["sg-0a", "sg-0b"])
    assert imds.eni(mac, "security-group-ids").split() == ["sg-0a", "sg-0b"]
    cloud.ctl("unassign", eni=eni["NetworkInterfaceId"], cidr=eni["Ipv4Prefixes"][0]["Ipv4Prefix"])
    assert len(imds.eni(mac, "ipv4-prefix").split()) == 1
    cloud.ctl("detach-eni", eni=eni["NetworkInterfaceId"])
    assert mac not in imds.macs() and imds.eni(mac, "interface-id") is None


def test_lag(make_cloud):
    cloud = make_cloud(imds_lag_ms=600000)
    imds = cloud.imds("node1")
    eni = make_eni(cloud)
    assert eni["MacAddress"] not in imds.macs()
    assert cloud.client().describe_network_interfaces(NetworkInterfaceIds=[eni["NetworkInterfaceId"]])[
        "NetworkInterfaces"][0]["Status"] == "in-use"
    cloud.ctl("imds-lag", ms=0)
    assert eni["MacAddress"] in imds.macs(), "without lag everything pending is published"
    cloud.ctl("imds-lag", ms=1)
    cloud.client().detach_network_interface(AttachmentId=eni["AttachmentId"])
    deadline = time.monotonic() + 20
    while eni["MacAddress"] in imds.macs():
        assert time.monotonic() < deadline, "a lag of 1 ms is over within 20 s"


def test_parts_that_are_missing(cloud):
    imds = cloud.imds("node1")
    eni = make_eni(cloud)
    mac = eni["MacAddress"]
    cloud.ctl("imds-hide", path=f"{mac}/subnet-ipv4-cidr-block")
    assert imds.eni(mac, "subnet-ipv4-cidr-block") is None and imds.eni(mac, "vpc-id") == "vpc-0a"
    assert "subnet-ipv4-cidr-block" not in imds.eni(mac, "").split()
    cloud.ctl("imds-hide", path=mac)
    assert mac not in imds.macs()
    cloud.ctl("imds-show")
    assert mac in imds.macs()


def test_role_credentials(cloud):
    imds = cloud.imds("node1")
    assert imds.get("iam/security-credentials/") == "node"
    assert json.loads(imds.get("iam/info"))["Code"] == "Success"
    one = json.loads(imds.get("iam/security-credentials/node"))
    assert one["Code"] == "Success" and one["Type"] == "AWS-HMAC"
    assert imds.get("iam/security-credentials/other") is None
    assert cloud.imds("node2").get("iam/security-credentials/") is None, "no role"
    ec2 = cloud.client(key=one["AccessKeyId"], secret=one["SecretAccessKey"], token=one["Token"])
    ec2.describe_vpcs()
    assert json.loads(imds.get("iam/security-credentials/node"))["AccessKeyId"] == one["AccessKeyId"]
    # nearly run out: a new set, and the old one still holds
    cloud.ctl("clock", offset_s=3600 - 200)
    imds._token = None
    assert json.loads(imds.get("iam/security-credentials/node"))["AccessKeyId"] != one["AccessKeyId"]


def test_faults(cloud):
    imds = cloud.imds("node1")
    imds.get("mac")
    cloud.ctl("fault", action="IMDS", path="/mac", kind="body", status=500, message="boom")
    assert imds.get("instance-id") == "i-0a1", "the path does not match"
    assert imds.raw("meta-data/mac")[:2] == (500, "boom")
    assert imds.raw("meta-data/mac")[0] == 200
    cloud.ctl("fault", action="IMDS", path="iam/security-credentials/node", kind="body", status=200,
              message='{"Code": "AssumeRoleUnauthorizedAccess"}')
    assert json.loads(imds.get("iam/security-credentials/node"))["Code"] != "Success"
    cloud.ctl("fault", action="IMDSToken", code="Unavailable", times=2)
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    assert [imds.request("PUT", "/latest/api/token", **ttl)[0] for _ in range(3)] == [503, 503, 200]
    cloud.ctl("fault", action="IMDS", kind="truncate", bytes=3)
    assert imds.get("instance-id") == "i-0"
    assert cloud.ctl("counters")["counters"]["IMDS"]["errors"]["500"] == 1
