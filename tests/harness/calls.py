# SPDX-License-Identifier: Apache-2.0
"""usage: calls.py < SCRIPT

Many CNI calls from one process on a node, as a busy runtime makes them. The script is JSON:

    {"workers": N, "chains": [[[CALL, ...], ...], ...], "timeout_s": N}
    CALL = {"argv": [...], "env": {...}, "stdin": TEXT or OBJECT, "prev": true, "keep": false}

A chain is a list of steps, one after another; the calls of a step run at the same time. N chains run side by side. "prev" puts
what the chain's last ADD printed into the (object) stdin as prevResult, as a runtime does from its cache. Prints, for each chain, step
and call: {"status": N, "stdout": TEXT, "stderr": TEXT, "ms": X}. The environment is exactly the one given; a chain goes on after a
call that failed; an ADD with "keep": false is not the one that is remembered.
"""
import contextlib
import json
import subprocess
import sys
import threading
import time


def start(call, prev):
    stdin = call["stdin"]
    if call.get("prev") and prev is not None:
        stdin = {**stdin, "prevResult": prev}
    data = stdin if isinstance(stdin, str) else json.dumps(stdin)
    began = time.monotonic()
    child = subprocess.Popen(call["argv"], env=call["env"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with contextlib.suppress(BrokenPipeError):
        with child.stdin:
            child.stdin.write(data.encode())
    child.stdin = None
    return child, began


def finish(child, began, deadline):
    try:
        out, err = child.communicate(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        err += b"calls.py: killed, it did not end in time\n"
    return {"status": child.returncode, "stdout": out.decode(errors="backslashreplace"), "stderr": err.decode(errors="backslashreplace"),
            "ms": round(1000 * (time.monotonic() - began), 3)}


def run_chain(chain, deadline):
    prev, results = None, []
    for step in chain:
        running = [start(call, prev) for call in step]
        done = [finish(*r, deadline) for r in running]
        for call, result in zip(step, done):
            if call["env"].get("CNI_COMMAND") == "ADD" and call.get("keep", True) and result["status"] == 0:
                prev = json.loads(result["stdout"])
        results.append(done)
    return results


def main():
    script = json.load(sys.stdin)
    chains, results = script["chains"], [None] * len(script["chains"])
    deadline = time.monotonic() + script.get("timeout_s", 60)
    turn, lock = iter(range(len(chains))), threading.Lock()

    def work():
        while True:
            with lock:
                index = next(turn, None)
            if index is None:
                return
            results[index] = run_chain(chains[index], deadline)

    workers = [threading.Thread(target=work) for _ in range(min(script["workers"], len(chains)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    json.dump(results, sys.stdout)


main()
