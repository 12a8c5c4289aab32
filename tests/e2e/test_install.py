# SPDX-License-Identifier: Apache-2.0
"""`make install` puts each program where runtimes and people look for it, and nothing else."""
import stat
import subprocess

from tests.harness import proc

WANTED = {"opt/cni/bin/vpcwire", "opt/cni/bin/vpcwire-eni", "opt/cni/bin/vpcwire-bridge", "usr/sbin/vpcwired", "usr/sbin/vpcwire-feed", "usr/bin/vpcwirectl",
          "usr/bin/vpcwire-sim", "usr/share/man/man8/vpcwired.8", "usr/share/man/man8/vpcwire-feed.8",
          "usr/share/man/man8/vpcwirectl.8", "usr/share/man/man8/vpcwire-sim.8",
          "usr/share/bash-completion/completions/vpcwirectl", "usr/lib/systemd/system/vpcwired.service", "usr/share/doc/vpcwire/examples/10-vpcwire.conflist",
          "usr/share/doc/vpcwire/examples/policy.json", "usr/share/doc/vpcwire/examples/aws-iptables", "usr/share/doc/vpcwire/examples/alerts.yaml",
          "usr/share/doc/vpcwire/examples/vpcwire.json"}


def test_install_below_a_destdir(tmp_path):
    proc.make("install", f"DESTDIR={tmp_path}")
    found = {str(p.relative_to(tmp_path)): p.stat().st_mode for p in tmp_path.rglob("*") if p.is_file()}
    assert set(found) == WANTED
    for name, mode in found.items():
        assert stat.S_IMODE(mode) == (0o755 if "/bin/" in name or "/sbin/" in name else 0o644), name
    said = subprocess.run([tmp_path / "usr/sbin/vpcwired", "--version"], capture_output=True, text=True, timeout=10, check=True)
    assert said.stdout.startswith("vpcwired ")
