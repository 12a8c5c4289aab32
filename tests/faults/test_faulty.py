# SPDX-License-Identifier: Apache-2.0
"""One call fails, wherever it is: no memory, no descriptor, no room, interrupted, refused, a dump that is not whole.

Each call that the plugin or the daemon makes for a pod is one point (faulty.c, faulty.py). Whatever it leads to, it is success or one
clear error, nothing of it is left, and the next try does it. FAULTS_ALL=1 takes each of the points, otherwise so many of each kind.
"""
import itertools

import pytest

from tests.faults.faulty import ALL, DIE, FROM, ONE, Faulty, Silent, points, tally
from tests.faults.world import vpc
from tests.harness import audit, proc
from tests.harness.cni import CniError
from tests.harness.policy import Policies

HOURS = 24 * 3600
NOWHERE = ("none", "EIO", 0, "")    # nothing fails
TYPE = {"name": "pods.long", "max_enis": 2, "ipv4_per_eni": 50, "nitro": True}
SETTINGS = {"minimum_ip_target": 3, "warm_ip_target": 0, "ip_cooldown_s": 0, "disable_leaked_eni_cleanup": True, "disable_metrics": True}


@pytest.fixture
def faulty(make_lab, tmp_path):
    made = Faulty(make_lab("--no-daemon", config=vpc(type=TYPE)), tmp_path)
    yield made
    made.close()


def up(faulty, wait_until, **settings):
    faulty.configure(**{**SETTINGS, **settings})
    faulty.start()
    wait_until(lambda: faulty.at_rest(3), lambda: f"the pool: {faulty.rpc('info')} {faulty.log.read_text()}", 60)


def attempt(faulty, pod, command, prev=None):
    """-> (result, None) or (None, the error); either is the plugin's own word, in the form that the protocol has."""
    try:
        return faulty.cni(pod, command, prev), None
    except CniError as exc:
        assert exc.code != 999 and exc.msg and "not valid" not in exc.msg, exc
        return None, exc
    except Silent:
        return None, "silent"


def fails_somewhere(faulty, pod, before, page, command, point):
    """The call, with its failure; then what a runtime does: DEL of what failed, and once more. -> whether it was reached."""
    prev = faulty.cni(pod, "ADD") if command == "DEL" else None
    page.arm(*point)
    result, error = attempt(faulty, pod, command, prev)
    reached = page.disarm()
    faulty.gone_or_there()
    if faulty.ended(point):
        faulty.start()
        serves(faulty)
    if command == "ADD":
        if error:
            # a daemon that refuses has nothing of it; who could not read its answer leaves that to the DEL that follows
            faulty.settles(before if page is faulty.daemon and point[1] != DIE else without_books(before), f"{point} {error}",
                           books=page is faulty.daemon and point[1] != DIE)
            faulty.cni(pod, "DEL")
            faulty.settles(before, f"{point} {error}")
            result = faulty.cni(pod, "ADD")
        faulty.cni(pod, "CHECK", result)
        faulty.cni(pod, "DEL", result)
    elif error:
        faulty.cni(pod, "DEL", prev)
    return reached


def without_books(looks):
    return [line for line in looks if not line.startswith("attachment")]


def serves(faulty):
    proc.wait_until(lambda: (faulty.rpc("info") or {}).get("discovered"), lambda: f"the daemon to serve: {faulty.log.read_text()[-3000:]}", 20)


