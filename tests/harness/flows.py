# SPDX-License-Identifier: Apache-2.0
"""Thousands of flows between two pods that never rest (tests/e2e/polflows.c), and what became of their packets."""
import collections
import contextlib
import pathlib
import subprocess

from tests.harness import proc

PORT = 8080
State = collections.namedtuple("State", "rounds lost leaked strays fired")

# polflows speaks for the pod: its own stack must not answer, but for its neighbours
MUTE = "table inet mute\ndelete table inet mute\ntable inet mute {\nchain input {\ntype filter hook input priority 0; policy drop;\nicmpv6 type { 135, 136 } accept\n}\n}\n"


class Flows:
    """One end: asks `count` flows of `other` and answers what that asks. A context manager."""

    def __init__(self, pod, other, count):
        self.name = f"{pod.name} to {other.name}"
        pod.run("nft", "-f", "-", input=MUTE)
        gateway = next(i["mac"] for i in pod.result.interfaces if not i.get("sandbox"))
        self.path = pathlib.Path(pod.node.lab.dir.name) / f"flows-{pod.name}-{other.name}.out"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                pod.node.argv("nsenter", f"--net={pod.netns}", proc.BIN / "polflows", gateway, count, pod.result.address,
                              other.result.address, pod.result.address6, other.result.address6),
                stdin=subprocess.PIPE, stdout=out, env=pod.node.env())

        proc.wait_until(self._lines, f"the flows of {self.name} to be ready")

    def _lines(self):
        assert self.process.poll() is None, f"the flows of {self.name} have ended: {self.process.returncode}"
        return self.path.read_bytes().split(b"\n")[:-1]

    def go(self):
        self.process.stdin.write(b"g")
        self.process.stdin.flush()

    def state(self):
        last = self._lines()[-1]
        return State(-1, 0, 0, 0, 0) if last == b"ready" else State(*(int(w) for w in last.split()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def more_rounds(ends, count, timeout=60):
    """Wait until each end has gone round all of its flows `count` times more, begun and ended after this call."""
    goals = [(e, e.state().rounds + 1 + count) for e in ends]
    proc.wait_until(lambda: all(e.state().rounds >= goal for e, goal in goals),
                    lambda: f"{count} rounds of {[(e.name, e.state(), goal) for e, goal in goals]}", timeout)


@contextlib.contextmanager
def between(a, b, stranger, count):
    """`count` flows between pods a and b, half of them opened by each; and packets of a stranger to both, which must not arrive.

    -> the ends, those with flows first.
    """
    with Flows(a, b, count // 2) as ab, Flows(b, a, count // 2) as ba, Flows(stranger, a, 0) as to_a, Flows(stranger, b, 0) as to_b:
        ends = [ab, ba, to_a, to_b]
        for end in ends:
            end.go()
        yield ends
