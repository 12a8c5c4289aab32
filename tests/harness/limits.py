# SPDX-License-Identifier: Apache-2.0
"""pytest hooks that the folders of tests share: a conftest.py imports them by name."""
import os
import signal

import pytest

from tests.harness import proc
from tests.harness.lab import Lab

DEFAULT_LIMIT_S = 180       # it only ends a hang: a machine may be busy


def pytest_configure(config):
    config.addinivalue_line("markers", f"limit(seconds): a test's time limit, where {DEFAULT_LIMIT_S} are not enough")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="makes network namespaces: run as root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No test may hang: past its limit it is interrupted where it stands, and fails."""
    marker = item.get_closest_marker("limit")
    seconds = max(marker.args[0] if marker else 0, DEFAULT_LIMIT_S) * (5 if proc.SANITIZED else 1)

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
    """Beside a failure: what the lab and the daemons in it had to say."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    given = list(getattr(item, "funcargs", {}).values())
    for lab in [v for v in given if isinstance(v, Lab)] + [made for v in given for made in getattr(v, "labs", [])]:
        report.sections.append(("the lab's own output", lab.log()[-8000:]))
        for node in lab.nodes if lab.proc else []:
            try:
                report.sections.append((f"vpcwired of {node.name}", node.daemon_log()[-8000:]))
            except AssertionError as exc:
                report.sections.append((f"vpcwired of {node.name}", f"no log: {exc}"))
