# SPDX-License-Identifier: Apache-2.0
"""EC2 as boto3 sees it from inside a lab's first node."""
import json
import os
import pathlib
import select
import subprocess

PIPE = pathlib.Path(__file__).with_name("ec2_pipe.py")


class Ec2:
    """EC2's API through boto3 in the first node: ec2.describe_subnets(...) -> the answer; an EC2 error is an AssertionError."""

    def __init__(self, lab):
        self.proc = subprocess.Popen(lab.nodes[0].argv("/usr/bin/python3", str(PIPE)), env=lab.nodes[0].env(),
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __getattr__(self, name):
        def call(**args):
            self.proc.stdin.write(json.dumps([name, args]).encode() + b"\n")
            self.proc.stdin.flush()
            line = b""
            while not line.endswith(b"\n"):
                ready, _, _ = select.select([self.proc.stdout], [], [], 30)
                chunk = os.read(self.proc.stdout.fileno(), 65536) if ready else b""
                assert chunk, f"no answer to {name}"
                line += chunk
            answer = json.loads(line)
            assert "error" not in answer, f"{name}: {answer}"
            return answer["answer"]
        return call

    def primary(self, node):
        """The primary ENI of a node."""
        found = self.describe_network_interfaces(Filters=[
            {"Name": "attachment.instance-id", "Values": [node.facts["instance_id"]]},
            {"Name": "attachment.device-index", "Values": ["0"]}])
        return found["NetworkInterfaces"][0]

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(60)
        self.proc.stdout.close()
