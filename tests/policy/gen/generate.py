#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write tests/policy/fixtures/*.json again: `generate.py` for all of them, `generate.py e2e recipes` for some.

They are committed, so that tests need no Python and a change of an expectation shows in review.
`generate.py --check` writes nothing and fails when they are not what it would write.
"""
import importlib
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import common  # noqa: E402

SUITES = ["e2e", "generated", "conformance", "recipes", "regress", "endpoints"]


def main():
    args = sys.argv[1:]
    check = "--check" in args
    wanted = [a for a in args if not a.startswith("-")] or SUITES
    committed = common.FIXTURES
    with tempfile.TemporaryDirectory() as scratch:
        if check:
            common.FIXTURES = pathlib.Path(scratch)
        common.FIXTURES.mkdir(exist_ok=True)
        for suite in wanted:
            print(f"{suite}: {importlib.import_module(suite).make()} cases")
        stale = [f.name for f in sorted(common.FIXTURES.glob("*.json")) if check and
                 (not (committed / f.name).exists() or (committed / f.name).read_bytes() != f.read_bytes())]
    if stale:
        sys.exit(f"not up to date: {' '.join(stale)}; run tests/policy/gen/generate.py")


if __name__ == "__main__":
    main()
