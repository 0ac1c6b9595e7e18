"""The command line where it needs neither Git nor a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from reconciler import __version__
from reconciler.cli import cli

MINIMAL = "sources: [{name: web, url: ./web}]\napps: [{name: web, source: web}]\n"


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_the_version_is_told_both_ways(asked: str) -> None:
    result = CliRunner().invoke(cli, [asked])
    assert (result.exit_code, result.stdout) == (0, f"reconciler {__version__}\n")


@pytest.mark.parametrize("since", ["soon", "30", "10s"])
def test_a_time_that_is_none_to_look_back_is_wrong_usage(since: str) -> None:
    result = CliRunner().invoke(cli, ["delivery", "--since", since])
    assert result.exit_code == 2
    assert "--since" in result.stderr


def test_a_missing_configuration_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECONCILER_CONFIG", raising=False)
    result = CliRunner().invoke(cli, ["validate"])
    assert result.exit_code == 3
    assert "reconciler.yaml" in result.stderr
    assert "--config" in result.stderr


def test_reconciler_yaml_of_the_working_directory_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECONCILER_CONFIG", raising=False)
    (tmp_path / "reconciler.yaml").write_text(MINIMAL)
    result = CliRunner().invoke(cli, ["validate", "nobody", "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert "reconciler.yaml" in result.stderr
