# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: labs, a limit on every test's time, and the daemon's log beside every failure."""
import os
import signal

import pytest

from tests.harness import proc
from tests.harness.lab import Lab

DEFAULT_LIMIT_S = 60


def pytest_configure(config):
    config.addinivalue_line("markers", f"limit(seconds): a test's time limit, {DEFAULT_LIMIT_S} when not given")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="end-to-end tests make network namespaces: run as root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No test may hang: past its limit it is interrupted where it stands, and fails."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else DEFAULT_LIMIT_S

    def too_long(_signal, _frame):
        raise AssertionError(f"the test did not end within {seconds} s")

    old = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for value in list(getattr(item, "funcargs", {}).values()):
        if isinstance(value, Lab):
            report.sections.append(("the lab's own output", value.log()[-8000:]))
            for node in value.nodes if value.proc else []:
                try:
                    report.sections.append((f"vpcwired of {node.name}", node.daemon_log()[-8000:]))
                except AssertionError as exc:
                    report.sections.append((f"vpcwired of {node.name}", f"no log: {exc}"))


@pytest.fixture
def make_lab():
    """Labs of a test's own: make_lab(nodes=2, ...) -> Lab, up. All are taken down at the end."""
    labs = []

    def make(*args, **kwargs):
        labs.append(Lab(*args, **kwargs))
        return labs[-1].start()

    yield make
    for lab in labs:
        lab.__exit__()


@pytest.fixture(scope="module")
def lab(request):
    """A lab that a module's tests share; the module says LAB = dict(...) when one node of the default kind is not enough."""
    with Lab(**getattr(request.module, "LAB", {})) as up:
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
