# SPDX-License-Identifier: Apache-2.0
"""vpcwire-feed beside a scripted API server: the folder says what the server says, whatever happens on the way."""
import contextlib
import json
import subprocess
import time

import pytest

from tests.harness import apiserver, proc

FEED = proc.BIN / "vpcwire-feed"
KINDS = "namespaces,pods,networkpolicies"


def pod(name, **more):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "blue", "labels": {"app": name}, **more.pop("metadata", {})},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}, "status": {"phase": "Running"}, **more}


def policy(name):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "blue"},
            "spec": {"podSelector": {}}}


@pytest.fixture
def server():
    with contextlib.closing(apiserver.Server()) as one:
        yield one


class Feed:
    def __init__(self, folder, url, *words, kinds=KINDS):
        self.folder, self.log = folder, folder.parent / "feed.log"
        self.words = [FEED, "--dir", folder, "--server", url, "--kinds", kinds, "--retry-ms", "5", "--log-level", "debug", *words]

    def __enter__(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(w) for w in self.words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_):
        assert self.process.poll() is None, "it ended by itself: " + self.log.read_text()
        self.process.terminate()
        self.process.wait(15)

    def once(self, *words, check=True):
        return proc.run([*self.words, "--once", *words], check=check)

    def has(self):
        """Whole objects by file name; temporary files begin with a dot or are no *.json."""
        return {p.name: json.loads(p.read_text()) for p in self.folder.glob("*.json") if not p.name.startswith(".")}

    def wait(self, *names):
        proc.wait_until(lambda: set(self.has()) == set(names), lambda: f"{sorted(names)} and not {sorted(self.has())}\n{self.log.read_text()}")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policy.d").mkdir()
    return tmp_path / "policy.d"


def test_it_lists_and_follows(server, folder):
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "labels": {"a": "b"}}})
    server.put(pod("a"))
    with Feed(folder, server.url) as feed:
        feed.wait("namespaces__blue.json", "pods_blue_a.json")
        assert feed.has()["namespaces__blue.json"] == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "labels": {"a": "b"}}}
        server.put(policy("deny"))
        server.put(pod("b"))
        feed.wait("namespaces__blue.json", "pods_blue_a.json", "pods_blue_b.json", "networkpolicies_blue_deny.json")
        changed = policy("deny")
        changed["spec"]["policyTypes"] = ["Egress"]
        server.put(changed)
        proc.wait_until(lambda: feed.has()["networkpolicies_blue_deny.json"]["spec"] == changed["spec"], "the change")
        server.delete(pod("a"))
        feed.wait("namespaces__blue.json", "pods_blue_b.json", "networkpolicies_blue_deny.json")
    assert len(server.asked("Pod", limit="500")) == 1


