# SPDX-License-Identifier: Apache-2.0
"""usage: tcx.py PINS INTERFACE [from_pod | to_pod]: takes that program off tcx, then says how many are on both hooks, ingress first

bpf(2) by hand: what Debian 12's bpftool does not know.
"""
import ctypes
import os
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
NR = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
OBJ_GET, PROG_DETACH, PROG_QUERY = 7, 9, 16


def bpf(command, attr):
    buf = ctypes.create_string_buffer(attr, len(attr))
    done = libc.syscall(NR, command, buf, len(attr))
    if done < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return done, buf


def main(pins, interface, taken=None):
    link, counts = socket.if_nametoindex(interface), []
    for program, where in (("from_pod", 46), ("to_pod", 47)):
        if taken == program:
            path = ctypes.create_string_buffer(f"{pins}/{program}".encode())
            fd, _ = bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(path), 0, 0))
            bpf(PROG_DETACH, struct.pack("=IIIIIIQ", link, fd, where, 0, 0, 0, 0))
        _, answer = bpf(PROG_QUERY, struct.pack("=IIIIQIIQQQQ", link, where, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        counts.append(struct.unpack_from("=I", answer.raw, 24)[0])
    print(*counts)


main(*sys.argv[1:])
