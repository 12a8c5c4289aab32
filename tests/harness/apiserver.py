# SPDX-License-Identifier: Apache-2.0
"""As much of a Kubernetes API server as vpcwire-feed talks to: lists in pages, watches, bookmarks, 410; and what can go wrong with each.

All is scripted: nothing happens by itself or after a time. A watch stays open until the test closes it.
"""
import http.server
import json
import ssl
import threading
import urllib.parse

PATHS = {"Namespace": "/api/v1/namespaces", "Pod": "/api/v1/pods", "Node": "/api/v1/nodes", "Service": "/api/v1/services",
         "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
         "AdminNetworkPolicy": "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies"}


class Server:
    """objects of PATHS; all others are 404."""

    def __init__(self, *, page=500, tls=None):
        self.lock = threading.Condition()
        self.objects, self.events, self.version, self.forgotten = {}, [], 100, 0
        self.requests, self.faults, self.epoch, self.page = [], [], 0, page
        self.open = 0                                   # watches
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.httpd.server_port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.cut()
        self.httpd.shutdown()
        self.httpd.server_close()

    # --- what the test does

    def put(self, obj):
        with self.lock:
            key = self.key(obj)
            self.tell("MODIFIED" if key in self.objects else "ADDED", obj)
            self.objects[key] = obj

    def delete(self, obj, silently=False):
        with self.lock:
            del self.objects[self.key(obj)]
            self.version += 1
            if not silently:
                self.tell("DELETED", obj)

    def bookmark(self, kind):
        with self.lock:
            self.version += 1000
            self.tell("BOOKMARK", {"kind": kind, "metadata": {"creationTimestamp": None}})
            return self.version

    def event(self, kind, event):
        """One that is none of the usual."""
        with self.lock:
            self.version += 1
            self.events.append((self.version, kind, json.dumps(event)))
            self.lock.notify_all()

    def forget(self):
        """Compaction: what is asked from before now is Gone, and open watches are closed."""
        with self.lock:
            self.version += 1
            self.forgotten = self.version
            self.events.clear()
        self.cut()

    def cut(self):
        """End all watches, in order."""
        with self.lock:
            self.epoch += 1
            self.lock.notify_all()

    def fault(self, kind, what, times=1):
        """The next request for `kind`, or so many, is answered so: a status, or bytes after which the connection ends."""
        with self.lock:
            self.faults += [(PATHS[kind], what)] * times

    def mend(self):
        """No faults any more."""
        with self.lock:
            self.faults.clear()

    def asked(self, kind, **query):
        """Requests for `kind` whose query has these values."""
        with self.lock:
            return [q for path, q, _ in self.requests if path == PATHS[kind] and all(q.get(k) == v for k, v in query.items())]

    # --- what it answers

    @staticmethod
    def key(obj):
        return (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def tell(self, what, obj):
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, obj["kind"], json.dumps({"type": what, "object": obj})))
        self.lock.notify_all()

    def answer(self, handler):
        path, _, text = handler.path.partition("?")
        query = dict(urllib.parse.parse_qsl(text))
        with self.lock:
            self.requests.append((path, query, handler.headers.get("Authorization")))
            fault = next((f for f in self.faults if f[0] == path), None)
            if fault:
                self.faults.remove(fault)
        kind = next((k for k, p in PATHS.items() if p == path), None)
        if fault and isinstance(fault[1], bytes):
            handler.close_connection = True
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(fault[1]) + (0 if fault[1].endswith(b"\n") else 100)))
            handler.end_headers()
            handler.wfile.write(fault[1])
        elif fault or not kind:
            self.say(handler, fault[1] if fault else 404, {"kind": "Status"})
        elif "watch" in query:
            self.watch(handler, kind, int(query["resourceVersion"]))
        else:
            self.list(handler, kind, query)

    @staticmethod
    def say(handler, status, obj):
        body = json.dumps(obj).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def list(self, handler, kind, query):
        with self.lock:
            # items of a list do not say their kind
            found = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for key, o in sorted(self.objects.items()) if key[0] == kind]
            start = int(query.get("continue", "from+0=").removeprefix("from+").removesuffix("="))
            meta = {"resourceVersion": str(self.version)}
            if start + self.page < len(found):
                meta["continue"] = f"from+{start + self.page}="
            body = {"kind": kind + "List", "metadata": meta, "items": found[start:start + self.page]}
        self.say(handler, 200, body)

    @staticmethod
    def send(handler, line):
        """A line of a watch, in two parts, as it may come."""
        for part in (line[:7].encode(), line[7:].encode() + b"\n"):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def watch(self, handler, kind, version):
        with self.lock:
            epoch, sent = self.epoch, 0
            self.open += 1
            try:
                handler.send_response(200)
                handler.send_header("Transfer-Encoding", "chunked")
                handler.end_headers()
                if version < self.forgotten:
                    self.send(handler, json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}))
                while version >= self.forgotten and epoch == self.epoch:
                    for at, what, line in self.events[sent:]:
                        if at > version and what == kind:
                            self.send(handler, line)
                    sent = len(self.events)
                    self.lock.wait()
                handler.wfile.write(b"0\r\n\r\n")
            except OSError:
                handler.close_connection = True
            finally:
                self.open -= 1
