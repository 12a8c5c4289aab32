# SPDX-License-Identifier: Apache-2.0
"""What the pages for operators say that is seen. docs/OPERATIONS.md, "By symptom": who provokes a failure asks operator_sees() whether an operator
sees what the page says. A message quoted elsewhere on these pages: who provokes it looks for quoted(it) in what was printed."""
import json
import re

from tests.harness import proc

PAGE = proc.TOP / "docs/OPERATIONS.md"
PAGES = [PAGE, *(proc.TOP / "docs" / f"{name}.md" for name in ("KUBERNETES", "MIGRATION"))]
# code of several words that is no message begins with one of these: commands, and vpcwirectl's own; settings have a colon behind one word
COMMANDS = {"apt", "docker", "drain", "dump", "events", "explain", "helm", "kubectl", "make", "policy", "pool", "sh", "ssh", "systemctl", "systemd-analyze", "vpcwire-feed",
            "vpcwirectl", "vpcwired"}
# other programs' own texts, which nothing here makes: the kernel's of a system call that is refused
FOREIGN = {'audit: type=1326 ... comm="vpcwired" ... syscall=N'}


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


def quotes():
    """The messages that the pages quote, but those of the table."""
    found = set()
    for path in PAGES:
        page = re.sub(r"^\| what it says \| what it is \|.*?\n\n", "", path.read_text(), flags=re.M | re.S)
        page = re.sub(r"^(```.*?```|    .*?)$", "", page, flags=re.M | re.S)
        found |= {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", page)}
    return {q for q in found if " " in q and q.split()[0] not in COMMANDS and not re.match(r"[\w.]+: \w+$", q)} - FOREIGN


def quoted(text):
    """A pattern for a message as the pages quote it: "..." is anything, a number any number."""
    assert text in quotes(), f"no page quotes: {text}"
    return re.compile(re.sub(r"(?<![\w/.])\d+(?= )", r"\\d+", re.escape(text).replace(re.escape("..."), ".*").replace("\\ ", " ")))
