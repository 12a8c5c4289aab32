#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the chart's values.schema.json: the values are below, the settings come from docs/CONFIG.md, which vpcwired prints from the table
that its parser uses. Anything that is not named is refused, so that a misspelt value is an error and no silence."""
import json
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
# the DaemonSet itself sets them, and mounts what they name
NOT_HERE = {"run_dir", "bpf_dir", "policy_dir", "node_name"}
# the container's root is read-only, and this is the node's folder in it
IN_RUN_DIR = {"policy_log", "flow_log"}


def of(key, values):
    """The schema of one setting from the column `values` of its row."""
    if values == "true, false":
        return {"type": "boolean"}
    if match := re.fullmatch(r"(\d+) to (\d+)", values):
        return {"type": "integer", "minimum": int(match[1]), "maximum": int(match[2])}
    if values.startswith("one bit, 0x"):
        return {"type": "string", "pattern": "^0x[0-9a-fA-F]{1,8}$"}
    if match := re.fullmatch(r"up to (\d+) characters", values):
        return {"type": "string", "maxLength": int(match[1])} | ({"pattern": "^(/run/vpcwire/|$)"} if key in IN_RUN_DIR else {})
    if match := re.fullmatch(r"up to (\d+)", values):
        return {"type": "object", "maxProperties": int(match[1]), "additionalProperties": {"type": "string"}}
    if match := re.fullmatch(r"up to (\d+) (ids|ranges|IPv4 ranges)", values):
        return {"type": "array", "maxItems": int(match[1]), "items": {"type": "string"}}
    if re.fullmatch(r"[a-z]+(, [a-z]+)+", values):
        return {"enum": values.split(", ")}
    sys.exit(f"schema.py: docs/CONFIG.md says of {key} '{values}', which is of no kind that is known here")


def settings():
    found = {}
    for line in (TOP / "docs/CONFIG.md").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\| `(\w+)` \| .*? \| .*? \| (.*?) \| (.*) \|$", line):
            key, values, effect = match.groups()
            if key not in NOT_HERE:
                found[key] = {"description": effect} | of(key, values)
    return found


def kinds():
    """What vpcwire-feed can follow: the rows of its table."""
    return re.findall(r'^\t\{ "([\w-]+)", "\w+", "[^"]+",', (TOP / "feed/kinds.c").read_text(encoding="utf-8"), re.M)


def table(properties, description=None):
    return ({"description": description} if description else {}) | \
        {"type": "object", "additionalProperties": False, "properties": properties}


TEXT = {"type": "string", "minLength": 1}
MAYBE = {"type": "string"}
PATH = {"type": "string", "pattern": "^/[^ ]*$"}
FREE = {"type": "object"}                                           # shapes of the Kubernetes API, which checks them itself
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
PROBE = table({key: {"type": "integer", "minimum": 1} for key in
               ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")})


def main():
    values = {
        "global": FREE | {"description": "what helm hands to every chart of a larger one; not looked at"},
        "image": table({"repository": TEXT, "tag": MAYBE, "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]}, "pullSecrets": OBJECTS}),
        "config": table(settings(), "vpcwired.json: docs/CONFIG.md"),
        "conflistName": {"type": "string", "pattern": r"^[A-Za-z0-9][-A-Za-z0-9._]*\.conflist$"},
        "conflist": {"type": "object", "required": ["cniVersion", "name", "plugins"], "properties": {
            "cniVersion": TEXT, "name": TEXT,
            "plugins": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["type"]}}}},
        "cniBin": PATH, "cniConf": PATH,
        "serviceAccount": table({"create": {"type": "boolean"}, "name": TEXT, "annotations": TEXTS}),
        "env": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "resources": table({"install": FREE, "vpcwired": FREE, "feed": FREE}),
        "feed": table({"enabled": {"type": "boolean"}, "waitSeconds": {"type": "integer", "minimum": 1, "maximum": 86400},
                       "kinds": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": kinds()}}}),
        "rbac": table({"create": {"type": "boolean"}}),
        "probes": table({"startup": PROBE, "liveness": PROBE, "readiness": PROBE, "feedLiveness": PROBE, "feedReadiness": PROBE}),
        "updateStrategy": table({"type": {"enum": ["RollingUpdate", "OnDelete"]}, "rollingUpdate": FREE}),
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 0},
        "priorityClassName": TEXT,
        "nodeSelector": TEXTS, "tolerations": OBJECTS, "affinity": FREE, "podAnnotations": TEXTS, "podLabels": TEXTS,
    }
    schema = {"$schema": "http://json-schema.org/draft-07/schema#",
              "$comment": "made by mk/chart/schema.py (make manifests); do not edit"} | table(values)
    print(json.dumps(schema, indent=2))


if __name__ == "__main__":
    main()
