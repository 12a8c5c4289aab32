# SPDX-License-Identifier: Apache-2.0
"""A plugin to delegate to, which records how it is called and answers what it is told: a shell script of the test's own."""
import json
import os

SCRIPT = """#!/bin/sh
n=$(ls "{dir}" | grep -c '^[0-9]*\\.[A-Z]*\\.stdin$')
cat > "{dir}/$n.$CNI_COMMAND.stdin"
tr '\\0' '\\n' < /proc/self/environ > "{dir}/$n.$CNI_COMMAND.env"
readlink /proc/self/ns/net > "{dir}/$n.$CNI_COMMAND.netns"
echo "{path} runs $CNI_COMMAND" >&2
[ ! -e "{dir}/$CNI_COMMAND.out" ] || cat "{dir}/$CNI_COMMAND.out"
[ ! -e "{dir}/$CNI_COMMAND.fails" ] || exit 1
"""


class Delegate:
    def __init__(self, folder, name="recorder"):
        folder.mkdir(exist_ok=True)
        self.dir, self.name, self.path = folder / f"{name}.calls", name, folder / name
        self.dir.mkdir()
        self.path.write_text(SCRIPT.format(dir=self.dir, path=self.path))
        os.chmod(self.path, 0o755)

    def answer(self, command, answer):
        (self.dir / f"{command}.fails").unlink(missing_ok=True)
        (self.dir / f"{command}.out").write_text(answer if isinstance(answer, str) else json.dumps(answer))

    def fail(self, command, code, msg, details=""):
        self.answer(command, {"cniVersion": "1.1.0", "code": code, "msg": msg, "details": details})
        (self.dir / f"{command}.fails").touch()

    def calls(self):
        """[(command, stdin, environment, network namespace)] in order; and they are forgotten."""
        found = []
        for path in sorted(self.dir.glob("*.stdin"), key=lambda p: int(p.name.split(".")[0])):
            command = path.name.split(".")[1]
            env = dict(l.split("=", 1) for l in path.with_suffix(".env").read_text().splitlines() if "=" in l)
            found.append((command, path.read_text(), env, path.with_suffix(".netns").read_text().strip()))
            for suffix in (".stdin", ".env", ".netns"):
                path.with_suffix(suffix).unlink()
        return found

    def commands(self):
        return [c[0] for c in self.calls()]
