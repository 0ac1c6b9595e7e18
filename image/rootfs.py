"""Makes the folders that the image's layers are copied from. Runs in the build stage of the Dockerfile, as root.

    rootfs.py trim VENV          drops what is never imported from a virtual environment, and compiles the rest
    rootfs.py system TARGET VENV lays out the programs, the shared libraries and Python's own modules in TARGET
    rootfs.py settle FOLDER      compiles what is there, and gives everything the time of SOURCE_DATE_EPOCH

The image is made of what is named here, not of a distribution minus what somebody thought of removing: what nobody has
named, a package manager for one, is not there. Only Python's standard library is used: no package is there yet.
"""

from __future__ import annotations

import compileall
import filecmp
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

PROGRAMS = (
    "/bin/sh",  # git runs GIT_SSH_COMMAND, and the other end of a repository given as a path, through it
    "/usr/bin/git",
    "/usr/bin/gpg",  # signatures of commits: `verify`, and signed reverts
    "/usr/bin/gpg-agent",
    "/usr/bin/gpg-connect-agent",
    "/usr/bin/gpgconf",
    "/usr/bin/ssh",
    "/usr/bin/ssh-keygen",
    "/usr/bin/tini",  # process 1: takes away what is left of a git that was killed at its time limit
    "/usr/lib/git-core/git-receive-pack",
    "/usr/lib/git-core/git-remote-http",
    "/usr/lib/git-core/git-remote-https",
    "/usr/lib/git-core/git-upload-pack",
)
"""All programs of the image but Python's. Git's other commands are parts of `git` itself."""

FILES = (
    "/etc/debian_version",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
)
"""What scanners tell the distribution by, and OpenSSL's settings."""

UNUSED_MODULES = (
    "config-*",  # for linking programs to Python
    "curses",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm*",
    "lib-dynload/_gdbm*",
    "lib-dynload/_sqlite3*",
    "lib-dynload/_test*",
    "lib-dynload/_xxtestfuzz*",
    "lib-dynload/nis*",
    "lib-dynload/readline*",
    "lib-dynload/xx*",
    "pydoc_data",
    "sqlite3",
    "test",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "unittest",
    "venv",
)
"""Of Python's standard library; patterns below its folder."""

UNUSED_PACKAGES = (
    # Methods and models for every object of every version, half of the image. Requests are made with bare JSON
    # (ADR 5), and the package imports these only when somebody names one.
    "kubernetes/aio/client/api/[!_]*.py",
    "kubernetes/aio/client/models/[!_]*.py",
    "kubernetes/client/api/[!_]*.py",
    "kubernetes/client/models/[!_]*.py",
    "kubernetes/e2e_test",
)
"""Of site-packages; patterns below it."""

_NOT_FOR_RUNNING = ("*.c", "*.cpp", "*.h", "*.pxd", "*.pyi", "*.pyx", "*.so.debug", "__pycache__", "test", "tests")
_USRMERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_DPKG = Path("/var/lib/dpkg")
USER = 65532

_PASSWD = f"root:x:0:0:root:/nonexistent:/nonexistent\nreconciler:x:{USER}:{USER}::/var/lib/reconciler:/nonexistent\n"
_GROUP = f"root:x:0:\nreconciler:x:{USER}:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


def main() -> None:
    """Does what the first argument says."""
    match sys.argv[1:]:
        case ["trim", venv]:
            trim(Path(venv))
        case ["system", target, venv]:
            lay_out(Path(target), Path(venv))
        case ["settle", folder]:
            settle(Path(folder), Path(folder))
        case _:
            sys.exit(__doc__)


# -- the virtual environment


def trim(venv: Path) -> None:
    """Leaves in `venv` what the program can use, compiled."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    remove(packages, UNUSED_PACKAGES)
    remove_named(packages, _NOT_FOR_RUNNING)
    for script in (venv / "bin").iterdir():
        if not script.name.startswith("python"):  # `activate`, and the commands of packages
            script.unlink()
    for rest in ("include", "share"):
        shutil.rmtree(venv / rest, ignore_errors=True)
    settle(venv, Path("/"))


def remove(folder: Path, patterns: Iterable[str]) -> None:
    """Deletes what matches below `folder`."""
    for pattern in patterns:
        for found in list(folder.glob(pattern)):
            _delete(found)


def remove_named(folder: Path, patterns: Iterable[str]) -> None:
    """Deletes all files and folders below `folder` whose name matches."""
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if any(fnmatch(name, pattern) for pattern in patterns):
                _delete(Path(parent, name))
                if name in folders:
                    folders.remove(name)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# -- the system


def lay_out(target: Path, venv: Path) -> None:
    """A root file system in `target`: programs, and the libraries that they and the packages in `venv` need."""
    for name in _USRMERGED[:4]:
        (target / "usr" / name).mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(f"usr/{name}")
    standard = Path(sysconfig.get_path("stdlib"))
    python = Path(sys.executable).resolve()
    for name in (*PROGRAMS, *FILES, str(python), "/usr/bin/python3"):
        copy_linked(Path(name), target)
    _link_git(target)
    _copy_standard_library(standard, target)
    binaries = [*_binaries(target), *_binaries(venv)]
    for library in sorted(libraries(binaries)):
        copy_linked(library, target)
    _write_settings(target)
    _record_packages(target)
    settle(target, target)


def copy_linked(path: Path, target: Path) -> None:
    """Copies a file to its place below `target`, and what it is a link to as well."""
    place = target / canonical(path)
    if place.is_symlink() or place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        aim = path.readlink()
        place.symlink_to(aim)
        copy_linked(Path(os.path.normpath(path.parent / aim)), target)
    else:
        shutil.copy2(path, place)


def _link_git(target: Path) -> None:
    """Debian has the same program in two places."""
    again = target / "usr/lib/git-core/git"
    if not again.is_symlink() and filecmp.cmp(again, target / "usr/bin/git", shallow=False):
        again.unlink()
        again.symlink_to("../../bin/git")


def canonical(path: Path) -> Path:
    """Where a file is since /bin, /lib and the like are links to /usr's: relative to the root, without those."""
    parts = path.parts[1:]
    return Path("usr", *parts) if parts[0] in _USRMERGED else Path(*parts)


