# SPDX-License-Identifier: Apache-2.0
"""usage: hooks.py INTERFACE: ids of the eBPF programs on both hooks of a link, by clsact and by tcx, as JSON

Debian 12's bpftool does not know tcx; here bpf(2) is asked itself (BPF_PROG_QUERY, include/uapi/linux/bpf.h).
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


def by_tcx(index, hook):
    ids = (ctypes.c_uint32 * 64)()
    # struct { target, attach_type, query_flags, attach_flags; u64 prog_ids; u32 count, padding; ... }
    attr = (ctypes.c_uint32 * 20)(index, TCX[hook], 0, 0, ctypes.addressof(ids) & 0xffffffff, ctypes.addressof(ids) >> 32, 64)
    if ctypes.CDLL(None, use_errno=True).syscall(NR_BPF[platform.machine()], PROG_QUERY, attr, ctypes.sizeof(attr)) < 0:
        if ctypes.get_errno() == 2:
            return []
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return list(ids[:attr[6]])


def by_clsact(name, hook):
    shown = subprocess.run(["tc", "-j", "filter", "show", "dev", name, hook], check=False, capture_output=True, text=True, timeout=10).stdout
    return [f["options"]["prog"]["id"] for f in json.loads(shown or "[]") if "prog" in f.get("options", {})]


if __name__ == "__main__":
    NAME = sys.argv[1]
    print(json.dumps({hook: by_clsact(NAME, hook) + by_tcx(socket.if_nametoindex(NAME), hook) for hook in TCX}))
