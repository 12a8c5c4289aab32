# SPDX-License-Identifier: Apache-2.0
"""bash completes vpcwirectl: every command of --help, options, and the node's pods."""
import re
import subprocess

from tests.harness import proc

LAB = {}
SCRIPT = proc.TOP / "deploy/bash-completion/vpcwirectl"
CTL = proc.BIN / "vpcwirectl"
ASK = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vpcwirectl; printf "%s\\n" "${COMPREPLY[@]}"'


def offered(*words, run=None):
    argv = ["bash", "-c", ASK, "-", SCRIPT, CTL, *words]
    out = run(*argv).stdout if run else subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout
    return set(out.split())


def test_every_command_of_the_help_is_completed_and_no_other():
    said = subprocess.run([CTL, "--help"], capture_output=True, text=True, check=True, timeout=10).stdout
    # "  explain pod POD|IP": the words in small letters before arguments
    commands = [re.match(r"  ((?:[a-z]+ ?)+)", line).group(1).split() for line in said.splitlines() if re.match(r"  [a-z]", line)]
    assert len(commands) >= 8
    for command in commands:
        for i, word in enumerate(command):
            assert word in offered(*command[:i], ""), command
    first = {w for w in offered("") if not w.startswith("-")}
    assert first == {c[0] for c in commands}
    for word in first:
        assert {w for w in offered(word, "") if not w.startswith("-")} <= {c[1] for c in commands if c[0] == word and len(c) > 1}


def test_options_of_commands():
    assert offered("policy", "explain", "--") == {"--from", "--to", "--port", "--name"}
    assert offered("drain", "") == {"--off", "--wait"} and offered("dump", "") == {"--output"}
    assert offered("--json", "pol") == {"policy"} and offered("--socket", "/x", "po") == {"pods", "pool", "policy"}


def test_pods_of_the_node(node):
    pods = node.pods(2)
    for pod in pods:
        pod.add()
    names = {f"default/{p.name}" for p in pods}
    assert offered("--socket", node.socket, "explain", "pod", "", run=node.run) == names
    assert offered("--socket", node.socket, "policy", "explain", "--from", "", run=node.run) == names | {"node"}
    assert offered("--socket", node.socket, "explain", "pod", f"default/{pods[0].name[:-1]}x", run=node.run) == set()
