# SPDX-License-Identifier: Apache-2.0
"""The Helm chart: what is made of it, what its schema takes and refuses, and that the schema and vpcwired agree about settings.

Debian has no helm; mk/chart/render.go renders with what helm renders with (Go's text/template, sprig, sigs.k8s.io/yaml, of Debian).
"""
import copy
import json
import re
import shutil

import pytest
import yaml

from tests.harness import proc

jsonschema = pytest.importorskip("jsonschema")

CHART = proc.TOP / "deploy/helm/vpcwire"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VERSION = re.search(r"^VERSION +\?= (.*)$", (proc.TOP / "Makefile").read_text(), re.M).group(1)
pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="no go (Debian: golang-go) to render the chart with")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """rendered(VALUES) -> the objects, by kind."""
    proc.make("chart-render")

    def render(values=None, namespace="kube-system"):
        file = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        text = proc.run([proc.BUILD / "chart-render", "-n", namespace, "-f", file, CHART]).stdout
        return text, {o["kind"]: o for o in yaml.safe_load_all(text)}
    return render


def accepts(values):
    """As helm does: the schema sees the chart's values with the operator's over them."""
    whole = copy.deepcopy(VALUES)
    for key, value in values.items():
        whole[key] = {**whole[key], **value} if isinstance(whole[key], dict) and isinstance(value, dict) else value
    return not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(whole))


def test_the_plain_manifests_and_the_schema_are_what_the_chart_makes(rendered):
    text, _ = rendered()
    head = (proc.TOP / "mk/chart/head.yaml").read_text()
    assert (proc.TOP / "deploy/kubernetes/vpcwire.yaml").read_text() == head + text, "out of date: make manifests"
    made = proc.run(["/usr/bin/python3", proc.TOP / "mk/chart/schema.py"]).stdout
    assert (CHART / "values.schema.json").read_text() == made, "out of date: make manifests"


def test_the_chart_has_the_sources_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_the_schema_takes_the_defaults_and_nothing_unknown():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert accepts({})

    def tables(schema, path=()):
        if schema.get("additionalProperties") is False:
            yield path
            for key, inner in schema["properties"].items():
                yield from tables(inner, (*path, key))

    found = list(tables(SCHEMA))
    assert {(), ("image",), ("config",), ("probes", "startup"), ("serviceAccount",)} <= set(found)
    for path in found:
        values = copy.deepcopy(VALUES)
        at = values
        for key in path:
            at = at[key]
        at["tolerationz"] = 1
        assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(values)), path


@pytest.mark.parametrize("values", [
    {"image": {"tag": 1}}, {"image": {"pullPolicy": "Sometimes"}}, {"image": {"digest": "sha256:12"}}, {"tolerations": {}},
    {"conflist": {"name": "x", "plugins": [], "cniVersion": "1.0.0"}}, {"conflistName": "../x.conflist"}, {"cniBin": "opt/cni"},
    {"updateStrategy": {"type": "Recreate"}}, {"probes": {"liveness": {"exec": {}}}}, {"config": {"run_dir": "/x"}},
    {"config": {"flow_log": "/var/log/flows"}}, {"env": [{"value": "1"}]}], ids=json.dumps)
def test_the_schema_refuses(values):
    assert not accepts(values)


# what a setting needs beside it, or what its range in the table says too much of
BESIDE = {"enable_ipv4": {"enable_ipv6": True}, "flow_log": {"network_policy": "standard"}}
TEXTS = {"veth_prefix": "vw", "subnet_id": "subnet-0123456789abcdef0", "policy_log": "/run/vpcwire/p.jsonl", "flow_log": "/run/vpcwire/f.jsonl",
         "metrics_address": "127.0.0.1:9100", "introspection_address": "127.0.0.1:9101", "endpoint_ec2": "http://127.0.0.1:1",
         "endpoint_imds": "http://127.0.0.1:1", "endpoint_sts": "http://127.0.0.1:1"}
LISTS = {"security_groups": "sg-0123456789abcdef0"}
ITEM = "10.1.0.0/16"


