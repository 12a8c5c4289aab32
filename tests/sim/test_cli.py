# SPDX-License-Identifier: Apache-2.0
"""Every action once through the AWS CLI, unchanged, against one simulator."""
import json
import os
import subprocess

import pytest

from tests.harness.simcloud import KEY, SECRET

AWS = "/usr/bin/aws"
pytestmark = pytest.mark.skipif(not os.path.exists(AWS), reason="the AWS CLI (Debian's awscli) is not installed")


@pytest.fixture
def aws(cloud, tmp_path):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
           "AWS_DEFAULT_REGION": cloud.region, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
           "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1", "LC_ALL": "C.UTF-8"}

    def run(service, action, *args, fails=None):
        url = cloud.sts_url if service == "sts" else cloud.ec2_url
        res = subprocess.run([AWS, "--endpoint-url", url, "--output", "json", service, action, *args], env=env,
                             capture_output=True, text=True, timeout=60, check=False)
        if fails:
            assert res.returncode == 254 and f"({fails})" in res.stderr, res
            return None
        assert res.returncode == 0, res
        return json.loads(res.stdout) if res.stdout.strip() else None

    return run


def test_an_eni_through_the_cli(aws):
    eni = aws("ec2", "create-network-interface", "--subnet-id", "subnet-0a", "--description", "by the CLI",
              "--ipv4-prefix-count", "1", "--ipv6-address-count", "1", "--groups", "sg-0a", "sg-0b",
              "--tag-specifications", "ResourceType=network-interface,Tags=[{Key=a,Value=b}]")["NetworkInterface"]
    eni_id = eni["NetworkInterfaceId"]
    assert (eni["Description"], len(eni["Ipv4Prefixes"]), len(eni["Ipv6Addresses"])) == ("by the CLI", 1, 1)
    assert eni["TagSet"] == [{"Key": "a", "Value": "b"}]
    att = aws("ec2", "attach-network-interface", "--network-interface-id", eni_id, "--instance-id", "i-0a1",
              "--device-index", "1")["AttachmentId"]
    aws("ec2", "modify-network-interface-attribute", "--network-interface-id", eni_id, "--attachment",
        f"AttachmentId={att},DeleteOnTermination=true")
    given = aws("ec2", "assign-private-ip-addresses", "--network-interface-id", eni_id,
                "--secondary-private-ip-address-count", "2")
    two = [a["PrivateIpAddress"] for a in given["AssignedPrivateIpAddresses"]]
    six = aws("ec2", "assign-ipv6-addresses", "--network-interface-id", eni_id, "--ipv6-prefix-count", "1")
    aws("ec2", "unassign-private-ip-addresses", "--network-interface-id", eni_id, "--private-ip-addresses", two[0])
    gone = aws("ec2", "unassign-ipv6-addresses", "--network-interface-id", eni_id, "--ipv6-prefixes",
               *six["AssignedIpv6Prefixes"])
    assert gone["UnassignedIpv6Prefixes"] == six["AssignedIpv6Prefixes"]
    aws("ec2", "create-tags", "--resources", eni_id, "--tags", "Key=c,Value=d")
    aws("ec2", "delete-tags", "--resources", eni_id, "--tags", "Key=a")
    seen = aws("ec2", "describe-network-interfaces", "--filters", f"Name=attachment.attachment-id,Values={att}",
               "Name=tag:c,Values=d,e")["NetworkInterfaces"]
    assert [e["NetworkInterfaceId"] for e in seen] == [eni_id]
    assert [a["PrivateIpAddress"] for a in seen[0]["PrivateIpAddresses"]] == [eni["PrivateIpAddress"], two[1]]
    assert seen[0]["Attachment"]["DeleteOnTermination"] is True and seen[0]["TagSet"] == [{"Key": "c", "Value": "d"}]
    aws("ec2", "delete-network-interface", "--network-interface-id", eni_id, fails="InvalidParameterValue")
    aws("ec2", "detach-network-interface", "--attachment-id", att)
    aws("ec2", "delete-network-interface", "--network-interface-id", eni_id)


def test_descriptions_through_the_cli(aws):
    inst = aws("ec2", "describe-instances", "--instance-ids", "i-0a1")["Reservations"][0]["Instances"][0]
    assert inst["InstanceId"] == "i-0a1"
    types = aws("ec2", "describe-instance-types", "--page-size", "5", "--query",
                "InstanceTypes[].[InstanceType,NetworkInfo.Ipv4AddressesPerInterface]")
    assert ["t3.medium", 6] in types and len(types) > 15
    assert len(aws("ec2", "describe-subnets", "--filters", "Name=vpc-id,Values=vpc-0a")["Subnets"]) == 5
    assert [v["VpcId"] for v in aws("ec2", "describe-vpcs")["Vpcs"]] == ["vpc-0a", "vpc-0b"]
    groups = aws("ec2", "describe-security-groups", "--group-ids", "sg-0a")["SecurityGroups"]
    assert groups[0]["GroupName"] == "nodes"


def test_sts_through_the_cli(aws):
    assert aws("sts", "get-caller-identity")["Account"] == "123456789012"
    creds = aws("sts", "assume-role-with-web-identity", "--role-arn", "arn:aws:iam::123456789012:role/irsa",
                "--role-session-name", "cli", "--web-identity-token", "eyJ.good.token")["Credentials"]
    assert creds["AccessKeyId"].startswith("ASIA")
