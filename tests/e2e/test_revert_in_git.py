"""`onRollback: revert`: what was led back from is reverted in Git, too, unless a human was first or it is forbidden."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, only_errors_of
from tests.e2e.harness.commands import run
from tests.e2e.harness.hub import Hub
from tests.e2e.harness.trials import BAD, answers, watched
from tests.servers import HttpsServer, https_server, make_authority, missing, ssh_server

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

TOKEN = "tok-of-the-daemon"
STRATEGY = {**watched(answers()), "scaleDownDelay": "60s", "onRollback": "revert"}
PUSH = "git-receive-pack"


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    made = Hub(tmp_path / "served")
    made.commit("Begin", {"README": "The shop.\n", "other/version": "v1.0.0\n"})
    return made


@pytest.fixture
def server(hub: Hub, scene: Scene, tmp_path: Path) -> Iterator[HttpsServer]:
    """Serves the hub over HTTPS; the scene's configuration follows it, with credentials that may push."""
    authority = make_authority(tmp_path / "authority")
    with https_server(hub.path.parent, authority) as made:
        made.allowed = {f"Bearer {TOKEN}"}
        files = {"bearerToken": TOKEN.encode(), "ca.crt": authority.ca.read_bytes()}
        other = scene.app("other", path="other", values={"replicas": 1})
        _follow(scene, made.url(hub.path.name), files, apps=[scene.app(strategy=STRATEGY), other])
        yield made


def _follow(
    scene: Scene, url: str, credentials: dict[str, bytes], apps: list[dict[str, Any]] | None = None, **more: Any
) -> None:
    folder = scene.folder / "credentials"
    folder.mkdir()
    for name, content in credentials.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    source = scene.source(url=url, interval="1s", credentials=str(folder), **more)
    scene.configure(sources=[source], apps=apps or [scene.app(strategy=STRATEGY)])


def _first_release(scene: Scene, hub: Hub) -> str:
    commit = hub.release("v1.0.0")
    scene.daemon.start()
    scene.load.start()
    scene.settle(commit)
    scene.load.wait_for("v1.0.0")
    return commit


def _reverted(scene: Scene, hub: Hub, bad: str) -> str:
    """The daemon's commit, once it has acted on it; it changes the version file and nothing else, and says why."""
    told = scene.daemon.wait_for("reverted_in_git")
    made = str(told["to_commit"])
    scene.daemon.wait_for("rejection_cleared", commit=made, version="v1.0.0")
    revision = scene.daemon.wait_for("rejected", commit=bad)["revision"]
    assert hub.changed(made) == ["version"] and hub.content("version", made) == "v1.0.0\n"
    trailers = {
        "Reconciler-Reverts": bad,
        "Reconciler-App": f"{scene.namespace}/{APP}",
        "Reconciler-Rejected": revision,
    }
    assert hub.trailers(made) == trailers
    said = " ".join(hub.message(made).split())
    assert f"Revert {APP} to v1.0.0" in said and "check answers failed after the switch" in said, said
    return made


def _stays(scene: Scene, version: str, moves: int) -> None:
    """Nothing follows: traffic stays where it is, and no user saw an error but those of v2.0.0."""
    scene.load.wait_for_count(300)
    assert len(scene.daemon.find("reverted_in_git")) <= 1 and not scene.daemon.find("bug")
    assert scene.selected() == version
    moved(scene, moves)
    only_errors_of("v2.0.0", scene.load)


def _as_the_daemon_pushes(server: HttpsServer, act: Callable[[], str]) -> list[str]:
    """Has `act` done once, after the daemon has looked at the branch and before its push is taken.

    Returns where its result, a commit, will be found.
    """
    done: list[str] = []

    def before(path: str) -> None:
        if path.endswith(PUSH) and "?" not in path and not done:
            done.append(act())

    server.before = before
    return done


def test_what_was_led_back_from_is_reverted_over_https(scene: Scene, hub: Hub, server: HttpsServer) -> None:
    """One commit on top of the bad one; the daemon sees its own commit and settles, and so does the next version."""
    first = _first_release(scene, hub)
    bad = hub.release("v2.0.0", BAD)
    made = _reverted(scene, hub, bad)
    assert hub.log()[:3] == [made, bad, first]
    shown = run(scene, "status")
    assert shown.status == 0 and "rejected" not in shown.out, shown
    _stays(scene, "v1.0.0", 2)
    assert TOKEN not in json.dumps([dict(each) for each in scene.daemon.events])
    scene.settle(hub.release("v2.0.1"))
    moved(scene, 3)