def samples(key, schema):
    """Values of a setting that it must take, and some that it must not."""
    if "enum" in schema:
        return schema["enum"], ["perhaps"]
    if schema["type"] == "boolean":
        return [True, False], [3]
    if schema["type"] == "integer":
        low = max(schema["minimum"], 576) if key == "pod_mtu" else schema["minimum"]
        # aws-node has -1 for "no limit of MAX_ENI", and so has vpcwired
        return [low, schema["maximum"]], [schema["maximum"] + 1, *([] if key == "max_eni" else [-1]), "many"]
    if schema["type"] == "array":
        item = LISTS.get(key, ITEM)
        return [[], [item]], [[1], [item] * (schema["maxItems"] + 1)]
    if schema["type"] == "object":
        return [{}, {"team": "net"}], [{"team": 1}, {f"t{n}": "" for n in range(schema["maxProperties"] + 1)}]
    if "pattern" in schema and key not in TEXTS:
        return ["0x80", "0x80000000"], ["128!"]
    return [TEXTS.get(key, "a-name")], [["a"], "x" * (schema["maxLength"] + 1)]


@pytest.mark.limit(300)
def test_schema_and_daemon_agree_about_each_setting(tmp_path):
    """Setting by setting, through the program that reads them: a range that the chart refuses is one that vpcwired refuses, too."""
    file, disagree = tmp_path / "vpcwired.json", []
    keys = set(re.findall(r"^\| `(\w+)` \|", (proc.TOP / "docs/CONFIG.md").read_text(), re.M))
    settings = SCHEMA["properties"]["config"]["properties"]
    assert set(settings) == keys - {"run_dir", "bpf_dir", "policy_dir", "node_name"} and len(settings) > 50
    for key, schema in settings.items():
        good, bad = samples(key, schema)
        for value, wanted in [(v, True) for v in good] + [(v, False) for v in bad]:
            config = {**BESIDE.get(key, {}), key: value}
            file.write_text(json.dumps(config))
            taken = proc.run([proc.BIN / "vpcwired", "--config", file, "--check"], check=False)
            if (accepts({"config": config}), taken.returncode == 0) != (wanted, wanted):
                disagree.append((config, accepts({"config": config}), taken.stderr))
    assert not disagree


def test_the_values_reach_the_objects(rendered, tmp_path):
    values = {
        "image": {"repository": "registry.example/net/vpcwire", "tag": "7", "pullPolicy": "Always", "pullSecrets": [{"name": "key"}]},
        "config": {"warm_ip_target": 5, "cluster_name": "blue", "additional_eni_tags": {"team": "net"}, "add_wait_ms": 110000, "external_snat": True,
                   "exclude_snat_cidrs": ["10.9.0.0/16"]},
        "conflistName": "05-mine.conflist", "conflist": {"plugins": [{"type": "vpcwire", "mtu": "1500"}]},
        "cniBin": "/var/lib/cni/bin", "cniConf": "/var/lib/cni/net.d",
        "serviceAccount": {"name": "mine", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
        "feed": {"enabled": True, "waitSeconds": 7, "kinds": ["pods", "aws-policyendpoints"]}, "rbac": {"create": True},
        "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
        "resources": {"vpcwired": {"limits": {"memory": "256Mi"}}},
        "probes": {"liveness": {"periodSeconds": 31}, "feedReadiness": {"periodSeconds": 32}},
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        "terminationGracePeriodSeconds": 20, "priorityClassName": "urgent", "nodeSelector": {"pool": "a"},
        "tolerations": [{"key": "k", "operator": "Exists"}], "affinity": {"nodeAffinity": {}}, "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}}
    assert accepts({k: v for k, v in values.items() if k != "updateStrategy"})
    assert set(values) == set(VALUES)
    _, objects = rendered(values, "net")
    assert {o["metadata"].get("namespace", "net") for o in objects.values()} == {"net"}
    account, data, daemonset = objects["ServiceAccount"], objects["ConfigMap"]["data"], objects["DaemonSet"]["spec"]
    assert account["metadata"] == {"name": "mine", "namespace": "net", "annotations": values["serviceAccount"]["annotations"]}
    assert json.loads(data["vpcwired.json"]) == values["config"]
    (tmp_path / "vpcwired.json").write_text(data["vpcwired.json"])
    proc.run([proc.BIN / "vpcwired", "--config", tmp_path / "vpcwired.json", "--check"])
    assert json.loads(data["05-mine.conflist"]) == {**VALUES["conflist"], **values["conflist"]}
    assert daemonset["updateStrategy"] == {"type": "OnDelete"}
    template = daemonset["template"]
    assert template["metadata"] == {"labels": {"app.kubernetes.io/name": "vpcwire", "c": "d"}, "annotations": {"a": "b"}}
    pod = template["spec"]
    containers = {c["name"]: c for c in pod["initContainers"] + pod["containers"]}
    once, install, daemon, feed = (containers[name] for name in ("feed-once", "install", "vpcwired", "feed"))
    assert {c["image"] for c in containers.values()} == {"registry.example/net/vpcwire:7"}
    assert {c["imagePullPolicy"] for c in containers.values()} == {"Always"}
    assert once["args"] == feed["args"] == ["--kinds=pods,aws-policyendpoints"] and "--wait 7 " in once["command"][-1]
    assert objects["ClusterRole"]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
                                               {"apiGroups": ["networking.k8s.aws"], "resources": ["policyendpoints"], "verbs": ["list", "watch"]}]
    assert objects["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": "net"}]
    assert install["command"][-1] == "/config/05-mine.conflist"
    assert daemon["env"][-1] == values["env"][0]
    assert daemon["resources"] == {"requests": VALUES["resources"]["vpcwired"]["requests"], "limits": {"memory": "256Mi"}}
    assert feed["livenessProbe"] == {**VALUES["probes"]["feedLiveness"], "exec": {"command": ["/usr/sbin/vpcwire-feed", "--probe", "alive"]}}
    assert feed["readinessProbe"] == {**VALUES["probes"]["feedReadiness"], "periodSeconds": 32, "exec": {"command": ["/usr/sbin/vpcwire-feed", "--probe", "ready"]}}
    assert daemon["livenessProbe"] == {**VALUES["probes"]["liveness"], "periodSeconds": 31, "exec": daemon["readinessProbe"]["exec"]}
    assert {v["name"]: v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v} == {
        "run": "/run/vpcwire", "policies": "/run/vpcwire/policy.d", "bpf": "/sys/fs/bpf", "cni-bin": "/var/lib/cni/bin", "cni-conf": "/var/lib/cni/net.d"}
    assert {key: pod[key] for key in ("imagePullSecrets", "serviceAccountName", "terminationGracePeriodSeconds", "priorityClassName", "nodeSelector",
                                      "tolerations", "affinity")} == {
        "imagePullSecrets": [{"name": "key"}], "serviceAccountName": "mine", "terminationGracePeriodSeconds": 20, "priorityClassName": "urgent",
        "nodeSelector": {"kubernetes.io/os": "linux", "pool": "a"}, "tolerations": values["tolerations"], "affinity": values["affinity"]}


