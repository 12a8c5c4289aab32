# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong gives the right CNI code and one sentence, and leaves kernel and store as they were."""
import json

import pytest

from tests.harness import audit, cni, proc

LAB = {"instance_type": "m5.large", "prefix_delegation": True}
HUGE = json.dumps({"cniVersion": "1.0.0", "name": "vpcwire", "type": "vpcwire", "padding": "x" * (4 << 20)})
DEEP = '{"cniVersion": "1.0.0", "name": "vpcwire", "type": "vpcwire", "a": ' + "[" * 5000 + "]" * 5000 + "}"


def conf_text(node, **changes):
    return json.dumps(cni.plugin_conf(node.conflist, **{"cniVersion": "1.0.0", **changes}))


@pytest.fixture
def refused(node, pod):
    """refused(code, words, ...): ADD fails with that code and names these words; nothing has changed anywhere."""
    def attempt(code, *words, command="ADD", **kwargs):
        before, inside = audit.node(node), audit.netns(pod)
        with pytest.raises(cni.CniError) as caught:
            pod.call(command, **kwargs)
        error = caught.value
        said = f"{error.msg} {error.details}"
        assert error.code == code, said
        assert len(error.msg) > 10 and "\n" not in error.msg, f"not a sentence: {error.msg!r}"
        for word in words:
            assert word.lower() in said.lower(), f"does not name {word}: {said}"
        assert not audit.difference(inside, audit.netns(pod))
        assert not audit.difference(before, audit.node(node))
        return error

    return attempt


@pytest.mark.parametrize("stdin", ["", "{", "[]", "null", "no json", '{"cniVersion": "1.0.0"', "\0", '{"cniVersion": "1.0.0"} {}'])
def test_malformed_stdin(refused, stdin):
    refused(6, stdin=stdin)


def test_every_truncation_of_a_good_configuration(node, pod):
    """Cut anywhere, it is a decoding error; one shell loop in the node, so that hundreds of runs take a moment."""
    text = conf_text(node)
    before = audit.node(node)
    script = ('i=0; while [ $i -lt ${#1} ]; do printf %s "$1" | head -c $i | env -i "$@" 2>&1 | grep -o "\\"code\\": *[0-9]*" '
              '|| echo "at $i: no code"; i=$((i+7)); done')
    script = script.replace('env -i "$@"', 'env -i $ENVIRONMENT "$PLUGIN"')
    plugin = f"{node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire"
    done = node.run("env", f"ENVIRONMENT={' '.join(pod.cni_env('ADD'))}", f"PLUGIN={plugin}", "sh", "-c", script, "-", text)
    codes = {line.replace(" ", "") for line in done.stdout.splitlines()}
    assert codes == {'"code":6'}, codes
    assert not audit.difference(before, audit.node(node))


@pytest.mark.parametrize("stdin", [HUGE, DEEP], ids=["4 MiB", "5000 deep"])
def test_oversized_stdin(refused, stdin):
    refused(6, stdin=stdin)


@pytest.mark.parametrize("version", ["9.9.9", "1.1", "v1.0.0", "0.0.1"])
def test_unknown_version(node, refused, version):
    refused(1, version, stdin=conf_text(node, cniVersion=version))


