"""A source over HTTPS whose credentials are in a Secret or a folder, and renewed while a daemon runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rig.scene import Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run
from tests.servers import Authority, HttpsServer, https_server, make_authority, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

FIRST, SECOND = "tok-3n-one", "tok-3n-two"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


@pytest.fixture
def server(scene: Scene, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(scene.repository.path.parent, authority) as made:
        made.allowed = {f"Bearer {FIRST}"}
        yield made


def put_token(scene: Scene, authority: Authority, token: str) -> None:
    data = {"bearerToken": token.encode(), "ca.crt": authority.ca.read_bytes()}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if scene.cluster.get("Secret", "git"):
        scene.cluster.patch("Secret", "git", {"data": encoded})
    else:
        meta = {"name": "git", "namespace": scene.namespace}
        scene.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded})


def test_a_token_that_is_renewed_and_a_source_that_is_suspended(
    scene: Scene, server: HttpsServer, authority: Authority
) -> None:
    """Releases by a token in a Secret; a refused one is told and changes nothing; the renewed one is found."""
    put_token(scene, authority, FIRST)
    secret = {"name": "git", "namespace": scene.namespace}
    source = scene.source(url=server.url(f"{scene.repository.path.name}/.git"), interval="1s", secretRef=secret)
    scene.configure(sources=[source])
    scene.first_release("v1.0.0")
    server.allowed = {f"Bearer {SECOND}"}
    failed = scene.daemon.wait_for("source_failed")
    assert "refuses the credentials" in failed["reason"]
    commit = scene.release("v2.0.0")
    put_token(scene, authority, SECOND)
    scene.daemon.wait_for("source_recovered")
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    scene.configure(sources=[{**source, "suspend": True}])
    suspended = scene.daemon.wait_for("source_suspended")
    assert suspended["commit"] == commit
    later = scene.release("v3.0.0")
    status = run(scene, "status")
    assert status.status != 0 and "suspended" in status.out, status
    scene.configure(sources=[source])
    scene.settle(later)
    assert server.seen, "it was asked"
    told = json.dumps([dict(each) for each in scene.daemon.events])
    assert FIRST not in told and SECOND not in told
    no_request_failed(scene.load)


def mount(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts files there as the kubelet does with a mounted Secret (its AtomicWriter): a new dated folder, to which
    `..data` is moved in one step; the names that a pod sees are links into that."""
    folder.mkdir(exist_ok=True)
    dated = folder / f"..{len(list(folder.glob('..[0-9]*')))}"
    dated.mkdir()
    for name, content in files.items():
        (dated / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    (folder / "..data_tmp").symlink_to(dated.name)
    (folder / "..data_tmp").rename(folder / "..data")


def test_a_mounted_folder_that_is_renewed(
    scene: Scene, server: HttpsServer, authority: Authority, tmp_path: Path
) -> None:
    """The same by files: the old token is revoked, and a new one counts in the same life of the daemon, which takes its
    app through a release with it."""
    folder, trusted = tmp_path / "mounted", {"ca.crt": authority.ca.read_bytes()}
    mount(folder, {"bearerToken": FIRST.encode(), **trusted})
    url = server.url(f"{scene.repository.path.name}/.git")
    scene.configure(sources=[scene.source(url=url, interval="1s", credentials=str(folder))])
    scene.first_release("v1.0.0")
    server.allowed = {f"Bearer {SECOND}"}
    scene.daemon.wait_for("source_failed")
    commit = scene.release("v2.0.0")
    mount(folder, {"bearerToken": SECOND.encode(), **trusted})
    scene.daemon.wait_for("source_recovered")
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    assert scene.daemon.lives == 1 and not scene.daemon.find("config_reloaded")
    no_request_failed(scene.load)
    moved(scene, 1)
