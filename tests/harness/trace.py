# SPDX-License-Identifier: Apache-2.0
"""What a program asked of the kernel, as strace saw it, and the questions that the tests put to that record."""
import os
import pathlib
import re
import select
import subprocess
import time

from tests.harness import proc

CALLS = "trace=execve,execveat,fork,vfork,clone,clone3,socket,connect,sendto,sendmsg,sendmmsg,setns"
FLAGS = ("strace", "-f", "-v", "-s", "65536", "-e", CALLS, "-o")

MESSAGE = re.compile(r"nlmsg_type=(?P<type>[A-Z0-9_x]+)[^,]*, nlmsg_flags=(?P<flags>[^,]+),")


class Trace:
    def __init__(self, path):
        self.lines = pathlib.Path(path).read_text(errors="replace").splitlines()

    def execs(self):
        """Programs that were started, the traced one itself included where strace started it."""
        return [l for l in self.lines if re.search(r"\bexecve(at)?\(", l) and "= -1" not in l and "resumed" not in l]

    def forks(self):
        """New processes. Threads share the memory of their process and are not counted."""
        return [l for l in self.lines if re.search(r"\b(fork|vfork|clone3?)\(", l) and "CLONE_VM" not in l and "resumed" not in l]

    def internet_connects(self):
        return [l for l in self.lines if re.search(r"\bconnect\(", l) and re.search(r"sa_family=AF_INET6?\b", l)]

    def route_messages(self):
        """(type, flags, text up to the next message) of each route netlink message sent, those of a batch one by one."""
        found = []
        for line in self.lines:
            if not re.search(r"\bsend(to|msg|mmsg)\(", line):
                continue
            hits = list(MESSAGE.finditer(line))
            for hit, following in zip(hits, hits[1:] + [None]):
                body = line[hit.end():following.start() if following else len(line)]
                found.append((hit["type"], hit["flags"], body))
        return found

    def dumps(self):
        """Requests for a whole table. NLM_F_DUMP is NLM_F_ROOT|NLM_F_MATCH, bits that mean REPLACE|EXCL in a NEW message."""
        return [m for m in self.route_messages() if "DUMP" in m[1] or m[0].startswith("RTM_GET") and re.search("ROOT|MATCH", m[1])]

    def moves_and_renames(self):
        """Changes of an existing link that move it to another namespace or give it another name."""
        return [m for m in self.route_messages() if m[0] in ("RTM_NEWLINK", "RTM_SETLINK") and "NLM_F_CREATE" not in m[1] and
                re.search(r"IFLA_NET_NS_(FD|PID)|nla_type=IFLA_IFNAME", m[2])]


class Attached:
    """strace on a running process of a node, from when it has really attached to when it has let go."""

    def __init__(self, node, pid, path):
        self.node, self.path = node, path
        script = 'echo $$; exec "$@"'
        self.proc = subprocess.Popen(node.argv("sh", "-c", script, "-", *FLAGS, path, "-p", pid), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=node.env())

    def __enter__(self):
        self.pid = self._read(self.proc.stdout, b"\n").split()[0].decode()
        self._read(self.proc.stderr, b"attached")
        return self

    def _read(self, stream, wanted):
        data, deadline = b"", time.monotonic() + 10
        while wanted not in data:
            ready, _, _ = select.select([stream], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(stream.fileno(), 4096) if ready else b""
            assert chunk, f"strace did not attach: {data.decode(errors='replace')}"
            data += chunk
        return data

    def __exit__(self, *_):
        self.node.run("kill", "-INT", self.pid)
        try:
            self.proc.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.node.run("kill", "-KILL", self.pid)
            self.proc.communicate(timeout=10)
            raise AssertionError("strace did not let go of the daemon") from None

    def trace(self):
        return Trace(self.path)


def of_plugin(node, name):
    """The file that a traced plugin run writes to, and the words to put before the plugin."""
    path = pathlib.Path(node.lab.dir.name) / f"{name}.strace"
    return path, (proc.run(["which", "strace"]).stdout.strip(), *FLAGS[1:], str(path))
