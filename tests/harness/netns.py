# SPDX-License-Identifier: Apache-2.0
"""The test's own process in namespaces of its own: what it makes there goes when it does."""
import ctypes
import os

import pytest

from tests.harness import proc

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _unshare(flags):
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


def unshare_net():
    """A new, empty network namespace for this process."""
    _unshare(CLONE_NEWNET)


@pytest.fixture(scope="session")
def private_mounts():
    """The namespaces' bind mounts and the bpf file system stay ours."""
    _unshare(CLONE_NEWNS)
    proc.run(["mount", "--make-rprivate", "/"])
