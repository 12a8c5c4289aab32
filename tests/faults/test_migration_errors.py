# SPDX-License-Identifier: Apache-2.0
"""Each netlink request of the commands that go over the ENIs of the store fails once: it says why, and ends well when it is called again."""
import pytest

from tests.faults.test_migration_kills import LAB  # noqa: F401  (make_lab's own)
from tests.harness import audit, proc
from tests.harness.migration import as_aws_node, serving, vpcwired, with_four

WHY = ("No buffer space available", "Out of memory")        # libnl knows the latter alone


def each_failure(node, command, least):
    failed = 0
    for call in ("sendto", "sendmsg"):
        for which in range(1, 100):
            log = f"{node.run_dir}/trace"
            done = node.run("strace", "-f", "-o", log, "-e", f"trace={call}", "-e", f"inject={call}:error=ENOBUFS:when={which}",
                            proc.BIN / "vpcwired", "--run-dir", node.run_dir, command, check=False)
            if "INJECTED" not in node.run("cat", log).stdout:
                break
            failed += done.returncode == 1
            assert done.returncode == 0 or (done.returncode == 1 and any(why in done.stderr for why in WHY)), (call, which, done.stderr)
        else:
            raise AssertionError(f"{command} never came to its end")
    print(f"# {command}: {failed} failures")
    assert failed >= least
    vpcwired(node, command)


@pytest.mark.limit(300)
def test_what_fails_is_named(make_lab):
    lab = make_lab(**LAB)
    node = lab.nodes[0]
    aws = with_four(as_aws_node(lab))
    vpcwired(node, "--from-aws-node")
    serving(lab, node)
    lab.stop_daemon(node.name)
    each_failure(node, "--to-aws-node", 5)
    vpcwired(node, "--to-aws-node-done")
    for pod in aws.pods:
        pod.remove()
    serving(lab, node)
    proc.wait_until(lambda: len(node.info()["enis"]) == 2, "the ENIs to be ours again")
    lab.stop_daemon(node.name)
    each_failure(node, "--cleanup", 5)
    assert not audit.pod_objects(node)
