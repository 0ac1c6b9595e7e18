"""The Dockerfile keeps its rules, its locks are in step, and what is left out of the image is not used."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from fnmatch import fnmatch
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from image import rootfs
from sandbox import project
from sandbox.errors import SandboxError
from sandbox.paths import PROJECT

_PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\$", re.MULTILINE)


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def _last_stage() -> list[tuple[str, str]]:
    steps = _instructions()
    last = max(number for number, (word, _) in enumerate(steps) if word == "FROM")
    return steps[last:]


def _values(word: str) -> list[str]:
    return [rest for each, rest in _last_stage() if each == word]


def _pins(lock: str) -> dict[str, str]:
    return dict(_PIN.findall((PROJECT / lock).read_text()))


# -- the Dockerfile


def test_the_base_is_an_argument_and_pinned_to_a_point_release() -> None:
    steps = _instructions()
    (name,) = (rest.partition("=")[2] for word, rest in steps if word == "ARG" and rest.startswith("BASE_IMAGE="))
    assert re.fullmatch(r"debian:\d+\.\d+-slim", name)
    assert steps[1] == ("FROM", "${BASE_IMAGE} AS tools")
    stages = {rest.rpartition(" AS ")[2] for word, rest in steps if word == "FROM"}
    others = {rest.partition(" ")[0] for word, rest in steps[2:] if word == "FROM"}
    assert others <= stages | {"scratch"}, "nothing else is pulled"


def test_the_image_begins_with_nothing_and_runs_nothing_while_it_is_built() -> None:
    assert _last_stage()[0] == ("FROM", "scratch")
    assert not _values("RUN")
    assert all(rest.startswith("--from=") for rest in _values("COPY"))
    assert "ADD" not in {word for word, _ in _instructions()}, "ADD fetches addresses and unpacks archives"


def test_it_runs_as_a_number_that_is_not_root_and_without_a_shell() -> None:
    assert _values("USER") == [f"{rootfs.USER}:{rootfs.USER}"]
    assert _values("ENTRYPOINT") == ['["tini", "--", "reconciler"]']


def test_it_says_what_it_is() -> None:
    labels = " ".join(_values("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_every_package_of_python_is_installed_by_hash_and_as_a_wheel() -> None:
    """A source archive would run its own code in the build."""
    runs = " ".join(rest for word, rest in _instructions() if word == "RUN")
    installs = re.findall(r"pip (?:--python \S+ )?install (.*?)(?:&&|$)", runs)
    assert installs
    for line in installs:
        own = "/build/wheel/*.whl" in line and "--no-deps" in line
        assert own or ("--require-hashes" in line and "--only-binary=:all:" in line), line


def test_nothing_is_sent_to_the_build_but_what_it_copies() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.partition("/")[0]
        for word, rest in _instructions()
        if word == "COPY" and not rest.startswith("--from=")
        for source in rest.split()[:-1]
    }
    assert copied == allowed


# -- the locks


@pytest.mark.parametrize("lock", ["image/requirements.lock", "image/build-requirements.lock"])
def test_the_images_locks_are_in_step_with_the_one_that_tests_run_with(lock: str) -> None:
    of_tests, of_image = _pins("requirements.lock"), _pins(lock)
    assert of_image
    assert of_image.items() <= of_tests.items(), "run `make lock`"
    assert "://" not in (PROJECT / lock).read_text()


def test_the_image_has_what_the_program_depends_on_and_nothing_of_the_tools() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    direct = set(re.findall(r'"([a-z0-9-]+)>=', text.partition("dependencies = [")[2].partition("]")[0]))
    pins = _pins("image/requirements.lock")
    assert direct <= pins.keys(), "run `make lock`"
    assert not pins.keys() & {"pip", "setuptools", "wheel", "hatchling", "pytest", "kubernetes-validate"}


# -- what is left out


def _trees() -> list[ast.Module]:
    return [ast.parse(file.read_text()) for file in sorted((PROJECT / "reconciler").rglob("*.py"))]


def test_nothing_of_the_client_that_is_left_out_is_named() -> None:
    """The package imports such a module only when a name of it is looked up: that the program starts proves nothing."""
    named = {
        node.attr
        for tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client"
    }
    named |= {
        alias.name
        for tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "kubernetes.aio.client"
        for alias in node.names
    }
    module = importlib.import_module("kubernetes.aio.client")
    homes = {getattr(module, name).__module__ for name in named if hasattr(module, name)}
    assert "kubernetes.aio.client.api_client" in homes
    paths = {home.replace(".", "/") + ".py" for home in homes}
    assert not {path for path in paths if any(fnmatch(path, each) for each in rootfs.UNUSED_PACKAGES)}


def test_nothing_of_the_standard_library_that_is_left_out_is_imported() -> None:
    gone = {each.removesuffix(".py") for each in rootfs.UNUSED_MODULES if "/" not in each and "*" not in each}
    imported = {
        name.partition(".")[0]
        for tree in _trees()
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert "asyncio" in imported
    assert not imported & gone


def test_what_matches_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("api/__init__.py", "api/core.py", "core.py", "deep/tests/test_a.py", "deep/a.pyi", "deep/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rootfs.remove(tmp_path, ("api/[!_]*.py",))
    rootfs.remove_named(tmp_path, ("tests", "*.pyi"))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"api/__init__.py", "core.py", "deep/a.py"}


@pytest.mark.parametrize(
    ("path", "place"),
    [("/bin/sh", "usr/bin/sh"), ("/lib/a/b.so", "usr/lib/a/b.so"), ("/usr/bin/a", "usr/bin/a"), ("/etc/a", "etc/a")],
)  # fmt: skip
def test_files_have_one_place_however_they_are_called(path: str, place: str) -> None:
    assert rootfs.canonical(Path(path)) == Path(place)


def test_a_link_is_copied_with_what_it_leads_to(tmp_path: Path) -> None:
    source, target = tmp_path / "etc", tmp_path / "target"
    source.mkdir()
    (source / "real").write_text("content")
    (source / "link").symlink_to("real")
    rootfs.copy_linked(source / "link", target)
    copied = target / rootfs.canonical(source)
    assert (copied / "link").is_symlink()
    assert (copied / "link").read_text() == "content"


def test_libraries_are_those_of_the_system_and_the_loader() -> None:
    found = {path.name for path in rootfs.libraries([Path(sys.executable).resolve()])}
    assert {"libc.so.6", "libgcc_s.so.1"} <= found
    assert any(name.startswith("ld-linux") for name in found)


def test_compiled_code_and_times_come_from_the_sources_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    made = []
    for name, when in (("a", 1_000_000_000), ("b", 1_500_000_000)):
        file = tmp_path / name / "opt/module.py"
        file.parent.mkdir(parents=True)
        file.write_text("ANSWER = {'a', 'b'}\n")
        os.utime(file, (when, when))
        rootfs.settle(tmp_path / name, tmp_path / name)
        assert {path.stat().st_mtime for path in (tmp_path / name).rglob("*")} == {1767225600.0}
        made.append(Path(cache_from_source(str(file))).read_bytes())
    assert made[0] == made[1]
    flags = int.from_bytes(made[0][4:8], "little")
    assert flags == 0b01, "by hash, and never checked: the sources cannot change (PEP 552)"


# -- the key of the cache


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A checkout of a few files."""
    for name in (".dockerignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml", "image/rootfs.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("manifests/service.yaml", "reconciler/core/plan.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", ["Dockerfile", "image/rootfs.py", "manifests/service.yaml", "reconciler/core/plan.py"])
def test_the_image_is_built_anew_when_anything_of_it_changes(sources: Path, name: str) -> None:
    before = project.image_key(sources)
    (sources / name).write_text("other")
    assert project.image_key(sources) != before


def test_a_renamed_file_is_a_change_and_what_is_not_in_the_image_is_none(sources: Path) -> None:
    before = project.image_key(sources)
    for name in ("docs/image.md", "reconciler/core/__pycache__/plan.cpython-311.pyc"):
        (sources / name).parent.mkdir(exist_ok=True)
        (sources / name).touch()
    assert project.image_key(sources) == before
    (sources / "reconciler/core/plan.py").rename(sources / "reconciler/core/planner.py")
    assert project.image_key(sources) != before


def test_a_build_has_its_own_copy_of_the_sources_as_they_were(
    sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = project.image_key(sources)
    copies = [tmp_path_factory.mktemp("copy") for _ in range(2)]
    for number, copy in enumerate(copies):
        os.utime(sources / "Dockerfile", (number, number))
        project.snapshot(sources, copy, key)
        assert project.image_key(copy) == key
    times = {path.stat().st_mtime for copy in copies for path in copy.rglob("*")}
    assert len(times) == 1, "what was built is known again in another checkout"
    (sources / "Dockerfile").write_text("other")
    with pytest.raises(SandboxError, match="changed while"):
        project.snapshot(sources, copies[0], key)


def test_the_base_has_the_packages_that_the_dockerfile_asks_for() -> None:
    """Then nothing is installed while the image is built on it."""
    runs = next(rest for word, rest in _instructions() if word == "RUN")
    asked = runs.partition("for package in ")[2].partition(";")[0].split()
    assert sorted(asked) == sorted(project.PACKAGES)
