# SPDX-License-Identifier: Apache-2.0
"""A limit on every test's time."""
from tests.harness.lab_fixtures import *  # noqa: F401,F403
