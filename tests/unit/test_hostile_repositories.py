"""Every hostile repository ends in one error that is known beforehand, or does no harm: on real Git, through the real
adapter and the real rendering."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.git import Mirrors
from reconciler.core.model import Desired
from reconciler.errors import ReconcilerError
from tests.hostile import CASES, table
from tests.hostile.case import Case, plant, seen

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 256 << 10
"""KiB by which one look may raise the process' peak: generous, but less than a bomb would."""
PLAIN = Case("plain")

_plain: list[Desired] = []


async def _as_plain(folder: Path) -> Desired:
    if not _plain:
        _plain.append(await seen(PLAIN, plant(PLAIN, folder), Mirrors(folder / "mirrors")))
    return _plain[0]


async def _outcome(case: Case, folder: Path) -> Desired | ReconcilerError:
    """What comes of it. Nothing is written but the mirrors, and the memory stays within its bound."""
    origin = plant(case, folder)
    before = _on_disk(folder)
    peak = _peak()
    try:
        return await seen(case, origin, Mirrors(folder / "mirrors"))
    except ReconcilerError as error:
        return error
    finally:
        print(f"{case.name}: the peak grew by {_peak() - peak} KiB")
        assert _peak() - peak < MEMORY
        assert _on_disk(folder) == before, "something was written outside of the mirrors"


def _peak() -> int:
    """KiB of memory that this process had at most, getrusage(2)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _on_disk(folder: Path) -> dict[str, int]:
    """Every path but the mirrors', and when it was last changed."""
    mirrors = folder / "mirrors"
    found = (path for path in folder.rglob("*") if path != mirrors and mirrors not in path.parents)
    return {str(path): path.lstat().st_mtime_ns for path in found}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_it_ends_in_its_error_or_does_no_harm(
    case: Case, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    plain = await _as_plain(tmp_path_factory.mktemp("plain"))
    outcome = await _outcome(case, tmp_path)
    if isinstance(outcome, ReconcilerError):
        assert type(outcome).__name__ == case.error, str(outcome)
        assert case.message in str(outcome)
        assert str(outcome).replace("\n", "").isprintable()
        assert len(str(outcome)) < 5000
    else:
        assert not case.error, f"expected {case.error}: {case.message}"
        assert replace(outcome, app=plain.app, commit="") == replace(plain, commit="")


def test_the_names_are_different() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_the_document_says_what_the_cases_say() -> None:
    text = (ROOT / "docs/git-hostile.md").read_text(encoding="utf-8")
    assert table().strip() in text, "put what `python -m tests.hostile` prints into it"
