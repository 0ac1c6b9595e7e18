"""The project's image as it comes out of the build. No cluster is needed, but the package registries are.

    python -m pytest tests/image

Outside of the sandbox's network, from which nothing is reached.
"""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pytest

from image.rootfs import PROGRAMS, USER, canonical
from sandbox import project
from sandbox.progress import Progress

Tree = Mapping[str, tarfile.TarInfo]


@pytest.fixture(scope="session")
def image() -> project.ProjectImage:
    """Built, unless it was."""
    return project.ensure(Progress())


@pytest.fixture(scope="session")
def parts(image: project.ProjectImage) -> dict[str, bytes]:
    """The files of the archive."""
    with tarfile.open(image.archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def manifest(image: project.ProjectImage, parts: dict[str, bytes]) -> Any:
    """What the archive says of the image."""
    return json.loads(_blob(parts, image.digest))


@pytest.fixture(scope="session")
def tree(parts: dict[str, bytes], manifest: Any) -> Tree:
    """All files of the image, by their path without the first slash."""
    found: dict[str, tarfile.TarInfo] = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(_blob(parts, layer["digest"])))) as tar:
            found |= {entry.name.strip("/"): entry for entry in tar}
    return found


def _blob(parts: Mapping[str, bytes], digest: str) -> bytes:
    return parts["blobs/" + digest.replace(":", "/")]


def test_programs_are_those_that_are_named(tree: Tree) -> None:
    """No package manager, no compiler, no perl; of a shell only what git calls."""
    folders = ("usr/bin", "usr/sbin", "usr/lib/git-core", "usr/local/bin", "opt/reconciler/bin")
    found = {name for name, entry in tree.items() if str(PurePath(name).parent) in folders and not entry.isdir()}
    named = {str(canonical(PurePath(each))) for each in PROGRAMS}  # type: ignore[arg-type]
    python = {name for name in found if PurePath(name).name.startswith("python")}
    behind_links = {"usr/bin/dash", "usr/lib/git-core/git", "opt/reconciler/bin/reconciler"}
    assert found - python == named | behind_links


def test_no_tool_to_install_or_build_is_inside(tree: Tree) -> None:
    names = {PurePath(name).name for name in tree}
    assert "reconciler" in names
    assert not names & {"pip", "setuptools", "wheel", "ensurepip", "distutils", "hatchling"}
    assert not {name for name in tree if name.endswith((".a", ".h", ".c", ".pyx", ".whl", ".deb"))}


def test_nothing_is_root_by_a_bit_and_only_two_folders_can_be_written(tree: Tree) -> None:
    links_aside = {name: entry for name, entry in tree.items() if not entry.issym()}
    assert not {name for name, entry in links_aside.items() if entry.mode & (stat.S_ISUID | stat.S_ISGID)}
    assert {name for name, entry in links_aside.items() if entry.mode & stat.S_IWOTH} == {"tmp"}
    assert {name for name, entry in tree.items() if (entry.uid, entry.gid) != (0, 0)} == {"var/lib/reconciler"}
    assert (tree["var/lib/reconciler"].uid, tree["var/lib/reconciler"].gid) == (USER, USER)


def test_every_module_is_compiled(tree: Tree) -> None:
    """Nothing can be written where the program runs, so it would be compiled at each start."""
    modules = {name for name in tree if "site-packages/" in name and name.endswith(".py")}
    compiled = {name for name in tree if name.endswith(".pyc")}
    assert len(modules) > 100
    assert not {name for name in modules if _compiled(name) not in compiled}


def _compiled(name: str) -> str:
    path = PurePath(name)
    tag = next(part for part in path.parts if part.startswith("python3.")).removeprefix("python").replace(".", "")
    return str(path.parent / "__pycache__" / f"{path.stem}.cpython-{tag}.pyc")


def test_the_built_in_templates_and_the_records_for_scanners_are_inside(tree: Tree) -> None:
    assert any(name.endswith("site-packages/reconciler/manifests/deployment.yaml") for name in tree)
    records = {PurePath(name).name for name in tree if name.startswith("var/lib/dpkg/status.d/")}
    assert {"git", "libc6", "openssh-client", "libssl3", "ca-certificates"} <= records
    assert {name for name in records if f"usr/share/doc/{name}/copyright" not in tree} == set()


def test_its_configuration_holds_user_entry_and_labels(parts: dict[str, bytes], manifest: Any) -> None:
    config = json.loads(_blob(parts, manifest["config"]["digest"]))["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["tini", "--", "reconciler"]
    assert config["Labels"]["org.opencontainers.image.title"] == "reconciler"
    names = {each.partition("=")[0] for each in config["Env"]}
    assert names == {"PATH", "HOME", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE"}, "nothing of the build is left in it"


@pytest.mark.timeout(1500)
def test_built_again_from_the_base_it_is_the_same_to_the_byte(image: project.ProjectImage) -> None:
    again = project.rebuilt(Progress())
    assert again.layers == image.layers
    assert again.digest == image.digest
