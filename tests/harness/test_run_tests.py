# SPDX-License-Identifier: Apache-2.0
"""mk/run-tests.py: what it makes of programs and suites that fail, crash, say nothing, are interrupted, or pass the second time."""
import os
import shutil
import signal
import subprocess

import pytest

from tests.harness import proc

PASSES = "def test_passes():\n    pass\n"
# fails the first time
FLAKY = "def test_flaky():\n    import pathlib\n    mark = pathlib.Path(__file__ + '.mark')\n    again = mark.exists()\n    mark.touch()\n    assert again\n"
FAILS = "def test_fails():\n    assert False\n"


@pytest.fixture
def suites(tmp_path):
    """-> program(name, script) and tests(name, source), which make one, and run(word...), which runs a copy of the runner in their folder"""
    runner = tmp_path / "mk" / "run-tests.py"
    runner.parent.mkdir()
    shutil.copy(proc.TOP / "mk" / "run-tests.py", runner)

    class Made:
        @staticmethod
        def program(name, script):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
            return str(tmp_path / name)

        @staticmethod
        def tests(name, source):
            (tmp_path / name).mkdir()
            (tmp_path / name / f"test_{name}.py").write_text(source)
            return ["pytest", name, "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]

        @staticmethod
        def start(*words):
            return subprocess.Popen([runner, "--log-dir", "logs", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    text=True)

        def run(self, *words):
            started = self.start(*words)
            out, _ = started.communicate(timeout=120)
            return started.returncode, out.splitlines()

    return Made()


@pytest.mark.parametrize("script, last", [
    ("echo ok 1 - a; echo not ok 2 - b; exit 1", "1 passed, 1 failed"), ("echo ok 1 - a; kill -SEGV $$", "1 passed, 1 failed"), ("true", "0 passed, 1 failed"),
    ("echo ok 1 - a; exit 3", "1 passed, 1 failed"), ("echo 'ok 1 - a # SKIP no root'; echo ok 2", "1 passed, 0 failed, 1 skipped")])
def test_programs(suites, script, last):
    status, lines = suites.run("unit", suites.program("a", script))
    assert lines[-1] == last and (status == 0) == (" 0 failed" in last)


@pytest.mark.parametrize("also", [[], ["--", "unit", "PASSES"]], ids=["alone", "two lanes"])
def test_what_passes_the_second_time_is_named(suites, also):
    """... by the runner with one suite and with two."""
    also = [suites.program("b", "echo ok 1 - b") if word == "PASSES" else word for word in also]
    status, lines = suites.run(*suites.tests("flaky", PASSES + FLAKY), *also)
    assert status == 0 and lines[-1] == f"{3 if also else 2} passed, 0 failed", lines
    assert [line for line in lines if line.startswith("  UNSTABLE") and "test_flaky" in line], lines


def test_what_fails_twice_fails_and_hides_nothing_of_another_suite(suites):
    status, lines = suites.run(*suites.tests("bad", PASSES + FAILS), "--", *suites.tests("good", PASSES), "--",
                               "unit", suites.program("b", "echo not ok 1 - b; exit 1"))
    assert status == 1 and lines[-1] == "2 passed, 2 failed", lines
    assert not any("UNSTABLE" in line for line in lines)


@pytest.mark.parametrize("files, last", [(1, "4 passed, 0 failed"), (4, "0 passed, 4 failed")])
def test_failures_in_four_files_are_no_accident(suites, files, last, tmp_path):
    """... four in one file may be: the first one's leavings."""
    words = suites.tests("four", "")
    for n in range(4):
        with (tmp_path / "four" / f"test_{n % files}.py").open("a") as out:
            out.write(FLAKY.replace("flaky", f"flaky{n}").replace(".mark", f".mark{n}"))
    status, lines = suites.run(*words)
    assert lines[-1] == last and (status == 0) == (files == 1), lines


def test_a_run_that_did_not_come_to_its_end_is_no_success(suites, tmp_path):
    """What fails in it passes the second time, but the tests behind its end were never run."""
    words = suites.tests("ends", FLAKY)
    (tmp_path / "ends" / "test_later.py").write_text("def test_ends():\n    raise KeyboardInterrupt\n" + PASSES)
    status, lines = suites.run(*words)
    assert status == 1 and lines[-1] == "1 passed, 1 failed", lines


def test_a_suite_of_which_nothing_is_chosen_fails(suites):
    """... beside one that passes: an expression that names a test of former times must not pass for ever."""
    status, lines = suites.run(*suites.tests("none", PASSES), "-k", "of_former_times", "--", "unit", suites.program("b", "echo ok 1 - b"))
    assert status == 1 and lines[-1] == "1 passed, 1 failed", lines


def test_a_folder_without_tests_or_that_cannot_be_read_fails(suites):
    status, lines = suites.run(*suites.tests("broken", "import nothing_of_this_name\n"), "--", "unit", suites.program("b", "echo ok 1 - b"))
    assert status == 1 and lines[-1] == "1 passed, 2 failed", lines      # the file, and what would have come behind it


def test_an_unknown_suite_is_refused_before_anything_runs(suites):
    status, lines = suites.run("unit", suites.program("b", "echo ok 1 - b"), "--", "nonsense", "x")
    assert status == 1 and lines == ["unknown suite nonsense"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_an_interrupt_ends_what_runs_and_lets_it_clean_up(suites, tmp_path, number):
    """Both lanes; each program gets SIGINT once, and is waited for; the next ones do not begin. No folder is left."""
    script = f"trap 'kill $!; echo cleaned >> {tmp_path}/cleaned; exit 1' INT; echo up >> {tmp_path}/up; sleep 60 & wait"
    never = suites.program("never", f"echo never >> {tmp_path}/cleaned")
    # one that keeps its folder to itself, as long as the runner that made it lives
    waits = f"import signal\n\n\ndef test_waits(tmp_path):\n    with open('{tmp_path}/up', 'a') as up:\n        print(tmp_path, file=up)\n    signal.alarm(100)\n    signal.pause()\n"
    started = suites.start("unit", suites.program("a", script), never, "--", *suites.tests("waits", waits), "--", "unit", never)
    lanes = min(2, os.cpu_count())
    proc.wait_until(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text().count("\n") == lanes, "both to run", 20)
    started.send_signal(number)
    assert started.wait(60) == 130
    assert (tmp_path / "cleaned").read_text().split() == ["cleaned"]
    assert not [folder for folder in (tmp_path / "up").read_text().split() if os.path.exists(folder)]
