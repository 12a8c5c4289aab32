# SPDX-License-Identifier: Apache-2.0
"""A daemon for tests of the plugin alone: the protocol of docs/RPC.md over a real socket, and answers that a test may script.

It keeps attachments as vpcwired does (a repeated ADD is `existing`, DEL forgets) and records every request, but wires
nothing: what is in the kernel afterwards, the plugin put there.
"""
import json
import os
import socket
import threading

IFINDEX_BASE = 0x20000000
PODS_TABLE = 22103
GATEWAY = "169.254.1.1"


class FakeDaemon:
    def __init__(self, path, pins=None, mtu=9001, attach="clsact"):
        self.path, self.pins, self.mtu, self.attach = str(path), pins or {}, mtu, attach
        self.requests, self.attachments, self.script = [], {}, {}
        self.socket = None

    def start(self):
        assert self.socket is None
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(self.path)
        self.socket.listen(128)
        self.thread = threading.Thread(target=self._serve, args=(self.socket,), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        if self.socket is None:
            return
        self.socket.shutdown(socket.SHUT_RDWR)      # wakes accept()
        self.thread.join(10)
        self.socket.close()
        self.socket = None
        os.unlink(self.path)

    def ops(self):
        return [r["op"] for r in self.requests]

    def on(self, op, reply):
        """Answer every `op` with this from now on: an object, bytes, None (hang up), or a function of the request."""
        self.script[op] = reply

    def fail(self, op, errno, cni, msg):
        self.on(op, {"v": 1, "error": {"errno": errno, "cni": cni, "msg": msg}})

    def _serve(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                data = conn.recv(1 << 17)
                if data:
                    reply = self._answer(data)
                    if reply is not None:
                        try:
                            conn.send(reply if isinstance(reply, bytes) else json.dumps(reply).encode())
                        except OSError:
                            pass

    def _answer(self, data):
        req = json.loads(data)
        self.requests.append(req)
        scripted = self.script.get(req["op"], self)
        if scripted is self:
            return getattr(self, "_" + req["op"])(req)
        return scripted(req) if callable(scripted) else scripted

    @staticmethod
    def key(req):
        return req["container_id"], req["ifname"]

    def _add(self, req):
        existing = self.key(req) in self.attachments
        if not existing:
            used = {w["slot"] for w in self.attachments.values()}
            self.attachments[self.key(req)] = self.wiring(next(s for s in range(1000) if s not in used))
        return {**self.attachments[self.key(req)], "existing": existing}

    def wiring(self, slot):
        mac = f"{slot >> 8:02x}:{slot & 255:02x}"
        return {"v": 1, "existing": False, "addresses": [{"address": f"10.0.{slot // 200}.{slot % 200 + 10}/32", "gateway": GATEWAY}],
                "mtu": self.mtu, "host_ifname": f"eni{slot:011x}", "host_ifindex": IFINDEX_BASE + slot,
                "host_mac": f"ee:56:00:00:{mac}", "pod_mac": f"ee:57:00:00:{mac}", "slot": slot, "pods_table": PODS_TABLE,
                "eni_id": "eni-0123", "eni_ifname": "eth0", "attach": self.attach, **self.pins}

    def _del(self, req):
        self.attachments.pop(self.key(req), None)
        return {"v": 1}

    def _check(self, req):
        if self.key(req) not in self.attachments:
            return {"v": 1, "error": {"errno": 2, "cni": 3, "msg": "no such attachment"}}
        return {**self.attachments[self.key(req)], "existing": True}

    def _status(self, _req):
        return {"v": 1, "cni": 0}

    def _gc(self, _req):
        return {"v": 1}
