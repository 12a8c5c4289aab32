# SPDX-License-Identifier: Apache-2.0
"""usage: anchor.py FOLDER: the command that a test's lab runs

Says what the lab gave it in one line of JSON, then waits for its stdin to close. When the test's process is gone, however
it ended, stdin closes, this ends, and the lab takes everything down. A test that could not say goodbye (kill -9) cannot
remove its folder either: then it is done here.
"""
import json
import os
import shutil
import sys

KEYS = ("CNI_PATH", "NETCONFPATH", "VPCWIRE_SOCKET", "VPCWIRE_NODES", "VPCWIRE_LAB", "VPCWIRE_CONTROL", "AWS_ENDPOINT_URL_EC2",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS")
print(json.dumps({k: os.environ[k] for k in KEYS if k in os.environ}), flush=True)
if sys.stdin.read() != "bye\n":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
