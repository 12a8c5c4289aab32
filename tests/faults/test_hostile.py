# SPDX-License-Identifier: Apache-2.0
"""A node that is against the daemon: no room on the disk, files that are not its own, pins of somebody else, wrong clocks, a daemon that stands still."""
import time

import pytest

from tests.faults.faulty import ALL, Faulty
from tests.faults.test_faulty import SETTINGS, TYPE, audit_of_rest, serves, up, without_books
from tests.faults.world import vpc
from tests.harness import proc
from tests.harness.cni import CniError

POOL = 3


@pytest.fixture
def hostile(make_lab, tmp_path):
    made = Faulty(make_lab("--no-daemon", config=vpc(type=TYPE)), tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(hostile, wait_until):
    """The daemon serves one pod -> (the node, the pod, its result, what the node looks like)"""
    up(hostile, wait_until)
    pod = hostile.node.pod()
    result = hostile.cni(pod, "ADD")
    return hostile, pod, result, audit_of_rest(hostile, pods=1)


def address_of(result):
    return result["ips"][0]["address"].split("/")[0]


def is_whole(node, pod, result, before, what):
    """The pod has what it had, kernel and books are as before, EC2 and the store agree with them; another pod comes and goes."""
    held = {pod.container_id: address_of(result)}
    proc.wait_until(lambda: node.at_rest(POOL, held), lambda: f"rest after {what}: {node.rpc('info')} {node.log.read_text()[-3000:]}", 40, 0.05)
    node.cni(pod, "CHECK", result)
    node.settles(before, what)
    other = node.node.pod()
    got = node.cni(other, "ADD")
    assert address_of(got) != address_of(result)
    node.cni(other, "DEL", got)
    other.remove()
    node.settles(before, f"{what}, and another pod")


def refused(node, pod, command="ADD", prev=None):
    with pytest.raises(CniError) as error:
        node.cni(pod, command, prev)
    return error.value


# --- the folder of the state

def mount(node, *options):
    """A small tmpfs of its own where the state is, before there is any."""
    node.run("sh", "-ec", f"mkdir -p {node.node.run_dir}; mount -t tmpfs -o size=512k,{','.join(options) or 'mode=755'} tmpfs {node.node.run_dir}")


@pytest.mark.limit(120)
def test_a_full_disk(hostile, wait_until):
    """What cannot be written is not done: one clear error, nothing half there; with room again it works at once."""
    mount(hostile)
    up(hostile, wait_until)
    pod, late = hostile.node.pods(2)
    result = hostile.cni(pod, "ADD")
    before = audit_of_rest(hostile, pods=1)
    fill = f"{hostile.node.run_dir}/fill"
    hostile.run("sh", "-c", f"cat /dev/zero > {fill}", check=False)
    errors = []

    def until_full():
        """What SQLite has already is written over; sooner or later it needs a new page."""
        try:
            hostile.cni(late, "DEL", hostile.cni(late, "ADD"))
        except CniError as exc:
            errors.append(exc)
        return errors

    wait_until(until_full, "a write that finds no room", 40, 0.001)
    assert "state store" in errors[0].msg and "full" in errors[0].msg, errors[0]
    hostile.run("rm", fill)
    hostile.cni(late, "DEL")
    is_whole(hostile, pod, result, before, "a full disk")


@pytest.mark.limit(120)
def test_no_room_for_a_start(hostile, wait_until):
    mount(hostile)
    hostile.configure(**SETTINGS)
    hostile.run("sh", "-c", f"cat /dev/zero > {hostile.node.run_dir}/fill", check=False)
    hostile.start()
    assert wait_until(hostile.dead, "the daemon to give up", 30) == 1
    last = hostile.log.read_text().strip().splitlines()[-1]
    assert 'msg="vpcwired ends"' in last and ("full" in last or "No space left" in last), last
    hostile.run("rm", f"{hostile.node.run_dir}/fill")
    hostile.start()
    serves(hostile)


@pytest.mark.limit(120)
def test_a_read_only_folder(served):
    """It becomes read-only while the daemon runs: ADD and DEL say so, pods keep what they have; a start says so too."""
    node, pod, result, before = served
    run_dir, other = node.node.run_dir, node.node.pod()
    node.run("sh", "-ec", f"mount --bind {run_dir} {run_dir}; mount -o remount,bind,ro {run_dir}")
    # the daemon has its files open, and goes on; one that starts cannot
    node.ask("end")
    node.start()
    assert proc.wait_until(node.dead, "the daemon to give up", 30) == 1
    last = node.log.read_text().strip().splitlines()[-1]
    assert 'msg="vpcwired ends"' in last and "Read-only file system" in last and run_dir in last, last
    error = refused(node, other)
    assert error.code == 11 and "vpcwired" in error.msg
    node.run("umount", "-l", run_dir)
    node.start()
    other.remove()
    is_whole(node, pod, result, before, "a read-only folder")


SQL = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript(sys.argv[2])
db.close()
"""
DAMAGES = {
    "garbage": "head -c 20000 /dev/urandom > state.db",
    "nothing in it": ": > state.db",
    "cut short": "truncate -s 5000 state.db; rm -f state.db-wal state.db-shm",
    "another program's": "rm -f state.db*; sql state.db 'PRAGMA application_id = 1234; CREATE TABLE attachment (what TEXT); PRAGMA user_version = 4'",
    "a newer schema": "sql state.db 'PRAGMA user_version = 999'",
    "an older schema": "sql state.db 'PRAGMA user_version = 1'",
    "tables of others": "rm -f state.db*; sql state.db 'CREATE TABLE meta (x TEXT)'",
    "a log of something else": "head -c 40000 /dev/urandom > state.db-wal; rm -f state.db-shm",
    "a folder in its place": "rm -f state.db*; mkdir state.db",
    "pages of zeros": "dd if=/dev/zero of=state.db bs=4096 seek=1 count=3 conv=notrunc 2>&1; rm -f state.db-wal state.db-shm",
}


@pytest.mark.limit(300)
def test_a_store_that_is_not_ours(served):
    """Whatever lies in its place, pods are learnt again from the kernel: none loses its address, none gets it twice."""
    node, pod, result, _ = served
    node.nameless = True
    before = audit_of_rest(node, pods=1)
    for name, damage in DAMAGES.items():
        node.ask("end")
        node.run("sh", "-ec", f"cd {node.node.run_dir}; sql() {{ /usr/bin/python3 -c \"$SQL\" \"$@\"; }}; {damage}",
                 env={"SQL": SQL, "PATH": "/usr/bin:/bin"})
        node.start()

        def up_again():
            assert node.dead() is None, f"{name}: {node.log.read_text()[-2000:]}"
            return (node.rpc("info") or {}).get("discovered")

        proc.wait_until(up_again, lambda: f"a start with {name}: {node.log.read_text()[-2000:]}", 30)
        is_whole(node, pod, result, before, name)


# --- pins

PINS = "/sys/fs/bpf/vpcwire"


def pinned(node):
    return node.run("find", PINS, "-name", "np_*", "-type", "f").stdout.split()


@pytest.mark.limit(120)
def test_pins_of_another_kind(served):
    """In the place of each map one of another type: no start believes it, the pod's traffic goes on, and the pins are ours again."""
    node, pod, result, before = served
    node.ask("end")
    pins = [p for p in pinned(node) if "/v" in p]
    replaced = []
    for pin in pins:
        if node.run("bpftool", "map", "show", "pinned", pin, check=False).returncode != 0:
            continue        # a program
        node.run("rm", pin)
        node.run("bpftool", "map", "create", pin, "type", "lru_hash", "key", "4", "value", "8", "entries", "7", "name", "other")
        replaced.append(pin)
    assert len(replaced) > 5
    node.start()
    serves(node)
    is_whole(node, pod, result, before, "pins of another kind")
    for pin in replaced:
        assert "name other" not in node.run("bpftool", "map", "show", "pinned", pin).stdout


@pytest.mark.limit(120)
def test_pins_of_another_version(served):
    """They are not read, whatever they are; and go, because the pods that are there have this version's programs."""
    node, pod, result, before = served
    node.ask("end")
    node.run("sh", "-ec", f"mkdir -p {PINS}/v999; bpftool map create {PINS}/v999/np_slots type array key 4 value 4 entries 1 name other")
    node.start()
    serves(node)
    proc.wait_until(lambda: not node.run("find", PINS, "-path", "*/v999*").stdout, "the pins of another version to go")
    is_whole(node, pod, result, before, "pins of another version")


# --- two of them

@pytest.mark.limit(60)
def test_two_daemons(served):
    """The second one says that there is a first, touches nothing, and the first notices nothing."""
    node, pod, result, before = served
    status, out, err = node.ask("run", argv=[str(proc.BIN / "vpcwired"), "--config", "/etc/vpcwire/vpcwired.json", "--run-dir", node.node.run_dir],
                                env={k: v for k, v in node.lab.env.items() if k.startswith("AWS_")})
    assert status == 1 and node.node.socket in err and "another" in err and out == "", err
    assert node.dead() is None
    is_whole(node, pod, result, before, "a second daemon")


# --- descriptors

RETRY_S = 0.2       # VW_ACCEPT_RETRY_MS


@pytest.mark.limit(60)
def test_no_descriptor_is_left(served):
    """Who connects then waits and is answered when there is one again; until then the daemon asks for one now and then, and does not spin."""
    node, pod, result, before = served
    pid = node.node.daemon_pid()
    taken = {int(fd) for fd in node.run("ls", f"/proc/{pid}/fd").stdout.split()}
    limits = node.run("prlimit", "--pid", pid, "--nofile", "--noheadings", "--output", "SOFT,HARD").stdout.split()
    node.run("prlimit", "--pid", pid, f"--nofile={min(set(range(len(taken) + 1)) - taken)}:{limits[1]}")
    node.daemon.arm()
    begin = time.monotonic()
    node.ask("say", path=node.socket, request={"op": "info", "vmin": 1, "vmax": 1})
    proc.wait_until(lambda: node.daemon.seen()["socket"] >= 5, "the daemon to try again", 20)
    tries, most = node.daemon.seen()["socket"], 6 + (time.monotonic() - begin) / RETRY_S
    node.daemon.disarm()
    assert tries <= most, f"accept4() was called {tries} times, at most {most} are wanted"
    assert node.log.read_text().count("a connection cannot be taken") == 1
    node.run("prlimit", "--pid", pid, f"--nofile={limits[0]}:{limits[1]}")
    assert node.ask("hear")["discovered"]
    is_whole(node, pod, result, before, "no descriptor")


# --- clocks

@pytest.mark.limit(120)
@pytest.mark.parametrize("seconds", [-10 * 365 * 86400, 3600] + ([-3600, 10 * 365 * 86400] if ALL else []))
def test_the_calendar_jumps(served, seconds):
    """Signatures are refused once, and made by EC2's clock from then on; nothing runs out, nothing is waited for. A start finds it so as well."""
    node, pod, result, before = served
    node.page.calendar(seconds)
    node.page.forward(70000)
    node.configure(**{**SETTINGS, "minimum_ip_target": POOL + 1})
    held = {pod.container_id: address_of(result)}
    proc.wait_until(lambda: node.at_rest(POOL + 1, held), lambda: f"growth: {node.rpc('info')} {node.log.read_text()[-3000:]}", 40, 0.05)
    node.ask("end")
    node.start()
    node.page.forward(70000)
    node.configure(**SETTINGS)
    proc.wait_until(lambda: node.at_rest(POOL, held), lambda: f"a start: {node.rpc('info')} {node.log.read_text()[-3000:]}", 40, 0.05)
    node.page.calendar(0)
    is_whole(node, pod, result, before, f"the calendar {seconds} s off")


@pytest.mark.limit(60)
def test_a_machine_that_was_asleep(served):
    """Days that nobody has lived through: what was waited for is over, and nothing else."""
    node, pod, result, before = served
    other = node.node.pod()
    node.cni(other, "DEL", node.cni(other, "ADD"))
    other.remove()
    node.page.forward(3 * 86400 * 1000)
    is_whole(node, pod, result, before, "three days of sleep")


# --- one that stands still

@pytest.mark.limit(120)
def test_a_daemon_that_stands_still(served):
    """SIGSTOP: ADD ends in time with a clear error and leaves nothing; when the daemon goes on, nobody's request has left anything either."""
    node, pod, result, before = served
    waiting = node.node.pods(3)
    pid = node.node.daemon_pid()
    node.run("kill", "-STOP", pid)
    try:
        for late in waiting:
            error = refused_within(node, late, 700)
            assert error.code == 11 and "vpcwired" in error.msg and "did not answer in time" in error.msg, error
        node.settles(without_books(before), "standing still", books=False)
    finally:
        node.run("kill", "-CONT", pid)
    proc.wait_until(lambda: len((node.rpc("info") or {}).get("pods", [1, 1])) == 1, lambda: f"nobody's requests to be undone: {node.rpc('info')}", 20)
    node.settles(before, "standing still")
    for late in waiting:        # as kubelet does
        node.cni(late, "DEL")
        node.cni(late, "DEL", node.cni(late, "ADD"))
        late.remove()
    is_whole(node, pod, result, before, "standing still")


def refused_within(node, pod, ms):
    node.node._conflist = {**node.node.conflist, "plugins": [{**node.node.conflist["plugins"][0], "timeout_ms": ms}, *node.node.conflist["plugins"][1:]]}
    try:
        return refused(node, pod)
    finally:
        node.node._conflist = None