def test_a_human_who_releases_at_the_same_moment_wins(scene: Scene, hub: Hub, server: HttpsServer) -> None:
    """v3.0.0 lands between the daemon's look and its push: nothing is reverted, and v3.0.0 is released."""
    first = _first_release(scene, hub)
    human = _as_the_daemon_pushes(server, lambda: hub.release("v3.0.0"))
    bad = hub.release("v2.0.0", BAD)
    overtaken = scene.daemon.wait_for("revert_overtaken", commit=bad)
    assert human[0][:10] in overtaken["reason"], overtaken
    scene.settle(human[0])
    scene.load.wait_for("v3.0.0")
    _stays(scene, "v3.0.0", 3)
    assert not scene.daemon.find("reverted_in_git") and hub.log()[:3] == [human[0], bad, first]


def test_a_human_who_changes_something_else_at_the_same_moment_is_kept(
    scene: Scene, hub: Hub, server: HttpsServer
) -> None:
    """The revert comes on top of it: both are there."""
    first = _first_release(scene, hub)
    human = _as_the_daemon_pushes(server, lambda: hub.commit("Words", {"README": "The best shop.\n"}))
    bad = hub.release("v2.0.0", BAD)
    made = _reverted(scene, hub, bad)
    assert scene.daemon.find("revert_overtaken", commit=bad)
    assert hub.log()[:4] == [made, human[0], bad, first]
    assert hub.content("README", made) == "The best shop.\n"
    _stays(scene, "v1.0.0", 2)


def test_a_push_that_is_refused_is_told_and_holds_up_nothing(scene: Scene, hub: Hub, server: HttpsServer) -> None:
    """Traffic stays on v1, the failed pods go, the other app is released; once it is let in, the revert follows."""
    _first_release(scene, hub)
    bad = hub.release("v2.0.0", BAD)
    hub.refuse("main is protected")
    blocked = scene.daemon.wait_for("app_blocked", commit=bad)
    assert "main is protected" in blocked["reason"], blocked
    revision = str(scene.daemon.wait_for("rejected", commit=bad)["revision"])
    beside = hub.commit("The other app", {"other/version": "v1.1.0\n"})
    scene.daemon.wait_for("switch_confirmed", commit=beside, app="other")
    until(lambda: scene.deployments()[revision]["spec"]["replicas"] == 0, "the failed pods scaled away", 60)
    scene.daemon.wait_for("app_blocked", commit=beside)
    assert scene.selected() == "v1.0.0" and hub.tip == beside
    hub.allow()
    _reverted(scene, hub, bad)
    _stays(scene, "v1.0.0", 2)


def test_over_ssh_a_signed_revert_is_what_a_source_that_verifies_accepts(
    scene: Scene, hub: Hub, tmp_path: Path
) -> None:
    """Only signed commits count, and the daemon signs its own, with the key that it was given."""
    team, own = _key(tmp_path, "team"), _key(tmp_path, "robot")
    signers = tmp_path / "allowed_signers"
    lines = [f"{each.name}@example.com {each.with_suffix('.pub').read_text()}" for each in (team, own)]
    signers.write_text("".join(lines))
    hub.sign_with(team)
    with ssh_server(tmp_path / "sshd") as sshd:
        keys = {"identity": sshd.identity, "known_hosts": sshd.known_hosts}
        signing: dict[str, Any] = {
            "push": {"signingKey": str(own)},
            "verify": {"mode": "HEAD", "allowedSigners": str(signers)},
        }
        _follow(scene, sshd.url(hub.path), keys, **signing)
        _first_release(scene, hub)
        bad = hub.release("v2.0.0", BAD)
        made = _reverted(scene, hub, bad)
        assert hub.log()[:2] == [made, bad]
        _stays(scene, "v1.0.0", 2)
    assert not scene.daemon.find("source_failed")


def _key(folder: Path, name: str) -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path
