"""The project's own image: built from the Dockerfile with buildah, on a small Debian that debootstrap makes.

No image registry is asked. The base is kept under a hash of its recipe, and the image under one of all that goes into
it, which is also its tag: two checkouts of the project never take each other's image for their own.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import isolation, packages
from .build import one_builder
from .errors import SandboxError
from .paths import PROJECT, cache_dir
from .progress import Progress

PROJECT_IMAGE = "sandbox.local/reconciler"
"""Its name without a tag. `:latest` is what `python -m sandbox image` imported last."""

_SUITE = "bookworm"
PACKAGES = ("ca-certificates", "git", "gpg", "gpg-agent", "openssh-client", "python3", "python3-venv", "tini")
_GOES_IN = (".dockerignore", "Dockerfile", "LICENSE", "README.md", "image", "manifests", "pyproject.toml", "reconciler")
_EPOCH = 1767225600  # the times in it are no part of what it is: always the same
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_KEPT_ARCHIVES = 4
_MANY_LAYERS = 400  # of builds before: some 60 builds, and a few hundred megabytes

_SETTINGS = """
set -eu
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$STORAGE" --runroot "$STORAGE-run" --storage-driver overlay "$@"; }
buildah rm --all >/dev/null
"""
_MAKE_BASE = """
container=$(buildah from scratch)
folder=$(buildah mount "$container")
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$folder"
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
buildah umount "$container"
buildah commit --quiet "$container" "$BASE"
buildah rm "$container"
"""
# The machine's own authorities are mounted while it is built, for package registries behind a proxy. They are no
# part of the image: image/rootfs.py takes Debian's.
_MAKE_IMAGE = """
buildah build --layers $CACHE --pull-never --network host --timestamp "$EPOCH" $MOUNT \
  --build-arg BASE_IMAGE="$BASE" --build-arg SOURCE_DATE_EPOCH="$EPOCH" --build-arg VERSION="$VERSION" \
  --tag "$IMAGE" "$SOURCES"