def test_a_digest_goes_before_a_tag_and_a_foreign_account_is_not_made(rendered):
    digest = "sha256:" + "0" * 64
    _, objects = rendered({"image": {"digest": digest, "tag": "7"}, "serviceAccount": {"create": False, "name": "theirs"}})
    assert "ServiceAccount" not in objects
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "theirs" and pod["containers"][0]["image"] == f"vpcwire@{digest}"


def test_what_feed_asks_for_it_may_ask_for_and_nothing_else(rendered):
    """Every kind of its table, against the rules made for it; by default it follows what it follows without --kinds."""
    lines = proc.run([proc.BIN / "vpcwire-feed", "--help-kinds"]).stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert VALUES["feed"]["kinds"] == [line.split()[0] for line in lines if "not by default" not in line]
    assert SCHEMA["properties"]["feed"]["properties"]["kinds"]["items"]["enum"] == names
    _, objects = rendered({"feed": {"kinds": names}})
    paths = re.findall(r'"/(?:api/v1|apis/([^/"]+)/\w+)/(?:namespaces/kube-system/)?([a-z]+)"', (proc.TOP / "feed/kinds.c").read_text())
    assert len(paths) == len(names)
    assert [(rule["apiGroups"], rule["resources"]) for rule in objects["ClusterRole"]["rules"]] == [([group], [kind]) for group, kind in paths]
    assert all(rule["verbs"] == ["list", "watch"] for rule in objects["ClusterRole"]["rules"])


def test_without_feed_nobody_has_a_token(rendered):
    _, objects = rendered({"feed": {"enabled": False}})
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    assert set(objects) == {"ServiceAccount", "ConfigMap", "DaemonSet"}
    assert [c["name"] for c in pod["initContainers"] + pod["containers"]] == ["install", "vpcwired"]
    assert "serviceaccount" not in json.dumps(pod) and not any("projected" in v for v in pod["volumes"])


def test_only_feed_has_the_token(rendered):
    _, objects = rendered()
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    assert not pod["automountServiceAccountToken"]
    having = [c["name"] for c in pod["initContainers"] + pod["containers"] if "api" in {m["name"] for m in c["volumeMounts"]}]
    assert having == ["feed-once", "feed"]
    for container in (c for c in pod["initContainers"] + pod["containers"] if c["name"] in having):
        assert container["securityContext"] == {"runAsUser": 0, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}
        assert {m["mountPath"] for m in container["volumeMounts"]} == {"/run/vpcwire/policy.d", "/var/run/secrets/kubernetes.io/serviceaccount"}
