"""The image archives that the sandbox writes itself are what a container engine would have written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.images import write_image


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Some executable."""
    file = tmp_path / "tool"
    file.write_bytes(b"\x7fELF, more or less")
    return file


def _read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def _blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files["blobs/" + descriptor["digest"].replace(":", "/")]
    assert len(content) == descriptor["size"]
    assert "sha256:" + hashlib.sha256(content).hexdigest() == descriptor["digest"]
    return content


def test_every_part_is_found_under_its_own_digest(tmp_path: Path, program: Path) -> None:
    write_image(program, "example.local/tool:1", tmp_path / "image.tar")
    files = _read(tmp_path / "image.tar")
    (described,) = json.loads(files["index.json"])["manifests"]
    assert described["annotations"]["io.containerd.image.name"] == "example.local/tool:1"
    manifest = json.loads(_blob(files, described))
    config = json.loads(_blob(files, manifest["config"]))
    layer = gzip.decompress(_blob(files, manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]


def test_the_program_runs_as_a_numeric_user_that_is_not_root(tmp_path: Path, program: Path) -> None:
    write_image(program, "example.local/tool:1", tmp_path / "image.tar")
    files = _read(tmp_path / "image.tar")
    manifest = json.loads(_blob(files, json.loads(files["index.json"])["manifests"][0]))
    config = json.loads(_blob(files, manifest["config"]))["config"]
    assert config["Entrypoint"] == ["/tool"]
    assert int(config["User"]) > 0
    layer = gzip.decompress(_blob(files, manifest["layers"][0]))
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert [(entry.name, oct(entry.mode)) for entry in tar] == [("tool", "0o755")]


def test_the_same_program_makes_the_same_image(tmp_path: Path, program: Path) -> None:
    write_image(program, "example.local/tool:1", tmp_path / "a.tar")
    write_image(program, "example.local/tool:1", tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
