# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATIONS.md, "By symptom": who provokes a failure asks here whether an operator sees what the page says."""
import json
import re

from tests.harness import proc

PAGE = proc.TOP / "docs/OPERATIONS.md"


def rows():
    """What the table says -> what to do about it."""
    page = PAGE.read_text()
    table = page[page.index("| what it says |"):]
    table = table[:table.index("\n\n")]
    return {says: todo for says, todo in re.findall(r"^\| `([^`]+)` \| .* \| (.*) \|$", table, re.M)}


def _status(node, *words):
    return node.run(proc.BIN / "vpcwirectl", "--socket", node.socket, *words, "status", check=False).stdout


def operator_sees(node, says):
    """`vpcwirectl status` shows this text of the table, and below it what the page says is to be done; with --json too. The failure must last."""
    todo = rows()[says]

    def seen():
        lines = [line.strip() for line in _status(node).splitlines()]
        answer = json.loads(_status(node, "--json") or "{}")
        members = [(m.get("what") or m["text"], m.get("todo")) for m in answer.get("troubles", []) + answer.get("errors", [])]
        return (any(says in a and b == f"-> {todo}" for a, b in zip(lines, lines[1:]))
                and any(says in what and remedy == todo for what, remedy in members))
    proc.wait_until(seen, lambda: f"'{says}' and '{todo}' in:\n{_status(node)}", timeout=60)
