# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every change of the store and on both sides of every request to EC2: no address and no ENI is lost, none is there twice."""
import itertools
from ipaddress import ip_interface

import pytest

from tests.faults.mortal import FINE, Mortal, enumerate_deaths
from tests.faults.world import vpc

# room for single addresses and prefixes; and for ENIs of one address
LONG = {"name": "pods.long", "max_enis": 2, "ipv4_per_eni": 50, "nitro": True}
WIDE = {"name": "pods.wide", "max_enis": 3, "ipv4_per_eni": 2, "nitro": True}
LIMIT_S = 3600 if FINE else 180
SETTINGS = {"warm_ip_target": 0, "ip_cooldown_s": 0, "disable_leaked_eni_cleanup": True}
long, wide = (pytest.mark.parametrize("mortal", [t], indirect=True, ids=[""]) for t in (LONG, WIDE))


@pytest.fixture
def mortal(request, make_lab, tmp_path):
    """A node of the type that the test's parameter names, whose daemon has not been started yet."""
    made = Mortal(make_lab("--no-daemon", config=vpc(prefix=20, type=request.param)), tmp_path)
    yield made
    made.close()


def to(mortal, total, **settings):
    """-> what makes the pool @total addresses large, and says so"""
    def act(*death):
        mortal.page.forward(70000)          # nothing is too young to be given back, and nothing was given back of late
        mortal.page.arm(*death)
        mortal.configure(**{**SETTINGS, "minimum_ip_target": total, **settings})
        return total
    return act


def there_and_back(mortal, wait_until, what, first, second, least, done=None, **settings):
    to(mortal, first, **settings)()
    mortal.start()
    wait_until(lambda: mortal.at_rest(first), lambda: f"the pool: {mortal.rpc('info')} {mortal.log.read_text()}")
    enumerate_deaths(mortal, done or mortal.at_rest, {f"growing by {what}": to(mortal, second, **settings),
                                              f"giving {what} back": to(mortal, first, **settings)}, least)


@pytest.mark.limit(LIMIT_S)
@long
def test_the_first_start(mortal):
    mortal.configure(**SETTINGS, minimum_ip_target=3)

    def act(*death):
        mortal.forget()
        mortal.page.arm(*death)
        mortal.start()
        return 3

    enumerate_deaths(mortal, mortal.at_rest, {"the first start": act}, 15)


@pytest.mark.limit(LIMIT_S)
@long
def test_an_add_on_an_empty_pool(mortal, wait_until):
    """The pod whose ADD was lost asks again, as kubelet does, and those before it keep what they have."""
    names, held = (f"pod{i}" for i in itertools.count()), {}
    mortal.configure(**SETTINGS, minimum_ip_target=1)
    mortal.start()
    wait_until(lambda: mortal.at_rest(1), lambda: f"the pool: {mortal.rpc('info')} {mortal.log.read_text()}")
    held["first"] = str(ip_interface(mortal.add("first")["addresses"][0]["address"]).ip)

    def act(*death):
        name = next(names)
        mortal.page.arm(*death)
        mortal.add(name)
        return name

    def done(name):
        if name not in held:
            reply = mortal.add(name)
            if not reply or "addresses" not in reply:
                return False
            held[name] = str(ip_interface(reply["addresses"][0]["address"]).ip)
        return mortal.at_rest(len(held), held)

    enumerate_deaths(mortal, done, {"an ADD on an empty pool": act}, 4)


@pytest.mark.limit(LIMIT_S)
@long
def test_addresses(mortal, wait_until):
    there_and_back(mortal, wait_until, "an address", 1, 2, 6)


@pytest.mark.limit(LIMIT_S)
@long
def test_prefixes(mortal, wait_until):
    there_and_back(mortal, wait_until, "a prefix", 16, 32, 6, prefix_delegation=True)


@pytest.mark.limit(LIMIT_S)
@wide
def test_enis(mortal, wait_until):
    """One that came back from a death in the middle of its removal is too young to go, and stays for a minute, without an address."""
    def done(total):
        if not mortal.at_rest(total):
            return False
        if len(mortal.rpc("info")["enis"]) == total:
            return True
        mortal.later()
        return False

    there_and_back(mortal, wait_until, "an ENI", 1, 2, 10, done)
