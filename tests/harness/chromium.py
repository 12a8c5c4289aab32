# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium in a node's network namespace, driven over its DevTools pipe (messages end with NUL, fds 3 and 4)."""
import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = "chromium"
LIMIT_S = 40


def missing():
    """Why it cannot be used here, or None."""
    return None if shutil.which(PROGRAM) else "no chromium: make deps installs it"


class Chromium:
    """One browser with one tab. A context manager."""

    def __init__(self, node):
        self.dir = tempfile.TemporaryDirectory(prefix="vpcwire-chromium-", ignore_cleanup_errors=True)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking",
                   "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-pipe",
                   f"--user-data-dir={self.dir.name}"]
        # the pipe's two fds are standard input and output, so that they pass through `vpcwire-sim exec`
        script = 'exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec "$@"'
        self.proc = subprocess.Popen(node.argv("env", f"HOME={self.dir.name}", "sh", "-c", script, "-", PROGRAM, *options), env=node.env(),
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ids, self.buffer, self.events, self.session = itertools.count(1), b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """In order: a browser that is killed leaves children that go on writing for a moment."""
        try:
            self.session = None
            self.call("Browser.close")
            self.proc.wait(LIMIT_S)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.proc.kill()
            self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()
        self.dir.cleanup()

    def _message(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.proc.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.proc.stdout.fileno(), 1 << 16) if ready else b""
            assert chunk, "chromium has said nothing for too long, or has ended"
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method, **params):
        number, deadline = next(self.ids), time.monotonic() + LIMIT_S
        message = {"id": number, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        self.proc.stdin.write(json.dumps(message).encode() + b"\0")
        self.proc.stdin.flush()
        while True:
            said = self._message(deadline)
            if said.get("id") == number:
                assert "error" not in said, (method, said["error"])
                return said["result"]
            self.events.append(said)

    def wait_for(self, method):
        """The next event of that name; earlier ones of this name are forgotten by open()."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            for event in self.events:
                if event.get("method") == method:
                    return event["params"]
            self.events.append(self._message(deadline))

    def open(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def js(self, expression):
        """The value of an expression in the page; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def complaints(self):
        """What the browser had against the page: errors, things that the Content-Security-Policy refused."""
        said = [e["params"]["entry"] for e in self.events if e.get("method") == "Log.entryAdded"]
        return [e["text"] for e in said if e["level"] in ("error", "warning") and "favicon.ico" not in e.get("url", "")] + \
            [e["params"]["exceptionDetails"]["text"] for e in self.events if e.get("method") == "Runtime.exceptionThrown"]

    def screenshot(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
