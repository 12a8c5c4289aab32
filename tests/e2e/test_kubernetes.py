# SPDX-License-Identifier: Apache-2.0
"""The DaemonSet's manifests, and its init container's program, killed at every step. (No cluster: docs/KUBERNETES.md says what was not tried.)"""
import contextlib
import copy
import json
import os
import re
import signal
import subprocess

import pytest
import yaml

from tests.harness import apiserver, proc
from tests.harness.symptoms import operator_sees, quoted

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
    assert paths == {"/run/vpcwire", "/run/vpcwire/policy.d", "/sys/fs/bpf", "/opt/cni/bin", "/etc/cni/net.d"}


def test_the_settings_are_valid_and_the_conflist_is_the_packages(objects, tmp_path):
    data = objects["ConfigMap"]["data"]
    (tmp_path / "vpcwired.json").write_text(data["vpcwired.json"])
    proc.run([proc.BIN / "vpcwired", "--config", tmp_path / "vpcwired.json", "--check"])
    assert json.loads(data["10-vpcwire.conflist"]) == json.loads((proc.TOP / "deploy/cni/10-vpcwire.conflist").read_text())


def test_the_containers_run_what_the_image_has(objects):
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    install = next(c for c in pod["initContainers"] if c["name"] == "install")
    assert pod["initContainers"][-1] == install         # whose conflist invites pods, when policies are there
    dockerfile = (proc.TOP / "deploy/container/Dockerfile").read_text()
    assert f"COPY deploy/container/install-node {install['command'][0]}\n" in dockerfile
    assert install["securityContext"]["capabilities"] == {"drop": ["ALL"]} and not install["securityContext"]["allowPrivilegeEscalation"]
    source, binaries, conf, conflist = install["command"][1:]
    assert source == "/opt/cni/bin" and {binaries, conf, os.path.dirname(conflist)} <= set(volumes(install))
    looked_into = re.search(r'NETCONFPATH.*?"(/etc/[^"]+)"', (proc.TOP / "cli/look.c").read_text(), re.S).group(1)
    assert volumes(pod["containers"][0])[looked_into] == volumes(install)[conf], "doctor sees the node's folder, not the image's"
    probe = pod["containers"][0]["readinessProbe"]["exec"]["command"]
    for status, ready in ((0, True), (4, True), (3, False), (1, False)):
        script = f"vpcwirectl() {{ return {status}; }}\n{probe[2]}"
        assert (proc.run([*probe[:2], script], check=False).returncode == 0) == ready


POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "none", "namespace": "default"},
          "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
# as the manifest has it: the root read-only, the ConfigMap over /etc/vpcwire, a small /tmp; the rest are the node's folders. The programs
# are in /mnt, because the checkout may be in the /tmp that is hidden
CONTAINER = """mount --make-rprivate /
mkdir -p /run/vpcwire
mount --bind "$1" /run/vpcwire
shift
mount --bind "$1" /etc/vpcwire
mount -o remount,bind,ro /etc/vpcwire
shift
mount --bind "$1" /mnt
mount -t tmpfs -o size=1m none /tmp
mount -o remount,bind,ro /
cd /
shift
exec "$@"
"""


