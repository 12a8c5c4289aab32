# SPDX-License-Identifier: Apache-2.0
"""Metrics, alert rules and the dashboard as Prometheus' own tool sees them; each metric that rules and dashboard name is on a node's page."""
import json
import re
import shutil
import subprocess

import pytest

from tests.e2e.test_metrics import fetch
from tests.harness import proc

LAB = {}
ALERTS = proc.TOP / "deploy/prometheus/alerts.yaml"
DASHBOARD = proc.TOP / "deploy/grafana/vpcwire.json"
LABELS_OF_PROMETHEUS = {"instance", "le"}


def promtool(*words, **kwargs):
    if not shutil.which("promtool"):
        pytest.skip("no promtool: make deps installs Debian's package prometheus")
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=60, **kwargs)


def expressions():
    """-> [(where, PromQL)] of rules and panels."""
    rules = re.findall(r"- alert: (\w+)\n\s+expr: (.*)", ALERTS.read_text())
    panels = [(p["title"], t["expr"]) for p in json.loads(DASHBOARD.read_text())["panels"] for t in p["targets"]]
    assert len(rules) > 10 and len(panels) > 20
    return rules + panels


def test_promtool_has_nothing_against_the_metrics(node):
    done = promtool("check", "metrics", input=fetch(node)[1])
    # names of aws-node's, which dashboards know
    ours = [line for line in (done.stdout + done.stderr).splitlines() if line and not line.startswith("awscni_")]
    assert not ours and done.returncode in (0, 3), done


def test_the_rules_are_valid_and_fire_on_what_they_are_for(tmp_path):
    done = promtool("check", "rules", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
    tests = tmp_path / "alerts_test.yaml"
    tests.write_text((proc.TOP / "tests/e2e/alerts_test.yaml").read_text())
    done = promtool("test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr
    named = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
    assert named == set(re.findall(r'alertname="(\w+)"', tests.read_text())), "each alert has been seen to fire"


def test_each_metric_and_label_that_is_named_exists(node):
    text = fetch(node)[1]
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.M))
    samples = set(families) | {n + end for n, kind in families.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    docs = (proc.TOP / "docs/METRICS.md").read_text()
    labels = {}
    for names, cell in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|([^|]*)\|", docs, re.M):
        for name in re.findall(r"`(\w+)`", names):
            labels[name] = set(re.findall(r"`(\w+)`", cell))
    for where, expr in expressions():
        found = re.findall(r"\b((?:awscni|vpcwire)_\w+)(?:\{([^}]*)\})?", expr)
        assert found, where
        for name, selector in found:
            assert name in samples, (where, name)
            family = name if name in families else re.sub(r"_(bucket|sum|count)$", "", name)
            for label in re.findall(r"(\w+)\s*[=!]", selector):
                assert label in labels[family] | LABELS_OF_PROMETHEUS, (where, name, label)


def test_the_dashboards_queries_are_promql(tmp_path):
    """promtool has no check of a query by itself: each becomes a recording rule."""
    rules = [{"record": f"test:panel{i}", "expr": expr.replace("$instance", ".*")} for i, (_, expr) in enumerate(expressions())]
    file = tmp_path / "panels.yaml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_that_grafana_takes():
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "vpcwire" and board["schemaVersion"] >= 30
    ids = [p["id"] for p in board["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for p in board["panels"]:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24 and not taken & cells, p["title"]
        taken |= cells
