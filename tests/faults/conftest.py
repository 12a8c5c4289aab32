# SPDX-License-Identifier: Apache-2.0
"""Labs, a limit on every test's time, and the daemon's log beside every failure."""
import pytest

from tests.faults.world import recover
from tests.harness.lab_fixtures import *  # noqa: F401,F403


@pytest.fixture
def node(lab):  # noqa: F811 - the shared lab's, with what must hold after every fault
    """Afterwards the fault is over: a pod gets an address, all go, and everybody agrees about what is whose."""
    yield lab.nodes[0]
    recover(lab, lab.nodes[0])
