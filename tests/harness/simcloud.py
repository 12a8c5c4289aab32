# SPDX-License-Identifier: Apache-2.0
"""A control-plane simulator (`vpcwire-sim serve`) as an object, with clients for its endpoints."""
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.error
import urllib.request

import boto3
import botocore.config

from tests.harness.proc import SIM

KEY, SECRET = "AKIAVPCWIRESIM000001", "vpcwire-sim-secret"

CONFIG = {
    "vpcs": [{"id": "vpc-0a", "cidr": "10.0.0.0/16", "ipv6_cidrs": ["2001:db8:0:100::/56"], "tags": {"Name": "main"}},
             {"id": "vpc-0b", "cidr": "10.9.0.0/16"}],
    "subnets": [
        {"id": "subnet-0a", "vpc": "vpc-0a", "cidr": "10.0.0.0/24", "ipv6": "2001:db8:0:100::/64", "az": "a",
         "tags": {"Name": "a", "kubernetes.io/role/cni": "1"}},
        {"id": "subnet-0b", "vpc": "vpc-0a", "cidr": "10.0.1.0/24", "az": "b"},
        {"id": "subnet-0c", "vpc": "vpc-0a", "cidr": "10.0.2.0/26", "az": "a", "fragment": {"free_prefixes": 1}},
        {"id": "subnet-0d", "vpc": "vpc-0a", "cidr": "10.0.3.0/28", "az": "a"},
        {"id": "subnet-0e", "vpc": "vpc-0b", "cidr": "10.9.0.0/24", "az": "a"},
        {"id": "subnet-0f", "vpc": "vpc-0a", "cidr": "10.0.4.0/26", "az": "a",
         "reserved": [{"cidr": "10.0.4.32/28", "type": "prefix"}, "10.0.4.48/29"]},
    ],
    "security_groups": [
        {"id": "sg-0a", "name": "nodes", "description": "the nodes", "vpc": "vpc-0a"},
        {"id": "sg-0b", "name": "pods", "vpc": "vpc-0a"},
        {"id": "sg-0c", "name": "other", "vpc": "vpc-0b"},
    ],
    "instance_types": [{"name": "cards.large", "max_enis": 4, "ipv4_per_eni": 4,
                        "network_cards": [{"max_enis": 2}, {"max_enis": 2}]}],
    "instances": [
        {"name": "node1", "id": "i-0a1", "type": "t3.medium", "subnet": "subnet-0a", "role": "node",
         "public_ip": "198.51.100.7", "security_groups": ["nodes"], "tags": {"Name": "node1"}},
        {"name": "node2", "id": "i-0a2", "type": "m5.large", "subnet": "subnet-0b"},
        {"name": "node3", "id": "i-0a3", "type": "cards.large", "subnet": "subnet-0a", "ipv6_addresses": 1},
    ],
    "roles": [{"name": "node", "lifetime_s": 3600}, {"name": "irsa", "lifetime_s": 3600}],
    "credentials": [
        {"access_key": KEY, "secret_key": SECRET, "user": "tester"},
        {"access_key": "AKIAREADER", "secret_key": "reader", "user": "reader",
         "deny": ["CreateNetworkInterface", "DeleteNetworkInterface"]},
        {"access_key": "ASIASESSION", "secret_key": "session-secret", "session_token": "to/ken+==", "role": "node",
         "expires_in_s": 3600},
    ],
    "container_credentials": {"token": "pod identity token", "role": "pod"},
    "web_identity_tokens": [{"token": "eyJ.good.token", "role": "irsa"},
                            {"token": "eyJ.old.token", "role": "irsa", "expired": True}],
}


class Imds:
    """The metadata service of one instance, version 2."""

    def __init__(self, base):
        self.base, self._token = base, None

    def request(self, method, path, **headers):
        """-> (status, text, headers)"""
        req = urllib.request.Request(self.base + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(req, timeout=20) as res:
                return res.status, res.read().decode(), res.headers
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode(), exc.headers

    def token(self, ttl="600"):
        status, text, _ = self.request("PUT", "/latest/api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": ttl})
        assert status == 200
        return text

    def raw(self, path):
        self._token = self._token or self.token()
        return self.request("GET", "/latest/" + path, **{"X-aws-ec2-metadata-token": self._token})

    def get(self, path):
        """The text, or None where there is nothing."""
        status, text, _ = self.raw("meta-data/" + path)
        assert status in (200, 404), (status, text)
        return text if status == 200 else None

    def macs(self):
        return [line.rstrip("/") for line in self.get("network/interfaces/macs/").splitlines()]

    def eni(self, mac, name):
        return self.get(f"network/interfaces/macs/{mac}/{name}")


class Cloud:
    """A running `vpcwire-sim serve`."""

    def __init__(self, config):
        self.dir = tempfile.TemporaryDirectory(prefix="vpcwire-sim-")
        self.socket = f"{self.dir.name}/control"
        path = pathlib.Path(self.dir.name) / "config.json"
        path.write_text(json.dumps(config))
        self.proc = subprocess.Popen([SIM, "serve", "--config", str(path), "--control", self.socket, "--tied"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.proc.stdout.readline()
        assert line, self.proc.stderr.read()
        self.ready = json.loads(line)
        self.region, self.ec2_url, self.sts_url = (self.ready[k] for k in ("region", "ec2", "sts"))

    def close(self):
        self.proc.terminate()
        _, err = self.proc.communicate(timeout=20)
        left = os.path.exists(self.socket)
        self.dir.cleanup()
        assert self.proc.returncode == 0, err
        assert err == "" and not left

    def client(self, service="ec2", key=KEY, secret=SECRET, token=None, retries=0, timeout=20, validate=True):
        config = botocore.config.Config(retries={"max_attempts": retries}, read_timeout=timeout, proxies={},
                                        parameter_validation=validate)
        return boto3.client(service, region_name=self.region, aws_access_key_id=key, aws_secret_access_key=secret,
                            aws_session_token=token, config=config,
                            endpoint_url=self.sts_url if service == "sts" else self.ec2_url)

    def ctl(self, cmd, **args):
        out = subprocess.run([SIM, "ctl", self.socket, json.dumps({"cmd": cmd, **args})], text=True, timeout=20,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        answer = json.loads(out)
        assert answer["ok"], answer
        return answer

    def calls(self, action):
        return self.ctl("counters")["counters"].get(action, {}).get("calls", 0)

    def subnet(self, subnet_id):
        return next(s for s in self.ctl("state")["state"]["subnets"] if s["id"] == subnet_id)

    def imds(self, name):
        return Imds(self.ready["imds"][name])