def test_the_daemons_container_serves_and_takes_policies(objects, make_lab, tmp_path):
    lab = make_lab()
    node = lab.nodes[0]
    lab.stop_daemon(node.name)
    for name, text in objects["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}
    assert set(volumes(container)) == {"/run/vpcwire", "/sys/fs/bpf", "/etc/vpcwire", "/etc/cni/net.d", "/tmp"}
    environment = [f"{e['name']}={e.get('value', node.name)}" for e in container["env"]]
    words = ["unshare", "--mount", "sh", "-ec", CONTAINER, "-", node.run_dir, tmp_path, proc.BIN, "env", "-u", "VPCWIRE_RUN_DIR",
              *environment, "/mnt/vpcwired", *container["args"]]
    with (proc.BUILD / "test-logs" / "daemonset-vpcwired.log").open("wb") as log:
        daemon = subprocess.Popen(node.argv(*words), env=node.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        proc.wait_until(node.serves, lambda: "the daemon to serve: " + open(log.name, encoding="utf-8").read())
        probe = container["readinessProbe"]["exec"]["command"]
        node.run("env", f"PATH={proc.BIN}:/usr/bin:/bin", *probe)
        one = node.pod()
        one.add()
        assert one.pings(node.facts["address"])
        folder = dict(e.split("=") for e in environment)["VPCWIRE_POLICY_DIR"].replace("/run/vpcwire", node.run_dir)
        (tmp_path / "none.json").write_text(json.dumps(POLICY))
        node.run("sh", "-ec", 'cp "$1" "$2/.none" && mv "$2/.none" "$2/none.json"', "-", tmp_path / "none.json", folder)
        status = [proc.BIN / "vpcwirectl", "--json", "policy", "status"]
        proc.wait_until(lambda: [p["isolated_ingress"] for p in node.json(*status)["pods"]] == [True], lambda: "the policy to be taken: " + node.run(*status).stdout)
        one.delete()
        one.remove()
        node.run("kill", node.daemon_pid())
        assert daemon.wait(15) == 0
    finally:
        daemon.kill()
        daemon.wait()


def test_a_policy_of_the_api_server_is_in_force_and_goes(objects, make_lab, tmp_path):
    """vpcwire-feed and the daemon with what the DaemonSet gives them: one's folder is the other's."""
    folder = tmp_path / "policy.d"
    folder.mkdir()
    node = make_lab(daemon_config={"policy_dir": str(folder)}).nodes[0]
    container = next(c for c in objects["DaemonSet"]["spec"]["template"]["spec"]["containers"] if c["name"] == "feed")
    assert container["command"] == ["/usr/sbin/vpcwire-feed"]
    one = node.pod()
    one.add()

    def isolated():
        return [p["isolated_ingress"] for p in node.json(proc.BIN / "vpcwirectl", "--json", "policy", "status")["pods"]]

    with contextlib.closing(apiserver.Server()) as server:
        server.put(copy.deepcopy(POLICY))
        with proc.beside([proc.BIN / "vpcwire-feed", *container["args"], "--dir", folder, "--server", server.url],
                         stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            proc.wait_until(lambda: isolated() == [True], "the policy to be in force")
            server.delete(POLICY)
            proc.wait_until(lambda: isolated() == [False], "the policy to be gone")
    one.delete()
    one.remove()


def test_a_feed_that_hears_nothing_or_has_died_is_trouble(make_lab, tmp_path):
    """Its file is put back in time instead of waiting; while it does not go on itself, nothing else writes to it."""
    folder = tmp_path / "policy.d"
    folder.mkdir()
    node = make_lab(daemon_config={"policy_dir": str(folder)}).nodes[0]
    state = folder / ".vpcwire-feed.json"

    def status():
        return json.loads(node.run(proc.BIN / "vpcwirectl", "--json", "status", check=False).stdout)

    def figures():
        page = node.rpc("query", what="metrics")["result"]["text"]
        return {name: int(value) for name, value in re.findall(r"^vpcwire_feed_(\w+) (\d+)$", page, re.M)}

    def earlier(**seconds):
        said = json.loads(state.read_text())
        new = state.with_suffix(".new")
        new.write_text(json.dumps({**said, **{f"{what}_ms": said[f"{what}_ms"] - s * 1000 for what, s in seconds.items()}}))
        new.rename(state)

    proc.wait_until(node.serves, "the daemon to serve")
    assert "feed" not in status() and figures() == {}, "there is none"
    with contextlib.closing(apiserver.Server()) as server:
        feed = subprocess.Popen([proc.BIN / "vpcwire-feed", "--kinds", "pods", "--dir", folder, "--server", server.url, "--retry-ms", "5"],
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            proc.wait_until(lambda: status().get("feed", {}).get("listed"), "all to be listed")
            assert status()["troubles"] == [] and figures()["up"] == 1 and figures()["listed"] == 1 and figures()["silence_seconds"] < 60
            assert quoted("API server: heard 12 s ago").search(node.run(proc.BIN / "vpcwirectl", "status", check=False).stdout)
            server.fault("Pod", 403, times=100000)
            server.forget()
            proc.wait_until(lambda: status()["feed"].get("why") == "pods: HTTP status 403", lambda: f"it to be refused: {status()['feed']}")
            feed.send_signal(signal.SIGSTOP)
            earlier(heard=70)
            operator_sees(node, "the API server has not been heard")
            assert status()["troubles"][0]["what"].endswith(" s: pods: HTTP status 403") and 70 <= figures()["silence_seconds"] < 130
            assert status()["cni"] == 0, "pods are served as before"
        finally:
            feed.kill()
            feed.wait()
    earlier(written=70)
    operator_sees(node, "vpcwire-feed does not run")
    assert figures()["up"] == 0 and not status()["feed"]["runs"]
    state.write_text("{")
    proc.wait_until(lambda: ["feed's state cannot be read" in t["what"] for t in status()["troubles"]] == [True], lambda: f"{status()['troubles']}")
    state.unlink()
    assert status()["troubles"] == [] and "feed" not in status()


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
