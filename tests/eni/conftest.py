# SPDX-License-Identifier: Apache-2.0
"""vpcwire-eni on a node of its own: tests/conformance/eninode.py."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.conformance.eninode import EniNode  # noqa: E402
from tests.harness.limits import pytest_collection_modifyitems, pytest_configure, pytest_runtest_call  # noqa: E402, F401 - hooks
from tests.harness.netns import private_mounts, unshare_net  # noqa: E402, F401 - a fixture


@pytest.fixture
def node(private_mounts, tmp_path):     # noqa: F811
    unshare_net()
    made = EniNode(tmp_path)
    yield made
    made.close()


@pytest.fixture
def eni(node):
    return node.eni(1)
