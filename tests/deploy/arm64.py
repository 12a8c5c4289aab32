# SPDX-License-Identifier: Apache-2.0
"""The programs of `make CROSS=aarch64-linux-gnu` under an emulator (`make check-arm64`; not a part of `make check`)."""
import contextlib
import json
import os
import pathlib
import struct

import pytest

from tests.harness import apiserver, proc

EMULATOR = os.environ.get("VPCWIRE_EMULATOR", "").split()
PLUGINS = ("vpcwire", "vpcwire-eni", "vpcwire-bridge")
AARCH64 = 183                                   # EM_AARCH64, elf.h
CROSS = pathlib.Path(os.environ.get("VPCWIRE_CROSS", ""))


def emulated(program, *words, **kwargs):
    assert EMULATOR, "no VPCWIRE_EMULATOR: make check-arm64"
    return proc.run([*EMULATOR, CROSS / "bin" / program, *words], **kwargs)


@pytest.mark.parametrize("program", [*PLUGINS, "vpcwired", "vpcwirectl", "vpcwire-feed", "vpcwire-sim"])
def test_a_program_is_of_that_processor(program):
    head = (CROSS / "bin" / program).read_bytes()[:20]
    assert head[:6] == b"\x7fELF\x02\x01" and struct.unpack_from("<H", head, 18) == (AARCH64,)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_says_its_versions_and_refuses_what_is_wrong(plugin):
    said = emulated(plugin, env={**os.environ, "CNI_COMMAND": "VERSION"}, input='{"cniVersion":"1.0.0"}').stdout
    assert "1.1.0" in json.loads(said)["supportedVersions"]
    done = emulated(plugin, env={**os.environ, "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0", "CNI_PATH": "/"},
                    input="{", check=False)
    assert done.returncode != 0 and json.loads(done.stdout)["code"] == 6


def test_status_without_daemon_is_not_available(tmp_path):
    socket = str(tmp_path / "none.sock")
    conf = {"cniVersion": "1.1.0", "name": "n", "type": "vpcwire", "socket": socket}
    done = emulated("vpcwire", env={**os.environ, "CNI_COMMAND": "STATUS", "CNI_PATH": "/", "VPCWIRE_SOCKET": socket}, input=json.dumps(conf), check=False)
    assert done.returncode != 0 and json.loads(done.stdout)["code"] == 50, done.stdout


def test_the_daemon_knows_its_settings(tmp_path):
    assert emulated("vpcwired", "--print-config-docs").stdout == (proc.TOP / "docs/CONFIG.md").read_text()
    file = tmp_path / "vpcwired.json"
    for text, status in (('{"warm_ip_target": 3}', 0), ('{"warm_ip_targe": 3}', 1)):
        file.write_text(text)
        assert emulated("vpcwired", "--config", file, "--check", check=False).returncode == status


def test_vpcwirectl_says_what_it_can_and_that_there_is_no_daemon(tmp_path):
    assert "status" in emulated("vpcwirectl", "--help").stdout
    done = emulated("vpcwirectl", "--socket", tmp_path / "none.sock", "status", check=False)
    assert done.returncode != 0 and "none.sock" in done.stderr


def test_ebpf_programs_are_the_same(tmp_path):
    """They are made for one target, but with the headers of each architecture: programs, maps and types are the same; paths of headers differ."""
    objects = sorted(p.name for p in (CROSS / "gen").glob("*.bpf.o"))
    assert {"np_pod.bpf.o", "np_node.bpf.o", "branch.bpf.o"} <= set(objects)
    for name in objects:
        seen = []
        for build in (CROSS, proc.BUILD):
            proc.run(["llvm-objcopy", "--strip-debug", "--remove-section=.BTF*", "--remove-section=.rel.BTF*", build / "gen" / name, tmp_path / name])
            types = proc.run(["/usr/sbin/bpftool", "btf", "dump", "file", build / "gen" / name]).stdout
            seen.append(((tmp_path / name).read_bytes(), types))
        assert seen[0] == seen[1], name


def test_feed_follows_an_api_server(tmp_path):
    with contextlib.closing(apiserver.Server()) as server:
        server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}})
        emulated("vpcwire-feed", "--server", server.url, "--dir", tmp_path, "--kinds", "namespaces", "--once", timeout=60)
    assert [p.name for p in tmp_path.iterdir()] == ["namespaces__blue.json"]
