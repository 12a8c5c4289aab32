# SPDX-License-Identifier: Apache-2.0
"""With no target set the pool follows demand: its marks rise with pods, a restart keeps them, a target ends the mode."""
import pytest

from tests.harness import proc

LAB = {"instance_type": "m5.large", "prefix_delegation": True}


def marks(node):
    pool = node.info()["pool"]
    return pool["warm_low"], pool["warm_fill"], pool["warm_keep"]


@pytest.fixture
def burst(node):
    made = [node.pod() for _ in range(24)]
    for pod in made:
        pod.add()
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


def test_a_burst_raises_the_marks_and_the_pool(node, burst):
    low, fill, keep = marks(node)
    # all of the burst has come: what may still come is a quarter of it; the fill stays ready for another one (docs/IPAM.md)
    assert 3 + 24 / 4 - 1 <= low < fill < keep, "24 pods within seconds are a burst of 24, or all but"
    assert fill >= (3 + 24) / 2

    def settled():
        pool = node.info()["pool"]
        return pool["available"] >= pool["warm_low"] and not pool["actions_under_way"]
    proc.wait_until(settled, "the pool to have grown to its mark")


def test_a_restart_keeps_what_was_learnt(lab, node, burst):
    before = marks(node)
    assert lab.stop_daemon(node.name) == 0
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    # a daemon that began anew would expect 16; the burst of 24 and more, spread as this machine spread it, is half forgotten in hours only
    assert before[1] > 16 and abs(marks(node)[1] - before[1]) <= 1, (before, marks(node))


def test_a_target_ends_the_mode(make_lab):
    node = make_lab(daemon_config={"warm_ip_target": 3}).nodes[0]
    proc.wait_until(lambda: node.info()["pool"]["available"] == 3, "three warm addresses")
    assert "warm_low" not in node.info()["pool"]
