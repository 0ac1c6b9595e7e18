"""A build is found again exactly as long as nothing has changed that it is made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.build import ETCD, KUBERNETES, LOAD, REAL, SIMULATED, Module


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """A module in a folder of the test's own."""
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "go.mod").write_text("module tool\n")
    (tmp_path / "tool" / "main.go").write_text("package main\n")
    return Module("tool", sources=tmp_path)


def test_the_key_stays_while_nothing_changes(module: Module) -> None:
    assert module.key() == replace(module).key()


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go", "new.go"])
def test_the_key_changes_with_pins_and_sources(module: Module, name: str) -> None:
    before = module.key()
    (module.path / name).write_text("changed")
    assert module.key() != before


def test_the_key_changes_with_the_flags(module: Module) -> None:
    assert replace(module, ldflags="-s").key() != module.key()


def test_programs_are_named_as_they_are_called() -> None:
    assert ETCD.programs == ("etcd",)
    assert LOAD.programs == ("load",)
    assert "kube-apiserver" in KUBERNETES.programs


def test_each_kind_of_sandbox_is_complete() -> None:
    real = {program for module in REAL for program in module.programs}
    simulated = {program for module in SIMULATED for program in module.programs}
    assert {"etcd", "kubelet", "kubectl", "sample-app", "pause", "load", "keys"} <= real
    assert {"etcd", "kwok", "kubectl", "load", "keys"} <= simulated
    assert "kwok" not in real
