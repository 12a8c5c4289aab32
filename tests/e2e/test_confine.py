# SPDX-License-Identifier: Apache-2.0
"""What the daemon may do to its machine: what it kept, what it gave up, that the unit and the documents say the same; who may ask it.

That nothing it needs is missing is shown by all other tests: in labs a system call that is not on its list ends the daemon.
"""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.harness import proc
from tests.harness.cni import CniError

UNIT = proc.TOP / "deploy/systemd/vpcwired.service"
# /usr/include/linux/capability.h
BITS = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
CONFIG = "/etc/vpcwire/vpcwired.json"


def facts(node, path):
    """Of the daemon's /proc/PID/@path -> {key: value}"""
    text = node.run("cat", f"/proc/{node.daemon_pid()}/{path}").stdout
    return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.M))


def status(node, *words):
    return node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, *words, "status").stdout


def c_list(name):
    """The strings of a list in confine_calls.c."""
    body = re.search(rf"\b{name}\[\] = {{(.*?)}};", (proc.TOP / "daemon/confine_calls.c").read_text(), re.S)[1]
    return set(re.findall(r'"(\w+)"', body))


def second(node, *words, env=()):
    """Another daemon beside the lab's, in the foreground, up to its end."""
    return node.run("env", *env, *words, proc.BIN / "vpcwired", "--config", "/etc/vpcwire/second.json", "--run-dir", "/run/second", check=False)


def test_every_thread_has_what_the_daemon_kept_and_no_more(node):
    pod = node.pod()
    pod.add()           # jobs have run: there are threads of the pool
    pid = node.daemon_pid()
    tasks = node.run("ls", f"/proc/{pid}/task").stdout.split()
    assert len(tasks) > 1
    mask = sum(1 << bit for bit in BITS.values())
    for task in tasks:
        of = facts(node, f"task/{task}/status")
        assert int(of["CapEff"], 16) == int(of["CapPrm"], 16) == int(of["CapBnd"], 16) == mask, of
        assert int(of["CapInh"], 16) == int(of["CapAmb"], 16) == 0, of
        assert of["NoNewPrivs"] == "1" and of["Seccomp"] == "2" and of["Seccomp_filters"] == "3", of
    limits = node.run("cat", f"/proc/{pid}/limits").stdout
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    pod.delete()
    pod.remove()


def test_status_says_so(node):
    said = json.loads(status(node, "--json"))["confinement"]
    assert {c["name"] for c in said["capabilities"]} == set(BITS) and all(c["why"] for c in said["capabilities"])
    assert {k: v for k, v in said.items() if k != "capabilities"} == \
        {"capabilities_to_gain": 0, "no_new_privileges": True, "dumpable": False, "system_calls": "killed"}
    assert "vpcwired has CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF; system calls that are not on its list: killed\n" in status(node)


def test_the_unit_and_the_documents_have_the_same_list(node):
    documented = (proc.TOP / "docs/OPERATIONS.md").read_text()
    unit = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)[1]
    assert set(unit.split()) == set(BITS)
    for capability in json.loads(status(node, "--json"))["confinement"]["capabilities"]:
        assert f"| `{capability['name']}` | {capability['why']} |" in documented


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_lets_through_what_the_daemon_lists_and_keeps_out_the_rest():
    groups, allowed = {}, set()
    for line in subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True, capture_output=True, text=True,
                               timeout=30).stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            group = groups.setdefault(word, set())
        elif word and not word.startswith("#"):
            group.add(word)

    def calls(name):
        return {name}.union(*map(calls, groups.get(name, ())))

    for sign, words in re.findall(r"^SystemCallFilter=(~?)(.*)$", UNIT.read_text(), re.M):
        named = set().union(*map(calls, words.split()))
        allowed = allowed - named if sign else allowed | named
    missing = (c_list("serving") | c_list("only_start")) - allowed
    assert not missing, f"the unit would refuse what the daemon lists: {missing}"
    for name in ("ptrace", "mount", "init_module", "setns", "unshare", "reboot", "swapon", "process_vm_writev", "perf_event_open", "keyctl"):
        assert name not in allowed


def test_the_unit_is_started_again_however_often_it_ends():
    """systemd's default is to give up for good after five ends in ten seconds, which with RestartSec=1 any start that fails reaches."""
    unit = UNIT.read_text()
    assert "\nRestart=always\n" in unit and "\nStartLimitIntervalSec=0\n" in unit[unit.index("[Unit]"):unit.index("[Service]")]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_documented_exposure_of_the_unit_is_what_systemd_says():
    said = subprocess.run(["systemd-analyze", "--no-pager", "security", "--offline=true", UNIT], capture_output=True, text=True, timeout=30).stdout
    figure = re.search(r"Overall exposure level for vpcwired.service: (\S+ \w+)", said)[1]
    assert f"`systemd-analyze security --offline=true` says {figure}" in (proc.TOP / "docs/OPERATIONS.md").read_text()


