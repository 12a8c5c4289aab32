# SPDX-License-Identifier: Apache-2.0
"""usage: tcx.py PINS INTERFACE [from_pod | to_pod]: takes that program off tcx, then says how many are on both hooks, ingress first"""
import ctypes
import socket
import sys

import hooks            # a program as this one, beside it

OBJ_GET, PROG_DETACH = 7, 9
WHERE = {"from_pod": "ingress", "to_pod": "egress"}


def main(pins, interface, taken=None):
    link = socket.if_nametoindex(interface)
    if taken:
        path = ctypes.create_string_buffer(f"{pins}/{taken}".encode())
        fd, _ = hooks.bpf(OBJ_GET, *hooks.pointer(path))
        hooks.bpf(PROG_DETACH, link, fd, hooks.TCX[WHERE[taken]])
    print(*(len(hooks.by_tcx(link, hook)) for hook in WHERE.values()))


main(*sys.argv[1:])