@pytest.mark.parametrize("name", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
def test_missing_environment_is_named(refused, name):
    refused(4, name, env={name: None})


def test_all_missing_variables_are_named_at_once(refused):
    refused(4, "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", env={"CNI_CONTAINERID": None, "CNI_NETNS": None, "CNI_IFNAME": None})


@pytest.mark.parametrize("env", [{"CNI_CONTAINERID": "-a"}, {"CNI_CONTAINERID": "a/b"}, {"CNI_IFNAME": "sixteen-letters-"},
                                 {"CNI_IFNAME": "a/b"}, {"CNI_IFNAME": "a b"}, {"CNI_IFNAME": ".."}], ids=str)
def test_names_that_are_no_names(refused, env):
    refused(4, *env, env=env)


def test_unknown_command(refused):
    refused(4, "CNI_COMMAND", command="FOO")


@pytest.mark.parametrize("name", ["", "../x"])
def test_network_name(node, refused, name):
    refused(7, "name", stdin=conf_text(node, name=name))


@pytest.mark.parametrize("path", ["/run/netns/nothing-here", "/etc/hostname", "/"])
def test_no_network_namespace_there(refused, path):
    refused(8, path, env={"CNI_NETNS": path})


def test_the_nodes_own_namespace(refused):
    refused(8, env={"CNI_NETNS": "/proc/self/ns/net"})


def test_a_foreign_interface_is_already_there(pod, refused):
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "foreign0")
    pod.run("ip", "addr", "add", "192.0.2.1/32", "dev", "eth0")
    refused(100, "eth0")
    pod.run("ip", "link", "del", "eth0")


def test_a_socket_that_nobody_listens_on(node, refused):
    refused(11, "vpcwired", stdin=conf_text(node, socket="/run/vpcwire-nothing-here.sock"))


@pytest.mark.parametrize("command,version", [("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0")])
def test_a_command_that_the_version_does_not_have(refused, command, version):
    refused(1, command=command, version=version)


class TestCloud:
    """The cloud says no. A t3.nano has two ENIs of two addresses: room for two pods."""

    ROOM = 2

    @pytest.fixture
    def small(self, make_lab):
        lab = make_lab(instance_type="t3.nano", daemon_config={"warm_ip_target": 1})
        return lab.nodes[0]

    @staticmethod
    def fails(node, *words):
        pod = node.pod()
        before, inside = audit.node(node), audit.netns(pod)
        with pytest.raises(cni.CniError) as caught:
            pod.add()
        assert caught.value.code == 11, caught.value
        said = f"{caught.value.msg} {caught.value.details}"
        for word in words:
            assert word in said, said
        assert not audit.difference(inside, audit.netns(pod))
        assert not audit.difference(before, audit.node(node))
        return pod

    def test_the_pool_is_empty_and_cannot_grow(self, small):
        pods = [small.pod() for _ in range(self.ROOM)]
        for pod in pods:
            pod.add()
        self.fails(small, "2 of 2 ENIs")
        with pytest.raises(cni.CniError) as caught:
            pods[0].call("STATUS", version="1.1.0")
        assert caught.value.code == 50

    @pytest.mark.parametrize("code,said", [("UnauthorizedOperation", "permission is missing: ec2:CreateNetworkInterface"),
                                           ("InsufficientFreeAddressesInSubnet", "no free address in subnet"),
                                           ("InternalError", "InternalError")])
    def test_ec2_refuses_to_grow(self, small, code, said):
        proc.wait_until(lambda: small.info()["pool"]["available"] > 0, "a warm pool")
        for action in ("CreateNetworkInterface", "AssignPrivateIpAddresses", "AttachNetworkInterface"):
            small.lab.fault(action, code)
        held = fill(small, self.ROOM)
        pod = self.fails(small, said)
        small.lab.clear_faults()
        if code == "InsufficientFreeAddressesInSubnet":
            return      # a full subnet is left alone for two minutes, as aws-node does
        proc.wait_until(lambda: adds(pod), "the daemon to grow once EC2 lets it", timeout=30)
        for each in (*held, pod):
            each.delete()

    def test_credentials_have_expired(self, small):
        proc.wait_until(lambda: small.info()["pool"]["available"] > 0, "a warm pool")
        small.lab.fault("IMDS", path="security-credentials", kind="body", status=404)
        small.lab.control("expire-credentials")
        fill(small, self.ROOM)
        self.fails(small, "credentials")


def adds(pod):
    try:
        pod.add()
        return True
    except cni.CniError:
        return False


def fill(node, room):
    """Pods on every address that the pool has, fewer than the instance has room for."""
    held = []
    while node.info()["pool"]["available"]:
        held.append(node.pod())
        held[-1].add()
    assert len(held) < room, "the pool had grown to its limit before the fault"
    return held
