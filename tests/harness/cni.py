# SPDX-License-Identifier: Apache-2.0
"""The CNI protocol from the runtime's side: exact environment, exact stdin, a strict look at what comes back."""
import ipaddress
import json
import re

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
RESULT_KEYS = {"cniVersion", "interfaces", "ips", "routes", "dns"}


class CniError(Exception):
    """A plugin's error object."""

    def __init__(self, code, msg, details, raw):
        super().__init__(f"CNI error {code}: {msg}" + (f" ({details})" if details else ""))
        self.code, self.msg, self.details, self.raw = code, msg, details, raw


def strict_object(text, what):
    """Exactly one JSON object, no key twice, nothing behind it but a newline."""
    def pairs(items):
        keys = [k for k, _ in items]
        assert len(keys) == len(set(keys)), f"{what}: a key twice in {keys}"
        return dict(items)

    assert text.strip(), f"{what}: nothing was printed"
    value, end = json.JSONDecoder(object_pairs_hook=pairs).raw_decode(text)
    assert text[end:] in ("", "\n"), f"{what}: bytes after the object: {text[end:]!r}"
    assert isinstance(value, dict), f"{what}: not an object: {text!r}"
    return value


def plugin_conf(conflist, index=0, prev_result=None, **overrides):
    """One plugin's configuration as libcni builds it from a list: name and cniVersion put in, prevResult where there is one."""
    conf = dict(conflist["plugins"][index])
    conf["name"] = conflist["name"]
    conf["cniVersion"] = conflist.get("cniVersion", "0.1.0")
    if prev_result is not None:
        conf["prevResult"] = prev_result
    conf.update(overrides)
    return {k: v for k, v in conf.items() if v is not None}


class Result:
    """A successful ADD's result, checked against the result schema of its version."""

    def __init__(self, raw, version):
        self.raw = raw
        assert raw.get("cniVersion") == version, f"the result speaks {raw.get('cniVersion')}, the configuration {version}"
        self.interfaces = raw.get("interfaces", [])
        self.ips = raw.get("ips", [])
        self.routes = raw.get("routes", [])
        self._check(tuple(int(n) for n in version.split(".")))

    def _check(self, version):
        unknown = set(self.raw) - RESULT_KEYS
        assert not unknown, f"keys that are in no result: {unknown}"
        for iface in self.interfaces:
            assert iface["name"] and len(iface["name"]) <= 15, iface
            assert MAC.fullmatch(iface.get("mac", "")), f"no MAC: {iface}"
            assert version >= (1, 1, 0) or not set(iface) & {"mtu", "socketPath", "pciID"}, f"1.1 keys in {version}: {iface}"
        for ip in self.ips:
            assert 0 <= ip["interface"] < len(self.interfaces), f"no such interface: {ip}"
            ipaddress.ip_interface(ip["address"])
            if "gateway" in ip:
                ipaddress.ip_address(ip["gateway"])
            assert ("version" in ip) == (version < (1, 0, 0)), f"`version` of an ip belongs to 0.x only: {ip}"
        for route in self.routes:
            ipaddress.ip_network(route["dst"])
            assert version >= (1, 1, 0) or not set(route) - {"dst", "gw"}, f"1.1 keys in {version}: {route}"

    @property
    def pod_interface(self):
        return next(i for i in self.interfaces if i.get("sandbox"))

    @property
    def host_interface(self):
        return next(i for i in self.interfaces if not i.get("sandbox"))

    @property
    def address(self):
        """The pod's IPv4 address, as a string without its prefix length."""
        return next(str(a.ip) for a in (ipaddress.ip_interface(i["address"]) for i in self.ips) if a.version == 4)

    @property
    def address6(self):
        """The same for IPv6."""
        return next(str(a.ip) for a in (ipaddress.ip_interface(i["address"]) for i in self.ips) if a.version == 6)


def judge(done, version, what):
    """Turn a finished plugin process into its JSON object, or raise CniError; hold it to the protocol either way."""
    if done.returncode == 0:
        assert not done.stderr, f"{what}: success, yet stderr says: {done.stderr}"
        return strict_object(done.stdout, what) if done.stdout else None
    error = strict_object(done.stdout, f"{what} (exit {done.returncode}, stderr: {done.stderr})")
    assert set(error) <= {"cniVersion", "code", "msg", "details"}, f"{what}: keys that are in no error: {error}"
    assert isinstance(error.get("code"), int) and error["code"] > 0, f"{what}: no error code: {error}"
    assert error.get("msg"), f"{what}: an error without a message: {error}"
    raise CniError(error["code"], error["msg"], error.get("details", ""), error)
