# SPDX-License-Identifier: Apache-2.0
"""What containernetworking/cni's libcni does with a conflist, call by call: the configuration that each plugin gets, the order, the cache.

Read from libcni/api.go and conf.go (v1.1 to v1.3): buildOneConfig() puts name, cniVersion, prevResult and the declared capabilities into a
plugin's own object; ADD goes down the list; CHECK down with the final result, unless disableCheck; DEL up, with the final result from
0.4.0 on; GC first deletes cached attachments that are not valid any more, then asks each plugin, from 1.1.0 on.
"""
import json

from tests.harness import cni


class Chain:
    """A conflist on a node. `capabilities` and `args` are the runtime's; results are cached by container and interface."""

    def __init__(self, node, conflist, cni_path=None):
        self.node, self.list, self.cache = node, conflist, {}
        self.path = cni_path or node.lab.env["CNI_PATH"]
        self.calls = []         # (command, type) as they were made
        self.search = {}        # PATH of a plugin, where it is not the usual one

    @property
    def version(self):
        return tuple(int(n) for n in self.list["cniVersion"].split("."))

    def conf(self, plugin, prev, capabilities):
        conf = {**plugin, "name": self.list["name"], "cniVersion": self.list["cniVersion"]}
        if prev is not None:
            conf["prevResult"] = prev
        wanted = {k: capabilities[k] for k, on in plugin.get("capabilities", {}).items() if on and k in (capabilities or {})}
        if wanted:
            conf["runtimeConfig"] = wanted
        return conf

    def find(self, name):
        """The binary, as libcni looks for it in CNI_PATH."""
        return self.node.run("sh", "-c", 'IFS=:; for d in $1; do [ -x "$d/$2" ] && echo "$d/$2" && exit; done; exit 1', "-",
                             self.path, name).stdout.strip()

    def exec(self, command, plugin, pod, ifname, conf, args):
        env = {"PATH": self.search.get(plugin["type"], "/usr/sbin:/usr/bin:/sbin:/bin"), "CNI_COMMAND": command, "CNI_PATH": self.path}
        if pod is not None:
            env.update(CNI_CONTAINERID=pod.container_id, CNI_NETNS=pod.netns, CNI_IFNAME=ifname, CNI_ARGS=args)
        self.calls.append((command, plugin["type"]))
        done = self.node.run("env", "-i", *[f"{k}={v}" for k, v in env.items()], self.find(plugin["type"]), input=json.dumps(conf),
                             check=False, timeout=60)
        if done.returncode:
            error = cni.strict_object(done.stdout, f"{command} by {plugin['type']} (stderr: {done.stderr})")
            raise cni.CniError(error["code"], f"{plugin['type']}: {error['msg']}", error.get("details", ""), error)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def add(self, pod, ifname="eth0", capabilities=None, args="IgnoreUnknown=1"):
        result = None
        for plugin in self.list["plugins"]:
            result = self.exec("ADD", plugin, pod, ifname, self.conf(plugin, result, capabilities), args)
        self.cache[pod.container_id, ifname] = (pod, result, capabilities, args)
        return result

    def _cached(self, pod, ifname):
        return self.cache.get((pod.container_id, ifname), (pod, None, None, "IgnoreUnknown=1"))

    def check(self, pod, ifname="eth0", without=None):
        """`without`: a plugin whose own CHECK is at fault."""
        if self.list.get("disableCheck"):
            return
        _, result, capabilities, args = self._cached(pod, ifname)
        for plugin in [p for p in self.list["plugins"] if p["type"] != without]:
            self.exec("CHECK", plugin, pod, ifname, self.conf(plugin, result, capabilities), args)

    def delete(self, pod, ifname="eth0"):
        _, result, capabilities, args = self._cached(pod, ifname)
        prev = result if self.version >= (0, 4, 0) else None
        for plugin in reversed(self.list["plugins"]):
            self.exec("DEL", plugin, pod, ifname, self.conf(plugin, prev, capabilities), args)
        self.cache.pop((pod.container_id, ifname), None)

    def gc(self, valid):
        """`valid`: [(container id, interface)], or None where Go has a nil slice."""
        if self.list.get("disableGC"):
            return
        for key, (pod, *_rest) in list(self.cache.items()):
            if key not in (valid or []):
                self.delete(pod, key[1])
        if self.version < (1, 1, 0):
            return
        entries = None if valid is None else [{"containerID": c, "ifname": i} for c, i in valid]
        for plugin in self.list["plugins"]:
            conf = {**self.conf(plugin, None, None), "cni.dev/valid-attachments": entries, "cni.dev/attachments": entries}
            self.exec("GC", plugin, None, None, conf, None)

    def status(self):
        if self.version < (1, 1, 0):
            return
        for plugin in self.list["plugins"]:
            self.exec("STATUS", plugin, None, None, self.conf(plugin, None, None), None)
