# SPDX-License-Identifier: Apache-2.0
"""A configuration that cannot be is refused, at a start and at a change, with file and key; the one that runs goes on."""
import contextlib
import json
import subprocess

import pytest

from tests.faults.mortal import Mortal
from tests.faults.world import CONFIG, configure, logged, vpc, write_config
from tests.harness import proc
from tests.harness.symptoms import operator_sees

SETTINGS = {"warm_ip_target": 2, "ip_cooldown_s": 0, "add_wait_ms": 1500, "disable_leaked_eni_cleanup": True}
LAB = {"config": vpc(), "daemon_config": SETTINGS}

# what is written -> what is said beside the file's path
BAD = {
    "no JSON": ('{"warm_ip_target": 1', "is not valid JSON: line 1, column"),
    "an array": ("[]", "wanted one JSON object"),
    "a key twice": ('{"max_pods": 1, "max_pods": 2}', "max_pods"),
    "an unknown key": ({"warm_ip_targett": 1}, "unknown key 'warm_ip_targett'; did you mean 'warm_ip_target'?"),
    "an unknown variable as key": ({"WARM_PREFIX": 1}, "unknown key 'WARM_PREFIX'; did you mean"),
    "too large": ({"warm_ip_target": 5000}, "warm_ip_target is '5000', wanted a whole number from 0 to 4096"),
    "far too large": ({"max_pods": 10 ** 18}, f"max_pods is '{10 ** 18}', wanted a whole number from 0 to 4096"),
    "negative": ({"minimum_ip_target": -1}, "minimum_ip_target is '-1', wanted a whole number from 0 to 4096"),
    "a fraction": ({"max_eni": 1.5}, "max_eni is '1.5', wanted a whole number from 0 to 64"),
    "a word for a number": ({"ip_cooldown_s": "soon"}, "ip_cooldown_s is 'soon', wanted a whole number from 0 to 86400"),
    "an object for a number": ({"add_wait_ms": {"s": 1}}, "add_wait_ms is '{\"s\":1}', wanted a whole number"),
    "a number for a text": ({"cluster_name": 7}, "cluster_name is 7, wanted a string"),
    "a word for a switch": ({"prefix_delegation": "maybe"}, "prefix_delegation is 'maybe', wanted true or false"),
    "a text for a list": ({"security_groups": "web"}, "security_groups has 'web', wanted at most 16 ids like sg-"),
    "more warm than pods": ({"warm_ip_target": 20, "max_pods": 10}, "warm_ip_target is 20, more than max_pods (10) can use"),
    "a minimum beyond pods": ({"minimum_ip_target": 30, "max_pods": 29}, "minimum_ip_target is 30, more than max_pods (29) can use"),
    "more ENIs warm than allowed": ({"warm_eni_target": 3, "max_eni": 2}, "warm_eni_target is 3, more than max_eni (2) allows"),
    "prefixes beyond pods": ({"prefix_delegation": True, "warm_prefix_target": 9, "max_pods": 110},
                             "warm_prefix_target is 9, more than max_pods (110) can use"),
    "no family": ({"enable_ipv4": False}, "enable_ipv4 and enable_ipv6 are both false"),
    "no subnet's name": ({"subnet_id": "mine"}, "subnet_id is 'mine', wanted an id like subnet-0123abcd"),
}


def said(text, words):
    return text.startswith(CONFIG) and words in text


def text_of(config):
    return config if isinstance(config, str) else json.dumps({**SETTINGS, **config})


def refuses(node, words, change):
    """@change() must be refused with @words; what was in force still is."""
    loads = node.info()["config"]["loads"]
    change()
    found = proc.wait_until(lambda: said(node.info()["config"].get("refused", ""), words),
                            lambda: f"'{words}' to be said: {node.info()['config']}")
    assert found and node.info()["config"]["loads"] == loads
    assert logged(node, "the configuration is not valid, the running one stays in force"), node.daemon_log()
    operator_sees(node, "not valid, the running one stays in force")


@pytest.fixture
def good(node):
    """Afterwards a good configuration is taken in, and nothing more is said of the bad one."""
    yield node
    configure(node, **SETTINGS)
    assert "refused" not in node.info()["config"]


@pytest.mark.limit(120)
def test_a_bad_change_is_refused(good):
    for config, words in BAD.values():
        refuses(good, words, lambda: write_config(good, text_of(config)))


def test_what_only_a_restart_can_change(good):
    refuses(good, "enable_ipv6 changes only with a restart", lambda: write_config(good, text_of({"enable_ipv6": True})))
    refuses(good, "enable_ipv4 changes only with a restart",
            lambda: write_config(good, text_of({"enable_ipv4": False, "enable_ipv6": True})))


def test_a_subnet_that_does_not_exist(good):
    refuses(good, "subnet_id is 'subnet-0123', which does not exist in the VPC and zone of this node",
            lambda: write_config(good, text_of({"subnet_id": "subnet-0123"})))


def test_the_running_targets_stay(make_lab, wait_until):
    """Not half of it either: the good half of a bad file is as if it was not there."""
    node = make_lab(**LAB).nodes[0]
    wait_until(lambda: node.info()["pool"]["available"] == 2, "the warm pool")
    refuses(node, "max_pods is 'many'", lambda: write_config(node, text_of({"warm_ip_target": 4, "max_pods": "many"})))
    pod = node.pod()
    pod.add()
    wait_until(lambda: node.info()["pool"]["available"] == 2 and not node.info()["pool"]["actions_under_way"], "two, and no more")


