# SPDX-License-Identifier: Apache-2.0
"""ADD and DEL cost what they cost: system calls, messages, allocations, counted and compared with tests/bench/counts.json."""
import os
import pathlib
import platform
import shutil
import subprocess

import pytest

from tests.bench import counts
from tests.harness import proc

HOW = """If this change is wanted, take the new counts into the file, and look at the difference before you commit it:
    VPCWIRE_ACCEPT=1 make e2e K=test_counts && git diff tests/bench/counts.json"""

MUSL = pathlib.Path("/usr/lib/x86_64-linux-musl/rcrt1.o")


@pytest.mark.limit(300)
@pytest.mark.skipif(proc.SANITIZED, reason="a sanitized program makes calls of its own")
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed: make deps")
def test_what_add_del_and_status_cost():
    now, curves = counts.collect()
    if os.environ.get("VPCWIRE_ACCEPT"):
        counts.accept(now)
    changed = counts.differences(counts.comparable(counts.baseline()), counts.comparable(now))
    assert not changed, "\n".join([f"{len(changed)} counts are not those of {counts.BASELINE.name}:", *changed, HOW])
    # each pod costs what the one before it did, and of the picture nothing
    (first, second, third), whole = curves["status --json"], curves["status"]
    assert first < second < third and third - second <= (second - first) * 1.1, curves
    assert max(whole) <= min(whole) * 1.02, curves


def test_the_comparison_sees_more_less_new_and_gone():
    was = {"ADD": {"calls": {"read": 2, "poll": 1}, "work": {"instructions": 1000}}}
    assert counts.differences(was, was) == []
    assert counts.differences(was, {"ADD": {"calls": {"read": 2, "poll": 1}, "work": {"instructions": 1019}}}) == []
    now = {"ADD": {"calls": {"read": 3, "write": 1}, "work": {"instructions": 1021}}, "DEL": {"calls": {"read": 1}}}
    assert counts.differences(was, now) == [
        "ADD, calls: poll: was 1, is 0", "ADD, calls: read: was 2, is 3", "ADD, calls: write: was 0, is 1",
        "ADD, work: instructions: was 1000, is 1021", "DEL, calls: read: was 0, is 1"]


@pytest.mark.parametrize("plugin", ["vpcwire", "vpcwire-eni", "vpcwire-bridge"])
@pytest.mark.skipif(platform.machine() != "x86_64" or proc.SANITIZED, reason="of plain plugins on x86-64")
@pytest.mark.skipif(not MUSL.exists(), reason="musl-dev is not installed: make deps")
def test_a_plugin_does_not_ask_the_processor_who_it_is(plugin):
    """CPUID, which only a virtual machine's host answers: glibc's start has 68 of them (lib/base/musl), most of what an exec costs."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", proc.BIN / plugin], check=True, capture_output=True, text=True, timeout=60).stdout
    assert text.count("\n") > 10000 and "\tcpuid" not in text
