# SPDX-License-Identifier: Apache-2.0
"""The eBPF objects that a node's daemon holds, by the kernel's own account of its file descriptors."""
import collections

Held = collections.namedtuple("Held", "maps progs pins fds bytes")


def held(node, pid=None):
    """-> ids of maps and programs, pins, what each descriptor is, and the bytes that maps and programs take."""
    pid = pid or node.daemon_pid()
    ids, size = {"map_id": set(), "prog_id": set()}, {}
    for block in node.run("sh", "-c", f'for f in /proc/{pid}/fdinfo/*; do echo "--"; cat $f; done 2>/dev/null').stdout.split("--\n"):
        facts = dict(line.split(":", 1) for line in block.splitlines() if ":" in line)
        for kind, found in ids.items():
            if kind in facts:
                found.add(int(facts[kind]))
                size[kind, int(facts[kind])] = int(facts["memlock"])
    pins = node.run("sh", "-c", "find /sys/fs/bpf -type f | sort").stdout.splitlines()
    fds = node.run("sh", "-c", f"ls -l /proc/{pid}/fd | sed 's/.* -> //; s/:\\[.*//' | sort").stdout.splitlines()
    return Held(sorted(ids["map_id"]), sorted(ids["prog_id"]), pins, fds, sum(size.values()))
