"""Makes container images without a container engine: an OCI layout in a tar file, one program its only layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

SAMPLE_IMAGE = "sandbox.local/sample-app:latest"
PAUSE_IMAGE = "sandbox.local/pause:latest"

_USER = 65532  # nobody in particular, but a number: `runAsNonRoot` can check it
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_image(program: Path, name: str, target: Path) -> None:
    """Write an image called NAME that runs PROGRAM, a static executable, to the tar file TARGET."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    blobs: dict[str, bytes] = {}
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": str(_USER), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _add(blobs, "application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [_add(blobs, "application/vnd.oci.image.layer.v1.tar+gzip", packed)],
    }
    described = _add(blobs, "application/vnd.oci.image.manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {"schemaVersion": 2, "manifests": [described]}
    files = {f"blobs/{digest.replace(':', '/')}": (content, 0o644) for digest, content in blobs.items()}
    files["oci-layout"] = (b'{"imageLayoutVersion": "1.0.0"}', 0o644)
    files["index.json"] = (json.dumps(index).encode(), 0o644)
    target.write_bytes(_tar(files))


def _add(blobs: dict[str, bytes], media_type: str, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    blobs[digest] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Without times and owners, so that the same program always makes the same image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
