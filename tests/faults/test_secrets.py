# SPDX-License-Identifier: Apache-2.0
"""Keys, session tokens, signatures and tokens for metadata and STS are on the wire and in memory, and nowhere else.

A whole life at log level debug for each source of credentials: start, growth, sets that run out, answers that are broken or refused.
strace shows what was on the wire, so what is looked for is what was really there; then everything that vpcwired has said or
written is searched for it.
"""
import base64
import json
import re
import subprocess

import pytest

from tests.faults.world import refused, vpc
from tests.harness import proc

# no set of real or simulated credentials looks like this
CANARY = "cAnArY"
CUT = CANARY + "-broken"
KEY = {"access_key": "AKIACANARY0000000001", "secret_key": f"{CANARY}-secret-of-the-environment", "session_token": f"{CANARY}/token+of/the+environment==",
       "role": "pods"}
WEB_TOKEN = f"{CANARY}.web.identity"
CONTAINER_TOKEN = f"{CANARY}-container-token"
ROLE = "arn:aws:iam::123456789012:role/pods"
CLOUD = vpc(type={"name": "pods.wide", "max_enis": 9, "ipv4_per_eni": 2, "nitro": True}, credentials=[KEY], roles=[{"name": "pods"}],
            web_identity_tokens=[{"token": WEB_TOKEN, "role": "pods"}], container_credentials={"token": CONTAINER_TOKEN, "role": "pods"})
SETTINGS = {"log_level": "debug", "warm_ip_target": 0, "minimum_ip_target": 1, "ip_cooldown_s": 0, "add_wait_ms": 500}
# answers of the services that credentials come from: cut off in the middle of a secret, and not what they should be at all
JSON_CUT = f'{{"Code":"Success","AccessKeyId":"AKIA{CANARY}","SecretAccessKey":"{CUT}","Token":"{CUT}'
JSON_ODD = f'{{"Code":"Success","AccessKeyId":"AKIA{CANARY}","SecretAccessKey":"{CUT}\\nodd","Token":["{CANARY}"],"Expiration":"{CANARY}"}}'
XML_CUT = f"<AssumeRoleWithWebIdentityResponse><Credentials><SecretAccessKey>{CUT}</SecretAccessKey><SessionToken>{CANARY}"

WIRE = {
    "key": r'SecretAccessKey\\?"? ?[:>] ?\\?"?([^"\\<]+)',
    "token": r'(?:"Token\\?"? ?: ?\\?"|\bToken\\" : \\"|<SessionToken>)([^"\\<]+)',
    "security token": r"[Xx]-[Aa]mz-[Ss]ecurity-[Tt]oken: ([^\\\"]+)",
    "metadata token": r"[Xx]-aws-ec2-metadata-token: ([^\\\"]+)",
    "signature": r"Signature=([0-9a-f]{64})",
    "web identity": r"WebIdentityToken=([^&\\\"]+)",
    "container": r"Authorization: (cAnArY[^\\\"]+)",
}
SOURCES = {
    "environment": ({"AWS_ACCESS_KEY_ID": KEY["access_key"], "AWS_SECRET_ACCESS_KEY": KEY["secret_key"], "AWS_SESSION_TOKEN": KEY["session_token"]},
                    {"security token", "signature", "metadata token"}, []),
    "role": ({}, {"key", "token", "security token", "signature", "metadata token"},
             [("IMDS", text, {"path": "security-credentials/"}) for text in (JSON_CUT, JSON_ODD)] + [("IMDSToken", f"{CUT}\nodd", {})]),
    "web identity": ({"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/etc/vpcwire/web-token"},
                     {"key", "token", "security token", "signature", "metadata token", "web identity"},
                     [("AssumeRoleWithWebIdentity", XML_CUT, {})]),
    "container": ({"AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v1/credentials"},
                  {"key", "token", "security token", "signature", "metadata token", "container"},
                  [("ContainerCredentials", text, {}) for text in (JSON_CUT, JSON_ODD)]),
}


class Traced:
    """vpcwired of a lab that starts none, whose every word on the wire is written down."""

    def __init__(self, lab, scratch, name, env):
        self.node, self.name = lab.nodes[0], name
        self.wire, self.log = scratch / f"wire-{name}", scratch / f"log-{name}"
        words = ("strace", "-D", "-f", "-qq", "-s", "65536", "-e", "trace=sendto,sendmsg,recvfrom,recvmsg", "-e", "signal=none", "-o", self.wire,
                 proc.BIN / "vpcwired", "--run-dir", self.node.run_dir)
        given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "AWS_REGION": "eu-central-1", "ASAN_OPTIONS": "detect_leaks=0",
                 "VPCWIRE_SYSTEM_CALLS": "kill", **{k: v for k, v in lab.env.items() if k.startswith("AWS_")}, **env}
        with open(self.log, "wb") as out:
            self.proc = subprocess.Popen(self.node.argv("env", "-i", *[f"{k}={v}" for k, v in given.items()], *words), stdin=subprocess.DEVNULL,
                                         stdout=out, stderr=out, env=self.node.env())

    def __enter__(self):
        proc.wait_until(lambda: self.node.serves() or self.proc.poll() is not None, "the daemon to serve", 30)
        assert self.proc.poll() is None, self.log.read_text()
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.node.run("kill", self.node.daemon_pid())
        self.proc.wait(20)

    def wire_text(self):
        return self.wire.read_text(errors="replace")

    def secrets(self):
        """{kind: what went over the wire}"""
        text = self.wire_text()
        return {kind: {m for m in re.findall(pattern, text) if len(m) > 8} for kind, pattern in WIRE.items()}


