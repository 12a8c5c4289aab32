# SPDX-License-Identifier: Apache-2.0
"""Labs, a limit on every test's time, and the daemon's log beside every failure."""
from tests.harness.lab_fixtures import *  # noqa: F401,F403
