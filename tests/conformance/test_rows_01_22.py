# SPDX-License-Identifier: Apache-2.0
"""Rows 1 to 22 of the conformance checklist: output, versions, environment, configuration. One test for each row and plugin."""
import itertools
import json
import re

import pytest

from tests.harness.cni import CniError, Result, strict_object

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
CLOSED_STDIN = ("sh", "-c", 'exec "$@" <&-', "-")


def refused(call, *args, **kwargs):
    with pytest.raises(CniError) as caught:
        call(*args, **kwargs)
    return caught.value


def every_verb(s, pod):
    """Each verb once, in an order in which all succeed -> {verb: finished process}."""
    done = {"ADD": s.exec(s.env("ADD", pod), s.conf(pod=pod))}
    assert done["ADD"].returncode == 0, done["ADD"]
    conf = s.conf(pod=pod, prevResult=json.loads(done["ADD"].stdout))
    valid = {"cni.dev/valid-attachments": [{"containerID": pod.cid, "ifname": "eth0"}]}
    for verb, stdin in (("CHECK", conf), ("STATUS", s.conf()), ("GC", s.conf(**valid)),
                        ("VERSION", {"cniVersion": "1.1.0"}), ("DEL", conf)):
        done[verb] = s.exec(s.env(verb, pod), stdin)
    return done


def test_row_01_success_exits_zero_and_failure_does_not(subject):
    pod = subject.pod()
    for verb, done in every_verb(subject, pod).items():
        assert done.returncode == 0, (verb, done)
    wrong = {"ADD": subject.env("ADD", pod, ifname="a/b"), "DEL": subject.env("DEL", pod, ifname="a/b"),
             "CHECK": subject.env("CHECK", pod), "GC": subject.env("GC"), "STATUS": subject.env("STATUS"), "BOGUS": subject.env("BOGUS")}
    for verb, env in wrong.items():
        stdin = subject.conf("1.0.0" if verb in ("GC", "STATUS") else "1.1.0", pod)
        assert subject.exec(env, stdin).returncode != 0, verb


def test_row_02_add_prints_one_result_and_the_others_nothing(subject):
    done = every_verb(subject, subject.pod())
    assert set(strict_object(done["ADD"].stdout, "ADD")) == {"cniVersion", "interfaces", "ips", "routes"}
    strict_object(done["VERSION"].stdout, "VERSION")
    for verb in ("CHECK", "DEL", "STATUS", "GC"):
        assert done[verb].stdout == "", verb


def test_row_03_errors_are_objects_on_stdout(subject):
    pod = subject.pod()
    conf = subject.conf(pod=pod)
    cases = [
        (1, {}, {**conf, "cniVersion": "9.9.9"}, ()),
        (2, {}, {**conf, **subject.plugin.unsupported}, ()),
        (4, {"CNI_IFNAME": None}, conf, ()),
        (5, {}, "", CLOSED_STDIN),
        (6, {}, "{", ()),
        (7, {}, {**conf, "name": ""}, ()),
    ]
    for code, env, stdin, wrap in cases:
        done = subject.exec(subject.env("ADD", pod, **env), stdin, wrap=wrap)
        error = strict_object(done.stdout, f"error {code}")
        assert done.returncode != 0 and set(error) == {"cniVersion", "code", "msg", "details"}, done
        assert error["code"] == code and error["cniVersion"] in VERSIONS and error["msg"], error


def test_row_04_stderr_is_quiet_on_success_and_logs_never_reach_stdout(subject):
    log = subject.tmp / "plugin.log"
    pod = subject.pod()
    for verb, done in every_verb(subject, pod).items():
        assert done.stderr == "", verb
    loud = {"log_file": str(log), "log_level": "debug"}
    result = subject.add(pod, conf=loud)
    refused(subject.add, pod, conf=loud)
    subject.check(pod, result, conf=loud)
    subject.delete(pod, conf=loud)
    assert len(log.read_text().splitlines()) >= 4
    failed = subject.exec(subject.env("ADD", pod), "{")
    assert len(failed.stderr.splitlines()) == 1 and failed.stderr.startswith("level=error")     # for the node's journal


def test_row_05_version_names_what_is_supported(subject):
    for version in ("1.1.0", "0.4.0"):
        assert subject.call("VERSION", {"cniVersion": version}) == {"cniVersion": version, "supportedVersions": VERSIONS}


