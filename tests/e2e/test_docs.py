# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATIONS.md says what an operator sees: each failure of its table is provoked, and seen beside the page's remedy."""
import re
import struct

import pytest

from tests.harness import proc, symptoms


def test_each_failure_in_the_docs_is_provoked_by_a_test():
    """Only operator_sees() looks at what an operator sees, and it fails for a text that is not on the page."""
    provoked = set()
    for path in (proc.TOP / "tests").rglob("test_*.py"):
        provoked |= set(re.findall(r'^ *operator_sees\(\w+(?:\.\w+)*, "([^"]+)"\)', path.read_text(), re.M))
    rows = symptoms.rows()
    assert len(rows) > 12 and provoked == set(rows), (set(rows) - provoked, provoked - set(rows))


@pytest.mark.parametrize("program", ["np_pod", "np_node", "branch"])
def test_the_programs_need_no_btf_of_the_kernel(program, tmp_path):
    """Nothing in them is to be found by the loader in the kernel's own types (CO-RE): the section's header counts such places."""
    section = tmp_path / "ext"
    proc.run(["llvm-objcopy", f"--dump-section=.BTF.ext={section}", proc.BUILD / f"gen/{program}.bpf.o", tmp_path / "o"])
    magic, _, _, header, *_, lines = struct.unpack_from("<HBBIIIII", data := section.read_bytes())
    relocations = struct.unpack_from("<I", data, 28)[0] if header >= 32 else 0
    assert magic == 0xeb9f and lines > 0 and relocations == 0
