#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run test suites one after another and add up what they say.

usage: run-tests.py [--log-dir DIR] [--under 'COMMAND ARG...'] SUITE ARG... [-- SUITE ARG...]...

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
A program that crashes, hangs, exits non-zero without saying why, or runs nothing, is a failure.

When at most three tests of a pytest run fail, their whole files are run once more. If all of those pass then, they are no failures, but
named as UNSTABLE before the last line, and the first output stands where they failed: a race in the product or in the test, to be mended.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

MAX_AGAIN = 3                   # failures of a pytest run that are worth a second look: more are no accident
PROGRAM_LIMIT_S = 600           # the model test takes 45 s alone on two cores
PYTEST_LIMIT_S = 3600
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


def run(argv, limit_s, env=None, live=False):
    """Run one program in its own process group; a hang kills the group. -> (exit code or None, output)"""
    proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=None if live else subprocess.PIPE,
                            stderr=None if live else subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=TOP,
                            start_new_session=not live, errors="replace", text=True)
    try:
        out, _ = proc.communicate(timeout=limit_s)
        return proc.returncode, out or ""
    except subprocess.TimeoutExpired:
        if live:
            proc.terminate()
        else:
            os.killpg(proc.pid, signal.SIGKILL)
        out, _ = proc.communicate()
        return None, out or ""


def verdict(code):
    if code is None:
        return f"did not end within {PROGRAM_LIMIT_S} s"
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


