#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run test suites, two at a time, and add up what they say.

usage: run-tests.py [--log-dir DIR] SUITE ARG... [-- SUITE ARG...]...

  unit PROGRAM...    cmocka programs (TAP on stdout), one process each, as is
  bpf PROGRAM...     the same, with root
  policy PROGRAM...  programs that say TAP themselves; what needs root in them skips itself
  fuzz PROGRAM...    replay programs: each is given the files of its corpus folder, one test per file
  layers             mk/check-layers.py
  headers FILE...    `make check-headers`, one test per header
  pytest DIR... ARG...  pytest, when there is a DIR
  sanitized BUILD DIR ARG...  pytest on another build: `make sanitized`

VPCWIRE_EMULATOR in the environment is a command with arguments that the programs of unit and fuzz are given to: they are of another processor.

Only failures are shown in full; every suite's whole output is kept in the log folder. The last line is
`N passed, N failed` (with `, N skipped` when some were), and the exit code is non-zero when any failed or none ran.
A program that crashes, hangs, exits non-zero without saying why, or runs nothing, is a failure, and so is a pytest run that does.

Several suites take two lanes where there are two processors, since most of them mostly wait: a lane that is free takes the next suite, in the order
that they are given in, so the longest goes first. What a suite has to say is then printed when it has ended. One suite alone is shown as it goes.

When tests in at most three files of a pytest run fail, these files are run once more, when all suites have ended. (Files, because what a failure leaves
in a lab lets the next tests of its file fail.) If all of those pass then, they are no failures, but named as UNSTABLE before the last line, and the
first output stands where they failed: a race in the product or in the test, to be mended.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from xml.etree import ElementTree

LANES = min(2, os.cpu_count() or 1)
MAX_AGAIN = 3                   # files of a pytest run with failures that are worth a second look: more are no accident
PROGRAM_LIMIT_S = 600           # the model test takes 45 s alone on two cores
PYTEST_LIMIT_S = 3600
END_S = 60                      # to take labs down
TOP = pathlib.Path(__file__).resolve().parent.parent
EMULATOR = os.environ.get("VPCWIRE_EMULATOR", "").split()


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed=0, failed=0, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def line(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


class Suite:
    """One suite: what it is told to run, what it says, and what came of it."""

    def __init__(self, words, logs, alone):
        self.name, *self.args = words
        self.logs = logs
        self.alone = alone          # nothing else runs: what it says is shown at once
        self.lines = []
        self.totals = Totals()
        self.bad = []               # tests of pytest that failed
        self.build = self.args.pop(0) if self.name == "sanitized" else None

    def say(self, text):
        if self.alone:
            print(text, flush=True)
        else:
            self.lines.append(text)


running = set()                     # process groups of ours
starting = threading.Lock()         # held for good once all is to end
folders = set()                     # what tests write to, to be removed


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folders.discard(folder)


def end(group):
    """As Ctrl-C does, so that labs are taken down."""
    try:
        os.killpg(group, signal.SIGINT)
    except ProcessLookupError:
        pass


def run(argv, limit_s, env=None, live=False):
    """Run one program in its own process group; a hang ends the group. -> (exit code or None, output)"""
    with starting:
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=None if live else subprocess.PIPE,
                                stderr=None if live else subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=TOP,
                                start_new_session=True, errors="replace", text=True)
        running.add(proc.pid)
    try:
        out, _ = proc.communicate(timeout=limit_s)
        return proc.returncode, out or ""
    except subprocess.TimeoutExpired:
        end(proc.pid)
        try:
            out, _ = proc.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            out, _ = proc.communicate()
        return None, out or ""
    finally:
        running.discard(proc.pid)


def verdict(code, limit_s=PROGRAM_LIMIT_S):
    if code is None:
        return f"did not end within {limit_s} s"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with {code}"