buildah push --quiet "$IMAGE" "oci-archive:$ARCHIVE:$IMAGE"
"""


@dataclass(frozen=True)
class ProjectImage:
    """An image that was built: its archive, its name with the key as tag, and its measures in bytes."""

    name: str
    archive: str
    digest: str
    layers: tuple[str, ...]
    """Digests of the layers before compression."""
    compressed: int
    unpacked: int


def ensure(progress: Progress, sources: Path = PROJECT) -> ProjectImage:
    """The image of SOURCES as they are now; from the cache if nothing of them has changed. Needs the package registries
    otherwise, about a minute, and three when there is no base yet.
    """
    archive = _archive(image_key(sources))
    found = _read(archive)
    if found is None:
        packages.ensure_for_image(progress)
        with one_builder("image"):
            found = _read(archive) or _build(archive, sources, progress, cached=True)
            _forget(archive.parent)
    return found


def rebuilt(progress: Progress, sources: Path = PROJECT) -> ProjectImage:
    """The same image from nothing but the base: no layer of an earlier build is used."""
    packages.ensure_for_image(progress)
    with tempfile.TemporaryDirectory() as folder, one_builder("image"):
        return _build(Path(folder, _archive(image_key(sources)).name), sources, progress, cached=False)


def is_built(sources: Path = PROJECT) -> bool:
    """Whether `ensure` would find it in the cache."""
    return _read(_archive(image_key(sources))) is not None


def base_key() -> str:
    """A hash of what the base is made from."""
    return hashlib.sha256(repr((_SUITE, PACKAGES, _MAKE_BASE)).encode()).hexdigest()[:16]


def image_key(sources: Path) -> str:
    """A hash of all that goes into the image."""
    parts = hashlib.sha256(repr((base_key(), _EPOCH, _MAKE_IMAGE)).encode())
    for file in _files(sources):
        parts.update(f"\n{file.relative_to(sources)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return parts.hexdigest()[:16]


def _files(sources: Path) -> Iterator[Path]:
    for name in _GOES_IN:
        start = sources / name
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _archive(key: str) -> Path:
    return cache_dir() / "images" / f"reconciler-{key}.tar"


def _read(archive: Path) -> ProjectImage | None:
    try:
        known = json.loads(archive.with_suffix(".json").read_text())
    except FileNotFoundError:
        return None
    return ProjectImage(**known | {"layers": tuple(known["layers"])}) if archive.exists() else None


# -- building


def _build(archive: Path, sources: Path, progress: Progress, *, cached: bool) -> ProjectImage:
    storage = cache_dir() / f"buildah-{base_key()}"
    _drop_old_storage(storage)
    base = f"localhost/reconciler-base:{base_key()}"
    if not _has(storage, base):
        with progress.step("image base", "debootstrap, one to two minutes"):
            _run(_MAKE_BASE, storage, BASE=base, SUITE=_SUITE, PACKAGES=",".join(PACKAGES))
    archive.parent.mkdir(parents=True, exist_ok=True)
    key = archive.stem.removeprefix("reconciler-")
    name = f"{PROJECT_IMAGE}:{key}"
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)  # buildah would add to it
    with progress.step("image", "building, about a minute"), tempfile.TemporaryDirectory() as folder:
        snapshot(sources, Path(folder), key)
        _run(
            _MAKE_IMAGE,
            storage,
            BASE=base,
            IMAGE=name,
            ARCHIVE=str(fresh),
            SOURCES=folder,
            EPOCH=str(_EPOCH),
            VERSION=_version(sources),
            CACHE="" if cached else "--no-cache",
            MOUNT=f"--volume {_AUTHORITIES}:{_AUTHORITIES}:ro" if _AUTHORITIES.exists() else "",
        )
    built = _measure(fresh, name, archive)
    fresh.rename(archive)
    archive.with_suffix(".json").write_text(json.dumps(asdict(built)))
    return built


def snapshot(sources: Path, target: Path, key: str) -> None:
    """Copies what KEY is of to TARGET: buildah reads for a while, in which somebody may write, and it knows a file
    again by its time, too. Raises SandboxError if the sources are other ones by now.
    """
    for file in _files(sources):
        place = target / file.relative_to(sources)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    for path in [*target.rglob("*"), target]:
        os.utime(path, (_EPOCH, _EPOCH))
    if image_key(target) != key:
        raise SandboxError("the sources were changed while the image was built of them; do that again")


def _has(storage: Path, image: str) -> bool:
    if not storage.exists():
        return False
    try:
        _run('buildah inspect --type image "$IMAGE"', storage, IMAGE=image)
    except SandboxError:
        return False
    return True


def _run(script: str, storage: Path, **values: str) -> None:
    """In namespaces of its own, with which its mounts and processes end, however it ends."""
    values |= {"STORAGE": str(storage), "PATH": packages.program_path(), "HOME": str(storage)}
    storage.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _SETTINGS + script],
        env=values,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=isolation.die_with_parent,
    )
    if done.returncode != 0:
        log = "\n".join(done.stdout.splitlines()[-15:])
        raise SandboxError("the project's image could not be built; are the package registries reachable?", log=log)


def _drop_old_storage(storage: Path) -> None:
    """That of other bases, and this one when too many builds have left layers in it."""
    overlay = storage / "overlay"
    for folder in cache_dir().glob("buildah-*"):
        own = folder.name in (storage.name, f"{storage.name}-run")
        if not own or (overlay.exists() and len(list(overlay.iterdir())) > _MANY_LAYERS):
            shutil.rmtree(folder, ignore_errors=True)


def _forget(folder: Path) -> None:
    """Keeps the archives of the last few builds."""
    archives = sorted(folder.glob("reconciler-*.tar"), key=lambda file: file.stat().st_mtime)
    for old in archives[:-_KEPT_ARCHIVES]:
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)


def _version(sources: Path) -> str:
    (line,) = (
        line for line in (sources / "reconciler/__init__.py").read_text().splitlines() if "__version__ =" in line
    )
    return line.partition("=")[2].strip().strip('"')


# -- measuring


def _measure(file: Path, name: str, archive: Path) -> ProjectImage:
    with tarfile.open(file) as tar:

        def blob(digest: str) -> bytes:
            found = tar.extractfile("blobs/" + digest.replace(":", "/"))
            assert found is not None
            return found.read()

        index = tar.extractfile("index.json")
        assert index is not None
        digest = json.load(index)["manifests"][0]["digest"]
        manifest = json.loads(blob(digest))
        config = json.loads(blob(manifest["config"]["digest"]))
        layers = [gzip.decompress(blob(layer["digest"])) for layer in manifest["layers"]]
    return ProjectImage(
        name,
        str(archive),
        digest,
        tuple(config["rootfs"]["diff_ids"]),
        sum(layer["size"] for layer in manifest["layers"]),
        sum(map(len, layers)),
    )
