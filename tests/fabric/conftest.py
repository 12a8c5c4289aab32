# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fabric's and the lab's tests: labs without daemons, and EC2 as boto3 sees it from inside a node."""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import proc  # noqa: E402
from tests.harness.lab import Lab  # noqa: E402

# Labs of other runs on this machine, and their cleaning up, are none of ours.
LABS = tempfile.TemporaryDirectory(prefix="vpcwire-labs-")
os.environ["VPCWIRE_LAB_DIR"] = LABS.name + "/labs"

PIPE = pathlib.Path(__file__).with_name("ec2_pipe.py")
LIMIT_S = 60


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="these tests make network namespaces: run as root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No test may hang."""
    def too_long(_signal, _frame):
        raise AssertionError(f"the test did not end within {LIMIT_S} s")

    old = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


class Ec2:
    """EC2's API through boto3 in the first node: ec2.describe_subnets(...) -> the answer; an EC2 error is an AssertionError."""

    def __init__(self, lab):
        self.proc = subprocess.Popen(lab.nodes[0].argv("/usr/bin/python3", str(PIPE)), env=lab.nodes[0].env(),
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __getattr__(self, name):
        def call(**args):
            self.proc.stdin.write(json.dumps([name, args]).encode() + b"\n")
            self.proc.stdin.flush()
            line = b""
            while not line.endswith(b"\n"):
                ready, _, _ = select.select([self.proc.stdout], [], [], 30)
                chunk = os.read(self.proc.stdout.fileno(), 65536) if ready else b""
                assert chunk, f"no answer to {name}"
                line += chunk
            answer = json.loads(line)
            assert "error" not in answer, f"{name}: {answer}"
            return answer["answer"]
        return call

    def primary(self, node):
        """The primary ENI of a node."""
        found = self.describe_network_interfaces(Filters=[
            {"Name": "attachment.instance-id", "Values": [node.facts["instance_id"]]},
            {"Name": "attachment.device-index", "Values": ["0"]}])
        return found["NetworkInterfaces"][0]

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(10)
        self.proc.stdout.close()


@pytest.fixture(scope="module")
def vpc():
    """Two nodes without daemons, in two zones; shared by a module's tests, which undo what they change."""
    with Lab("--no-daemon", nodes=2) as lab:
        yield lab


@pytest.fixture(scope="module")
def ec2(vpc):
    client = Ec2(vpc)
    yield client
    client.close()


@pytest.fixture
def make_lab():
    labs = []

    def make(*args, **kwargs):
        labs.append(Lab(*args, **kwargs))
        return labs[-1].start()

    yield make
    for lab in labs:
        lab.__exit__()


@pytest.fixture
def make_ec2():
    clients = []

    def make(lab):
        clients.append(Ec2(lab))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def wait_until():
    return proc.wait_until
