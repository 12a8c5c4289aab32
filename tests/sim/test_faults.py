# SPDX-License-Identifier: Apache-2.0
"""The control socket: scripted faults, rate limits, counters, and what it refuses."""
import json
import os
import socket
import subprocess
import time

import botocore.exceptions
import botocore.parsers
import pytest

from tests.harness.simcloud import SIM


def test_the_nth_call_fails(cloud, ec2, refused):
    cloud.ctl("fault", action="DescribeVpcs", nth=3, times=2, code="InternalError", message="three & four")
    ec2.describe_vpcs()
    ec2.describe_vpcs()
    for _ in range(2):
        with refused("InternalError", 500, match="three & four"):
            ec2.describe_vpcs()
    ec2.describe_vpcs()
    counters = cloud.ctl("counters")["counters"]
    assert counters == {"DescribeVpcs": {"calls": 5, "errors": {"InternalError": 2}}}
    cloud.ctl("reset-counters")
    assert cloud.ctl("counters")["counters"] == {}
    assert cloud.ctl("faults")["faults"] == []


def test_any_code_any_action(cloud, ec2, refused):
    fault = cloud.ctl("fault", action="*", code="Unavailable", status=503, times=0)["id"]
    for call in (ec2.describe_vpcs, ec2.describe_subnets):
        with refused("Unavailable", 503):
            call()
    cloud.client("sts").get_caller_identity()
    assert [f["hits"] for f in cloud.ctl("faults")["faults"]] == [2]
    assert cloud.ctl("clear-faults", id=fault)["cleared"] == 1
    ec2.describe_vpcs()


def create(ec2, **kwargs):
    return ec2.create_network_interface(SubnetId="subnet-0a", **kwargs)["NetworkInterface"]["NetworkInterfaceId"]


@pytest.mark.parametrize("kind", ["hang", "close", "truncate"])
def test_done_but_not_answered(cloud, kind):
    """The change is made and the client cannot know; with the same ClientToken it learns."""
    before = cloud.ctl("counters")["enis"]
    cloud.ctl("fault", action="CreateNetworkInterface", kind=kind, bytes=120)
    with pytest.raises((botocore.exceptions.HTTPClientError, botocore.parsers.ResponseParserError)) as e:
        create(cloud.client(timeout=1), ClientToken="t1", Ipv4PrefixCount=1)
    if kind == "hang":
        assert isinstance(e.value, botocore.exceptions.ReadTimeoutError)
    state = cloud.ctl("state")["state"]["enis"]
    assert len(state) == 4
    assert create(cloud.client(), ClientToken="t1", Ipv4PrefixCount=1) == state[-1]["id"]
    assert len(cloud.ctl("state")["state"]["enis"]) == 4
    assert cloud.ctl("counters")["enis"] == {**before, "created": before["created"] + 1}


def test_what_becomes_of_enis_is_counted(cloud, ec2):
    before = cloud.ctl("counters")["enis"]
    eni = create(ec2)
    attachment = ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a1", DeviceIndex=1)["AttachmentId"]
    cloud.ctl("reset-counters")
    assert cloud.ctl("counters")["enis"] == {**before, "created": before["created"] + 1, "attached": before["attached"] + 1}
    ec2.detach_network_interface(AttachmentId=attachment)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert cloud.ctl("counters")["enis"] == {k: n + 1 for k, n in before.items()}


def test_an_error_changes_nothing(cloud, ec2, refused):
    cloud.ctl("fault", action="CreateNetworkInterface", code="InsufficientFreeAddressesInSubnet")
    with refused("InsufficientFreeAddressesInSubnet"):
        create(ec2)
    assert len(cloud.ctl("state")["state"]["enis"]) == 3


