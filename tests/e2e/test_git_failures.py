"""Everything that a Git server can do wrong, one after another, to a daemon whose app serves: told each time by its own
words, nothing is written to the cluster, no client notices, and it goes on from there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rig.repository import Repository
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.servers import HttpsServer, SshServer, https_server, make_authority, missing, ssh_server

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

PASSWORD = "pass-w0rd-nobody-sees"
BASIC = base64.b64encode(f"shop:{PASSWORD}".encode()).decode()

PATIENCE = 8
"""Seconds for a server that hangs; one that does not has answered by then on any machine."""


@dataclass
class Servers:
    """Where the scene's repository is served, and a stranger who must never be asked."""

    https: HttpsServer
    ssh: SshServer
    stranger: HttpsServer


@pytest.fixture
def servers(scene: Scene, tmp_path: Path) -> Iterator[Servers]:
    authority = make_authority(tmp_path / "authority")
    root = scene.repository.path.parent
    with (
        https_server(root, authority) as https,
        https_server(root, authority) as stranger,
        ssh_server(tmp_path / "sshd") as ssh,
    ):
        https.allowed = {f"Basic {BASIC}"}
        _folder(tmp_path / "basic", username=b"shop", password=PASSWORD.encode())
        (tmp_path / "basic" / "ca.crt").write_bytes(authority.ca.read_bytes())
        _folder(tmp_path / "key", identity=ssh.identity, known_hosts=ssh.known_hosts)
        yield Servers(https, ssh, stranger)


def _folder(path: Path, **files: bytes) -> None:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)


def _begin(scene: Scene, servers: Servers, tmp_path: Path) -> None:
    """One app by HTTPS with a password, from a branch; another by SSH with a key, from the highest tag of a range."""
    url = servers.https.url(f"{scene.repository.path.name}/.git")
    branch = scene.source(url=url, credentials=str(tmp_path / "basic"), interval="1s", timeout=f"{PATIENCE}s")
    ssh_url = servers.ssh.url(scene.repository.path)
    tags = scene.source("tags", ssh_url, credentials=str(tmp_path / "key"), ref={"semver": "1.x"}, interval="1s")
    scene.configure(
        apps=[scene.app(), scene.app("db", source="tags", path="db", values={"replicas": 1})], sources=[branch, tags]
    )
    tagged = scene.repository.commit("The other app", {"db/version": "v7\n"})
    scene.repository.tag("v1.0.0")
    commit = scene.first_release("v1.0.0")
    scene.daemon.wait_for("phase_changed", app=APP, commit=commit, phase="stable")
    scene.daemon.wait_for("source_updated", source="tags", commit=tagged, tag="v1.0.0")
    scene.daemon.wait_for("phase_changed", app="db", commit=tagged, phase="stable")


def _told(scene: Scene, event: str, words: str, since: int, **fields: str) -> None:
    """Returns when such an event has these words. Others before it may be of a look that the change came into."""

    def found() -> bool:
        return any(words in each["reason"] for each in scene.daemon.find(event, since=since, **fields))

    until(found, f"{event} with {words!r}; {scene.daemon.story(since)}", 60)


def _recovers(scene: Scene, words: str, spoil: Callable[[], object], heal: Callable[[], object], source: str) -> None:
    since = scene.daemon.mark()
    spoil()
    _told(scene, "source_failed", words, since, source=source)
    healed = scene.daemon.mark()
    heal()
    scene.daemon.wait_for("source_recovered", since=healed, source=source, timeout=90)


def test_whatever_goes_wrong_with_git_nothing_changes(scene: Scene, servers: Servers, tmp_path: Path) -> None:
    """A server that hangs, talks rubbish, redirects, lets nobody in; a branch deleted, a repository emptied, another
    host's key, a version file deleted; at last history is replaced, which is followed and told."""
    _begin(scene, servers, tmp_path)
    https, repository = servers.https, scene.repository
    before = len(scene.audit.writes())

    _recovers(scene, f"did not finish within {PATIENCE} s", https.hold.clear, https.hold.set, "shop")
    rubbish = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\0\xff\r\nxy"
    for attribute, value, words in (
        ("rubbish", rubbish, "git failed"),
        ("redirect", servers.stranger.url("").rstrip("/"), "302"),
        ("allowed", {"Basic somebody-elses"}, "refuses the credentials"),
    ):
        good = getattr(https, attribute)
        spoil, heal = partial(setattr, https, attribute, value), partial(setattr, https, attribute, good)
        _recovers(scene, words, spoil, heal, "shop")
    assert servers.stranger.seen == [], "who it was redirected to was asked"

    branch, other = repository.path / ".git/refs/heads/main", repository.path / ".git/refs/heads/other"
    _recovers(scene, "there are other", lambda: branch.rename(other), lambda: other.rename(branch), "shop")
    _recovers(scene, "the repository is empty", lambda: _empty(repository), lambda: _refill(repository), "shop")
    known_hosts = tmp_path / "key" / "known_hosts"
    _recovers(
        scene,
        "Host key verification failed",
        lambda: known_hosts.write_bytes(servers.ssh.known_as("other")),
        lambda: known_hosts.write_bytes(servers.ssh.known_hosts),
        "tags",
    )

    since = scene.daemon.mark()
    (repository.path / "version").unlink()
    repository.commit("No version", {})
    _told(scene, "app_invalid", "there is no such file", since, app=APP)
    assert len(scene.audit.writes()) == before, scene.audit.writes()[before:]
    anew = repository.replace_history({"version": "v2.0.0\n"})
    scene.daemon.wait_for("history_rewritten", commit=anew)
    scene.settle(anew)
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)
    told = json.dumps([dict(each) for each in scene.daemon.events])
    assert PASSWORD not in told and BASIC not in told


def _empty(repository: Repository) -> None:
    (repository.path / ".git").rename(repository.path.with_name("away"))
    Repository(repository.path.with_name("fresh"))
    (repository.path.with_name("fresh") / ".git").rename(repository.path / ".git")


def _refill(repository: Repository) -> None:
    (repository.path / ".git").rename(repository.path.with_name("fresh") / ".git")
    repository.path.with_name("away").rename(repository.path / ".git")
