# SPDX-License-Identifier: Apache-2.0
"""One version up and down again under traffic: binaries replaced by rename, the daemon restarted, as package and DaemonSet do it.

The other versions are this tree, built with another version of the protocol, other eBPF programs, and other numbers of pins.
"""
import json
import os
import pathlib
import shutil
import threading

import pytest

from tests.harness import audit, cni, flows, hooks, proc
from tests.harness.lab import Lab
from tests.harness.policy import Policies
from tests.e2e.test_policy_restart import among, assert_whole

FLOWS = proc.times(1000)
PROGRAMS = ("vpcwired", "vpcwire")
# a daemon of the next release adds columns; the schema says who may still use it (daemon/store.c)
LATER_SCHEMA = ("ALTER TABLE attachment ADD COLUMN later TEXT; ALTER TABLE eni ADD COLUMN later TEXT;"
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('schema_min', '4'); PRAGMA user_version=99")
HOOKS = pathlib.Path(hooks.__file__)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Folders with vpcwired and vpcwire: "this"; "next": speaks protocol 2, has other programs; "far": other maps as well."""
    if proc.SANITIZED:
        pytest.skip("two more sanitized builds take too long")
    made = {"this": proc.BIN}
    built = proc.BUILD / "next"

    def build(name, *knobs):
        programs = [f"{os.path.relpath(built, proc.TOP)}/bin/{p}" for p in PROGRAMS]
        # -W: the one source that knows the number of the pins
        proc.make(f"-j{os.cpu_count()}", *programs, "-W", "netpolicy-bpf/user/np_pins.c", "VERSION=0.1.1",
                  "CPPFLAGS=-DVW_RPC_VERSION_MAX=2", "BPF_CFLAGS=-Os", *knobs, folder="next", timeout=600)
        made[name] = tmp_path_factory.mktemp(name)
        for program in PROGRAMS:
            shutil.copy2(built / "bin" / program, made[name])

    build("next")
    build("far", "NP_ABI=99")
    return made


class Machine:
    """A lab of one node that runs programs of its own folder, three pods with policy and flows that never rest."""

    def __init__(self, folder, attach):
        self.bin = folder
        for program in ("vpcwire-sim", "vpcwirectl", *PROGRAMS):
            shutil.copy2(proc.BIN / program, folder)
        # pods come and go faster than addresses would rest
        settings = {"attach": attach, "warm_ip_target": 16, "ip_cooldown_s": 0}
        self.lab = Lab("--ipv6", instance_type="m5.large", daemon_config=settings, sim=folder / "vpcwire-sim")

    def __enter__(self):
        self.lab.start()
        self.node = self.lab.nodes[0]
        self.policies = Policies(self.node)
        self.policies.put("among.json", among({}))
        self.pods = [self.node.pod(name) for name in ("a", "b", "stranger")]
        for pod, namespace in zip(self.pods, ("default", "default", "elsewhere")):
            pod.add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod.name}"})
        return self

    def __exit__(self, *_):
        self.lab.__exit__()

    def put(self, folder, *programs):
        """What dpkg and the init container do: a file beside the old one, renamed over it."""
        for program in programs:
            shutil.copy2(folder / program, self.bin / f"{program}.new")
            (self.bin / f"{program}.new").rename(self.bin / program)

    def restart(self, kill=False, between=lambda: None):
        (self.lab.kill_daemon if kill else self.lab.stop_daemon)(self.node.name)
        between()
        self.lab.start_daemon(self.node.name)
        proc.wait_until(lambda: self.node.serves() and self.policies.settled(), lambda: "the daemon to serve: " + self.node.daemon_log())

    def version(self):
        return self.node.info()["version"]

    def programs(self):
        """Which programs judge pod a's packets, whichever way they hang there: the one of each hook."""
        host = next(i["name"] for i in self.pods[0].result.interfaces if not i.get("sandbox"))
        ids = self.node.json("/usr/bin/python3", HOOKS, host)
        assert all(len(i) == 1 for i in ids.values()), ids
        return {i[0] for i in ids.values()}

    def sql(self, script):
        """While the daemon is away."""
        self.node.run("/usr/bin/python3", "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])",
                      f"{self.node.run_dir}/state.db", script)


class Storm:
    """Pods that come and go, as fast as they can, until the end of the block: each ADD must succeed."""

    def __init__(self, node, workers=3):
        self.pods, self.failed, self.done, self.node = node.pods(workers), [], 0, node
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(p,)) for p in self.pods]

    def work(self, pod):
        while not self.over.is_set():
            try:
                pod.add()
                pod.delete()
                self.done += 1
            except Exception as exc:  # noqa: B902 - told by the test
                self.failed.append(exc)
                return

    def more(self, count=3):
        goal = self.done + count * len(self.pods)
        proc.wait_until(lambda: self.failed or self.done >= goal, lambda: f"{count} more ADDs of each worker: {self.done} of {goal}", 60)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        for pod in self.pods:
            pod.remove()