def each_call_fails(faulty, page, command, most, least):
    pod = faulty.node.pod()
    result = faulty.cni(pod, "ADD")     # what is made once only, is
    faulty.cni(pod, "DEL", result)
    before = audit_of_rest(faulty)
    prev = faulty.cni(pod, "ADD") if command == "DEL" else None
    page.arm(count_paths=ALL)
    done, error = attempt(faulty, pod, command, prev)
    page.disarm()
    assert not error
    seen, paths = page.seen(), page.paths() if ALL else None
    if command == "ADD":
        faulty.cni(pod, "DEL", done)
    faulty.settles(before, "without a failure")
    reached, missed = [], []
    for point in points(seen, most, page is faulty.daemon, paths):
        (reached if fails_somewhere(faulty, pod, before, page, command, point) else missed).append(point)
        faulty.settles(before, point)
    # and the store has nothing more of it than memory has
    faulty.ask("end")
    faulty.start()
    serves(faulty)
    faulty.settles(before, "a new start")
    tally(f"{command}, failing in {'the daemon' if page is faulty.daemon else 'the plugin'}", reached, missed)
    assert len(reached) >= (1 if ONE else least)


def audit_of_rest(faulty, pods=0):
    """What the node looks like when the links of the last pod are gone."""
    seen = []

    def twice_the_same():
        seen.append(faulty.looks())
        return len(seen) > 1 and seen[-1] == seen[-2] and sum("vpcwire:" in line for line in seen[-1]) == pods

    return proc.wait_until(lambda: twice_the_same() and seen[-1], "the node to be at rest", every=0.05)


@pytest.mark.limit(HOURS if ALL else 600)
@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("where", ["daemon", "plugin"])
def test_a_call_fails_in(faulty, wait_until, where, command):
    up(faulty, wait_until)
    each_call_fails(faulty, getattr(faulty, where), command, 3, 3 if proc.SANITIZED else 6)      # there without allocations


# --- what the daemon does by itself

def each_failure(faulty, what, act, settle, most, least, turns=2):
    """
    @act(i) begins the i-th turn of something of which each @turns-th is alike, @settle(point) waits until it is done and audits the node. Each call
    that a turn makes without a failure fails once in such a turn, or is the daemon's last. A daemon that ends by itself does so with a
    reason in its log, and is started again.
    """
    seen, paths = [{} for _ in range(turns)], [{} for _ in range(turns)]
    for i in range(2 * turns if ALL else 2):
        faulty.daemon.arm(count_paths=ALL)
        act(i)
        settle(NOWHERE)
        faulty.daemon.disarm()
        for kind, n in faulty.daemon.seen().items():
            seen[i % turns][kind] = max(n, seen[i % turns].get(kind, 0))
        for path, n in (faulty.daemon.paths() if ALL else {}).items():
            paths[i % turns][path] = max(n, paths[i % turns].get(path, 0))
    for s, p in zip(seen, paths if ALL else []):
        print(f"# {what}: calls seen: {s}; allocations by {len(p)} paths", flush=True)
    if ALL or ONE:
        todo = [list(points(s, most, True, p))[FROM:] for s, p in zip(seen, paths)]
    else:       # each kind in turn here and there
        some = list(points({kind: max(s[kind] for s in seen) for kind in seen[0]}, most, True))
        todo = [some[turn::turns] for turn in range(turns)]
    reached, missed, wrong = [], [], []
    for i in itertools.takewhile(lambda _: any(todo), itertools.count()):
        left = todo[i % turns]
        point = left.pop(0) if left else NOWHERE
        faulty.daemon.arm(*point)
        act(i)
        try:
            settle(point)
        except AssertionError as exc:
            if not ALL or not point[2]:
                raise
            # those that follow are tried as well, if another daemon can put things right
            wrong.append(point)
            print(f"# {what}: WRONG at {point}: {exc}", flush=True)
            faulty.daemon.disarm()
            faulty.ask("end")
            faulty.start()
            settle(NOWHERE)
        faulty.daemon.disarm()
        if point[2]:
            if ALL:
                print(f"# {what}, point {len(reached) + len(missed) + FROM}: {','.join(map(str, point))}: {faulty.daemon.fired()}", flush=True)
            fewer = faulty.daemon.on_path()
            if faulty.daemon.fired():
                reached.append(point)
            elif 0 < fewer < point[2]:      # what is done how often depends on chance: then it is the last of this life's
                left.append((*point[:2], fewer, point[3]))
            else:
                missed.append(point)
    tally(what, reached, missed)
    assert not wrong and len(reached) >= (1 if ONE else least)


