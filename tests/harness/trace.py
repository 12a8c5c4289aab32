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

MESSAGE = re.compile(r"nlmsg_type=(?P<type>\w+)[^,]*, nlmsg_flags=(?P<flags>[^,]+),")
# strace does not know the family of a netlink socket in another network namespace, and then prints numbers and raw bytes
NAMES = {16: "RTM_NEWLINK", 17: "RTM_DELLINK", 18: "RTM_GETLINK", 19: "RTM_SETLINK", 20: "RTM_NEWADDR", 22: "RTM_GETADDR",
         24: "RTM_NEWROUTE", 26: "RTM_GETROUTE", 28: "RTM_NEWNEIGH", 30: "RTM_GETNEIGH", 32: "RTM_NEWRULE", 34: "RTM_GETRULE"}
FLAG_BITS = {"NLM_F_ROOT": 0x100, "NLM_F_MATCH": 0x200, "NLM_F_DUMP": 0x300, "NLM_F_REPLACE": 0x100, "NLM_F_EXCL": 0x200,
             "NLM_F_CREATE": 0x400, "NLM_F_APPEND": 0x800, "NLM_F_ATOMIC": 0x400}
DUMP, CREATE = 0x300, 0x400
IFINFOMSG_BYTES = 16
IFLA_IFNAME, IFLA_NET_NS_PID, IFLA_NET_NS_FD = 3, 19, 28


class Message:
    """One route netlink message that a program sent; `text` is how strace printed what follows its header."""

    def __init__(self, kind, flags, text):
        self.type = NAMES.get(int(kind, 16), kind) if kind.startswith("0x") else kind
        self.flags = sum(int(f, 16) if f.startswith("0x") else FLAG_BITS.get(f, 0) for f in flags.split("|"))
        self.text = text

    def __repr__(self):
        return f"{self.type} flags {self.flags:#x} {self.text[:200]}"

    def _raw_attributes(self):
        """Index of the link and numbers of the attributes, from bytes that strace left as they are."""
        quoted = re.search(r'"((?:\\x[0-9a-f]{2})+)"', self.text)
        data = bytes.fromhex(quoted[1].replace("\\x", "")) if quoted else b""
        index, at, found = int.from_bytes(data[4:8], "little"), IFINFOMSG_BYTES, set()
        while at + 4 <= len(data):
            length = int.from_bytes(data[at:at + 2], "little")
            found.add(int.from_bytes(data[at + 2:at + 4], "little") & 0x3FFF)
            at += max(4, (length + 3) & ~3)
        return index, found

    def reads(self):
        """It asks, and changes nothing."""
        return self.type.startswith("RTM_GET")

    def moves_or_renames(self):
        """A change of a link that exists already, of its namespace or its name (a name without an index only finds it)."""
        if self.type not in ("RTM_NEWLINK", "RTM_SETLINK") or self.flags & CREATE:
            return False
        if "ifi_index=" in self.text:
            named = "nla_type=IFLA_IFNAME" in self.text and not re.search(r"ifi_index=0[,}]", self.text)
            return named or bool(re.search(r"nla_type=IFLA_NET_NS_(FD|PID)", self.text))
        index, attributes = self._raw_attributes()
        return bool(attributes & {IFLA_NET_NS_PID, IFLA_NET_NS_FD} or index and IFLA_IFNAME in attributes)

    def is_dump(self):
        """A request for a whole table. The same bits mean REPLACE and EXCL in a NEW message."""
        return self.type.startswith("RTM_GET") and bool(self.flags & DUMP)


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
        """Every route netlink message sent, those of a batch one by one."""
        found = []
        for line in self.lines:
            if not re.search(r"\bsend(to|msg|mmsg)\(", line):
                continue
            hits = list(MESSAGE.finditer(line))
            for hit, following in zip(hits, hits[1:] + [None]):
                found.append(Message(hit["type"], hit["flags"], line[hit.end():following.start() if following else len(line)]))
        return found

    def dumps(self):
        return [m for m in self.route_messages() if m.is_dump()]

    def moves_and_renames(self):
        return [m for m in self.route_messages() if m.moves_or_renames()]


class Attached:
    """strace on a running process of a node, from when it has really attached to when it has let go."""

    def __init__(self, node, pid, path, *options):
        self.node, self.path = node, path
        script = 'echo $$; exec "$@"'
        self.proc = subprocess.Popen(node.argv("sh", "-c", script, "-", *FLAGS, path, *options, "-p", pid), stdin=subprocess.DEVNULL,
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
