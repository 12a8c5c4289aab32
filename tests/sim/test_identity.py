# SPDX-License-Identifier: Apache-2.0
"""Who may call: signatures, session tokens, clocks, STS, container credentials."""
import datetime
import json
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from tests.harness.simcloud import KEY, SECRET


def test_wrong_keys(cloud, refused):
    cloud.client().describe_vpcs()
    for key, secret, token, code, status in (
            ("AKIANOBODY", SECRET, None, "AuthFailure", 401), (KEY, "wrong", None, "SignatureDoesNotMatch", 403),
            (KEY, SECRET, "surprise", "AuthFailure", 401),
            ("ASIASESSION", "session-secret", None, "AuthFailure", 401),
            ("ASIASESSION", "session-secret", "other", "AuthFailure", 401)):
        with refused(code, status):
            cloud.client(key=key, secret=secret, token=token).describe_vpcs()
    cloud.client(key="ASIASESSION", secret="session-secret", token="to/ken+==").describe_vpcs()
    with refused("SignatureDoesNotMatch", 403, match="region"):
        import boto3
        boto3.client("ec2", region_name="us-east-1", endpoint_url=cloud.ec2_url, aws_access_key_id=KEY,
                     aws_secret_access_key=SECRET).describe_vpcs()


def post(url, body, **headers):
    req = urllib.request.Request(url, data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(req, timeout=20) as res:
            return res.status, res.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_no_signature_and_broken_ones(cloud):
    body = "Action=DescribeVpcs&Version=2016-11-15"
    status, text = post(cloud.ec2_url, body)
    assert status == 403 and "<Code>MissingAuthenticationToken</Code>" in text
    for auth in ("", "Basic abc", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host",
                 "AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=host;x-amz-date, Signature=0",
                 "AWS4-HMAC-SHA256 " + "Credential=" * 400):
        status, text = post(cloud.ec2_url, body, Authorization=auth, **{"X-Amz-Date": "20260101T000000Z"})
        assert status in (400, 403) and "<Code>" in text, (auth, text)
    assert post(cloud.ec2_url, "Action=%zz")[0] == 400
    assert post(cloud.ec2_url, "Action=DescribeVpcs&Action=DescribeVpcs")[0] == 400
    assert post(cloud.ec2_url, "x=" + "y" * (300 * 1024))[0] == 413
    cloud.client().describe_vpcs()


def test_clocks_apart(cloud, refused):
    for offset, code, status in ((299, None, 0), (400, "RequestExpired", 400), (-400, "SignatureDoesNotMatch", 403)):
        cloud.ctl("clock", offset_s=offset)
        if code is None:
            cloud.client().describe_vpcs()
            continue
        with refused(code, status):
            cloud.client().describe_vpcs()


def test_expired_credentials(cloud, refused):
    ec2 = cloud.client(key="ASIASESSION", secret="session-secret", token="to/ken+==")
    sts = cloud.client("sts", key="ASIASESSION", secret="session-secret", token="to/ken+==")
    ec2.describe_vpcs()
    assert cloud.ctl("expire-credentials", role="somebody else")["expired"] == 0
    assert cloud.ctl("expire-credentials")["expired"] == 1
    with refused("RequestExpired"):
        ec2.describe_vpcs()
    with refused("ExpiredToken", 403):
        sts.get_caller_identity()


def test_caller_identity(cloud, refused):
    who = cloud.client("sts").get_caller_identity()
    assert (who["Account"], who["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/tester")
    role = cloud.client("sts", key="ASIASESSION", secret="session-secret", token="to/ken+==").get_caller_identity()
    assert role["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/node/")
    with refused("InvalidClientTokenId", 403):
        cloud.client("sts", key="AKIANOBODY").get_caller_identity()
    with refused("SignatureDoesNotMatch", 403):
        cloud.client("sts", secret="wrong").get_caller_identity()


def assume(cloud, **changes):
    args = {"RoleArn": "arn:aws:iam::123456789012:role/irsa", "RoleSessionName": "vpcwired",
            "WebIdentityToken": "eyJ.good.token", **changes}
    return cloud.client("sts").assume_role_with_web_identity(**args)


def test_web_identity(cloud, refused):
    answer = assume(cloud, DurationSeconds=900)
    creds = answer["Credentials"]
    left = creds["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(seconds=800) < left <= datetime.timedelta(seconds=901)
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/irsa/vpcwired"
    ec2 = cloud.client(key=creds["AccessKeyId"], secret=creds["SecretAccessKey"], token=creds["SessionToken"])
    assert ec2.describe_vpcs()["Vpcs"]
    for changes, code, status in (
            ({"WebIdentityToken": "eyJ.forged"}, "InvalidIdentityToken", 400),
            ({"WebIdentityToken": "eyJ.old.token"}, "ExpiredTokenException", 400),
            ({"RoleArn": "arn:aws:iam::123456789012:role/node"}, "AccessDenied", 403),
            ({"RoleArn": "arn:aws:iam::999999999999:role/irsa"}, "AccessDenied", 403)):
        with refused(code, status):
            assume(cloud, **changes)
    status, text = post(cloud.sts_url, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=x&RoleSessionName=ab"
                        "&WebIdentityToken=y&DurationSeconds=899")
    assert status == 400 and "<Code>ValidationError</Code>" in text and "<ErrorResponse" in text
    cloud.ctl("web-identity", token="eyJ.new.token", role="irsa")
    assume(cloud, WebIdentityToken="eyJ.new.token")
    cloud.ctl("fault", action="AssumeRoleWithWebIdentity", code="IDPCommunicationError")
    with refused("IDPCommunicationError"):
        assume(cloud)
    assume(cloud)


def test_container_credentials(cloud):
    def get(path="/v1/credentials", **headers):
        base = cloud.ready["credentials"].removesuffix("/v1/credentials")
        try:
            with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=20) as res:
                return res.status, json.loads(res.read())
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read())

    assert get()[0] == 401
    assert get(Authorization="wrong")[0] == 401
    assert get("/elsewhere", Authorization="pod identity token")[0] == 404
    status, one = get(Authorization="pod identity token")
    assert status == 200 and one["RoleArn"] == "arn:aws:iam::123456789012:role/pod"
    assert get(Authorization="pod identity token")[1] == one, "the same set until it runs out"
    ec2 = cloud.client(key=one["AccessKeyId"], secret=one["SecretAccessKey"], token=one["Token"])
    ec2.describe_vpcs()
    cloud.ctl("expire-credentials", role="pod")
    two = get(Authorization="pod identity token")[1]
    assert two["AccessKeyId"] != one["AccessKeyId"]
    with pytest.raises(botocore.exceptions.ClientError, match="expired"):
        ec2.describe_vpcs()
    cloud.ctl("fault", action="ContainerCredentials", kind="body", status=500, message="not json")
    with pytest.raises(json.JSONDecodeError):
        get(Authorization="pod identity token")


def test_boto3_finds_container_credentials_itself(cloud, monkeypatch):
    import boto3
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", cloud.ready["credentials"])
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod identity token")
    ec2 = boto3.session.Session().client("ec2", region_name=cloud.region, endpoint_url=cloud.ec2_url)
    assert ec2.describe_vpcs()["Vpcs"]


def test_boto3_finds_the_instance_role_itself(cloud, monkeypatch):
    import boto3
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.ready["imds"]["node1"])
    session = boto3.session.Session()
    ec2 = session.client("ec2", region_name=cloud.region, endpoint_url=cloud.ec2_url)
    assert ec2.describe_vpcs()["Vpcs"]
    assert session.get_credentials().method == "iam-role"


def test_the_query_api_by_get(cloud):
    """What a signed GET would be refused for, an unsigned one is too: with the same code, from the query string."""
    try:
        urllib.request.urlopen(cloud.ec2_url + "/?Action=DescribeVpcs&Version=2016-11-15", timeout=20)
        raise AssertionError("answered without a signature")
    except urllib.error.HTTPError as exc:
        assert b"MissingAuthenticationToken" in exc.read()
    assert cloud.calls("DescribeVpcs") == 1
