# SPDX-License-Identifier: Apache-2.0
"""`make install` puts each program where runtimes and people look for it, and nothing else."""
import os
import pathlib
import stat
import subprocess

from tests.harness import proc

ROOT = pathlib.Path(__file__).resolve().parents[2]
WANTED = {"opt/cni/bin/vpcwire", "opt/cni/bin/vpcwire-eni", "usr/sbin/vpcwired", "usr/bin/vpcwirectl", "usr/bin/vpcwire-sim"}


def test_install_below_a_destdir(tmp_path):
    # the folder's name as the Makefile writes it: another spelling would be other flags, and build everything anew
    build = os.path.relpath(proc.BUILD, ROOT)
    base, _, sanitizers = build.partition("-")
    flags = (proc.BUILD / ".flags").read_text().split()
    knobs = [f"BUILD={base}", "SANITIZE=" + sanitizers.replace("-", ","), f"CC={flags[0]}", f"DEVELOPER={int('-Werror' in flags)}"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    done = subprocess.run(["make", "-C", ROOT, "install", f"DESTDIR={tmp_path}", *knobs], env=env, capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {str(p.relative_to(tmp_path)): p.stat().st_mode for p in tmp_path.rglob("*") if p.is_file()}
    assert set(found) == WANTED
    assert all(stat.S_IMODE(mode) == 0o755 for mode in found.values())
    said = subprocess.run([tmp_path / "usr/sbin/vpcwired", "--version"], capture_output=True, text=True, timeout=10, check=True)
    assert said.stdout.startswith("vpcwired ")
