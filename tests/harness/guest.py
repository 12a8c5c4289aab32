# SPDX-License-Identifier: Apache-2.0
"""usage: guest.py tap|macvtap IFNAME UID GID [SOURCE_MAC TARGET_MAC [OTHER_MAC]]

A VMM that opens the tap or macvtap IFNAME of its network namespace as this user and group, as nothing more than they may; and the
guest behind it, which says "ping" to the target in a frame of its own until it gets an answer. Prints {"refused": errno}, or {"open": true},
or the answer: {"from": MAC, "to": MAC, "said": text}. With OTHER_MAC, each frame comes after one from that source, and the second answer
counts: by then the frame of the other one could have got through as well.
"""
import fcntl
import json
import os
import select
import struct
import subprocess
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x0002, 0x1000, 0x4000
VNET_HDR, KIND = bytes(10), 0x88B5      # IEEE 802: local experiments


def device_of(ifname):
    """A macvtap's device node, made here: nothing in a test's namespace makes them. The process has mounts of its own, so a /tmp as well."""
    where = "/tmp"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], check=True)
    os.mkdir(f"{where}/sys")
    subprocess.run(["mount", "-t", "sysfs", "sysfs", f"{where}/sys"], check=True)
    index = open(f"{where}/sys/class/net/{ifname}/ifindex").read().strip()
    major, minor = open(f"{where}/sys/class/net/{ifname}/tap{index}/dev").read().split(":")
    os.mknod(f"{where}/tap", 0o20600, os.makedev(int(major), int(minor)))
    return f"{where}/tap"


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def main(kind, ifname, uid, gid, *macs):
    fd = os.open("/dev/net/tun" if kind == "tap" else device_of(ifname), os.O_RDWR)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)         # capabilities go with root
    if kind == "tap":
        try:
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", ifname.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        except OSError as e:
            return {"refused": e.errno}
    if not macs:
        return {"open": True}
    own, target, *others = map(mac_bytes, macs)
    answers = 0
    while True:
        # again and again: a bridge lets nothing pass until it has seen the tap's carrier
        while not select.select([fd], [], [], 0.2)[0]:
            for source in (*others, own):
                os.write(fd, VNET_HDR + target + source + struct.pack("!H", KIND) + b"ping".ljust(50, b"\0"))
        frame = os.read(fd, 65536)[len(VNET_HDR):]
        answers += frame[12:14] == struct.pack("!H", KIND)
        if answers > len(others):
            return {"to": frame[:6].hex(":"), "from": frame[6:12].hex(":"), "said": frame[14:].rstrip(b"\0").decode()}


def open_as(pod, kind, uid, gid, *macs):
    """This program in a container, whose interface is eth0: what it prints."""
    return json.loads(pod.run("unshare", "--mount", "/usr/bin/python3", __file__, kind, "eth0", str(uid), str(gid), *macs).stdout)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3], *map(int, sys.argv[3:5]), *sys.argv[5:])))
