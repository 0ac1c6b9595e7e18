"""What is unusable in Git or in the configuration changes nothing, says why, and holds up nobody else."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.scene import APP, Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.templates import own_templates

BROKEN_VERSIONS = {
    "empty": (b"", "version"),
    "binary": (b"\x00\x01\xffv2.0.0", "version"),
    "no label": (b"version 2 of it\n", "version"),
    "unknown value": (b"version: v2.0.0\nvalues: {repplicas: 3}\n", "did you mean `replicas`"),
}
"""What is broken → the version file's content, and what the error has to say."""


def test_broken_version_files_change_nothing(scene: Scene) -> None:
    """Each is told once, with the file; v1 goes on; the next good commit is released as if nothing had been."""
    scene.first_release("v1.0.0")
    for name, (content, word) in BROKEN_VERSIONS.items():
        commit = scene.repository.commit(f"Break it: {name}", {"version": content})
        told = scene.daemon.wait_for("app_invalid", commit=commit)
        assert word in told["reason"], told
    assert scene.versions() == {"v1.0.0"}
    moved(scene, 0)
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    assert len(scene.daemon.find("app_invalid")) == len(BROKEN_VERSIONS)
    moved(scene, 1)


def test_broken_template_changes_nothing(scene: Scene) -> None:
    """The error names file and line; a good commit afterwards is released."""
    scene.configure(templates="templates")
    scene.repository.commit("Own templates", own_templates())
    scene.first_release("v1.0.0")
    good = own_templates()["templates/deployment.yaml"]
    broken = good.replace("{{ version | quote }}", "{{ verzion | quote }}", 1)
    commit = scene.repository.commit("Break the template", {"templates/deployment.yaml": broken, "version": "v2.0.0"})
    told = scene.daemon.wait_for("app_invalid", commit=commit)
    line = good[: good.index("{{ version | quote }}")].count("\n") + 1
    assert f"templates/deployment.yaml:{line}" in told["reason"] and "verzion" in told["reason"], told
    moved(scene, 0)
    scene.settle(scene.repository.commit("Mend it", {"templates/deployment.yaml": good}))
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a Git server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/never.git"


def test_broken_and_hanging_apps_hold_up_nobody(scene: Scene, silence: str, tmp_path: Path) -> None:
    """Beside an app with a broken template and one whose repository never answers, a third is released and bumped."""
    scene.repository.commit("A broken app", {"broken/version": "v1.0.0", "broken/templates/all.yaml": "{{ nonsense"})
    scene.configure(
        apps=[
            scene.app("hanging", source="silent"),
            scene.app("broken", path="broken", templates="templates"),
            scene.app(),
        ],
        sources=[scene.source(), scene.source("silent", silence, timeout="120s")],
    )
    scene.first_release("v1.0.0")
    scene.daemon.wait_for("app_invalid", app="broken")
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    # Whoever had waited for the silent one would have waited for its failure.
    assert not scene.daemon.find("source_failed")
    no_request_failed(scene.load)
    moved(scene, 1)
    assert scene.daemon.stop() == 0


def test_unreachable_repository_is_told_and_recovers(scene: Scene) -> None:
    """The repository goes away: everything goes on as it was; it comes back with a new commit: that is released."""
    scene.first_release("v1.0.0")
    hidden = scene.repository.path.with_name("hidden")
    scene.repository.path.rename(hidden)
    scene.daemon.wait_for("source_failed", source="shop")
    writes = len(scene.audit.writes())
    scene.load.wait_for_count(100)
    assert len(scene.audit.writes()) == writes
    hidden.rename(scene.repository.path)
    scene.daemon.wait_for("source_recovered", source="shop")
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_changed_configuration_is_reloaded_and_a_bad_one_is_not(scene: Scene) -> None:
    """A changed file counts at once; an unusable one is told, and the old one stays in force."""
    scene.first_release("v1.0.0")
    scene.configure(values={"env": {"GREETING": "hello"}})
    reloaded = scene.daemon.wait_for("config_reloaded")
    assert reloaded["apps"] == 1
    first = scene.daemon.wait_for("switched", from_version="v1.0.0")
    scene.daemon.wait_for("switch_confirmed", revision=first["revision"])
    good = scene.config.read_text()
    scene.config.write_text(good.replace("strategy:", "stratgy:"))
    told = scene.daemon.wait_for("config_rejected")
    assert "stratgy" in told["reason"] and "strategy" in told["reason"], told
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 2)


def test_sighup_reloads_the_configuration(scene: Scene, tmp_path: Path) -> None:
    """Where the file's change cannot be seen (a folder behind a link is exchanged), the signal makes it count."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    link = tmp_path / "current"
    link.symlink_to("old")
    scene.config = scene.daemon.config = link / "reconciler.yaml"
    scene.configure()
    scene.first_release("v1.0.0")
    link.unlink()
    link.symlink_to("new")
    scene.configure(values={"env": {"GREETING": "hello"}})
    assert not scene.daemon.find("config_reloaded")
    scene.daemon.signal(signal.SIGHUP)
    scene.daemon.wait_for("config_reloaded")
    scene.daemon.wait_for("switched", app=APP, from_version="v1.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)
