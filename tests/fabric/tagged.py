# SPDX-License-Identifier: Apache-2.0
"""usage: tagged.py IFNAME VLAN SOURCE_MAC SOURCE_IP TARGET_IP SECONDS

Asks by ARP for a target under a VLAN tag (0 = none), then by ICMP echo through whoever answered. Prints what came back within the time:
{"arp": MAC or null, "echo": true or false, "vlan": tag of the answers}. Frames are made by hand: the kernel here has no VLAN devices.
"""
import json
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 1 << 4
ifname, vlan, mac, source, target, seconds = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6], float(sys.argv[6])


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(to, kind, payload):
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return to + mac_bytes(mac) + tag + struct.pack("!H", kind) + payload


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp_request():
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac_bytes(mac), socket.inet_aton(source), bytes(6), socket.inet_aton(target))


def echo_request():
    icmp = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + b"tagged!!"
    icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0, socket.inet_aton(source), socket.inet_aton(target))
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + icmp


def answers(deadline):
    """(frame without its tag, tag) of everything that comes in."""
    while (left := deadline - time.monotonic()) > 0:
        s.settimeout(left)
        try:
            data, extra, _, _ = s.recvmsg(65536, 256)
        except TimeoutError:
            return
        tag = 0
        for level, kind, value in extra:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", value)
                tag = tci & 0xFFF if status & TP_STATUS_VLAN_VALID else 0
        yield data, tag


s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((ifname, 0))
s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
found = {"arp": None, "echo": False, "vlan": None}
s.send(frame(b"\xff" * 6, 0x0806, arp_request()))
for data, tag in answers(time.monotonic() + seconds):
    if data[12:14] == b"\x08\x06" and data[20:22] == b"\x00\x02" and data[28:32] == socket.inet_aton(target):
        found.update(arp=data[22:28].hex(":"), vlan=tag)
        break
if found["arp"]:
    s.send(frame(mac_bytes(found["arp"]), 0x0800, echo_request()))
    for data, tag in answers(time.monotonic() + seconds):
        if data[12:14] == b"\x08\x00" and data[23] == 1 and data[26:30] == socket.inet_aton(target) and data[34] == 0:
            found.update(echo=True)
            assert tag == found["vlan"], (tag, found)
            break
print(json.dumps(found))
