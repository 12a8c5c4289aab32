# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fabric's and the lab's tests: labs without daemons, and EC2 as boto3 sees it from inside a node."""
import os
import pathlib
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import proc  # noqa: E402
from tests.harness.ec2 import Ec2  # noqa: E402
from tests.harness.lab import Lab  # noqa: E402

# Labs of other runs on this machine, and their cleaning up, are none of ours.
LABS = tempfile.TemporaryDirectory(prefix="vpcwire-labs-")
os.environ["VPCWIRE_LAB_DIR"] = LABS.name + "/labs"

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
