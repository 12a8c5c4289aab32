# SPDX-License-Identifier: Apache-2.0
"""However a lab ends, one `vpcwire-sim lab --cleanup` later nothing of it is left on the machine."""
import os
import pathlib
import re
import signal

import pytest

from tests.harness import proc
from tests.harness.lab import Lab

NAMESPACES = ("net", "mnt", "pid")


def namespaces_of(pids):
    """Inode numbers of the namespaces that these processes are in, less those that we are in ourselves."""
    own = {f"{kind}:{os.readlink(f'/proc/self/ns/{kind}')}" for kind in NAMESPACES}
    found = set()
    for pid in pids:
        for kind in NAMESPACES:
            try:
                found.add(f"{kind}:{os.readlink(f'/proc/{pid}/ns/{kind}')}")
            except OSError:
                continue
    return found - own


def everything_running():
    return [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]


def mounts():
    return {re.sub(r"^\d+ \d+ ", "", l) for l in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()}


def files(lab_id):
    """Where a lab might leave something: its registry (somebody else may run a lab meanwhile: only its own entries),
    run directories, pins, named namespaces, configuration, temporary files."""
    roots = ("/run/vpcwire", "/run/netns", "/sys/fs/bpf", "/var/lib/vpcwire", "/etc/cni", "/etc/vpcwire", "/opt/cni")
    found = {str(p) for r in roots for p in pathlib.Path(r).rglob("*")}
    found |= {str(p) for p in pathlib.Path("/run/vpcwire-lab").glob(f"{lab_id}*")}
    return found | {str(p) for p in pathlib.Path("/tmp").glob("vpcwire-sim*")}


def end_by_command(lab):
    lab.proc.stdin.close()


def end_by_interrupt(lab):
    os.killpg(lab.proc.pid, signal.SIGINT)


def end_by_terminate(lab):
    os.kill(lab.proc.pid, signal.SIGTERM)


def end_by_kill(lab):
    os.kill(lab.proc.pid, signal.SIGKILL)


def end_by_killing_its_init(lab):
    """The first process below the lab's own is the init of its PID namespace."""
    os.kill(proc.descendants(lab.proc.pid)[0], signal.SIGKILL)


@pytest.mark.parametrize("end", [end_by_command, end_by_interrupt, end_by_terminate, end_by_kill, end_by_killing_its_init])
def test_nothing_is_left(end):
    files_before, mounts_before = files("none"), mounts()
    lab = Lab(nodes=2).start()
    try:
        own = lab.env["VPCWIRE_LAB"]
        assert files(own) - files_before, "a running lab is registered"
        pods = [n.pod() for n in lab.nodes]
        for pod in pods:
            pod.add()
        family = [proc.identity(p) for p in proc.descendants(lab.proc.pid)]
        spaces = namespaces_of(p for p, _ in family)
        assert len([s for s in spaces if s.startswith("net:")]) >= 3, "two nodes and a fabric"
        end(lab)
        lab.proc.wait(20)
        proc.run([proc.SIM, "lab", "--cleanup"])
        proc.wait_until(lambda: not [f for f in family if proc.alive(f)], "all its processes to be gone")
        proc.wait_until(lambda: not spaces & namespaces_of(everything_running()), "all its namespaces to be empty")
        left = [l for p in ("self", "1") for l in pathlib.Path(f"/proc/{p}/mountinfo").read_text().splitlines()
                if any(s.split(":", 1)[1] in l for s in spaces)]
        assert not left, "namespaces held by mounts"
        assert mounts() - mounts_before == set()
        assert files(own) - files_before == set()
    finally:
        if lab.proc.poll() is None:
            lab.proc.kill()
        lab.proc.stdout.close()
        lab.dir.cleanup()