def test_row_06_version_as_libcni_asks_for_it(subject):
    dummy = {"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}
    for env, stdin in itertools.product((dummy, {"CNI_COMMAND": "VERSION"}),
                                        ("", "{", '{"cniVersion":"9.9.9"}', '{"cniVersion":"1.1.0"}', "[]")):
        done = subject.exec(env, stdin)
        assert done.returncode == 0 and strict_object(done.stdout, "VERSION")["supportedVersions"] == VERSIONS


def test_row_07_an_unsupported_version_is_refused_and_named(subject):
    pod = subject.pod()
    before = subject.snapshot()
    for version in ("9.9.9", "1.1", "v1.0.0", "0.1", " 1.1.0", "1.1.0 ", "1.2.0"):
        error = refused(subject.add, pod, version)
        assert error.code == 1 and "incompatible CNI versions" in error.msg
        assert f'"{version}"' in error.details and "1.1.0" in error.details
    assert subject.snapshot() == before


def test_row_08_no_version_means_the_first(subject):
    for more in ({"cniVersion": None}, {"cniVersion": ""}):
        pod = subject.pod()
        result = subject.call("ADD", subject.conf(pod=pod, **more), pod)
        assert result["cniVersion"] == "0.1.0" and "ips" not in result and "interfaces" not in result
        assert {"ip", "gateway", "routes"} <= set(result["ip4"])
        subject.call("DEL", subject.conf(pod=pod, **more), pod)


def test_row_09_the_result_is_of_the_configured_version(subject):
    for version in VERSIONS:
        pod = subject.pod()
        assert subject.add(pod, version)["cniVersion"] == version
        subject.delete(pod, version)


def test_row_10_ips_carry_their_family_before_1_0_0_only(subject):
    for version in VERSIONS[2:]:
        pod = subject.pod()
        checked = Result(subject.add(pod, version), version)
        assert [i.get("version") for i in checked.ips] == ["4" if version < "1.0.0" else None]
        subject.delete(pod, version)


def test_row_11_fields_of_1_1_0_stay_in_1_1_0_and_zero_is_not_absent(subject):
    prev = {"ips": [{"address": "192.0.2.1/24"}],
            "interfaces": [{"name": "x0", "mac": "02:00:00:00:00:01", "mtu": 1500, "socketPath": "/s", "pciID": "0000:00:01.0"}],
            "routes": [{"dst": "0.0.0.0/0", "table": 0, "scope": 0}, {"dst": "::/0", "mtu": 1400, "advmss": 1360, "priority": 5}]}
    for version in VERSIONS[2:]:
        pod = subject.pod()
        result = subject.add(pod, version, prev={"cniVersion": version, **prev})
        Result({**result, "interfaces": result["interfaces"][1:],                              # strict about every field
                "ips": [{**i, "interface": i["interface"] - 1} for i in result["ips"][1:]]}, version)
        if version == "1.1.0":
            assert result["routes"][:2] == prev["routes"] and result["interfaces"][0] == prev["interfaces"][0]
        else:
            assert result["routes"][:2] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
            assert result["interfaces"][0] == {"name": "x0", "mac": "02:00:00:00:00:01"}
        assert all(("mtu" in i) == (version == "1.1.0") for i in result["interfaces"])
        subject.delete(pod, version)


NEEDED = {"ADD": {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"},
          "CHECK": {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"},
          "DEL": {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"}, "GC": {"CNI_PATH"}, "STATUS": {"CNI_PATH"}}


def test_row_12_missing_variables_are_all_named(subject):
    before = subject.snapshot()
    for verb, needed in NEEDED.items():
        for missing in [{v} for v in sorted(needed)] + [needed]:
            for empty in (None, ""):
                error = refused(subject.call, verb, subject.conf(), "/x", **dict.fromkeys(missing, empty))
                assert error.code == 4
                assert {v for v in NEEDED["ADD"] if v in error.msg} == missing, (verb, missing, error)
    assert subject.snapshot() == before


def test_row_13_del_needs_container_and_interface_but_no_netns(subject):
    for missing in ("CNI_CONTAINERID", "CNI_IFNAME"):
        error = refused(subject.call, "DEL", subject.conf(), "/x", **{missing: None})
        assert error.code == 4 and missing in error.msg
    for netns in (None, ""):
        pod = subject.pod()
        subject.add(pod)
        subject.call("DEL", subject.conf(pod=pod), pod, CNI_NETNS=netns)
        assert subject.held() == []


def test_row_14_an_unknown_command_is_refused(subject):
    for command in ("add", "FOO", "ADD ", "VERSION2", "UPDATE"):
        error = refused(subject.call, command, subject.conf())
        assert error.code == 4 and command in error.msg


def test_row_15_without_a_command_it_introduces_itself(subject):
    for env in ({}, {"CNI_COMMAND": ""}):
        done = subject.exec(env, "")
        assert done.returncode == 0 and done.stdout == ""
        about, versions = done.stderr.splitlines()
        assert re.fullmatch(rf"CNI {subject.plugin.program} plugin v\d\S*", about)         # nerdctl reads this line
        assert versions == "CNI protocol versions supported: " + ", ".join(VERSIONS)


def test_row_16_the_container_id_is_checked(subject):
    pod = subject.pod()
    before = subject.snapshot()
    for cid in ("-a", "a/b", ".a", "a b", "a\tb", "ä", "a;b", "x" * 400, "../x"):
        for verb in ("ADD", "DEL", "CHECK"):
            assert refused(subject.call, verb, subject.conf(pod=pod), pod, cid=cid).code == 4, (verb, cid)
    assert refused(subject.call, "ADD", subject.conf(pod=pod), pod, CNI_CONTAINERID="").code == 4
    assert subject.snapshot() == before
    for cid in ("a", "0", "A.b-c_d", "x" * 300):
        pod = subject.pod()
        subject.add(pod, cid=cid)
        assert subject.held() == [f"{cid}/eth0"]
        subject.check(pod, cid=cid)
        subject.delete(pod, cid=cid)


def test_row_17_the_interface_name_is_checked(subject):
    pod = subject.pod()
    before = subject.snapshot()
    for ifname in ("sixteen.bytes.00", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "/"):
        for verb in ("ADD", "DEL", "CHECK"):
            assert refused(subject.call, verb, subject.conf(pod=pod), pod, ifname=ifname).code == 4, (verb, ifname)
    assert subject.snapshot() == before


def test_row_18_the_network_name_is_required_and_checked(subject):
    pod = subject.pod()
    before = subject.snapshot()
    for name in (None, "", "../x", "-a", "a b", "x" * 400):
        for verb in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
            assert refused(subject.call, verb, subject.conf(pod=pod, name=name), pod).code == 7, (verb, name)
    assert subject.snapshot() == before


def test_row_19_stdin_that_is_no_json_object(subject):
    before = subject.snapshot()
    env = subject.env("ADD", "/x")
    whole = json.dumps(subject.conf())
    bad = [whole[:end] for end in range(len(whole))]            # also the empty one
    bad += [whole + "x", whole + whole, "[]", "null", "1", '{"cniVersion":1}', "\ufeff" + whole, '{"a":1,"a":1}', "\0"]
    for (done,), in subject.batch([[[{"argv": [subject.binary], "env": env, "stdin": text}]] for text in bad], workers=2):
        assert done["status"] != 0 and strict_object(done["stdout"], "ADD")["code"] == 6, done
    closed = subject.exec(env, "", wrap=CLOSED_STDIN)
    assert closed.returncode != 0 and strict_object(closed.stdout, "ADD")["code"] == 5
    assert subject.snapshot() == before


def test_row_20_unknown_keys_are_ignored(subject):
    more = {"capabilities": {"portMappings": True, "ips": True, "x": True}, "whatever": [1], "cni.dev/x": {}, "ipMasq": True,
            "args": {"cni": {"labels": [{"key": "a", "value": "b"}]}, "other": {}},
            "runtimeConfig": {"portMappings": [], "nobody.knows/this": {"a": 1}}}
    for verb in ("ADD", "CHECK", "GC", "STATUS", "DEL"):
        if verb == "ADD":
            pod = subject.pod()
            subject.add(pod, conf=more)
        elif verb == "CHECK":
            subject.check(pod, conf=more)
        elif verb == "DEL":
            subject.delete(pod, conf=more)
        else:
            assert subject.call(verb, subject.conf(**more)) is None


def test_row_21_keys_match_in_any_letter_case(subject):
    pod = subject.pod()
    conf = {(k.upper() if i % 2 else k.capitalize()): v for i, (k, v) in enumerate(subject.conf(pod=pod, mtu=1400).items())}
    # go-cni's structs have no tags: containerd sends their Go names
    conf["runtimeConfig"] = {"dns": {"Servers": ["192.0.2.53"], "Searches": ["a.example"], "Options": ["ndots:2"]}}
    result = subject.call("ADD", conf, pod)
    assert result["dns"] == {"nameservers": ["192.0.2.53"], "search": ["a.example"], "options": ["ndots:2"]}
    assert {i["mtu"] for i in result["interfaces"]} == {1400} and pod.links()["eth0"]["mtu"] == 1400
    subject.call("DEL", conf, pod)


def test_row_22_numbers_may_be_strings(subject):
    for mtu, want in (("1450", 1450), (1450, 1450)):
        pod = subject.pod()
        subject.add(pod, conf={"mtu": mtu})
        assert pod.links()["eth0"]["mtu"] == want
        subject.delete(pod, conf={"mtu": mtu})
    pod = subject.pod()
    for mtu in ("lots", "", "1450x", " 1450", 100, 70000, 1450.5, [], {}):
        error = refused(subject.add, pod, conf={"mtu": mtu})
        assert error.code == 7 and "'mtu'" in error.msg, mtu
    assert subject.held() == []
