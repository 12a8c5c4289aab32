# SPDX-License-Identifier: Apache-2.0
"""usage: agent.py serve NAME PORT | agent.py ask

A server or a client of the traffic tests, started in a network namespace (so: one file, the standard library only).

serve: TCP and UDP on PORT, IPv4 and IPv6, until stdin closes. Whoever asks is told, as one line of JSON, who we are and under
which address and port he is seen. Prints "ready" when it can be asked. A question is a line of JSON, {"send": n, "want": m},
with n bytes behind it; the answer has m bytes behind it. (A datagram: in it.)

ask: stdin is a JSON list of probes {"proto": "tcp"|"udp"|"icmp", "to": address, "port": n, "from": address or null,
"from_port": n (UDP only), "send": n, "want": m}. All are made at the same time; stdout is a list in the same order: what the server said (of ICMP:
{"name": null}), or {"error": why there was no answer}. A probe that nobody answers takes DEADLINE_S.
"""
import errno
import json
import os
import select
import selectors
import socket
import struct
import sys
import threading
import time

DEADLINE_S = 4
AGAIN_S = 0.5           # a datagram may be lost while a neighbour is being looked for
ECHO = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}


def listen(kind, family, port):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("" if family == socket.AF_INET else "::", port))
    if kind == socket.SOCK_STREAM:
        s.listen(128)
    elif family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, 8, 1)           # IP_PKTINFO: answer from the address that was asked
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return s


def answer_udp(s, told):
    data, info, _, peer = s.recvmsg(65536, 256)
    wanted = json.loads(data.split(b"\n", 1)[0])["want"]
    back = [(level, kind, value) for level, kind, value in info if kind in (8, socket.IPV6_PKTINFO)]
    if s.family == socket.AF_INET:                      # interface, address, destination: any interface, from that address
        back = [(level, kind, struct.pack("=I", 0) + value[4:8] + bytes(4)) for level, kind, value in back]
    try:
        s.sendmsg([told(peer, len(data)), b"." * wanted], back, 0, peer)
    except OSError:
        pass


def answer_tcp(s, told):
    threading.Thread(target=answer_one, args=(*s.accept(), told), daemon=True).start()


def answer_one(conn, peer, told):
    with conn, conn.makefile("rb") as incoming:
        conn.settimeout(DEADLINE_S)
        try:
            question = json.loads(incoming.readline())
            got = len(incoming.read(question["send"]))
            conn.sendall(told(peer, got) + b"." * question["want"])
        except (OSError, ValueError):
            pass


def serve(name, port):
    def told(peer, size):
        return json.dumps({"name": name, "seen": peer[0].split("%")[0], "port": peer[1], "size": size}).encode() + b"\n"

    sel = selectors.DefaultSelector()
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind, answer in ((socket.SOCK_STREAM, answer_tcp), (socket.SOCK_DGRAM, answer_udp)):
            try:
                s = listen(kind, family, port)
            except OSError as exc:
                if family == socket.AF_INET6 and exc.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    continue
                raise
            sel.register(s, selectors.EVENT_READ, answer)
    sel.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        for key, _ in sel.select():
            if key.data:
                key.data(key.fileobj, told)
            elif not os.read(0, 4096):
                return


def question(probe):
    send, want = probe.get("send", 0), probe.get("want", 0)
    return json.dumps({"send": send, "want": want}).encode() + b"\n" + b"." * send


def answer(data, probe):
    line, rest = data.split(b"\n", 1)
    if len(rest) != probe.get("want", 0):
        raise ValueError
    return json.loads(line)


def ask_tcp(probe, family):
    source = (probe["from"], 0) if probe.get("from") else None
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(DEADLINE_S)
        if source:
            s.bind(source)
        s.connect((probe["to"], probe["port"]))
        s.sendall(question(probe))
        data = b""
        while chunk := s.recv(65536):
            data += chunk
        return answer(data, probe)


def ask_udp(probe, family):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        if probe.get("from") or probe.get("from_port"):
            s.bind((probe.get("from") or "", probe.get("from_port", 0)))
        s.connect((probe["to"], probe["port"]))
        deadline = time.monotonic() + DEADLINE_S
        while (left := deadline - time.monotonic()) > 0:
            s.settimeout(min(AGAIN_S, left))
            try:
                s.send(question(probe))
                return answer(s.recv(65536), probe)
            except OSError as exc:
                # one that was too big for the way taught the kernel its MTU; the next one is cut to it
                if not isinstance(exc, TimeoutError) and exc.errno != errno.EMSGSIZE:
                    raise
        raise TimeoutError


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ask_icmp(probe, family, ident):
    proto, request, reply = ECHO[family]
    with socket.socket(family, socket.SOCK_RAW, proto) as s:
        if probe.get("from"):
            s.bind((probe["from"], 0))
        s.connect((probe["to"], 0))
        packet = struct.pack("!BBHHH", request, 0, 0, ident, 1) + b"vpcwire!"
        if family == socket.AF_INET:
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
        deadline = time.monotonic() + DEADLINE_S
        again = 0.0
        while (now := time.monotonic()) < deadline:
            if now >= again:
                s.send(packet)
                again = now + AGAIN_S
            if not select.select([s], [], [], max(0, min(again, deadline) - now))[0]:
                continue
            data = s.recv(65536)
            if family == socket.AF_INET:
                data = data[(data[0] & 15) * 4:]
            if data[0] == reply and struct.unpack("!H", data[4:6])[0] == ident:
                return {"name": None}
        raise TimeoutError


def ask_one(probe, ident, results, index):
    family = socket.AF_INET6 if ":" in probe["to"] else socket.AF_INET
    try:
        if probe["proto"] == "icmp":
            results[index] = ask_icmp(probe, family, ident)
        else:
            results[index] = (ask_tcp if probe["proto"] == "tcp" else ask_udp)(probe, family)
    except (OSError, ValueError) as exc:
        results[index] = {"error": type(exc).__name__ if isinstance(exc, (TimeoutError, ValueError)) else os.strerror(exc.errno)}


def ask():
    probes = json.load(sys.stdin)
    results = [None] * len(probes)
    base = os.getpid() * 257
    threads = [threading.Thread(target=ask_one, args=(p, (base + i) & 0xffff, results, i)) for i, p in enumerate(probes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        ask()
