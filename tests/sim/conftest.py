# SPDX-License-Identifier: Apache-2.0
"""A control-plane simulator per test, and isolation from whatever AWS settings the machine has."""
import contextlib
import os

import botocore.exceptions
import pytest

from tests.harness.limits import pytest_configure, pytest_runtest_call  # noqa: F401 - hooks
from tests.harness.simcloud import CONFIG, Cloud


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def make_cloud():
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(contextlib.closing(Cloud({**CONFIG, **changes})))


@pytest.fixture
def cloud(make_cloud):
    return make_cloud()


@pytest.fixture
def ec2(cloud):
    return cloud.client()


@pytest.fixture
def refused():
    """with refused("Code") as e: ... -> e.value.response"""
    class Refused:
        def __init__(self, code, status=400, match=""):
            self.code, self.status, self.match = code, status, match

        def __enter__(self):
            self.ctx = pytest.raises(botocore.exceptions.ClientError, match=self.match)
            self.info = self.ctx.__enter__()
            return self.info

        def __exit__(self, *exc):
            caught = self.ctx.__exit__(*exc)
            if not caught:
                return False
            res = self.info.value.response
            assert res["Error"]["Code"] == self.code, res
            assert res["ResponseMetadata"]["HTTPStatusCode"] == self.status, res
            assert res["ResponseMetadata"]["RequestId"]
            return caught

    return Refused
