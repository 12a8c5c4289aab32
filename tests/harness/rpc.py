# SPDX-License-Identifier: Apache-2.0
"""usage: rpc.py SOCKET [JSON]

One request to a daemon over its SOCK_SEQPACKET socket; prints the reply packet. Without a request: the daemon's pid.
"""
import socket
import struct
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.settimeout(10)
    s.connect(sys.argv[1])
    if len(sys.argv) > 2:
        s.send(sys.argv[2].encode())
        print(s.recv(1 << 16).decode())
    else:
        print(struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
