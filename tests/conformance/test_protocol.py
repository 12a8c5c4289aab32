# SPDX-License-Identifier: Apache-2.0
"""The CNI protocol itself, row by row of the conformance checklist: environment, stdin, versions, error objects."""
import json
import os
import subprocess

import pytest

from tests.harness import proc
from tests.harness.cni import CniError, Result, strict_object

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_row_01_exit_status_tells_success_from_failure(node):
    pod = node.pod()
    assert node.exec(node.env("ADD", pod), node.conf()).returncode == 0
    assert node.exec(node.env("ADD", pod), node.conf()).returncode != 0
    assert node.exec(node.env("STATUS"), node.conf()).returncode == 0
    node.daemon.fail("status", 11, 50, "no")
    assert node.exec(node.env("STATUS"), node.conf()).returncode != 0
    assert node.exec(node.env("DEL", pod), node.conf()).returncode == 0


def test_row_02_and_04_one_result_on_stdout_and_a_quiet_stderr(node):
    done = node.exec(node.env("ADD", node.pod()), node.conf())
    assert done.returncode == 0 and done.stderr == ""
    assert set(strict_object(done.stdout, "ADD")) == {"cniVersion", "interfaces", "ips", "routes"}


def test_row_02_verbs_without_a_result_print_nothing(node):
    pod = node.pod()
    result = node.add(pod)
    assert node.check(pod, result) is None
    assert node.delete(pod) is None
    assert node.call("STATUS", node.conf()) is None
    assert node.call("GC", node.conf()) is None


@pytest.mark.parametrize("stdin, env, code", [
    ({"cniVersion": "9.9.9", "name": "vpc"}, {}, 1),
    ({"cniVersion": "1.1.0", "name": "vpc"}, {"CNI_IFNAME": None}, 4),
    ("{", {}, 6),
    ({"cniVersion": "1.1.0"}, {}, 7),
    ({"cniVersion": "1.1.0", "name": "vpc"}, {"CNI_NETNS": "/nonexistent"}, 8),
])
def test_row_03_errors_are_objects_on_stdout(bare_node, stdin, env, code):
    done = bare_node.exec(bare_node.env("ADD", "/proc/self/ns/net", **env), stdin)
    error = strict_object(done.stdout, "error")
    assert done.returncode != 0 and error["code"] == code
    assert error["cniVersion"] in VERSIONS and error["msg"] and "details" in error
    assert len(done.stderr.splitlines()) == 1       # one line for the node's journal


@pytest.mark.parametrize("version", ["1.1.0", "0.4.0"])
def test_row_05_version_lists_what_is_supported(bare_node, version):
    answer = bare_node.call("VERSION", {"cniVersion": version})
    assert answer == {"cniVersion": version, "supportedVersions": VERSIONS}


