# SPDX-License-Identifier: Apache-2.0
"""usage: tagpeer.py IFNAME MAC

The VPC's side of a trunk, by raw frames: answers "pong" to each frame of local experiments that it sees from somebody, under the same tag and from MAC.
Prints what it saw, one line for each: {"vlan": tag, "from": MAC, "to": MAC, "said": text}. Prints {} when it listens. Ends when it is killed.
"""
import json
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID, PACKET_OUTGOING = 263, 8, 1 << 4, 4
KIND = struct.pack("!H", 0x88B5)
ifname, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))

s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
s.bind((ifname, 0))
print("{}", flush=True)
while True:
    data, extra, _, address = s.recvmsg(65536, 256)
    if address[2] == PACKET_OUTGOING or data[12:14] != KIND:
        continue
    vlan = 0
    for level, kind, value in extra:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", value)
            vlan = tci & 0xFFF if status & TP_STATUS_VLAN_VALID else 0
    print(json.dumps({"vlan": vlan, "to": data[:6].hex(":"), "from": data[6:12].hex(":"), "said": data[14:].rstrip(b"\0").decode()}), flush=True)
    s.send(data[6:12] + mac + struct.pack("!HH", 0x8100, vlan) + KIND + b"pong".ljust(50, b"\0"))
