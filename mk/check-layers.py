#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom, and which folder may use which library.

The rules are the table of docs/ARCHITECTURE.md. Each failure names the file, the line, what was included and what is
allowed there. Ends with `layers: N passed, N failed`; one test is one source file.
"""
import pathlib
import re
import sys

# folder (longest match wins) -> folders it may include from, besides itself
MAY_INCLUDE = {
    "lib/base": [],
    "lib/json": ["lib/base"],
    "lib/yaml": ["lib/base", "lib/json"],
    "lib/k8s": ["lib/base", "lib/json", "lib/yaml"],
    "lib/net": ["lib/base"],
    "lib/crypto": ["lib/base"],
    "lib/cni": ["lib/base", "lib/json"],
    "lib/rpc": ["lib/base", "lib/json"],
    "lib/eni": ["lib/base", "lib/cni", "lib/json", "lib/net", "lib/rpc"],
    "lib/pod": ["lib/base", "lib/net", "lib/cni"],
    "ipam": ["lib/base", "lib/json"],
    "plugins/*": ["lib", "netpolicy-bpf/user/br_loader.h", "netpolicy-bpf/user/br_link.h"],
    "cli": ["lib"],
    "feed": ["lib"],
    "sim": ["lib"],
    "netpolicy-bpf/abi": [],
    "netpolicy-bpf/bpf": ["netpolicy-bpf/abi"],
    "netpolicy-bpf/user": ["lib", "netpolicy-bpf/abi"],
    "daemon": ["lib", "ipam", "netpolicy-bpf/user", "netpolicy-bpf/abi"],
    # tests look at everything, and nothing looks at tests
    "tests": ["lib", "ipam", "daemon", "sim", "cli", "feed", "plugins", "netpolicy-bpf"],
}

# third-party headers -> the only places that may include them (tests may use all: they look from outside)
FENCES = [
    (r"jansson\.h", ["lib/json/"]),
    (r"yaml\.h", ["lib/yaml/"]),
    (r"(libmnl|netlink|nftables)/", ["lib/net/"]),
    (r"nettle/", ["lib/crypto/"]),
    (r"curl/", ["daemon/http.c", "feed/http.c"]),
    (r"uv\.h|uv/", ["daemon/loop.c"]),
    (r"bpf/bpf_(helpers|endian|tracing|core_read|helper_defs)\.h", ["netpolicy-bpf/bpf/"]),
    (r"bpf/", ["netpolicy-bpf/user/"]),
    (r"archive(_entry)?\.h", ["cli/archive.c"]),
    (r"sqlite3\.h", ["daemon/store.c"]),
    (r"libxml/", ["daemon/xml.c"]),
    (r"uthash\.h", ["lib/base/hash.h"]),
    (r"seccomp\.h", ["daemon/confine_calls.c"]),
    (r"microhttpd\.h", ["sim/http.c", "daemon/httpd.c"]),
    (r"cmocka\.h", ["tests/"]),
]

# generated headers, found through -Ibuild/gen
GENERATED = {r"\w+\.l?skel\.h": ["netpolicy-bpf/user/", "tests/"]}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer_of(path):
    parts = path.split("/")
    for depth in (2, 1):
        head = "/".join(parts[:depth])
        if head in MAY_INCLUDE:
            return head, MAY_INCLUDE[head]
        if depth == 2 and parts[0] + "/*" in MAY_INCLUDE:
            return head, MAY_INCLUDE[parts[0] + "/*"]
    return None, None


def problem(path, quote, name):
    if quote == "<":
        if path.startswith("tests/"):
            return None
        for pattern, places in FENCES:
            if re.match(pattern, name):
                if any(path.startswith(p) for p in places):
                    return None
                return f"<{name}> belongs to {' '.join(places)} alone"
        return None
    for pattern, places in GENERATED.items():
        if re.fullmatch(pattern, name):
            return None if any(path.startswith(p) for p in places) else f'"{name}" is for {" ".join(places)} alone'
    if not pathlib.Path(name).is_file():
        return f'"{name}" is not a path from the top of the repository'
    own, allowed = layer_of(path)
    if own is None:
        return "this folder has no rule in mk/check-layers.py"
    if any(name == a or name.startswith(a + "/") for a in [own] + allowed):
        return None
    return f'{own} may not include "{name}" (only from {", ".join([own] + allowed)})'


def main():
    passed = failed = 0
    roots = ["lib", "ipam", "plugins", "cli", "feed", "sim", "netpolicy-bpf", "daemon", "tests"]
    files = sorted(str(p) for r in roots for p in pathlib.Path(r).rglob("*.[ch]"))
    for path in files:
        bad = []
        for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            why = match and problem(path, *match.groups())
            if why:
                bad.append(f"{path}:{number}: {why}")
        if bad:
            failed += 1
            print("\n".join(bad))
        else:
            passed += 1
    print(f"layers: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
