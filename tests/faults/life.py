# SPDX-License-Identifier: Apache-2.0
"""usage: life.py, in a node: starts vpcwired as its own child, and answers what it is asked, one JSON object a line

{"do": "start", "argv": [...], "env": {...}, "log": PATH}; {"do": "status"} -> how it ended, null while it lives; {"do": "end"} ->
kill -9; {"do": "wake"}: SIGHUP; {"do": "write", "path", "text"}: moves a new file there; {"do": "rpc", "path", "request"} -> the reply, null when
nobody answers; {"do": "say", "path", "request"} and {"do": "hear"} are its halves; {"do": "run", "argv", "env", "input"} -> [how it ended, stdout, stderr]; {"do": "free", "table"} -> the addresses that the node keeps for pods to come; {"do": "intents", "path"} -> what
the store wants to finish; {"do": "clean", "pattern"}: removes files. One process for all of it, so that a life costs a few milliseconds.
"""
import glob
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys

child = None
asked = None


def start(argv, env, log):
    global child
    with open(log, "ab") as out:
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def status():
    return child.poll() if child else 0     # one that was never started is as good as one that has ended


def end():
    child.kill()
    return child.wait(10)


def wake():
    child.send_signal(signal.SIGHUP)


def write(path, text):
    with open(path + ".new", "w") as out:
        out.write(text)
    os.rename(path + ".new", path)


def rpc(path, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(25)
        try:
            s.connect(path)
            s.send(json.dumps(request).encode())
            return json.loads(s.recv(1 << 17) or "null")
        except OSError:
            return None


def say(path, request):
    global asked
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.settimeout(25)
    asked.connect(path)
    asked.send(json.dumps(request).encode())


def hear():
    with asked:
        return json.loads(asked.recv(1 << 17) or "null")


def run(argv, env=None, input=None):
    done = subprocess.run(argv, env=env, input=input, stdin=None if input is not None else subprocess.DEVNULL, capture_output=True, text=True,
                          errors="backslashreplace", timeout=60)
    return [done.returncode, done.stdout, done.stderr]


def free(table):
    routes = json.loads(subprocess.run(["ip", "-d", "-j", "route", "show", "table", str(table)], stdout=subprocess.PIPE,
                                       check=True).stdout or "[]")
    return [r["dst"] for r in routes if r.get("type") == "unreachable"]


def intents(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return [list(row) for row in db.execute("SELECT kind, token FROM intent")]


def clean(pattern):
    for path in glob.glob(pattern):
        os.unlink(path)


WAYS = {f.__name__: f for f in (start, status, end, wake, write, rpc, say, hear, run, free, intents, clean)}
for line in sys.stdin:
    wanted = json.loads(line)
    print(json.dumps(WAYS[wanted.pop("do")](**wanted)), flush=True)
if child and child.poll() is None:
    end()
