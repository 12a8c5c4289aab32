# SPDX-License-Identifier: Apache-2.0
"""CNI calls timed from exec to exit on a node, by tests/bench/cnispawn.c (Python's own fork would be in the figures)."""
import pathlib
import subprocess

from tests.harness import cni, proc


class Spawner:
    """One cnispawn process in a node; a context manager. most_kib: what the last plugin had in memory at most."""

    def __init__(self, node, cni_path=None):
        self.dir = pathlib.Path(node.lab.dir.name)
        self.out = self.dir / f"spawn-{node.name}-{id(self)}.out"
        self.proc = subprocess.Popen(node.argv(proc.BIN / "cnispawn", cni_path or node.lab.env["CNI_PATH"], self.out),
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=node.env())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        self.proc.wait(60)
        self.proc.stdout.close()

    def conf_file(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def call(self, plugin, conf_path, command, container_id, netns, ifname="eth0"):
        """-> (milliseconds, what it printed as JSON or None). A plugin that fails is an error here: CniError."""
        self.proc.stdin.write(f"{plugin} {conf_path} {command} {container_id} {netns} {ifname}\n")
        answer = self.proc.stdout.readline().split()
        assert len(answer) == 4, f"cnispawn ended: {answer}"
        ns, code, self.most_kib = int(answer[0]), int(answer[1]), int(answer[3])
        printed = self.out.read_text()
        if code != 0:
            error = cni.strict_object(printed, f"{command} by {plugin} (exit {code})")
            raise cni.CniError(error.get("code"), error.get("msg"), error.get("details"), error)
        return ns / 1e6, cni.strict_object(printed, command) if printed else None
