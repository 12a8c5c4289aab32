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


PROSE = [proc.TOP / "README.md", *sorted((proc.TOP / "docs").glob("*.md")), proc.TOP / "tests/policy/README.md"]


def anchors(page):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.relative_to(proc.TOP).as_posix())
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists() and (not anchor or anchor in anchors(to)), link


# what these pages call by a path from the top, with or without its ending; "tests/x.py" and "test_x" too
FOLDERS = {"cli", "daemon", "deploy", "docs", "feed", "ipam", "lib", "mk", "netpolicy-bpf", "plugins", "sim", "tests"}


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.relative_to(proc.TOP).as_posix())
def test_files_and_tests_that_are_named_are_there(page):
    words = {w.strip(",;:").removesuffix("/") for span in re.findall(r"`([^`\n]+)`", page.read_text()) for w in span.split()}
    for word in words:
        if word.split("/")[0] in FOLDERS and "/" in word and not re.search(r"[<>]", word):
            assert list(proc.TOP.glob(word)) or list(proc.TOP.glob(word + ".[ch]")), word
    everything = "\n".join(p.read_text() for p in (proc.TOP / "tests").rglob("*.*") if p.suffix in (".py", ".c"))
    names = {p.stem for p in (proc.TOP / "tests").rglob("test_*") if p.suffix in (".py", ".c")}
    for word in words:
        stem = word.removesuffix(".py").removesuffix(".c").removeprefix("K=")
        if re.fullmatch(r"test_\w+", stem):
            assert stem in names or re.search(rf"\b(def|void) {stem}\(", everything), word


def test_targets_of_make_that_are_named_are_there():
    makefile = (proc.TOP / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    for page in PROSE:
        for span in re.findall(r"`(?:sudo |[A-Z_]+=\S+ )*(make [^`\n]+)`", page.read_text()):
            for word in span.split()[1:]:
                if re.fullmatch(r"[a-z][\w-]*", word):
                    assert word in targets, (page.name, span)


def options(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


SUBCOMMANDS = {"vpcwire-sim": ["lab", "exec", "daemon", "serve", "ctl"]}


@pytest.mark.parametrize("program", ["vpcwired", "vpcwirectl", "vpcwire-feed", "vpcwire-sim"])
def test_man_pages_have_the_options_that_programs_have(program):
    said = "".join(proc.run([proc.BIN / program, *words, "--help"]).stdout for words in [[], *([c] for c in SUBCOMMANDS.get(program, []))])
    page = (proc.TOP / "docs/man" / f"{program}.8").read_text()
    assert options(said) | {"--version"} == {f"-{o}" for o in re.findall(r"Fl (-[a-z][a-z-]*)", page)}


def test_each_variable_of_the_environment_is_documented():
    """Settings' own are in CONFIG.md, which is made of their table (unit/test_config)."""
    asked = {"PATH", "SHELL"}       # what everybody's programs ask
    said = set(re.findall(r"\b[A-Z][A-Za-z0-9_]{3,}\b", "".join(p.read_text() for p in [*PROSE, *(proc.TOP / "docs/man").iterdir()])))
    for folder in ("cli", "daemon", "feed", "lib", "plugins", "sim"):
        for path in (proc.TOP / folder).rglob("*.c"):
            text = path.read_text()
            for name in re.findall(r'getenv\("(\w+)"\)', text) + re.findall(r'"((?:AWS|VPCWIRE)_[A-Z0-9_]+)"', text):
                assert name in said | asked, f"{path.relative_to(proc.TOP)}: {name}"


def test_the_version_of_the_pins_is_right_in_examples():
    now = re.search(r"define NP_ABI (\d+)", (proc.TOP / "netpolicy-bpf/abi/np_abi.h").read_text())[1]
    for page in PROSE:
        assert set(re.findall(r"/sys/fs/bpf/vpcwire/v(\d+)", page.read_text())) <= {now}, page.name


def test_the_table_of_fuzzers_is_whole():
    page = (proc.TOP / "docs/TESTING.md").read_text()
    table = page[page.index("| bytes from | fuzzers |"):]
    table = table[:table.index("\n\n")]
    named = {word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.rsplit("|", 2)[1])}
    assert named - {"test_np_dns"} == {p.stem.removeprefix("fuzz_") for p in (proc.TOP / "tests/fuzz").glob("fuzz_*.c")}


def test_what_is_counted_and_logged_of_policy_is_explained():
    page = (proc.TOP / "docs/POLICY.md").read_text()
    page = page[page.index("## The verdict log"):]
    counted = re.findall(r'\[NP_(?:DROP|STAT)_\w+\] = "(\w+)"', (proc.TOP / "netpolicy-bpf/user/np_slots.c").read_text())
    logged = re.findall(r'vw_json_set_\w+\(j, "(\w+)"', (proc.TOP / "daemon/policy_log.c").read_text())
    assert len(counted) > 30 and len(logged) > 20
    for name in counted + logged:
        assert f"`{name}`" in page, name
