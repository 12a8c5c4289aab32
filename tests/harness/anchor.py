# SPDX-License-Identifier: Apache-2.0
"""The command that a test's lab runs: says what the lab gave it in one line of JSON, then waits for its stdin to close.

When the test's process is gone, however it ended, stdin closes, this ends, and the lab takes everything down.
"""
import json
import os
import sys

KEYS = ("CNI_PATH", "NETCONFPATH", "VPCWIRE_SOCKET", "VPCWIRE_NODES", "VPCWIRE_LAB", "VPCWIRE_CONTROL", "AWS_ENDPOINT_URL_EC2",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS")
print(json.dumps({k: os.environ[k] for k in KEYS if k in os.environ}), flush=True)
sys.stdin.read()