def revive(faulty, point, may_give_up=False):
    """Whether the daemon had ended: then another one is started, in which nothing fails. A start may give up, and says why."""
    if not faulty.ended(point, may_give_up):
        return False
    faulty.start()
    return True


@pytest.mark.limit(HOURS if ALL else 600)
def test_growing_and_shrinking(faulty, wait_until):
    """EC2, store, kernel and daemon say the same afterwards: nothing is lost, nothing there twice, no intent left."""
    up(faulty, wait_until)
    target = [3]

    def act(i):
        target[0] = 4 if i % 2 == 0 else 3
        faulty.page.forward(70000)      # nothing is too young to be given back
        faulty.configure(**{**SETTINGS, "minimum_ip_target": target[0]})

    def settle(point):
        turns = []

        def done():
            revive(faulty, point)
            turns.append(1)
            if len(turns) % 20 == 0 and faulty.rpc("info"):     # what is retried later is tried now; a file that could not be read is read again
                faulty.later()
            return faulty.at_rest(target[0])

        wait_until(done, lambda: f"{point}, wanted {target[0]}: {faulty.rpc('info')} {faulty.log.read_text()[-3000:]}", 60, 0.01)

    each_failure(faulty, "growing and shrinking by an address", act, settle, 2, 15)


@pytest.mark.limit(HOURS if ALL else 900)
def test_starting(faulty, wait_until):
    """The daemon starts, or says why not and does the next time; the pod that was there keeps its address and its interface."""
    up(faulty, wait_until)
    pod = faulty.node.pod()
    result = faulty.cni(pod, "ADD")
    held = {pod.container_id: result["ips"][0]["address"].split("/")[0]}
    before = audit_of_rest(faulty, pods=1)

    def act(_):
        faulty.ask("end")
        faulty.start()

    def settle(point):
        def done():
            return not revive(faulty, point, may_give_up=True) and faulty.at_rest(3, held) and faulty.looks() == before

        wait_until(done, lambda: f"{point}: {faulty.rpc('info')} {audit.difference(before, faulty.looks())} {faulty.log.read_text()[-3000:]}", 60, 0.01)
        faulty.daemon.disarm()
        revive(faulty, point, may_give_up=True)
        serves(faulty)
        faulty.cni(pod, "CHECK", result)

    each_failure(faulty, "starting", act, settle, 2, 15, turns=1)


def np(*ingress):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "default", "name": "np"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(ingress)}}


@pytest.mark.limit(HOURS if ALL else 900)
def test_publishing_a_policy(faulty, wait_until):
    """A changed policy is in force, for packets: not half of it, not the one before, whatever failed on the way."""
    up(faulty, wait_until)
    one, two = faulty.node.pods(2)
    for pod in (one, two):
        pod.result = faulty.cni(pod, "ADD")
    address = two.result["ips"][0]["address"].split("/")[0]
    policies = Policies(faulty)
    policies.write("np.json", np())
    want = [False]

    def passes():
        return faulty.run("nsenter", f"--net={one.netns}", "ping", "-n", "-q", "-c", "1", "-W", "0.2", address, check=False).returncode == 0

    def act(i):
        want[0] = i % 2 == 0
        policies.write("np.json", np(*[{"from": [{"ipBlock": {"cidr": "10.0.0.0/16"}}]}] * want[0]))

    def in_force():
        try:
            return policies.settled()
        except AssertionError:      # the question itself was what failed
            return None

    def settle(point):
        wait_until(lambda: not revive(faulty, point) and passes() == want[0] and in_force(),
                   lambda: f"{point}: wanted {want[0]}, {in_force()} {faulty.log.read_text()[-3000:]}", 30, 0.01)

    settle(NOWHERE)
    each_failure(faulty, "publishing a policy", act, settle, 2, 15)
