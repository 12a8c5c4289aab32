# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests that use labs: the labs, a limit on every test's time, and the daemon's log beside every failure."""
import pytest

from tests.harness import proc
from tests.harness.lab import Lab, made_labs
from tests.harness.limits import (pytest_collection_modifyitems, pytest_configure,  # noqa: F401 - hooks
                                  pytest_runtest_call, pytest_runtest_makereport)


@pytest.fixture
def make_lab():
    """Labs of a test's own: make_lab(nodes=2, ...) -> Lab, up. All are taken down at the end."""
    with made_labs() as (make, labs):
        make.labs = labs        # whose logs stand beside a failure
        yield make


@pytest.fixture(scope="module")
def lab(request):
    """A lab that a module's tests share; the module says LAB = dict(...) when one node of the default kind is not enough.

    LAB["args"] are further words for `vpcwire-sim lab`.
    """
    how = dict(getattr(request.module, "LAB", {}))
    with Lab(*how.pop("args", ()), **how) as up:
        yield up
        for node in up.nodes:
            assert up.stop_daemon(node.name) == 0, f"vpcwired of {node.name} did not end well: {node.daemon_log()}"
            assert "Sanitizer" not in node.daemon_log(), node.daemon_log()


@pytest.fixture
def node(lab):
    return lab.nodes[0]


@pytest.fixture
def pod(node):
    """A pod's namespace on the first node; deleted again, also from CNI, when the test left it there."""
    made = node.pod()
    yield made
    made.delete()
    made.remove()


@pytest.fixture
def wait_until():
    return proc.wait_until