# to which version, and whether the daemon dies instead of ending
STEPS = [("next", False), ("this", False), ("next", True), ("this", True), ("far", False), ("this", False)]


def assert_lost_nothing(ends, when):
    """Other maps begin without flows: for 30 seconds a packet in mid-stream is taken for one of a flow that was let through before."""
    told = {e.name: e.state() for e in ends}
    assert all((s.lost, s.strays) == (0, 0) for s in told.values()), f"{when}: {told}"


@pytest.mark.limit(240)
@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_up_and_down_under_traffic(versions, tmp_path, attach):
    """0 failed ADDs, 0 lost packets on living flows, no packet past a policy, and the pods run the programs of the version that runs."""
    with Machine(tmp_path, attach) as m, flows.between(*m.pods, FLOWS) as everybody, Storm(m.node) as storm:
        flows.more_rounds(everybody, 1)
        books = [b for b in audit.books(m.node) if any(p.container_id in b for p in m.pods)]
        assert len(books) == len(m.pods)
        for step, (name, kill) in enumerate(STEPS):
            before = m.programs()
            # the plugin first, then the daemon: each in turn speaks with an older and a newer one
            m.put(versions[name], "vpcwire")
            storm.more()
            m.put(versions[name], "vpcwired")
            m.restart(kill, between=lambda: storm_waits(storm))
            storm.more()
            flows.more_rounds(everybody, 1)
            where = f"{name}, step {step + 1}"
            assert not storm.failed, f"{where}: {storm.failed}\n{m.node.daemon_log()}"
            assert m.version() == ("0.1.0" if name == "this" else "0.1.1")
            assert_lost_nothing(everybody, where) if name == "far" or step == len(STEPS) - 1 else assert_whole(everybody, where)
            after = m.programs()
            assert not after & before, (where, before, after)
            assert not set(books) - set(audit.books(m.node)), where
            pins = m.node.run("find", "/sys/fs/bpf/vpcwire", "-name", "*_f[0-9]*").stdout
            assert not pins and len(m.node.run("sh", "-c", "ls -d /sys/fs/bpf/vpcwire/v*").stdout.split()) == 1, where
            for pod in m.pods:
                pod.check()
        assert all(e.state().fired for e in everybody)


def storm_waits(storm):
    """With no daemon there, ADDs are under way, and none of them fails for it."""
    assert not storm.failed, storm.failed


@pytest.mark.limit(120)
def test_a_store_of_the_next_release(versions, tmp_path):
    """A schema that only adds is used by the older daemon; one that changed more is put aside, and the pods are found in the kernel."""
    with Machine(tmp_path, "clsact") as m:
        books = audit.books(m.node)
        m.restart(between=lambda: m.sql(LATER_SCHEMA))
        assert audit.books(m.node) == books
        assert "not as it was left" not in m.node.daemon_log()
        m.pods[0].delete()
        m.pods[0].add()
        held = {json.loads(b)["container_id"] for b in audit.books(m.node)}
        m.restart(between=lambda: m.sql("UPDATE meta SET value = '98' WHERE key = 'schema_min'"))
        assert "schema 99, this vpcwired reads" in m.node.daemon_log()
        assert {json.loads(b)["container_id"] for b in audit.books(m.node)} == held and len(held) == 3
        for pod in m.pods:
            pod.check()


def test_a_dead_daemon_is_waited_for_but_not_for_ever(versions, tmp_path):
    with Machine(tmp_path, "clsact") as m:
        m.lab.stop_daemon(m.node.name)
        pod = m.node.pod()
        with pytest.raises(cni.CniError) as error:
            pod.add(conf={"timeout_ms": 300})
        assert error.value.code == 11 and "is vpcwired running?" in error.value.msg
        m.lab.start_daemon(m.node.name)