def test_a_missing_capability_is_one_clear_sentence(node):
    node.run("sh", "-c", "echo '{}' > /etc/vpcwire/second.json")
    done = second(node, "setpriv", "--bounding-set=-perfmon")
    assert done.returncode == 1
    assert done.stderr.startswith("vpcwired: CAP_PERFMON is missing (") and "start vpcwired as root with" in done.stderr, done.stderr
    assert node.run("ls", "/run/second", check=False).returncode != 0, "it had begun already"


def test_a_mode_that_is_none_is_refused_and_one_cannot_be_changed_while_it_runs(lab, node):
    node.run("sh", "-c", "echo '{\"system_calls\": \"some\"}' > /etc/vpcwire/second.json")
    done = second(node, env=("-u", "VPCWIRE_SYSTEM_CALLS"))
    assert done.returncode == 1 and "second.json: system_calls is 'some', wanted one of: refuse, kill, log, off" in done.stderr


@pytest.mark.parametrize("mode, text", [("refuse", "refused"), ("log", "logged"), ("off", "allowed")])
def test_other_modes_serve_too(make_lab, monkeypatch, mode, text):
    monkeypatch.setenv("VPCWIRE_SYSTEM_CALLS", mode)
    node = make_lab().nodes[0]
    pod = node.pod()
    pod.add()
    assert json.loads(status(node, "--json"))["confinement"]["system_calls"] == text
    assert facts(node, "status")["Seccomp"] == ("0" if mode == "off" else "2")
    pod.delete()


def test_a_changed_mode_waits_for_a_restart(make_lab, monkeypatch, wait_until):
    monkeypatch.setenv("VPCWIRE_SYSTEM_CALLS", "")
    node = make_lab().nodes[0]
    node.run("sh", "-c", f"echo '{{\"system_calls\": \"off\"}}' > {CONFIG}.new; mv {CONFIG}.new {CONFIG}")
    refused = wait_until(lambda: node.info()["config"].get("refused"), "the configuration to be refused")
    assert "system_calls changes only with a restart" in refused and facts(node, "status")["Seccomp"] == "2"


# --- who may ask, and who may answer

STRANGER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
try:
    s.connect(sys.argv[1])
except PermissionError:
    sys.exit("no permission")
try:
    s.send(b'{"op":"info","vmin":1,"vmax":1}')
    said = s.recv(65536)
except OSError:
    said = b""
print(len(said))
"""
ANSWER = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen()
print("there", flush=True)
c, _ = s.accept()
print(len(c.recv(65536)), flush=True)
"""


def test_only_root_gets_an_answer(node, wait_until):
    """The socket's mode keeps others out; and where somebody has changed that, the daemon does."""
    assert node.run("stat", "-c", "%a %u", node.socket).stdout.split() == ["600", "0"]
    shut = node.run(*STRANGER, "/usr/bin/python3", "-c", ASK, node.socket, check=False)
    assert shut.returncode == 1 and "no permission" in shut.stderr
    node.run("chmod", "666", node.socket)
    try:
        node.run("chmod", "o+x", node.run_dir, str(pathlib.Path(node.run_dir).parent))
        assert node.run(*STRANGER, "/usr/bin/python3", "-c", ASK, node.socket).stdout == "0\n"
        wait_until(lambda: "a peer that is not root was turned away" in node.daemon_log(), "the log to tell of it")
        assert node.run("/usr/bin/python3", "-c", ASK, node.socket).stdout != "0\n"
    finally:
        node.run("chmod", "600", node.socket)


def test_the_plugin_believes_only_root(node):
    """A stranger who listens where the plugin asks hears nothing of the pod, and the pod gets nothing from it."""
    path = "/tmp/stranger.sock"
    node.run("rm", "-f", path)
    stranger = subprocess.Popen(node.argv(*STRANGER, "/usr/bin/python3", "-c", ANSWER, path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                text=True, env=node.env())
    pod = node.pod()
    try:
        assert stranger.stdout.readline() == "there\n"
        with pytest.raises(CniError) as error:
            pod.add(conf={"socket": path})
        assert error.value.code == 102 and f"'{path}' belongs to a process that is not root" in error.value.msg
        assert stranger.stdout.readline() == "0\n"
    finally:
        stranger.kill()
        stranger.wait(10)
        stranger.stdout.close()
        node.run("rm", "-f", path)
        pod.remove()
