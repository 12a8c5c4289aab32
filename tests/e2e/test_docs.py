# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATIONS.md says what an operator sees: each failure of its table is provoked, and seen beside the page's remedy."""
import re

from tests.harness import proc, symptoms


def test_each_failure_in_the_docs_is_provoked_by_a_test():
    """Only operator_sees() looks at what an operator sees, and it fails for a text that is not on the page."""
    provoked = set()
    for path in (proc.TOP / "tests").rglob("test_*.py"):
        provoked |= set(re.findall(r'^ *operator_sees\(\w+(?:\.\w+)*, "([^"]+)"\)', path.read_text(), re.M))
    rows = symptoms.rows()
    assert len(rows) > 12 and provoked == set(rows), (set(rows) - provoked, provoked - set(rows))