def test_sighup_reads_again(good):
    """A file that was moved away is no reason for defaults."""
    good.run("mv", CONFIG, f"{CONFIG}.away")
    try:
        refuses(good, "vpcwired.json is gone; {} in it means all defaults", lambda: good.run("kill", "-HUP", str(good.daemon_pid())))
    finally:
        good.run("mv", f"{CONFIG}.away", CONFIG)


def test_a_sighup_before_anybody_listens_for_it_is_kept(make_lab, tmp_path):
    """The daemon reads its settings, from a pipe, while it comes; another file has taken the pipe's place then, which nobody has told it of but
    the signal."""
    script = f"mv {CONFIG} {CONFIG}.next; mkfifo {CONFIG}; echo made; exec 3>{CONFIG}; mv {CONFIG}.next {CONFIG}; echo reads; read go; echo '{{}}' >&3"
    with contextlib.closing(Mortal(make_lab("--no-daemon", config=vpc()), tmp_path)) as mortal:
        mortal.configure(max_pods=7)
        with proc.beside(mortal.node.argv("sh", "-ec", script), env=mortal.node.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"made\n"
            mortal.start()
            assert writer.stdout.readline() == b"reads\n"      # it has opened it, and waits for what is in it
            mortal.ask("wake")
            writer.communicate(b"go\n", 20)

        def read_again():
            assert mortal.dead() is None, f"{mortal.dead()} {mortal.log.read_text()}"
            return (mortal.rpc("info") or {}).get("config", {}).get("loads") == 2

        proc.wait_until(read_again, lambda: f"the second file: {mortal.rpc('info')} {mortal.log.read_text()}", 100)


def test_where_the_cloud_is_changes_with_a_restart(make_lab, tmp_path):
    """Of a daemon whose region is in no variable: its clients of EC2 and STS are made once."""
    with contextlib.closing(Mortal(make_lab("--no-daemon", config=vpc()), tmp_path)) as mortal:
        mortal.configure(max_pods=7)
        env = {k: v for k, v in mortal.lab.env.items() if k.startswith("AWS_") and "REGION" not in k}
        mortal.ask("start", argv=[str(proc.BIN / "vpcwired"), "--config", CONFIG, "--run-dir", mortal.node.run_dir], env=env, log=str(mortal.log))

        def config():
            return (mortal.rpc("info") or {}).get("config", {})

        proc.wait_until(lambda: config().get("loads") == 1, lambda: f"the daemon: {mortal.log.read_text()}", 90)
        mortal.configure(region="eu-north-1")
        proc.wait_until(lambda: said(config().get("refused", ""), "region changes only with a restart"), lambda: f"a refusal: {config()}", 60)


def starts(node, env=(), text="{}"):
    """A vpcwired beside the one that runs, in folders of its own -> how it ended"""
    node.run("sh", "-ec", "cat > /etc/vpcwire/second.json", input=text)
    return node.run("env", *env, proc.BIN / "vpcwired", "--config", "/etc/vpcwire/second.json", "--run-dir", "/run/second",
                    "--bpf-dir", "/sys/fs/bpf/second", check=False)


@pytest.mark.parametrize("name", BAD)
def test_a_start_is_refused(lab, name):
    node = lab.nodes[0]
    config, words = BAD[name]
    done = starts(node, text=text_of(config))
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "/etc/vpcwire/second.json" in line and words in line.replace('\\"', '"'), line
    assert node.run("ls", "/run/second", "/sys/fs/bpf/second", check=False).stdout == ""      # nothing was begun
    checked = node.run(proc.BIN / "vpcwired", "--config", "/etc/vpcwire/second.json", "--check", check=False)
    assert checked.returncode == 1 and words in checked.stderr and checked.stdout == ""


@pytest.mark.parametrize("variable,words", [
    ("WARM_IP_TARGET=ten", "WARM_IP_TARGET: warm_ip_target is 'ten', wanted a whole number from 0 to 4096"),
    ("MAX_ENI=-2", "MAX_ENI: max_eni is '-2', wanted a whole number from 0 to 64"),
    ("ENABLE_PREFIX_DELEGATION=yes please", "ENABLE_PREFIX_DELEGATION: prefix_delegation is 'yes please', wanted true or false"),
    ("ADDITIONAL_ENI_TAGS={", "ADDITIONAL_ENI_TAGS"),
    ("AWS_VPC_K8S_CNI_LOGLEVEL=loud", "AWS_VPC_K8S_CNI_LOGLEVEL: log_level is 'loud', wanted one of: error, warn, info, debug"),
    ("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS=10.0.0.1/8", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: exclude_snat_cidrs has '10.0.0.1/8'"),
    ("AWS_ENDPOINT_URL_EC2=here", "endpoint_ec2 is 'here', wanted http://"),
    ("VPCWIRE_SUBNET_ID=\x01", "subnet_id is"),
], ids=lambda v: v.split("=")[0] if "=" in v else "")
def test_garbage_in_the_environment(lab, variable, words):
    done = starts(lab.nodes[0], env=[variable])
    assert done.returncode == 1
    assert words in done.stderr, done.stderr
