# SPDX-License-Identifier: Apache-2.0
"""The DaemonSet's manifests, and its init container's program, killed at every step. (No cluster: docs/KUBERNETES.md says what was not tried.)"""
import json
import os
import re
import subprocess

import pytest
import yaml

from tests.harness import proc

MANIFEST = proc.TOP / "deploy/kubernetes/vpcwire.yaml"
INSTALL = proc.TOP / "deploy/container/install-node"
STEPS = ("mkdir", "cmp", "rm", "cp", "chmod", "sync", "mv")


@pytest.fixture(scope="module")
def objects():
    return {o["kind"]: o for o in yaml.safe_load_all(MANIFEST.read_text())}


def volumes(container):
    return {m["mountPath"]: m["name"] for m in container["volumeMounts"]}


def test_the_objects_fit_together(objects):
    daemonset, config = objects["DaemonSet"], objects["ConfigMap"]
    pod = daemonset["spec"]["template"]["spec"]
    assert daemonset["spec"]["selector"]["matchLabels"] == daemonset["spec"]["template"]["metadata"]["labels"]
    assert pod["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"] and not pod["automountServiceAccountToken"]
    assert pod["hostNetwork"] and pod["tolerations"] == [{"operator": "Exists"}]
    assert daemonset["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}
    named = {v["name"] for v in pod["volumes"]}
    for container in pod["initContainers"] + pod["containers"]:
        assert set(volumes(container).values()) <= named
        assert container["image"] == "vpcwire:" + re.search(r"^VERSION +\??:?= (.*)$", (proc.TOP / "Makefile").read_text(), re.M).group(1)
        assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v} == {config["metadata"]["name"]}
    paths = {v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v}
    assert paths == {"/run/vpcwire", "/sys/fs/bpf", "/opt/cni/bin", "/etc/cni/net.d"}


def test_the_settings_are_valid_and_the_conflist_is_the_packages(objects, tmp_path):
    data = objects["ConfigMap"]["data"]
    (tmp_path / "vpcwired.json").write_text(data["vpcwired.json"])
    proc.run([proc.BIN / "vpcwired", "--config", tmp_path / "vpcwired.json", "--check"])
    assert json.loads(data["10-vpcwire.conflist"]) == json.loads((proc.TOP / "deploy/cni/10-vpcwire.conflist").read_text())


def test_the_containers_run_what_the_image_has(objects):
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    install = pod["initContainers"][0]
    dockerfile = (proc.TOP / "deploy/container/Dockerfile").read_text()
    assert f"COPY deploy/container/install-node {install['command'][0]}\n" in dockerfile
    assert install["securityContext"]["capabilities"] == {"drop": ["ALL"]} and not install["securityContext"]["allowPrivilegeEscalation"]
    source, binaries, conf, conflist = install["command"][1:]
    assert source == "/opt/cni/bin" and {binaries, conf, os.path.dirname(conflist)} <= set(volumes(install))
    probe = pod["containers"][0]["readinessProbe"]["exec"]["command"]
    for status, ready in ((0, True), (4, True), (3, False), (1, False)):
        script = f"vpcwirectl() {{ return {status}; }}\n{probe[2]}"
        assert (proc.run([*probe[:2], script], check=False).returncode == 0) == ready


# --- the init container's program

def wrap(folder):
    """Programs of the steps that count themselves, and at number DIE_AT kill the script that called them: before or after their work."""
    for step in STEPS:
        real = proc.run(["sh", "-c", f"command -v {step}"]).stdout.strip()
        (folder / step).write_text(f"""#!/bin/sh
n=$(($(cat "$COUNT") + 1)); echo $n > "$COUNT"
[ "$n.before" != "$DIE_AT" ] || kill -9 $PPID
[ "$n.half" != "$DIE_AT" ] || {{ [ {step} != cp ] || head -c 7 "$1" > "$2"; kill -9 $PPID; exit 1; }}
{real} "$@"; r=$?
[ "$n.after" != "$DIE_AT" ] || kill -9 $PPID
exit $r
""")
        (folder / step).chmod(0o755)


@pytest.mark.limit(180)
def test_a_death_at_any_step_leaves_whole_files_and_the_conflist_last(tmp_path):
    source, tools = tmp_path / "source", tmp_path / "tools"
    for folder in (source, tools):
        folder.mkdir()
    wrap(tools)
    new = {name: f"new {name}\n" * 1000 for name in ("vpcwire", "vpcwire-eni")}
    for name, text in new.items():
        (source / name).write_text(text)
    conflist = tmp_path / "10-vpcwire.conflist"
    conflist.write_text('{"new": 1}')
    count, deaths = tmp_path / "count", 0

    def install(at, node):
        count.write_text("0")
        env = {"PATH": f"{tools}:/usr/bin:/bin", "COUNT": str(count), "DIE_AT": at}
        return subprocess.run([INSTALL, source, node / "bin", node / "net.d", conflist], env=env, check=False, timeout=30,
                              capture_output=True, text=True)

    for number in range(1, 100):
        ended = None
        for when in ("before", "half", "after"):
            node = tmp_path / f"node-{number}-{when}"
            (node / "bin").mkdir(parents=True)
            (node / "bin/vpcwire").write_text("old")
            ended = install(f"{number}.{when}", node).returncode
            held = {p.name: p.read_text() for p in (node / "bin").iterdir() if not p.name.startswith(".")}
            assert all(text == new[name] or (text == "old" and name == "vpcwire") for name, text in held.items()), held.keys()
            if (node / "net.d/10-vpcwire.conflist").exists():
                assert held == new
                assert json.loads((node / "net.d/10-vpcwire.conflist").read_text()) == {"new": 1}
            deaths += ended == -9
            again = install("", node)
            assert again.returncode == 0, again.stderr
            assert {p.name: p.read_text() for p in (node / "bin").iterdir()} == new
            assert sorted(p.name for p in (node / "net.d").iterdir()) == ["10-vpcwire.conflist"]
            assert all(p.stat().st_mode & 0o777 == 0o755 for p in (node / "bin").iterdir())
        if ended == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert install("", node).stdout == ""           # nothing is written twice
    assert deaths > 40
