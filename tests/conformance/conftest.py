# SPDX-License-Identifier: Apache-2.0
"""What the rows and the plugins' own tests are run on: `subject` is a node of a lab, with vpcwired; `bare_subject` and `node` are
network namespaces of the test's own process, with a scripted daemon. Pods are further namespaces.
"""
import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.conformance.plugins import PLUGINS, RUNTIME_ROWS, row_of  # noqa: E402
from tests.harness import proc  # noqa: E402
from tests.harness.lab import Lab  # noqa: E402
from tests.harness import limits  # noqa: E402
from tests.harness.limits import pytest_runtest_call, pytest_runtest_makereport  # noqa: E402, F401 - hooks
from tests.harness.netns import private_mounts, unshare_net  # noqa: E402, F401 - a fixture

libc = ctypes.CDLL(None, use_errno=True)


def pytest_configure(config):
    limits.pytest_configure(config)
    config.addinivalue_line("markers", "runtime: a row on which a container runtime depends (plugins.RUNTIME_ROWS)")


def pytest_collection_modifyitems(items):
    limits.pytest_collection_modifyitems(items)
    for item in items:
        if row_of(item.name) in RUNTIME_ROWS:
            item.add_marker(pytest.mark.runtime)


def bare(plugin, tmp_path):
    unshare_net()
    # addresses are usable at once: what is compared must not depend on how far the kernel has got with its own
    proc.run(["sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"])
    return plugin.bare(tmp_path)


@pytest.fixture
def bare_node(private_mounts, tmp_path):        # noqa: F811
    """vpcwire, and no daemon runs."""
    node = bare(PLUGINS["vpcwire"], tmp_path)
    yield node
    node.close()


@pytest.fixture
def node(bare_node):
    """vpcwire and a scripted daemon: for what is its own business."""
    bare_node.daemon.start()
    return bare_node


# --- for the rows: each plugin of the table in turn

@pytest.fixture(params=PLUGINS.values(), ids=PLUGINS)
def plugin(request):
    reason = request.param.without.get(row_of(request.node.name))
    if reason:
        pytest.skip(f"no meaning for {request.param.name}: {reason}")
    return request.param


@pytest.fixture(scope="session")
def labs(private_mounts):       # noqa: F811
    """plugin -> its lab, started when a row first asks for it."""
    up, stack = {}, contextlib.ExitStack()

    def get(plugin):
        if plugin.name not in up:
            # rows 45 and 46 let the daemon's system calls fail by strace, which makes them calls of no number: no filter lets those pass
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("VPCWIRE_SYSTEM_CALLS", "off")
                up[plugin.name] = stack.enter_context(Lab(**plugin.lab))
        return up[plugin.name]

    with stack:
        yield get


@pytest.fixture
def subject(plugin, labs, tmp_path):
    """The plugin with everything behind it real."""
    made = plugin.whole(labs, tmp_path)
    yield made
    made.close()


@pytest.fixture
def tight(plugin, private_mounts, tmp_path):    # noqa: F811
    """The plugin with room for few pods, on a node of the test's own."""
    with plugin.tight(tmp_path) as made:
        yield made
        made.close()


@pytest.fixture
def bare_subject(plugin, private_mounts, tmp_path):     # noqa: F811
    """The plugin on a bare node, where nobody mends what a row breaks."""
    made = bare(plugin, tmp_path)
    made.backend(True)
    yield made
    made.close()


# --- eBPF: a program that lets everything pass, pinned, so that filters can be hung and looked for

BPF_PROG_LOAD, BPF_OBJ_PIN, SCHED_CLS = 5, 6, 3
NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def sys_bpf(cmd, attr):
    fd = libc.syscall(NR_BPF, cmd, ctypes.byref(attr), len(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd


def load_and_pin(path):
    insns = bytes.fromhex("b700000000000000" "9500000000000000")      # r0 = 0; exit
    code, licence = ctypes.create_string_buffer(insns), ctypes.create_string_buffer(b"GPL")
    attr = ctypes.create_string_buffer(128)
    attr[0:16] = SCHED_CLS.to_bytes(4, "little") + (len(insns) // 8).to_bytes(4, "little") + ctypes.addressof(code).to_bytes(8, "little")
    attr[16:24] = ctypes.addressof(licence).to_bytes(8, "little")
    fd = sys_bpf(BPF_PROG_LOAD, attr)
    try:
        name, pin = ctypes.create_string_buffer(str(path).encode()), ctypes.create_string_buffer(128)
        pin[0:12] = ctypes.addressof(name).to_bytes(8, "little") + fd.to_bytes(4, "little")
        sys_bpf(BPF_OBJ_PIN, pin)
    finally:
        os.close(fd)


@pytest.fixture
def pins(request):
    """Two pinned programs, which the scripted daemon tells the plugin to attach."""
    on = request.getfixturevalue("bare_subject" if "bare_subject" in request.fixturenames else "node")
    if not on.plugin.has_daemon:
        yield None
        return
    where = on.tmp / "bpf"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "bpf", "bpf", str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no bpf file system here: {done.stderr}")
    for name in ("from_pod", "to_pod"):
        load_and_pin(where / name)
    on.daemon.pins = {"pin_from_pod": str(where / "from_pod"), "pin_to_pod": str(where / "to_pod")}
    yield where
    proc.run(["umount", str(where)])
