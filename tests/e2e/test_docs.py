# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATIONS.md says what an operator sees: each text of its table is one that a test provokes."""
import re

from tests.harness import proc


def test_each_failure_in_the_docs_is_provoked_by_a_test():
    page = (proc.TOP / "docs/OPERATIONS.md").read_text()
    table = page[page.index("| what it says |"):]
    texts = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(texts) > 8
    # a pattern's backslashes, and what an f-string puts in, apart
    tests = "\n".join(re.sub(r"\\|\{\w+\}", "", p.read_text()) for p in (proc.TOP / "tests").rglob("test_*.py") if p.name != "test_docs.py")
    assert not [text for text in texts if text not in tests]