@pytest.mark.parametrize("stdin", ["", "{", '{"cniVersion":"9.9.9"}', "[]"])
def test_row_06_version_as_libcni_asks(bare_node, stdin):
    env = {"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}
    done = bare_node.exec(env, stdin)
    assert done.returncode == 0
    assert strict_object(done.stdout, "VERSION")["supportedVersions"] == VERSIONS
    assert bare_node.exec({"CNI_COMMAND": "VERSION"}, stdin).returncode == 0


@pytest.mark.parametrize("version", ["9.9.9", "1.1", "v1.0.0", "0.1", " 1.1.0", "1.1.0 "])
def test_row_07_unsupported_version(bare_node, version):
    error = refused(bare_node.add, bare_node.pod(), version)
    assert error.code == 1 and "incompatible CNI versions" in error.msg
    assert version in error.details and "1.1.0" in error.details


@pytest.mark.parametrize("more", [{"cniVersion": None}, {"cniVersion": ""}])
def test_row_08_no_version_means_0_1_0(node, more):
    result = node.call("ADD", node.conf(**more), node.pod())
    assert result["cniVersion"] == "0.1.0"
    assert result["ip4"] == {"ip": "10.0.0.10/32", "gateway": "169.254.1.1", "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}]}
    assert "ips" not in result and "interfaces" not in result


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_09_10_11_the_result_has_the_shape_of_its_version(node, version):
    result = node.add(node.pod(), version)
    assert result["cniVersion"] == version
    if version < "0.3.0":
        assert set(result) == {"cniVersion", "ip4"}
        return
    checked = Result(result, version)
    assert all(("mtu" in i) == (version == "1.1.0") for i in checked.interfaces)
    assert all(i.get("version") == ("4" if version < "1.0.0" else None) for i in checked.ips)


def test_row_11_zero_is_not_absent(node):
    prev = {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.1/24"}],
            "interfaces": [{"name": "x0", "mac": "02:00:00:00:00:01", "mtu": 1500, "socketPath": "/s", "pciID": "0000:00:01.0"}],
            "routes": [{"dst": "0.0.0.0/0", "table": 0, "scope": 0}, {"dst": "::/0", "mtu": 1400, "advmss": 1360, "priority": 5}]}
    result = node.add(node.pod(), prev=prev)
    assert result["routes"][:2] == prev["routes"]
    assert result["interfaces"][0] == prev["interfaces"][0]


NEEDED = {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}


@pytest.mark.parametrize("missing", [{v} for v in sorted(NEEDED)] + [NEEDED])
@pytest.mark.parametrize("empty", [None, ""])
def test_row_12_missing_environment_is_named(bare_node, missing, empty):
    error = refused(bare_node.call, "ADD", bare_node.conf(), "/x", **dict.fromkeys(missing, empty))
    assert error.code == 4
    assert all(v in error.msg for v in missing) and not any(v in error.msg for v in NEEDED - missing)


@pytest.mark.parametrize("missing", ["CNI_CONTAINERID", "CNI_IFNAME"])
def test_row_13_del_needs_container_and_interface(node, missing):
    error = refused(node.call, "DEL", node.conf(), "/x", **{missing: None})
    assert error.code == 4 and missing in error.msg


@pytest.mark.parametrize("netns", [None, ""])
def test_row_13_del_needs_no_netns(node, netns):
    pod = node.pod()
    node.add(pod)
    node.call("DEL", node.conf(), pod, CNI_NETNS=netns)
    assert not node.daemon.attachments


@pytest.mark.parametrize("command", ["add", "FOO", "ADD ", "VERSION2"])
def test_row_14_unknown_command(bare_node, command):
    error = refused(bare_node.call, command, bare_node.conf())
    assert error.code == 4 and command in error.msg


@pytest.mark.parametrize("env", [{}, {"CNI_COMMAND": ""}])
def test_row_15_without_a_command_it_introduces_itself(bare_node, env):
    done = bare_node.exec(env, "")
    assert done.returncode == 0 and done.stdout == ""
    about, versions = done.stderr.splitlines()
    assert about.startswith("CNI vpcwire plugin v")
    assert versions == "CNI protocol versions supported: " + ", ".join(VERSIONS)


@pytest.mark.parametrize("cid", ["-a", "a/b", ".a", "a b", "a\tb", "ä", "a;b", "x" * 400])
def test_row_16_bad_container_id(node, cid):
    error = refused(node.call, "ADD", node.conf(), node.pod(), cid=cid)
    assert error.code == 4 and node.daemon.requests == []


@pytest.mark.parametrize("cid", ["a", "0", "A.b-c_d", "x" * 300])
def test_row_16_good_container_id(node, cid):
    pod = node.pod()
    node.add(pod, cid=cid)
    assert node.daemon.requests[0]["container_id"] == cid
    node.delete(pod, cid=cid)


@pytest.mark.parametrize("ifname", ["sixteen.bytes.00", ".", "..", "a/b", "a:b", "a b", "a\tb"])
def test_row_17_bad_interface_name(node, ifname):
    assert refused(node.add, node.pod(), ifname=ifname).code == 4
    assert node.daemon.requests == []


@pytest.mark.parametrize("name", [None, "", "../x", "-a", "a b"])
def test_row_18_bad_network_name(node, name):
    assert refused(node.call, "ADD", node.conf(name=name), node.pod()).code == 7
    assert node.daemon.requests == []


def test_row_19_stdin_that_is_no_json(bare_node):
    whole = json.dumps(bare_node.conf())
    for end in range(len(whole)):
        assert refused(bare_node.call, "ADD", whole[:end], "/x").code == 6
    for bad in (whole + "x", whole + whole, "[]", "null", "1", '{"cniVersion":1}', "\ufeff" + whole, '{"a":1,"a":1}'):
        assert refused(bare_node.call, "ADD", bad, "/x").code == 6


def test_row_19_closed_stdin(bare_node):
    done = subprocess.run([proc.PLUGIN], env=bare_node.env("ADD", "/x"), capture_output=True, text=True, timeout=20, check=False,
                          preexec_fn=lambda: os.close(0))
    assert done.returncode != 0 and strict_object(done.stdout, "ADD")["code"] == 5


def test_row_20_unknown_keys_are_ignored(node):
    node.add(node.pod(), conf={"capabilities": {"portMappings": True}, "whatever": [1], "args": {"cni": {"ips": ["x"]}},
                               "runtimeConfig": {"portMappings": []}, "cni.dev/x": {}})


def test_row_21_keys_match_in_any_letter_case(node):
    node.call("ADD", {"CNIVERSION": "1.1.0", "Name": "vpc", "Socket": node.daemon.path, "MTU": 1400}, node.pod())
    assert node.json("link", "show", "dev", "eni00000000000")[0]["mtu"] == 1400


@pytest.mark.parametrize("mtu, want", [("1450", 1450), (1450, 1450), (0, 9001), (None, 9001)])
def test_row_22_numbers_may_be_strings(node, mtu, want):
    pod = node.pod()
    node.add(pod, conf={"mtu": mtu})
    assert pod.links()["eth0"]["mtu"] == want


@pytest.mark.parametrize("key, value", [("mtu", "lots"), ("mtu", 100), ("mtu", 70000), ("mtu", []), ("timeout_ms", 1), ("attach", "xdp"),
                                        ("socket", "relative"), ("socket", 5), ("log_level", "loud"), ("dns", "8.8.8.8")])
def test_row_22_nonsense_is_refused_and_named(node, key, value):
    error = refused(node.add, node.pod(), conf={key: value})
    assert error.code == 7 and f"'{key}'" in error.msg
    assert node.daemon.requests == []


@pytest.mark.parametrize("command, version", [("CHECK", "0.1.0"), ("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0"), ("GC", "0.4.0")])
def test_row_39_verbs_below_their_version(node, command, version):
    error = refused(node.call, command, node.conf(version), node.pod())
    assert error.code == 1 and command in error.msg
    assert node.daemon.requests == []


@pytest.mark.parametrize("args, want", [
    ("K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=i;K8S_POD_UID=u", ("ns", "p", "u")),
    ("K8S_POD_UID=u;K8S_POD_NAME=p;IgnoreUnknown=1;FOO=x", (None, "p", "u")),
    ("FOO=x;IgnoreUnknown=true", (None, None, None)), ("IgnoreUnknown=0", (None, None, None)), ("", (None, None, None)),
])
def test_row_53_cni_args(node, args, want):
    node.add(node.pod(), args=args)
    req = node.daemon.requests[0]
    assert (req.get("pod_namespace"), req.get("pod_name"), req.get("pod_uid")) == want


@pytest.mark.parametrize("args", ["FOO=x", "A==B;IgnoreUnknown=1", "K8S_POD_NAME", "K8S_POD_NAME=p;", ";", "IgnoreUnknown=maybe", "FOO=x;IgnoreUnknown=0"])
def test_row_53_bad_cni_args(node, args):
    pod = node.pod()
    error = refused(node.add, pod, args=args)
    assert error.code == 4 and "CNI_ARGS" in error.msg
    assert node.daemon.requests == []
    node.delete(pod, args=args)         # but nothing may keep a DEL from its work
    assert node.daemon.ops() == ["del"]


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("stdin, words", [
    (lambda c: json.dumps({**c, "pad": "x" * (1 << 20)}), "larger than 1048576 bytes"),
    (lambda c: json.dumps(c)[:-1] + ', "x": ' + nested(64) + "}", "deeper than 64"),
    (lambda c: json.dumps(c)[:-1] + ', "x": ' + nested(400000) + "}", "deeper than 64"),
])
def test_row_60_input_has_limits(bare_node, stdin, words):
    error = refused(bare_node.call, "ADD", stdin(bare_node.conf()), "/x")
    assert error.code == 6 and words in error.msg


def test_row_60_endless_stdin_is_cut_off(bare_node):
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run([proc.PLUGIN], env=bare_node.env("ADD", "/x"), stdin=endless, capture_output=True, text=True,
                              timeout=20, check=False)
    assert strict_object(done.stdout, "ADD")["code"] == 6


def test_row_60_up_to_the_limits_is_fine(node):
    routes = [{"dst": f"10.{i >> 8 & 255}.{i & 255}.0/24", "gw": "192.0.2.1"} for i in range(10000)]
    prev = {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.2/24"}], "routes": routes}
    conf = node.conf(prevResult=prev)
    text = json.dumps(conf)[:-1] + ', "x": ' + nested(63) + "}"
    result = node.call("ADD", text, node.pod())
    assert result["routes"][:10000] == routes