def test_a_late_answer_keeps_nobody_else_waiting(cloud, ec2):
    cloud.ctl("fault", action="DescribeVpcs", kind="delay", delay_ms=300)
    started = time.monotonic()
    ec2.describe_vpcs()
    assert time.monotonic() - started >= 0.3
    cloud.ctl("fault", action="DescribeVpcs", kind="hang", times=0)
    patient = socket.create_connection(cloud.ec2_url.removeprefix("http://").split(":"))
    patient.sendall(b"GET /?Action=DescribeVpcs HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(20):
        ec2.describe_subnets()
    patient.close()
    cloud.ctl("clear-faults")
    ec2.describe_vpcs()


def test_body_instead_of_xml(cloud):
    cloud.ctl("fault", action="DescribeVpcs", kind="body", status=200, message="<html>a proxy's page</html>")
    with pytest.raises((KeyError, botocore.parsers.ResponseParserError)):
        cloud.client().describe_vpcs()["Vpcs"]
    cloud.ctl("fault", action="DescribeVpcs", kind="body", status=502, message="")
    with pytest.raises(botocore.exceptions.ClientError, match="502"):
        cloud.client().describe_vpcs()


def test_rate_limits(make_cloud, refused):
    cloud = make_cloud(buckets={"DescribeVpcs": {"size": 3, "refill_per_s": 0}, "*": {"size": 2, "refill_per_s": 0}})
    ec2 = cloud.client()
    for call, size in ((ec2.describe_vpcs, 3), (ec2.describe_subnets, 2), (ec2.describe_instances, 2)):
        for _ in range(size):
            call()
        with refused("RequestLimitExceeded", 503):
            call()
    cloud.ctl("bucket", action="DescribeVpcs", size=1, refill_per_s=1000)
    deadline = time.monotonic() + 20
    for _ in range(20):                 # one token at a time, back within milliseconds
        while True:
            try:
                ec2.describe_vpcs()
                break
            except botocore.exceptions.ClientError as exc:
                assert exc.response["Error"]["Code"] == "RequestLimitExceeded" and time.monotonic() < deadline
    cloud.ctl("bucket", action="DescribeSubnets", size=0)
    for _ in range(10):
        ec2.describe_subnets()
    # boto3's own retries get through a limit that refills
    cloud.ctl("bucket", action="DescribeVpcs", size=1, refill_per_s=20)
    patient = cloud.client(retries=8)
    for _ in range(3):
        patient.describe_vpcs()


def test_eni_taken_away_behind_the_nodes_back(cloud, ec2, refused):
    eni = create(ec2)
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a1", DeviceIndex=1)
    cloud.ctl("detach-eni", eni=eni)
    assert ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]["Status"] == "available"
    cloud.ctl("delete-eni", eni=eni)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])


def test_instances_come_later(cloud, ec2):
    new = cloud.ctl("run-instance", name="late", type="c5.large", subnet="subnet-0b", ipv4_prefixes=1)["instance"]
    inst = ec2.describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
    assert inst["InstanceType"] == "c5.large"
    assert len(inst["NetworkInterfaces"][0]["Ipv4Prefixes"]) == 1
    for _ in range(2):
        cloud.ready = cloud.ctl("endpoints")
        assert cloud.ready["instances"]["late"] == new and cloud.imds("late").get("instance-id") == new
        assert cloud.imds("node1").get("instance-id") == "i-0a1"


def raw(cloud, *lines):
    """-> one answer for each line sent in a single packet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect(cloud.socket)
        s.sendall(b"".join(line + b"\n" for line in lines))
        with s.makefile("rb") as f:
            return [json.loads(f.readline()) for _ in lines]


def test_what_the_control_socket_refuses(cloud):
    answers = raw(cloud, b"nonsense", b"[]", b"{}", b'{"cmd": "nonsense"}', b'{"cmd": "fault", "action": "Nonsense"}',
                  b'{"cmd": "fault", "action": "DescribeVpcs", "kind": "nonsense"}',
                  b'{"cmd": "fault", "action": "DescribeVpcs", "nht": 1}', b'{"cmd": "detach-eni", "eni": "eni-0dead"}',
                  b'{"cmd": "fragment", "subnet": "nonsense"}', b'{"cmd": "imds-lag", "ms": -1}',
                  b'{"cmd": "terminate-instance"}', b'{"cmd": "run-instance", "type": "nonsense"}',
                  b'{"cmd": "unassign", "eni": "eni-0dead", "cidr": "x"}', b'{"cmd": "bucket", "action": "X", "size": 1}',
                  b'{"cmd": "delays", "attach": 1}', b'{"cmd": "state", "x": 1}', b'{"cmd": "run-instance", "nam": "x"}')
    assert all(a["ok"] is False and a["error"] for a in answers)
    assert "state" in raw(cloud, b'{"cmd": "help"}')[0]["commands"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect(cloud.socket)
        try:
            s.sendall(b"x" * (1 << 20))
            assert s.recv(1) == b"", "a line without end is cut off"
        except (BrokenPipeError, ConnectionResetError):
            pass
    cloud.ctl("state")


def test_ctl_on_the_command_line(cloud):
    def ctl(*args):
        return subprocess.run([SIM, "ctl", *args], capture_output=True, text=True, timeout=20, check=False)

    good = ctl("--socket", cloud.socket, "fault", "action=DescribeVpcs", "nth=2", "kind=error", "code=InternalError")
    assert good.returncode == 0 and json.loads(good.stdout)["id"] == 1
    assert ctl(cloud.socket, "faults").stdout.count('"skip": 1') == 1
    bad = ctl(cloud.socket, "nonsense")
    assert bad.returncode == 1 and json.loads(bad.stdout)["ok"] is False
    gone = ctl(cloud.socket + ".none", "state")
    assert gone.returncode == 1 and "connecting to the simulator" in gone.stderr and gone.stdout == ""
    assert ctl().returncode == 2 and ctl("--help").returncode == 0


@pytest.mark.parametrize("config, says", [
    ("{", "line 1"), ('{"nonsense": 1}', "nonsense"), ('{"vpcs": [{}]}', "vpcs[0]"),
    ('{"vpcs": [{"cidr": "10.0.0.1/16"}]}', "10.0.0.1/16"),
    ('{"vpcs": [{"cidr": "10.0.0.0/16"}], "subnets": [{"cidr": "10.1.0.0/24"}]}', "not in the VPC"),
    ('{"vpcs": [{"cidr": "10.0.0.0/16"}], "subnets": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.0/25"}]}', "overlaps"),
    ('{"vpcs": [{"cidr": "10.0.0.0/16"}], "subnets": [{"cidr": "10.0.0.0/24", "reserved": ["10.0.1.0/28"]}]}', "outside"),
    ('{"instances": [{"type": "t9.huge"}]}', "t9.huge"), ('{"instances": [{"subnet": "x"}]}', "subnet"),
    ('{"instances": [{"name": "a"}, {"name": "a"}]}', "already"),
    ('{"credentials": [{"access_key": "x"}]}', "secret_key"), ('{"roles": [{"name": "r", "deny": ["Nonsense"]}]}', "Nonsense"),
    ('{"buckets": {"Nonsense": {"size": 1}}}', "Nonsense"), ('{"attach_delay_ms": -1}', "attach_delay_ms"),
])
def test_configurations_that_are_refused(tmp_path, config, says):
    path = tmp_path / "c.json"
    path.write_text(config)
    res = subprocess.run([SIM, "serve", "--config", str(path)], capture_output=True, text=True, timeout=20, check=False)
    assert res.returncode == 1 and says in res.stderr and res.stdout == "", res


def test_one_simulator_per_socket(cloud):
    res = subprocess.run([SIM, "serve", "--control", cloud.socket], capture_output=True, text=True, timeout=20, check=False)
    assert res.returncode == 1 and "another simulator" in res.stderr
    cloud.ctl("state")


def test_the_end_comes_also_while_clients_wait(make_cloud):
    """The fixture's close() wants exit status 0 and silence, with requests still hanging and half sent."""
    cloud = make_cloud(attach_delay_ms=600000, imds_lag_ms=600000)
    ec2 = cloud.client()
    eni = create(ec2)
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId="i-0a1", DeviceIndex=1)
    cloud.ctl("fault", action="*", kind="hang", times=0)
    address = cloud.ec2_url.removeprefix("http://").split(":")
    waiting = [socket.create_connection(address) for _ in range(3)]
    for s, text in zip(waiting, (b"GET /?Action=DescribeVpcs HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHo", b"")):
        s.sendall(text)
    deadline = time.monotonic() + 20
    while cloud.calls("DescribeVpcs") < 1:
        assert time.monotonic() < deadline
    cloud.proc.terminate()
    assert cloud.proc.wait(timeout=20) == 0
    for s in waiting:
        s.close()


