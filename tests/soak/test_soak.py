# SPDX-License-Identifier: Apache-2.0
"""The soak, short: it balances, and what does not balance is seen. `make soak MINUTES=30` is the long one."""
import collections
import signal
import subprocess
import sys

import pytest

from tests.harness import proc
from tests.harness.flows import State
from tests.soak import run

MINUTES = 0.4


@pytest.mark.limit(900)
def test_a_short_soak_balances():
    done = proc.run([sys.executable, run.__file__, "--minutes", MINUTES], timeout=840, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "soak: ok" in done.stdout


@pytest.mark.limit(900)
def test_an_interrupt_ends_it_with_the_sheet():
    with proc.beside([sys.executable, "-u", run.__file__, "--minutes", "30"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as soak:
        assert soak.stdout.readline() == "soak: everything at once begins\n"
        soak.send_signal(signal.SIGINT)
        said, _ = soak.communicate(timeout=840)
    assert soak.returncode == 0 and "soak: ok" in said, said


def books(**other):
    return {"ENIs, EC2": 1, "links": 5, "addrs": 5, "rules": 9, "routes": 18, "nftables objects": 18, "pods in the daemon's books": 3,
            "ENIs that nobody has": 0, "tombstones": 0, "ENIs, daemon": 1, "IPv4 addresses for pods, EC2": 5,
            "IPv4 addresses for pods, daemon": 5, "eBPF maps": 26, "ENIs created": 1, "ENIs attached": 1, "ENIs detached": 0, "ENIs deleted": 0, "dirty memory, KiB": 8000, **other}


@pytest.mark.parametrize("after", [{"links": 6}, {"routes": 17}, {"eBPF maps": 27}, {"pods in the daemon's books": 4}, {"ENIs that nobody has": 1},
                                   {"IPv4 addresses for pods, daemon": 6}, {"ENIs, EC2": 2}, {"tombstones": 1}, {"dirty memory, KiB": 11000},
                                   {"descriptors: unheard of": 1}])
def test_what_is_not_as_it_should_be_is_told(after):
    assert not run.unbalanced(books(), books(), 3)
    assert len(run.unbalanced(books(), books(**after), 3)) >= 1


def test_a_further_eni_that_everybody_knows_of_balances():
    more = books(**{"ENIs, EC2": 2, "ENIs, daemon": 2, "links": 6, "addrs": 6, "rules": 11, "routes": 24, "nftables objects": 26,
                    "ENIs created": 4, "ENIs attached": 3, "ENIs detached": 1, "ENIs deleted": 2})
    assert not run.unbalanced(books(), more, 3)
    assert run.unbalanced(books(), {**more, "ENIs created": 5}, 3) and run.unbalanced(books(), {**more, "ENIs detached": 0}, 3)
    assert run.unbalanced(books(), more, 3, whole=True)


def test_a_whole_run_is_one_in_which_enis_came_and_went_and_memory_stayed():
    told = [State(1, 0, 0, 0, 1)] * 4
    after = books(**{"ENIs created": 4, "ENIs attached": 4, "ENIs detached": 3, "ENIs deleted": 3})
    assert not run.Sheet(run.Ledger(), books(), after, told, True, [7000, 9000, 7100]).errors()
    assert len(run.Sheet(run.Ledger(), books(), books(), told, True, [7000]).errors()) == 4
    assert run.Sheet(run.Ledger(), books(), after, told, True, [7000, 9100]).errors()


@pytest.mark.parametrize("counts,told", [({"ADDs": 2, "DELs": 1}, (0, 0, 0)), ({}, (1, 0, 0)), ({}, (0, 1, 0)), ({}, (0, 0, 1))])
def test_pods_and_packets_that_are_missing_are_told(counts, told):
    ledger = run.Ledger()
    ledger.counts = collections.Counter(counts)
    assert not run.Sheet(run.Ledger(), books(), books(), [State(1, 0, 0, 0, 1)] * 4).errors()
    assert run.Sheet(ledger, books(), books(), [State(1, *told, 1)] * 4).errors()


def test_strangers_that_sent_nothing_prove_nothing():
    assert len(run.Sheet(run.Ledger(), books(), books(), [State(1, 0, 0, 0, 0)] * 4).errors()) == 2
