"""A source that asks for signatures: what is not signed well changes nothing and is told; clients notice nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rig.scene import APP, Scene
from tests.e2e.harness.asserts import moved, no_request_failed


def _key(folder: Path, name: str) -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path


def test_an_unsigned_commit_is_told_and_never_acted_upon(scene: Scene) -> None:
    """Signed v1 is released. Neither unsigned v2 nor v3 by a stranger's key is, over a restart; signed v4 is."""
    team, stranger = _key(scene.folder, "team"), _key(scene.folder, "stranger")
    signers = scene.folder / "allowed_signers"
    signers.write_text(f"team@example.com {team.with_suffix('.pub').read_text()}")
    verify = {"mode": "HEAD", "allowedSigners": str(signers)}
    scene.configure(sources=[scene.source(verify=verify)])
    scene.repository.sign_with(team)
    first = scene.first_release("v1.0.0")

    scene.repository.sign_with(None)
    unsigned = scene.release("v2.0.0")
    told = scene.daemon.wait_for("source_failed", commit=unsigned)
    assert "it is not signed" in told["reason"], told
    assert first[:10] in told["untouched"], told
    scene.repository.sign_with(stranger)
    strange = scene.release("v3.0.0")
    told = scene.daemon.wait_for("source_failed", commit=strange)
    assert "does not allow" in told["reason"], told

    assert scene.daemon.stop() == 0
    since = scene.daemon.mark()
    scene.daemon.start()
    scene.daemon.wait_for("source_updated", since=since, commit=first)
    scene.daemon.wait_for("source_failed", since=since, commit=strange)
    scene.daemon.wait_for("phase_changed", since=since, app=APP, phase="stable")
    assert scene.versions() == {"v1.0.0"}
    assert len(scene.audit.created("deployments")) == 1, "nothing was made for what is not signed well"
    moved(scene, 0)

    scene.repository.sign_with(team)
    scene.settle(scene.release("v4.0.0"))
    scene.load.wait_for("v4.0.0")
    assert scene.daemon.find("source_recovered", since=since)
    no_request_failed(scene.load)
    moved(scene, 1)