def _copy_standard_library(standard: Path, target: Path) -> None:
    place = target / canonical(standard)
    shutil.copytree(standard, place, symlinks=True, dirs_exist_ok=True)
    remove(place, UNUSED_MODULES)
    remove_named(place, ("__pycache__",))
    for link in place.rglob("*"):  # Debian's sitecustomize.py leads to /etc
        if link.is_symlink() and not link.exists():
            link.unlink()


def _binaries(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def libraries(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries of `binaries`, the loader among them, as ldd(1) finds them on this system."""
    found: set[Path] = set()
    for binary in binaries:
        told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, env={"LC_ALL": "C"})
        if "not found" in told.stdout:
            sys.exit(f"{binary} needs a library that is not here:\n{told.stdout}")
        found |= {Path(word) for word in told.stdout.split() if word.startswith("/") and not word.endswith(":")}
        # glibc loads this one by itself when a thread ends.
        found |= {path.with_name("libgcc_s.so.1") for path in found if path.name == "libc.so.6"}
    # Those that a package brings along are where they are needed already.
    return {path for path in found if path.parts[1] in ("usr", *_USRMERGED)}


def _write_settings(target: Path) -> None:
    etc = target / "etc"
    for name, content in (("passwd", _PASSWD), ("group", _GROUP), ("nsswitch.conf", _NSSWITCH)):
        (etc / name).write_text(content)
    # From the package's own files: the bundle of the machine that builds may hold more than the distribution's.
    bundle = etc / "ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    authorities = Path("/usr/share/ca-certificates")
    names = sorted(path for path in authorities.rglob("*.crt"))
    bundle.write_bytes(b"".join(path.read_bytes() for path in names))
    ssl = target / "usr/lib/ssl"
    ssl.mkdir(parents=True, exist_ok=True)
    (ssl / "cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (ssl / "certs").symlink_to("/etc/ssl/certs")
    (target / "usr/share/git-core/templates").mkdir(parents=True, exist_ok=True)  # git warns if there is none
    for folder, mode in (
        ("tmp", 0o1777),
        ("var/lib/reconciler", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("dev", 0o755),
    ):
        (target / folder).mkdir(parents=True, exist_ok=True)
        (target / folder).chmod(mode)
    os.chown(target / "var/lib/reconciler", USER, USER)


def _record_packages(target: Path) -> None:
    """Says of which Debian packages files are here, where scanners look for it, and keeps their licences."""
    here = {path.relative_to(target) for path in target.rglob("*") if not path.is_dir()}
    owners = {owner for owner, paths in _owned() if not here.isdisjoint(paths)} | {"ca-certificates"}
    for stanza in (_DPKG / "status").read_text().split("\n\n"):
        name = stanza.partition("\n")[0].removeprefix("Package: ")
        if name not in owners:
            continue
        record = target / "var/lib/dpkg/status.d" / name
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(stanza.rstrip("\n") + "\n")
        licence = Path("/usr/share/doc", name, "copyright")
        if licence.exists():
            place = target / "usr/share/doc" / name / "copyright"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(licence, place)


def _owned() -> Iterator[tuple[str, set[Path]]]:
    for listing in sorted((_DPKG / "info").glob("*.list")):
        name = listing.stem.partition(":")[0]
        yield name, {canonical(Path(line)) for line in listing.read_text().splitlines() if line.count("/") > 1}


# -- both


def settle(folder: Path, root: Path) -> None:
    """Compiles Python's modules below `folder` and sets the time of every file there.

    Compiled code that is checked against nothing depends on the source alone, not on the time of the build; it is
    needed, as nothing can be written at run time. `root` is what will be `/` in the image.
    """
    compileall.compile_dir(
        str(folder),
        maxlevels=20,
        quiet=2,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (when, when), follow_symlinks=False)


if __name__ == "__main__":
    main()
