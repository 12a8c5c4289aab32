# SPDX-License-Identifier: Apache-2.0
"""The Debian package on a node: installed files alone, started by its own unit's command line with the unit's capabilities."""
import json
import re
import shlex
import shutil
import subprocess

import pytest

from tests.harness import proc


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """What `make deb` makes, unpacked."""
    if proc.SANITIZED:
        pytest.skip("a package of sanitized programs is none")
    proc.make("deb")
    deb = next(proc.BUILD.glob("vpcwire_*.deb"))
    root = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "-x", deb, root], check=True, timeout=60)
    fields = subprocess.run(["dpkg-deb", "-f", deb], check=True, timeout=60, capture_output=True, text=True).stdout
    return root, fields, deb


def unit(root, key):
    text = (root / "usr/lib/systemd/system/vpcwired.service").read_text()
    return re.search(rf"^{key}=(.*)$", text, re.M).group(1)


def test_the_package_names_what_it_needs(package):
    root, fields, _ = package
    needs = re.search(r"^Depends: (.*)$", fields, re.M).group(1)
    for library in ("libc6", "libbpf1", "libnftables1", "libmicrohttpd12", "libsqlite3-0"):
        assert library in needs
    assert {p.name for p in (root / "opt/cni/bin").iterdir()} >= {"vpcwire", "vpcwire-eni"}
    command = unit(root, "ExecStart").split()[0]
    assert (root / command.lstrip("/")).stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not shutil.which("lintian"), reason="no lintian")
def test_lintian_has_nothing_to_say(package):
    proc.run(["lintian", "--allow-root", "--fail-on", "error,warning", package[2]], timeout=120)


def test_the_iam_policy_has_each_action_and_no_other(package):
    root = package[0]
    statements = json.loads((root / "usr/share/doc/vpcwire/examples/policy.json").read_text())["Statement"]
    allowed = {action.removeprefix("ec2:") for s in statements for action in s["Action"]}
    source = (proc.TOP / "daemon/ec2.c").read_text()
    assert allowed == set(re.findall(r'\[EC2_\w+\] = "(\w+)"', source))


def test_it_serves_a_pod_with_the_units_command_line_and_capabilities(package, make_lab):
    root = package[0]
    lab = make_lab(daemon_config={"warm_ip_target": 2})
    node = lab.nodes[0]
    lab.stop_daemon(node.name)
    # the node sees the package's files where the package puts them
    for folder in ("usr/sbin", "usr/bin", "opt/cni/bin"):
        for file in (root / folder).iterdir():
            node.run("sh", "-ec", 'rm -f "$2" 2>/dev/null || true; [ -e "$2" ] || : > "$2"; mount --bind "$1" "$2"', "-", file,
                     f"/{folder}/{file.name}")
    wanted = unit(root, "CapabilityBoundingSet").split()
    capabilities = "-all," + ",".join("+" + c.removeprefix("CAP_").lower() for c in wanted)
    assert "CAP_SYS_ADMIN" not in wanted
    words = ["setpriv", "--no-new-privs", f"--bounding-set={capabilities}",
             *shlex.split(unit(root, "ExecStart"))]
    with (proc.BUILD / "test-logs" / "package-vpcwired.log").open("wb") as log:
        daemon = subprocess.Popen(node.argv(*words), env=node.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        proc.wait_until(node.serves, lambda: "the packaged daemon to serve: " + open(log.name, encoding="utf-8").read())
        pid = node.daemon_pid()
        assert node.run("readlink", f"/proc/{pid}/exe").stdout.strip() == "/usr/sbin/vpcwired"
        pod = node.pod()
        pod.add()
        assert pod.pings(node.facts["address"])
        assert node.run("/usr/bin/vpcwirectl", "--socket", node.socket, "status").stdout.count("serving") == 1
        pod.check()
        pod.delete()
        pod.remove()
        node.run("kill", pid)
        assert daemon.wait(15) == 0
    finally:
        daemon.kill()
        daemon.wait()
