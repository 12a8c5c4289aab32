# SPDX-License-Identifier: Apache-2.0
"""Running programs with a limit on everything, and waiting for conditions instead of for time to pass."""
import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("VPCWIRE_BUILD", TOP / "build")).resolve()
BIN = BUILD / "bin"
SIM = str(BIN / "vpcwire-sim")
PLUGIN = str(BIN / "vpcwire")
# starting a sanitized program takes ten times as long: there repetitions are fewer and limits wider
SANITIZED = (BIN / "vpcwire").exists() and b"__asan_init" in (BIN / "vpcwire").read_bytes()


def times(count):
    """How often to repeat what is repeated to catch a race."""
    return max(1, count // 10) if SANITIZED else count


class CommandFailed(AssertionError):
    """A program that should have worked did not: says which, how it ended and what it printed."""


def run(argv, *, input=None, timeout=60, check=True, env=None, cwd=None):
    """Run a program to its end; text in, text out. A hang is killed with its whole process group and is a failure."""
    proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd, start_new_session=True)
    data = input.encode() if isinstance(input, str) else input
    try:
        out, err = proc.communicate(data, timeout=timeout)
    except BaseException as exc:
        with contextlib.suppress(ProcessLookupError):  # it may have ended in this very moment
            os.killpg(proc.pid, signal.SIGKILL)
        out, err = proc.communicate()
        if isinstance(exc, subprocess.TimeoutExpired):
            raise CommandFailed(f"{describe(argv)}: no end within {timeout} s\nstdout: {text(out)}\nstderr: {text(err)}") from None
        raise
    done = subprocess.CompletedProcess(argv, proc.returncode, text(out), text(err))
    if check and proc.returncode != 0:
        raise CommandFailed(f"{describe(argv)}: exit {proc.returncode}\nstdout: {done.stdout}\nstderr: {done.stderr}")
    return done


@contextlib.contextmanager
def beside(argv, **kwargs):
    """A program that runs beside a block, and is killed with it if it has not ended: Popen's own `with` would wait for it, for ever after a failure."""
    with subprocess.Popen([str(a) for a in argv], **kwargs) as child:
        try:
            yield child
        finally:
            child.kill()


def make(*words, folder="", timeout=300):
    """`make WORDS` in the checkout, with the knobs that BUILD was built with: others would build everything anew.

    folder: inside BUILD, for one with other knobs.
    """
    base, _, sanitizers = os.path.relpath(BUILD, TOP).partition("-")
    base = os.path.join(base, folder) if folder else base       # "build/" would be another folder to make: all built anew
    flags = (BUILD / ".flags").read_text().split()
    compiler = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), flags))
    knobs = [f"BUILD={base}", "SANITIZE=" + sanitizers.replace("-", ","), f"CC={compiler}", f"DEVELOPER={int('-Werror' in flags)}"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return run(["make", "-C", TOP, *words, *knobs], env=env, timeout=timeout)


def text(data):
    return (data or b"").decode("utf-8", "backslashreplace")


def describe(argv):
    return " ".join(str(a) for a in argv)


def wait_until(condition, what, timeout=30, every=0.02):
    """Poll until condition() is true-ish and return that; say what never came when it does not (text, or what makes it).

    The pause between two looks only spares the processor; no test depends on its length.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for: {what() if callable(what) else what}")
        pause.wait(every)


def descendants(pid):
    """pids of all processes below pid, as this namespace numbers them."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        children.setdefault(int(stat[stat.rindex(")") + 2:].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def start_time(pid):
    """When a process began, in clock ticks since boot: with the pid, its identity. None when there is no such process."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat[stat.rindex(")") + 2:].split()[19]


def identity(pid):
    return pid, start_time(pid)


def alive(who):
    pid, began = who
    return began is not None and start_time(pid) == began