def tap_counts(output):
    """Count TAP lines; a program with several groups prints several plans, so only the result lines are counted."""
    passed = failed = skipped = 0
    for line in output.splitlines():
        match = re.match(r"(not )?ok\b\s*\d*(.*)", line)
        if not match:
            continue
        if re.search(r"#\s*skip", match.group(2), re.I):
            skipped += 1
        elif match.group(1):
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def run_tap(suite):
    for program in suite.args:
        name = pathlib.Path(program).name
        if suite.name == "bpf" and os.geteuid() != 0:
            suite.say(f"  SKIP    {name}: needs root")
            suite.totals.add(skipped=1)
            continue
        code, out = run([*EMULATOR, program], PROGRAM_LIMIT_S, {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
        (suite.logs / f"{suite.name}-{name}.log").write_text(out)
        passed, failed, skipped = tap_counts(out)
        if code == 77 and not failed:
            skipped = max(skipped, 1)
        elif code != 0 and not failed:
            failed, out = 1, out + f"\n{name} {verdict(code)}"
        elif code == 0 and passed + failed + skipped == 0:
            failed, out = 1, out + f"\n{name} ran no test"
        suite.totals.add(passed, failed, skipped)
        if failed:
            suite.say(f"  FAIL    {name}\n" + "\n".join("          " + l for l in out.splitlines()))
        else:
            suite.say(f"  ok      {name} ({passed}{f', {skipped} skipped' if skipped else ''})")


def run_fuzz(suite):
    for program in suite.args:
        name = pathlib.Path(program).name
        corpus = TOP / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
        files = sorted(str(f) for f in corpus.glob("*") if f.is_file())
        if not files:
            suite.say(f"  FAIL    {name}: no corpus in {corpus.relative_to(TOP)}")
            suite.totals.add(failed=1)
            continue
        code, out = run([*EMULATOR, program, *files], PROGRAM_LIMIT_S)
        (suite.logs / f"fuzz-{name}.log").write_text(out)
        if code == 0:
            suite.totals.add(passed=len(files))
            suite.say(f"  ok      {name} ({len(files)} inputs)")
        else:
            suite.totals.add(failed=1)
            suite.say(f"  FAIL    {name} {verdict(code)}\n{out}")


def run_layers(suite):
    code, out = run([sys.executable, "mk/check-layers.py"], PROGRAM_LIMIT_S)
    (suite.logs / "layers.log").write_text(out)
    match = re.search(r"layers: (\d+) passed, (\d+) failed", out)
    if match:
        suite.totals.add(int(match[1]), int(match[2]))
    if code != 0:
        suite.say(out)
        suite.totals.add(failed=0 if suite.totals.failed else 1)
    else:
        suite.say(f"  ok      check-layers ({suite.totals.passed} files)")


def run_headers(suite):
    headers = suite.args
    code, out = run([os.environ.get("MAKE", "make"), "-k", "check-headers"], 600)
    (suite.logs / "headers.log").write_text(out)
    build = pathlib.Path(os.environ.get("VPCWIRE_BUILD", TOP / "build"))
    bad = [h for h in headers if not (build / "headers" / f"{h}.ok").exists()]
    if code != 0:
        suite.say(out)
        suite.totals.add(passed=len(headers) - len(bad), failed=max(1, len(bad)))
    else:
        suite.totals.add(passed=len(headers))
        suite.say(f"  ok      check-headers ({len(headers)} headers)")


def node_id(case):
    """tests.e2e.test_bad_input.TestCloud, test_x[0] -> tests/e2e/test_bad_input.py::TestCloud::test_x[0]"""
    path, in_class, inner = case.get("classname").replace(".", "/").partition("/Test")
    return f"{path}.py::" + (f"Test{inner}::" if in_class else "") + case.get("name")


def pytest_once(suite, args, report):
    """-> the names of the tests that failed, and what was counted"""
    report.unlink(missing_ok=True)
    env = {"PYTHONDONTWRITEBYTECODE": "1", **({"VPCWIRE_BUILD": str(TOP / suite.build)} if suite.build else {})}
    # pytest would keep the last runs' files in /tmp; a short path, because sockets are made in it
    scratch = tempfile.mkdtemp(prefix="vpcwire-test-")
    folders.add(scratch)
    argv = ["/usr/bin/python3", "-m", "pytest", f"--junitxml={report}", f"--basetemp={scratch}/t", *args]
    code, out = run(argv, PYTEST_LIMIT_S, env, live=suite.alone)
    remove(scratch)
    if not suite.alone:
        report.with_suffix(".log").write_text(out)
        suite.say(out.rstrip("\n"))
    totals, bad = Totals(), []
    if report.exists():
        # one without a name is the test in which the run was interrupted
        cases = {node_id(case): case for case in ElementTree.parse(report).iter("testcase") if case.get("name")}
        skipped = [name for name, case in cases.items() if case.find("skipped") is not None]
        bad = [name for name, case in cases.items() if case.find("failure") is not None or case.find("error") is not None]
        totals.add(len(cases) - len(bad) - len(skipped), len(bad), len(skipped))
    # 1 says that tests failed, which the report names. All else is not theirs, and stays when they pass the second time: none was found, or what
    # comes behind an end before the end was not run
    if code not in (0, 1) or code == 1 and not totals.failed:
        totals.add(failed=1)
        suite.say(f"  FAIL    pytest {verdict(code, PYTEST_LIMIT_S)}: not all of its tests have been run")
    return bad, totals


def report_of(suite):
    return suite.logs / f"{suite.name}-{pathlib.Path(suite.args[0]).name}.xml"


def run_pytest(suite):
    """pytest DIR ARG..., on the programs of the suite's build if it has one."""
    if suite.args:
        suite.bad, suite.totals = pytest_once(suite, suite.args, report_of(suite))


def run_again(suite):
    """The files of a pytest run's few failures once more, alone. -> the tests that passed now: they are no failures any more"""
    files = sorted({name.partition("::")[0] for name in suite.bad})
    if not 0 < len(files) <= MAX_AGAIN:
        return []
    suite.alone = True
    suite.say(f"  AGAIN   {' '.join(files)}")
    _, again = pytest_once(suite, [*files, *suite.args[1:]], report_of(suite).with_suffix(".again.xml"))
    if not again.passed or again.failed:
        return []
    suite.totals.add(passed=len(suite.bad), failed=-len(suite.bad))
    return suite.bad


KINDS = {"unit": run_tap, "bpf": run_tap, "policy": run_tap, "fuzz": run_fuzz, "layers": run_layers, "headers": run_headers, "pytest": run_pytest,
         "sanitized": run_pytest}


def lane(waiting, mouth):
    """Run suites until none is left; one speaks at a time."""
    while True:
        try:
            suite = waiting.pop(0)
        except IndexError:
            return
        title = " ".join([suite.name] + suite.args[:1] * (suite.name in ("pytest", "sanitized")))
        with mouth:
            print(f"== {title}", flush=True)
        start = time.monotonic()
        try:
            KINDS[suite.name](suite)
        except Exception:               # of this script: the others go on, and the sum says that something is wrong
            suite.say(traceback.format_exc())
            suite.totals.add(failed=1)
        with mouth:
            print("\n".join([*suite.lines, f"-- {title}: {suite.totals.line()} ({time.monotonic() - start:.1f} s)"]), flush=True)


def interrupted(_signal, _frame):
    """Each program that runs ends as if Ctrl-C had reached it, and no other begins."""
    starting.acquire(timeout=1)         # in vain only where this thread itself was starting one
    for group in list(running):
        end(group)
    deadline = time.monotonic() + END_S
    while running and time.monotonic() < deadline:
        time.sleep(0.1)
    for folder in list(folders):
        remove(folder)
    os._exit(130)


def main():
    args = sys.argv[1:]
    logs = TOP / "build/test-logs"
    if args[:1] == ["--log-dir"]:
        logs = TOP / args[1]
        args = args[2:]
    logs.mkdir(parents=True, exist_ok=True)
    words, current = [], []
    for arg in args + ["--"]:
        if arg == "--":
            if current:
                words.append(current)
            current = []
        else:
            current.append(arg)
    for name, *_ in words:
        if name not in KINDS:
            sys.exit(f"unknown suite {name}")
    lanes = min(LANES, len(words))
    suites = [Suite(w, logs, alone=lanes == 1) for w in words]
    waiting, mouth = list(suites), threading.Lock()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    threads = [threading.Thread(target=lane, args=(waiting, mouth), daemon=True) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unstable = [name for suite in suites for name in run_again(suite)]
    grand = Totals()
    for suite in suites:
        grand.add(suite.totals.passed, suite.totals.failed, suite.totals.skipped)
    for name in unstable:
        print(f"  UNSTABLE {name}: failed, and passed when it was run again")
    print(grand.line())
    return 1 if grand.failed or not grand.passed else 0


if __name__ == "__main__":
    sys.exit(main())
