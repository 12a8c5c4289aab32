# SPDX-License-Identifier: Apache-2.0
"""The pages say what an operator sees: each failure of OPERATIONS' table is provoked, and seen beside the page's remedy; so is each message quoted."""
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


def test_each_message_that_a_page_quotes_is_provoked_by_a_test():
    """quoted() gives what to look for, and fails for a text that is on none of the pages."""
    looked_for = set()
    for path in (proc.TOP / "tests").rglob("test_*.py"):
        looked_for |= {text for _, text in re.findall(r"""\bquoted\((["'])(.+?)\1\)""", path.read_text()) if path.name != "test_docs.py"}
    quotes = symptoms.quotes()
    assert len(quotes) > 10 and looked_for == quotes, (quotes - looked_for, looked_for - quotes)


def test_how_a_quoted_message_is_looked_for():
    found = symptoms.quoted("6 pods given to aws-node, 0 left out: they have no interface")
    assert found.search("12 pods given to aws-node, 3 left out: they have no interface\n") and not found.search("some pods given to aws-node")
    version = symptoms.quoted("its version is '...', only vpc-cni-ipam/1 is known")
    assert version.search("x: its version is 'y', only vpc-cni-ipam/1 is known") and not version.search("its version is 'y', only vpc-cni-ipam/2 is known")
    with pytest.raises(AssertionError):
        symptoms.quoted("on no page at all")


@pytest.mark.parametrize("program", ["np_pod", "np_node", "branch"])
def test_the_programs_need_no_btf_of_the_kernel(program, tmp_path):
    """Nothing in them is to be found by the loader in the kernel's own types (CO-RE): the section's header counts such places."""
    section = tmp_path / "ext"
    proc.run(["llvm-objcopy", f"--dump-section=.BTF.ext={section}", proc.BUILD / f"gen/{program}.bpf.o", tmp_path / "o"])
    magic, _, _, header, *_, lines = struct.unpack_from("<HBBIIIII", data := section.read_bytes())
    relocations = struct.unpack_from("<I", data, 28)[0] if header >= 32 else 0
    assert magic == 0xeb9f and lines > 0 and relocations == 0