def answers(node):
    """All that it says when it is asked."""
    ctl = [str(proc.BIN / "vpcwirectl"), "--socket", node.socket]
    for words in (["status"], ["--json", "status"], ["--json", "pods"], ["--json", "enis"], ["policy", "status"], ["--json", "policy", "status"]):
        done = node.run(*ctl, *words, check=False)
        yield "vpcwirectl " + " ".join(words), done.stdout + done.stderr
    for op in ("info", "status"):
        yield f"rpc {op}", json.dumps(node.rpc(op))
    yield "drift", json.dumps(node.rpc("query", what="drift"))
    metrics = node.run("curl", "-sf", "--noproxy", "*", "http://127.0.0.1:61678/metrics").stdout
    assert "vpcwire_" in metrics
    yield "metrics", metrics


def files(node):
    """All that it keeps: store, journal, lock, tombstones, copies of manifests."""
    found = node.run("find", node.run_dir, "/etc/vpcwire", "/etc/cni", "-type", "f", "!", "-name", "web-token").stdout.split()
    assert any(f.endswith("state.db") for f in found)
    for path in found:
        yield path, node.run("sh", "-c", 'base64 < "$1"', "-", path).stdout


def search(said, secrets):
    for where, text in said:
        data = base64.b64decode(text) if where.startswith("/") else text.encode()
        for kind, values in secrets.items():
            for value in values:
                assert value.encode() not in data, f"a {kind} is in {where}: {data[max(0, data.index(value.encode()) - 200):][:400]}"
        assert CANARY.encode() not in data, f"{where}: {data[max(0, data.index(CANARY.encode()) - 200):][:400]}"


@pytest.mark.limit(120)
@pytest.mark.parametrize("source", SOURCES)
def test_no_secret_is_said_or_written(source, make_lab, tmp_path):
    env, kinds, broken = SOURCES[source]
    lab = make_lab("--no-daemon", config=CLOUD, daemon_config=SETTINGS)
    node, said, lives = lab.nodes[0], [], []
    if source == "web identity":
        node.run("sh", "-c", f"printf %s '{WEB_TOKEN}' > /etc/vpcwire/web-token")
    if source == "container":       # where ECS has it; the simulator's is elsewhere
        node.run("nft", f"add table ip task; add chain ip task out {{ type nat hook output priority -100; }}; "
                 f"add rule ip task out ip daddr 169.254.170.2 tcp dport 80 dnat to {lab.env['AWS_ENDPOINT_URL_EC2'].split('/')[2].split(':')[0]}:8082")

    def life(name):
        lives.append(Traced(lab, tmp_path, name, env))
        return lives[-1]

    def grow():
        """Pods until one needed a new ENI, which is several calls, or was refused."""
        before = lab.ec2_calls().get("CreateNetworkInterface", 0)
        for pod in node.pods(4):
            said.append((f"ADD of {pod.name}", refused(pod) or ""))
            if said[-1][1] or lab.ec2_calls().get("CreateNetworkInterface", 0) > before:
                return

    with life("good"):
        grow()
        lab.control("expire-credentials")
        for code in ("ExpiredToken", "AuthFailure", "UnauthorizedOperation"):
            lab.fault("CreateNetworkInterface", code)
            grow()
            said += answers(node)
            lab.clear_faults()
        said += files(node)
    for action, body, how in broken:
        lab.control("fault", action=action, kind="body", message=body, status=200, times=0, **how)
        with life(f"broken-{len(lives)}") as daemon:
            proc.wait_until(lambda: CUT in daemon.wire_text() and node.rpc("query", what="node")["result"].get("trouble"), "the broken answer", 30)
            grow()
            said += answers(node)
            said += files(node)
        lab.clear_faults()
    said += files(node)
    said += [(f"the log of {daemon.name}", daemon.log.read_text()) for daemon in lives]
    assert "level=debug" in said[-1][1]
    secrets = {kind: set().union(*(daemon.secrets()[kind] for daemon in lives)) for kind in WIRE}
    missing = {k for k in kinds if not secrets[k]}
    assert not missing, f"not seen on the wire: {missing}"
    search(said, secrets)