def test_no_file_descriptor_stays_behind(cloud):
    def open_fds():
        return len(os.listdir(f"/proc/{cloud.proc.pid}/fd"))

    def storm():
        for kind in ("hang", "close", "delay", "truncate"):
            cloud.ctl("fault", action="DescribeVpcs", kind=kind, delay_ms=0 if kind == "hang" else 1)
            with socket.create_connection(cloud.ec2_url.removeprefix("http://").split(":")) as s:
                s.sendall(b"GET /?Action=DescribeVpcs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                s.settimeout(0.2 if kind == "hang" else 20)
                try:
                    while s.recv(4096):
                        pass
                except TimeoutError:
                    assert kind == "hang"

    storm()
    before = open_fds()
    for _ in range(5):
        storm()
    deadline = time.monotonic() + 20
    while open_fds() > before:
        assert time.monotonic() < deadline, os.listdir(f"/proc/{cloud.proc.pid}/fd")


def test_a_read_that_is_old(cloud, ec2, refused):
    """The very same question gets its former answer; what was never asked has none."""
    def shown(**how):
        return [e["NetworkInterfaceId"] for e in ec2.describe_network_interfaces(**how)["NetworkInterfaces"]]

    where = {"Filters": [{"Name": "subnet-id", "Values": ["subnet-0a"]}]}
    before = shown(**where)
    cloud.ctl("fault", action="DescribeNetworkInterfaces", kind="stale", times=0, code="InvalidNetworkInterfaceID.NotFound")
    fresh = create(ec2)
    assert shown(**where) == before
    with refused("InvalidNetworkInterfaceID.NotFound"):
        shown(NetworkInterfaceIds=[fresh])
    cloud.ctl("clear-faults")
    assert shown(**where) == [*before, fresh]


def test_a_subnet_is_deleted(cloud, ec2, refused):
    with pytest.raises(AssertionError, match="has dependencies"):
        cloud.ctl("delete-subnet", subnet="subnet-0a")
    cloud.ctl("delete-subnet", subnet="subnet-0d")
    assert "subnet-0d" not in [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
    with refused("InvalidSubnetID.NotFound"):
        ec2.create_network_interface(SubnetId="subnet-0d")
