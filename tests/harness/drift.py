# SPDX-License-Identifier: Apache-2.0
"""What others take away of a node: what the daemon says of it, and connections that must live through it."""
import itertools

from tests.harness import proc

SOON_S = 20             # a second is promised (make bench measures it); a busy machine gets more

FLUSH_RULES = """
ip $family rule flush
ip $family rule add pref 32766 lookup main protocol kernel
[ -n "$family" ] || ip rule add pref 32767 lookup default protocol kernel
"""


def drift(node):
    reply = node.rpc("query", what="drift")
    assert "error" not in reply, reply
    return reply["result"]


def at_rest(node):
    """Nothing is missing, nothing is being restored -> what was until now."""
    def quiet():
        before = drift(node)
        after = drift(node)
        return before == after and after
    return proc.wait_until(quiet, "the daemon at rest")


class Damaged:
    """A node that is damaged by shell commands, in which `names` stand for what they are about, under connections (traffic.FLOW)."""

    def __init__(self, node, names, flows, servers):
        self.node, self.names, self.flows, self.servers = node, names, flows, servers
        self.lines = itertools.count()
        self.speak()

    def close(self):
        for process in self.flows + self.servers:
            process.close()

    def sh(self, script, check=True):
        return self.node.run("env", *(f"{k}={v}" for k, v in self.names.items()), "sh", "-ec", script, check=check).stdout

    def speak(self):
        for flow in self.flows:
            line = f"line {next(self.lines)}"
            assert flow.say(line + "\n") == line
