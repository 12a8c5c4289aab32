# SPDX-License-Identifier: Apache-2.0
"""usage: hooks.py INTERFACE: ids of the eBPF programs on both hooks of a link, by clsact and by tcx, as JSON

Debian 12's bpftool does not know tcx; here bpf(2) is asked itself (include/uapi/linux/bpf.h).
"""
import ctypes
import json
import os
import platform
import socket
import subprocess
import sys

NR_BPF = {"x86_64": 321, "aarch64": 280}
PROG_QUERY = 16
TCX = {"ingress": 46, "egress": 47}


def bpf(command, *words):
    """union bpf_attr as 32-bit words -> what the call returned, and the words then. OSError."""
    attr = (ctypes.c_uint32 * 20)(*words)
    done = ctypes.CDLL(None, use_errno=True).syscall(NR_BPF[platform.machine()], command, attr, ctypes.sizeof(attr))
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done, attr


def pointer(to):
    """A 64-bit member: two words, little-endian."""
    return ctypes.addressof(to) & 0xffffffff, ctypes.addressof(to) >> 32


def by_tcx(index, hook):
    ids = (ctypes.c_uint32 * 64)()
    try:
        # target, attach_type, query_flags, attach_flags; prog_ids; count, ...
        _, attr = bpf(PROG_QUERY, index, TCX[hook], 0, 0, *pointer(ids), len(ids))
    except FileNotFoundError:
        return []
    return list(ids[:attr[6]])


def by_clsact(name, hook):
    shown = subprocess.run(["tc", "-j", "filter", "show", "dev", name, hook], check=False, capture_output=True, text=True, timeout=10).stdout
    return [f["options"]["prog"]["id"] for f in json.loads(shown or "[]") if "prog" in f.get("options", {})]


if __name__ == "__main__":
    NAME = sys.argv[1]
    print(json.dumps({hook: by_clsact(NAME, hook) + by_tcx(socket.if_nametoindex(NAME), hook) for hook in TCX}))
