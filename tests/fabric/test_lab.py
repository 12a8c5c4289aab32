# SPDX-License-Identifier: Apache-2.0
"""The lab as a program: what the command sees, exit status, exec, control of daemons, and that nothing stays behind."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from tests.harness import proc

REGISTRY = pathlib.Path(os.environ["VPCWIRE_LAB_DIR"])      # conftest.py
READY = ["sh", "-c", 'echo "$VPCWIRE_LAB"; exec cat']      # says that the command runs, then waits for its stdin to close


def sim(*argv, **kwargs):
    return proc.run([proc.SIM, *argv], **kwargs)


class Running:
    """A lab whose command runs until its stdin closes, as a process that a test may treat badly."""

    def __init__(self, *options, argv=READY):
        self.proc = subprocess.Popen([proc.SIM, "lab", *options, "--", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, start_new_session=True)
        self.id = self.proc.stdout.readline().decode().strip()
        assert self.id, self.proc.stderr.read().decode()
        self.entry = json.loads((REGISTRY / f"{self.id}.json").read_text())
        self.people = [proc.identity(pid) for pid in proc.descendants(self.proc.pid)]
        ours = {os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "mnt", "pid")}
        self.namespaces = {os.stat(f"/proc/{pid}/ns/{kind}").st_ino for pid, _ in self.people for kind in ("net", "mnt", "pid")} - ours

    def init(self):
        return proc.identity(self.entry["init_pid"])

    def end(self):
        """Wait for the lab to end by itself: its command's stdin stays open."""
        self.proc.wait(20)
        return self.proc.returncode, self.proc.stderr.read().decode()

    def gone(self):
        return not any(proc.alive(who) for who in self.people)

    def cgroups(self):
        return [str(p) for pattern in ("", "*/") for p in pathlib.Path("/sys/fs/cgroup").glob(f"{pattern}vpcwire-lab-{self.id}")]

    def files(self):
        return sorted(p.name for p in REGISTRY.glob(f"{self.id}.*")) if REGISTRY.exists() else []


def ended(pid):
    """A zombie: ended, and not collected yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def machine():
    """What a lab must not touch: our own mounts, links, rules and routes, and the folders it covers for its nodes."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    commands = (["ip", "-o", "link"], ["ip", "route", "show", "table", "all"], ["ip", "rule"], ["nft", "list", "ruleset"])
    net = [subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands]
    listings = [sorted(os.listdir(d)) if os.path.isdir(d) else None
                for d in ("/etc", "/etc/cni", "/opt", "/opt/cni", "/etc/vpcwire", "/sys/fs/bpf", "/run/netns", "/run/lab")]
    return mounts, net, listings


@pytest.fixture
def running():
    labs = []

    def start(*options, **kwargs):
        labs.append(Running(*options, **kwargs))
        return labs[-1]

    yield start
    for lab in labs:
        if lab.proc.poll() is None:
            lab.proc.kill()
            lab.proc.wait()
        for stream in (lab.proc.stdin, lab.proc.stdout, lab.proc.stderr):
            stream.close()
        sim("lab", "--cleanup")


