# SPDX-License-Identifier: Apache-2.0
"""Runs inside a node: boto3 calls in, one JSON line each, answers out. Credentials come from the instance's role."""
import json
import os
import sys

import boto3
from botocore.exceptions import ClientError

ec2 = boto3.client("ec2", endpoint_url=os.environ["AWS_ENDPOINT_URL_EC2"], region_name=os.environ["AWS_REGION"])
for line in sys.stdin:
    name, args = json.loads(line)
    try:
        answer = {"answer": getattr(ec2, name)(**args)}
    except ClientError as exc:
        answer = {"error": exc.response["Error"]["Code"], "message": str(exc)}
    print(json.dumps(answer, default=str), flush=True)
