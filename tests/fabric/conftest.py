# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fabric's and the lab's tests: labs without daemons, and EC2 as boto3 sees it from inside a node."""
import os
import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import proc  # noqa: E402
from tests.harness.ec2 import Ec2  # noqa: E402
from tests.harness.lab import Lab, made_labs  # noqa: E402
from tests.harness.limits import pytest_collection_modifyitems, pytest_configure, pytest_runtest_call  # noqa: E402, F401 - hooks

# Labs of other runs on this machine, and their cleaning up, are none of ours.
LABS = tempfile.TemporaryDirectory(prefix="vpcwire-labs-")
os.environ["VPCWIRE_LAB_DIR"] = LABS.name + "/labs"

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
    with made_labs() as (make, _):
        yield make


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