def run_tap(suite, programs, logs):
    totals = Totals()
    for program in programs:
        name = pathlib.Path(program).name
        if suite == "bpf" and os.geteuid() != 0:
            print(f"  SKIP    {name}: needs root")
            totals.add(skipped=1)
            continue
        code, out = run([*EMULATOR, program], PROGRAM_LIMIT_S, {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
        (logs / f"{suite}-{name}.log").write_text(out)
        passed, failed, skipped = tap_counts(out)
        if code == 77 and not failed:
            skipped = max(skipped, 1)
        elif code != 0 and not failed:
            failed, out = 1, out + f"\n{name} {verdict(code)}"
        elif code == 0 and passed + failed + skipped == 0:
            failed, out = 1, out + f"\n{name} ran no test"
        totals.add(passed, failed, skipped)
        if failed:
            print(f"  FAIL    {name}\n" + "\n".join("          " + l for l in out.splitlines()))
        else:
            print(f"  ok      {name} ({passed}{f', {skipped} skipped' if skipped else ''})")
    return totals


def run_fuzz(programs, logs):
    totals = Totals()
    for program in programs:
        name = pathlib.Path(program).name
        corpus = TOP / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
        files = sorted(str(f) for f in corpus.glob("*") if f.is_file())
        if not files:
            print(f"  FAIL    {name}: no corpus in {corpus.relative_to(TOP)}")
            totals.add(failed=1)
            continue
        code, out = run([*EMULATOR, program, *files], PROGRAM_LIMIT_S)
        (logs / f"fuzz-{name}.log").write_text(out)
        if code == 0:
            totals.add(passed=len(files))
            print(f"  ok      {name} ({len(files)} inputs)")
        else:
            totals.add(failed=1)
            print(f"  FAIL    {name} {verdict(code)}\n{out}")
    return totals


def run_layers(logs):
    code, out = run([sys.executable, "mk/check-layers.py"], PROGRAM_LIMIT_S)
    (logs / "layers.log").write_text(out)
    totals = Totals()
    match = re.search(r"layers: (\d+) passed, (\d+) failed", out)
    if match:
        totals.add(int(match[1]), int(match[2]))
    if code != 0:
        print(out)
        totals.add(failed=0 if totals.failed else 1)
    else:
        print(f"  ok      check-layers ({totals.passed} files)")
    return totals


def run_headers(headers, logs):
    code, out = run([os.environ.get("MAKE", "make"), "-k", "check-headers"], 600)
    (logs / "headers.log").write_text(out)
    totals = Totals()
    build = pathlib.Path(os.environ.get("VPCWIRE_BUILD", TOP / "build"))
    bad = [h for h in headers if not (build / "headers" / f"{h}.ok").exists()]
    if code != 0:
        print(out)
        totals.add(passed=len(headers) - len(bad), failed=max(1, len(bad)))
    else:
        totals.add(passed=len(headers))
        print(f"  ok      check-headers ({len(headers)} headers)")
    return totals


def node_id(case):
    """tests.e2e.test_bad_input.TestCloud, test_x[0] -> tests/e2e/test_bad_input.py::TestCloud::test_x[0]"""
    path, in_class, inner = case.get("classname").replace(".", "/").partition("/Test")
    return f"{path}.py::" + (f"Test{inner}::" if in_class else "") + case.get("name")


def pytest_once(args, report, env):
    """-> the names of the tests that failed, and what was counted"""
    report.unlink(missing_ok=True)
    # pytest would keep the last runs' files in /tmp; a short path, because sockets are made in it
    with tempfile.TemporaryDirectory(prefix="vpcwire-test-") as scratch:
        argv = ["/usr/bin/python3", "-m", "pytest", f"--junitxml={report}", f"--basetemp={scratch}/t", *args]
        code, _ = run(argv, PYTEST_LIMIT_S, env, live=True)
    totals, bad = Totals(), []
    if report.exists():
        cases = {node_id(case): case for case in ElementTree.parse(report).iter("testcase")}
        skipped = [name for name, case in cases.items() if case.find("skipped") is not None]
        bad = [name for name, case in cases.items() if case.find("failure") is not None or case.find("error") is not None]
        totals.add(len(cases) - len(bad) - len(skipped), len(bad), len(skipped))
    if code not in (0, 5) and not totals.failed:
        totals.add(failed=1)
    return bad, totals


def run_pytest(args, logs, unstable, build=None):
    """pytest DIR ARG..., on the programs of `build` if it is given; the files of what failed are run once more."""
    if not args:
        return Totals()
    report = logs / f"{'sanitized' if build else 'pytest'}-{pathlib.Path(args[0]).name}.xml"
    env = {"PYTHONDONTWRITEBYTECODE": "1", **({"VPCWIRE_BUILD": str(TOP / build)} if build else {})}
    bad, totals = pytest_once(args, report, env)
    if not 0 < len(bad) <= MAX_AGAIN:
        return totals
    files = sorted({name.partition("::")[0] for name in bad})
    print(f"  AGAIN   {' '.join(files)}", flush=True)
    _, again = pytest_once([*files, *args[1:]], report.with_suffix(".again.xml"), env)
    if again.passed and not again.failed:
        unstable += bad
        totals.add(passed=len(bad), failed=-len(bad))
    return totals


def main():
    args = sys.argv[1:]
    logs = TOP / "build/test-logs"
    if args[:1] == ["--log-dir"]:
        logs = TOP / args[1]
        args = args[2:]
    logs.mkdir(parents=True, exist_ok=True)
    suites, current = [], []
    for arg in args + ["--"]:
        if arg == "--":
            if current:
                suites.append(current)
            current = []
        else:
            current.append(arg)
    grand, unstable = Totals(), []
    for name, *rest in suites:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        if name in ("unit", "bpf", "policy"):
            totals = run_tap(name, rest, logs)
        elif name == "fuzz":
            totals = run_fuzz(rest, logs)
        elif name == "layers":
            totals = run_layers(logs)
        elif name == "headers":
            totals = run_headers(rest, logs)
        elif name == "pytest":
            totals = run_pytest(rest, logs, unstable)
        elif name == "sanitized":
            totals = run_pytest(rest[1:], logs, unstable, build=rest[0])
        else:
            sys.exit(f"unknown suite {name}")
        print(f"-- {name}: {totals.line()} ({time.monotonic() - start:.1f} s)", flush=True)
        grand.add(totals.passed, totals.failed, totals.skipped)
    for name in unstable:
        print(f"  UNSTABLE {name}: failed, and passed when it was run again")
    print(grand.line())
    return 1 if grand.failed or not grand.passed else 0


if __name__ == "__main__":
    sys.exit(main())