def test_the_commands_exit_status_is_the_labs():
    assert sim("lab", "--no-daemon", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert sim("lab", "--no-daemon", "--", "sh", "-c", "kill -TERM $$", check=False).returncode == 128 + signal.SIGTERM
    assert sim("lab", "--no-daemon", "--", "/nonexistent", check=False).returncode == 127


@pytest.mark.parametrize("options, cause", [
    (["--nodes", "0"], "--nodes wants a number"),
    (["--instance-type", "x9.huge"], "x9.huge"),
    (["--config", "/nonexistent.json"], "/nonexistent.json"),
    (["--daemon-config", "/nonexistent.json"], "/nonexistent.json"),
])
def test_a_lab_that_cannot_start_says_why_once(options, cause):
    done = sim("lab", "--no-daemon", *options, "--", "true", check=False)
    assert done.returncode == 1
    assert done.stderr.count(cause) == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_daemon_that_cannot_start_ends_the_lab_with_its_last_words(tmp_path):
    config = tmp_path / "daemon.json"
    config.write_text('{"no_such_setting": 1}')
    done = sim("lab", "--daemon-config", str(config), "--", "true", check=False)
    assert done.returncode == 1
    assert "no_such_setting" in done.stderr


def test_configurations_may_lie_below_run():
    """Where the lab's own /run covers them."""
    with tempfile.TemporaryDirectory(dir="/run", prefix="vpcwire-test-") as folder:
        vpc, daemon = pathlib.Path(folder) / "vpc.json", pathlib.Path(folder) / "daemon.json"
        vpc.write_text('{"region": "mars-north-1"}')
        daemon.write_text('{"log_level": "debug"}')
        done = sim("lab", "--no-daemon", "--config", str(vpc), "--daemon-config", str(daemon), "--", "sh", "-ec",
                   "echo $AWS_REGION; cat /etc/vpcwire/vpcwired.json; test ! -e " + folder)
    assert done.stdout == 'mars-north-1\n{"log_level": "debug"}'


def test_the_commands_view():
    script = ('printf "%s\\n" "$VPCWIRE_NODES"; ls -d /run/netns /run/vpcwire/. $NETCONFPATH/10-vpcwire.conflist >&2; '
              'ls /sys/class/net | tr "\\n" " " >&2; hostname >&2; test -x ${CNI_PATH%%:*}/vpcwire; '
              'stat -f -c %T /sys/fs/bpf >&2; cat $NETCONFPATH/10-vpcwire.conflist')
    done = sim("lab", "--no-daemon", "--nodes", "2", "--", "sh", "-ec", script)
    nodes, conflist = done.stdout.split("\n", 1)
    nodes = json.loads(nodes)
    assert [n["name"] for n in nodes] == ["node-1", "node-2"]
    assert all({"name", "netns", "pid", "run_dir"} <= n.keys() for n in nodes)
    assert json.loads(conflist)["plugins"][0] == {"type": "vpcwire", "socket": nodes[0]["run_dir"] + "/vpcwired.sock"}
    assert done.stderr.split() == [*done.stderr.split()[:3], "eth0", "lo", "node-1", "bpf_fs"]


def test_the_machines_own_networks_are_not_the_nodes(tmp_path):
    """podman's package, for one, comes with a conflist in /etc/cni/net.d; here in an /etc of the test's own."""
    script = ('cp -a /etc "$1/etc"; mkdir -p "$1/etc/cni/net.d"; echo "{}" > "$1/etc/cni/net.d/05-other.conflist"; '
              'mount --bind "$1/etc" /etc; shift; exec "$@"')
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script, "-", str(tmp_path), proc.SIM, "lab", "--no-daemon", "--", "sh", "-c",
                           "ls $NETCONFPATH"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "10-vpcwire.conflist\n", done


def test_nodes_are_apart(vpc):
    one, two = vpc.nodes
    one.run("sh", "-ec", "ip netns add only-here; touch /etc/only-here /opt/only-here /run/only-here; mkdir /sys/fs/bpf/only-here")
    for path in ("/run/netns/only-here", "/etc/only-here", "/opt/only-here", "/run/only-here", "/sys/fs/bpf/only-here"):
        assert one.run("test", "-e", path, check=False).returncode == 0
        assert two.run("test", "-e", path, check=False).returncode == 1
        assert not os.path.exists(path)
    # A node's network is also reached by its pid and namespace, as VPCWIRE_NODES says.
    seen = one.run("nsenter", f"--net={two.facts['netns']}", "ip", "-br", "addr", "show", "dev", "eth0").stdout
    assert two.facts["address"] in seen


def test_cgroups_made_in_a_node_are_its_own_and_go_with_the_lab(running):
    """What a container runtime that was killed leaves."""
    lab = running("--no-daemon", "--nodes", "2")
    made = sim("exec", "--lab", lab.id, "node-1", "--", "sh", "-c",
               "cd /sys/fs/cgroup && for d in . */; do test -e $d/cgroup.procs && mkdir -p $d/default/x && echo $d; done; true").stdout
    if not made:
        pytest.skip("no cgroup hierarchy can be written here")
    assert lab.cgroups()
    seen = sim("exec", "--lab", lab.id, "node-2", "--", "sh", "-c", "find /sys/fs/cgroup -name x -type d").stdout
    assert not seen
    lab.proc.stdin.close()
    lab.proc.wait(20)
    assert lab.proc.returncode == 0 and not lab.cgroups()


def test_exec(vpc):
    node = vpc.nodes[0]
    assert node.run("hostname").stdout == "node-1\n"
    assert node.run("sh", "-c", "exit 9", check=False).returncode == 9
    assert node.run("sh", "-c", "kill -9 $$", check=False).returncode == 128 + 9
    assert node.run("cat", input="through\n").stdout == "through\n"
    assert node.run("/nonexistent", check=False).returncode == 127
    inside = node.run(proc.SIM, "exec", "node-2", "--", proc.SIM, "exec", "internet", "ip", "-br", "addr")
    assert "203.0.113.10" in inside.stdout
    unknown = sim("exec", "--lab", vpc.env["VPCWIRE_LAB"], "node-9", "--", "true", check=False)
    assert unknown.returncode == 127 and "node-9" in unknown.stderr
    no_lab = sim("exec", "--lab", "0", "node-1", "--", "true", check=False)
    assert no_lab.returncode != 0 and f"{REGISTRY}/0.exec" in no_lab.stderr


def test_nothing_stays_after_the_command(running):
    before = machine()
    lab = running("--nodes", "2")
    assert machine() == before
    assert len(lab.namespaces) >= 3 + 2 * 2
    lab.proc.stdin.close()
    lab.proc.wait(20)
    assert lab.proc.returncode == 0
    assert lab.gone() and not lab.files() and not lab.cgroups()
    # Its namespaces went with its processes: nothing in machine() refers to them, and their numbers are used again.
    assert machine() == before


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_the_lab_down(running, signo):
    lab = running("--nodes", "2")
    lab.proc.send_signal(signo)
    status, _ = lab.end()
    assert status == 128 + signo
    assert lab.gone() and not lab.files()


def test_a_signal_ends_a_command_that_ignores_it(running):
    lab = running("--no-daemon", argv=["sh", "-c", 'trap "" INT TERM HUP; echo "$VPCWIRE_LAB"; while :; do read x; done'])
    lab.proc.send_signal(signal.SIGTERM)
    status, _ = lab.end()
    assert status == 128 + signal.SIGTERM
    assert lab.gone() and not lab.files()


def test_kill_9_of_the_lab_leaves_only_what_cleanup_removes(running, wait_until):
    before = machine()
    lab = running("--nodes", "2")
    lab.proc.kill()
    lab.proc.wait()
    wait_until(lab.gone, "every process of the lab to be gone")
    assert lab.files() == [f"{lab.id}.{kind}" for kind in ("control", "exec", "json")]
    sim("lab", "--cleanup")
    assert not lab.files() and not lab.cgroups()
    assert machine() == before


def test_cleanup_leaves_a_living_lab_alone(running):
    lab = running("--no-daemon")
    sim("lab", "--cleanup")
    assert not lab.gone() and len(lab.files()) == 3
    assert sim("exec", "--lab", lab.id, "node-1", "--", "hostname").stdout == "node-1\n"


def test_cleanup_does_not_believe_a_pid_alone(running):
    """An entry whose pid belongs to another process now: the file goes, the process stays."""
    lab = running("--no-daemon")
    bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        entry = {**lab.entry, "id": "00000bad", "outer_pid": 2 ** 22 + 1, "init_pid": bystander.pid}
        (REGISTRY / "00000bad.json").write_text(json.dumps(entry))
        sim("lab", "--cleanup")
        assert not (REGISTRY / "00000bad.json").exists()
        assert bystander.poll() is None
    finally:
        bystander.stdin.close()
        bystander.wait()


def test_the_lab_fails_when_its_init_dies(running):
    lab = running("--no-daemon")
    os.kill(lab.init()[0], signal.SIGKILL)
    status, err = lab.end()
    assert status == 1
    assert "init ended" in err
    assert lab.gone() and not lab.files()


def test_the_lab_fails_when_a_node_dies(running):
    lab = running("--no-daemon", "--nodes", "2")
    holders = [pid for pid, _ in lab.people if "lab-node" in pathlib.Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(holders[1], signal.SIGKILL)
    status, err = lab.end()
    assert status == 1
    assert "node-2" in err
    assert lab.gone() and not lab.files()


def test_a_kept_lab_lives_until_cleanup(wait_until):
    done = sim("lab", "--no-daemon", "--keep", "--", "sh", "-c", "echo $VPCWIRE_LAB; exit 3", check=False)
    assert done.returncode == 3
    lab_id = done.stdout.strip()
    entry = json.loads((REGISTRY / f"{lab_id}.json").read_text())
    who = proc.identity(entry["init_pid"])
    try:
        assert proc.alive(who)
        assert sim("exec", "--lab", lab_id, "node-1", "--", "curl", "-sf", "http://203.0.113.10/").stdout.startswith("{")
    finally:
        sim("lab", "--cleanup")
    # The machine's init inherited it and collects it in its own time; cleanup has waited for the end itself.
    wait_until(lambda: not proc.alive(who) or ended(who[0]), "the lab's init to be gone")
    assert not REGISTRY.exists() or not list(REGISTRY.glob(f"{lab_id}.*"))


def test_daemons_can_be_stopped_killed_and_started(make_lab):
    lab = make_lab()
    node = lab.nodes[0]

    def daemon(action):
        return node.run(proc.SIM, "daemon", node.name, action).stdout.split()

    first = daemon("status")
    assert first[0] == "running" and int(first[1]) == node.daemon_pid()
    assert daemon("kill") == ["stopped", "0"]
    assert "error" not in lab.control("daemon", node="node-1")
    second = daemon("start")
    assert second[0] == "running" and second[1] != first[1]
    third = daemon("restart")
    assert third[0] == "running" and third[1] != second[1]
    assert node.info()
    assert daemon("stop") == ["stopped", "0"]
    assert lab.proc.poll() is None
