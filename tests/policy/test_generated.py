# SPDX-License-Identifier: Apache-2.0
"""The committed fixtures are what their generators write."""
import pathlib
import subprocess
import sys

GENERATE = pathlib.Path(__file__).parent / "gen/generate.py"


def test_fixtures_are_up_to_date():
    done = subprocess.run([sys.executable, GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