def test_only_what_counts_is_handed_on(server, folder):
    secret = pod("a", metadata={"managedFields": [{"manager": "kubelet"}], "annotations": {"vpc.amazonaws.com/pod-eni": "[]", "other": "hunter2"}})
    secret["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hunter2"}]
    secret["status"].update(podIPs=[{"ip": "10.0.0.9"}], conditions=[{"type": "Ready"}])
    server.put(secret)
    feed = Feed(folder, server.url)
    feed.once()
    assert feed.has() == {"pods_blue_a.json": {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "blue", "labels": {"app": "a"}, "annotations": {"vpc.amazonaws.com/pod-eni": "[]"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.9"}]}}}


def test_a_file_that_says_it_already_is_not_written(server, folder):
    server.put(pod("a"))
    server.put(pod("b"))
    feed = Feed(folder, server.url)
    feed.once()
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    moved = pod("b")
    moved["status"]["phase"] = "Failed"
    with feed:
        server.put({**pod("a"), "status": {"phase": "Running", "conditions": [{"type": "Ready"}]}})
        server.put(moved)               # what comes after it is in the folder
        proc.wait_until(lambda: feed.has()["pods_blue_b.json"]["status"]["phase"] == "Failed", "the change of b")
    after = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert after["pods_blue_a.json"] == before["pods_blue_a.json"] and after["pods_blue_b.json"] != before["pods_blue_b.json"]


def test_what_went_while_nobody_looked_is_removed_and_others_files_stay(server, folder):
    (folder / "pods_blue_old.json").write_text("{}")
    (folder / "mine.json").write_text("{}")
    (folder / "podsx_blue_old.json").write_text("{}")
    (folder / "nodes__theirs.json").write_text("{}")        # a kind that is not followed
    server.put(pod("a"))
    feed = Feed(folder, server.url)
    feed.once()
    assert set(feed.has()) == {"pods_blue_a.json", "mine.json", "podsx_blue_old.json", "nodes__theirs.json"}


def test_pages(folder):
    with contextlib.closing(apiserver.Server(page=2)) as server:
        for n in range(5):
            server.put(pod(f"p{n}"))
        feed = Feed(folder, server.url)
        feed.once()
        assert set(feed.has()) == {f"pods_blue_p{n}.json" for n in range(5)}
        assert [q.get("continue") for q in server.asked("Pod", limit="500")] == [None, "from+2=", "from+4="]


def test_a_page_that_is_gone_begins_the_list_anew(folder):
    with contextlib.closing(apiserver.Server(page=2)) as server:
        for n in range(3):
            server.put(pod(f"p{n}"))
        server.fault("Pod", b'{"metadata":{"resourceVersion":"1","continue":"from+2="},"items":[]}\n')
        server.fault("Pod", 410)
        feed = Feed(folder, server.url)
        feed.once()
        assert set(feed.has()) == {f"pods_blue_p{n}.json" for n in range(3)}
        assert [q.get("continue") for q in server.asked("Pod", limit="500")] == [None, "from+2=", None, "from+2="]


def test_a_watch_goes_on_where_it_ended(server, folder):
    server.put(pod("a"))
    with Feed(folder, server.url) as feed:
        feed.wait("pods_blue_a.json")
        proc.wait_until(lambda: server.asked("Pod", watch="1"), "a watch")
        version = server.bookmark("Pod")
        server.put(pod("b"))
        feed.wait("pods_blue_a.json", "pods_blue_b.json")
        server.cut()
        proc.wait_until(lambda: server.asked("Pod", watch="1", resourceVersion=str(version + 1)), lambda: f"a watch from {version + 1}: {server.requests}")
        server.put(pod("c"))
        feed.wait("pods_blue_a.json", "pods_blue_b.json", "pods_blue_c.json")
        assert len(server.asked("Pod", limit="500")) == 1
        assert all(q["allowWatchBookmarks"] == "true" for q in server.asked("Pod", watch="1"))


def test_a_bookmark_alone_moves_the_version_on(server, folder):
    server.put(pod("a"))
    with Feed(folder, server.url) as feed:
        feed.wait("pods_blue_a.json")
        version = server.bookmark("Pod")

        def moved():
            server.cut()
            return server.asked("Pod", watch="1", resourceVersion=str(version))
        proc.wait_until(moved, "a watch from the bookmark's version")


@pytest.mark.parametrize("how", ["event", "status"])
def test_a_forgotten_version_lists_anew(server, folder, how):
    server.put(pod("a"))
    server.put(pod("b"))
    with Feed(folder, server.url) as feed:
        feed.wait("pods_blue_a.json", "pods_blue_b.json")
        proc.wait_until(lambda: server.open == 3, "three watches")
        server.delete(pod("a"), silently=True)
        if how == "event":
            server.forget()
        else:
            server.fault("Pod", 410)
            server.cut()
        feed.wait("pods_blue_b.json")
        server.put(pod("c"))
        feed.wait("pods_blue_b.json", "pods_blue_c.json")


LIST = b'{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":['


@pytest.mark.parametrize("what", [500, 403, 401, 429, b"<html>\n", b"{}\n", LIST + b"\n", LIST, LIST + b"1]}\n", b'{"metadata":{"resourceVersion":"1"},"items":7}\n',
                                  b'{"metadata":{},"items":[]}\n'])
def test_a_list_that_fails_changes_nothing_and_is_asked_again(server, folder, what):
    (folder / "pods_blue_old.json").write_text('{"kind": "Pod"}')
    server.put(pod("a"))
    server.fault("Pod", what)
    seen = []
    feed = Feed(folder, server.url)
    with feed:
        proc.wait_until(lambda: seen.append(set(feed.has())) or "pods_blue_a.json" in seen[-1] and "pods_blue_old.json" not in seen[-1], "the list")
    assert all("pods_blue_old.json" in has for has in seen if "pods_blue_a.json" not in has)
    assert len(server.asked("Pod", limit="500")) == 2
    assert "kind=pods retry_ms=" in feed.log.read_text()


@pytest.mark.parametrize("event", [{"type": "ERROR", "object": {"code": 500, "message": "etcd"}}, {"type": "NEWS", "object": {}}, {"object": {}}, 7,
                                   {"type": "ADDED", "object": {"metadata": {"name": "x", "namespace": "blue"}}}])
def test_an_event_that_is_not_understood_lists_anew(server, folder, event):
    server.put(pod("a"))
    with Feed(folder, server.url) as feed:
        feed.wait("pods_blue_a.json")
        proc.wait_until(lambda: server.asked("Pod", watch="1"), "a watch")
        server.event("Pod", event)
        proc.wait_until(lambda: len(server.asked("Pod", limit="500")) > 1, "another list")
        feed.wait("pods_blue_a.json")


def test_a_kind_that_the_cluster_does_not_have_is_none(server, folder):
    (folder / "aws-clusternetworkpolicies__old.json").write_text("{}")
    feed = Feed(folder, server.url, kinds="pods,aws-clusternetworkpolicies")
    feed.once()
    assert not feed.has()
    server.fault("Pod", 404)
    log = Feed(folder, server.url).once().stderr            # each cluster has pods: an address that is none of an API server
    assert "kind=pods" in log and "HTTP status 404" in log


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "a/b", ".hidden", "", "a_b", "x" * 254])
def test_a_name_that_is_none_is_left_out(server, folder, name):
    server.put(pod("good"))
    server.put(pod(name))
    feed = Feed(folder, server.url)
    done = feed.once()
    assert set(feed.has()) == {"pods_blue_good.json"} and "a name that is none" in done.stderr
    assert sorted(p.name for p in folder.parent.rglob("*") if p.is_file()) == ["pods_blue_good.json"]


def test_long_names_are_files_of_their_own(server, folder):
    for end in ("a", "b"):
        server.put(pod("x" * 240 + end))
    with Feed(folder, server.url) as feed:
        proc.wait_until(lambda: len(feed.has()) == 2, "two files")
        server.delete(pod("x" * 240 + "a"))
        proc.wait_until(lambda: [o["metadata"]["name"][-1] for o in feed.has().values()] == ["b"], "the other one")


def test_a_folder_that_cannot_be_written_is_made_good(server, folder):
    server.put(pod("a"))
    (folder / "pods_blue_a.json").mkdir()               # rename() onto a folder fails, for root too
    with Feed(folder, server.url) as feed:
        proc.wait_until(lambda: len(server.asked("Pod", limit="500")) > 1, "another try")
        (folder / "pods_blue_a.json").rmdir()
        feed.wait("pods_blue_a.json")


@pytest.fixture
def certificates(tmp_path):
    """tls(NAME) -> (certificate, key), signed by itself for 127.0.0.1"""
    def make(name):
        files = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        proc.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=api",
                  "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]])
        return files
    return make


def test_the_token_is_read_anew_and_sent_to_nobody_else(folder, tmp_path, certificates):
    right, wrong = certificates("right"), certificates("wrong")
    token = tmp_path / "token"
    token.write_text("first\n")
    with contextlib.closing(apiserver.Server(tls=right)) as server:
        server.put(pod("a"))
        words = ("--token-file", token)
        assert Feed(folder, server.url, *words, "--ca-file", wrong[0]).once("--wait", "1", check=False).returncode == 1
        assert not server.requests and not any(folder.iterdir())
        with Feed(folder, server.url, *words, "--ca-file", right[0]) as feed:
            feed.wait("pods_blue_a.json")
            assert {r[2] for r in server.requests} == {"Bearer first"}
            token.write_text("second\n")

            def renewed():
                server.cut()
                return "Bearer second" in {r[2] for r in server.requests}
            proc.wait_until(renewed, "the new token")
        assert "first" not in feed.log.read_text() and "second" not in feed.log.read_text()
    done = Feed(folder, "http://127.0.0.1:1", *words).once(check=False)
    assert done.returncode == 1 and "no https" in done.stderr


# --- what it says of itself

STATE = ".vpcwire-feed.json"


def now_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def state(folder):
    return json.loads((folder / STATE).read_text()) if (folder / STATE).exists() else {}


def probe(folder, what):
    """-> the sentence, "" when all is well."""
    done = proc.run([FEED, "--dir", folder, "--probe", what], check=False)
    assert (done.returncode, bool(done.stderr)) in ((0, False), (1, True)) and not done.stdout, done
    return done.stderr


def test_its_state_follows_the_api_server(server, folder):
    began = now_ms()
    assert "No such file" in probe(folder, "alive") and "No such file" in probe(folder, "ready")
    server.put(pod("a"))
    with Feed(folder, server.url) as feed:
        # all is listed, and each kind has a watch that was accepted
        proc.wait_until(lambda: state(folder).get("listed") and not state(folder)["why"] and server.open == 3, lambda: f"all to be well: {state(folder)}")
        assert began <= state(folder)["heard_ms"] <= state(folder)["written_ms"] <= now_ms()
        assert probe(folder, "alive") == probe(folder, "ready") == ""
        server.fault("NetworkPolicy", 403, times=1000)
        server.forget()
        proc.wait_until(lambda: state(folder)["why"] == "networkpolicies: HTTP status 403", lambda: f"the kind that fails: {state(folder)}")
        server.mend()
        server.bookmark("Pod")
        proc.wait_until(lambda: not state(folder)["why"], lambda: f"it to be heard again: {state(folder)}")
        heard = state(folder)["heard_ms"]
        server.close()
        proc.wait_until(lambda: state(folder)["why"], lambda: f"silence to be noticed: {state(folder)}")
        assert state(folder)["heard_ms"] >= heard and state(folder)["listed"] and probe(folder, "alive") == ""
        assert feed.has() == {"pods_blue_a.json": feed.has()["pods_blue_a.json"]}


def test_what_is_no_answer_is_not_heard(server, folder):
    """A proxy's page with status 200."""
    server.fault("Pod", b"<html>\n", times=1000)
    with Feed(folder, server.url):
        proc.wait_until(lambda: state(folder).get("why", "").startswith("pods: the list is not valid JSON"), lambda: f"{state(folder)}")
        first = state(folder)["heard_ms"]
        asked = len(server.asked("Pod", limit="500"))
        proc.wait_until(lambda: len(server.asked("Pod", limit="500")) > asked + 1, "more answers of that kind")
        assert state(folder)["heard_ms"] == first and "not all is listed yet: pods: the list" in probe(folder, "ready") and not probe(folder, "alive")


def test_once_leaves_no_state(server, folder):
    Feed(folder, server.url).once()
    assert not state(folder)


@pytest.mark.parametrize("written, heard, why, alive, ready", [
    (0, 0, "", "", ""), (61, 0, "", "does not run: not for 61 s", "does not run: not for 61 s"), (0, 61, "", "", ""),
    (0, 61, "pods: HTTP status 503", "", "has not been heard for 61 s: pods: HTTP status 503"), (0, 421, "", "", "has not been heard for 421 s"),
    (-3600, -3600, "", "not since this machine was started", "not since this machine was started")])
def test_what_probes_say(folder, written, heard, why, alive, ready):
    (folder / STATE).write_text(json.dumps({"written_ms": now_ms() - written * 1000, "heard_ms": now_ms() - heard * 1000, "listed": True, "why": why}))
    for what, wanted in (("alive", alive), ("ready", ready)):
        assert wanted in probe(folder, what) and bool(wanted) == bool(probe(folder, what))


@pytest.mark.parametrize("words", [["--probe", "well"], ["--kinds", "pods,secrets"], ["--kinds", ""], ["--wait", "3"], ["--retry-ms", "0"], ["x"], ["--log-level", "loud"]])
def test_options_that_are_wrong(words):
    done = proc.run([FEED, "--server", "http://127.0.0.1:1", *words], check=False)
    assert done.returncode == 2 and done.stderr.startswith("vpcwire-feed: ") and not done.stdout
