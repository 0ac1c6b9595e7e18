"""Names, locks, process identities and layouts: what keeps two sandboxes, and a crash, from doing harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.api import process_of
from sandbox.errors import SandboxError
from sandbox.layout import Layout
from sandbox.leftovers import find
from sandbox.lock import exclusive
from sandbox.paths import StatePaths
from sandbox.procs import Process
from sandbox.progress import Progress
from sandbox.supervision import Running


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 33, "a b"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(SandboxError, match="cannot be a sandbox's name"):
        StatePaths.of(name)


@pytest.mark.parametrize("name", ["a", "bluegreen", "ci-2", "a" * 32])
def test_a_plain_name_is_taken(name: str) -> None:
    assert StatePaths.of(name).root.name == name


def test_the_lock_goes_with_what_it_guards(tmp_path: Path) -> None:
    file, guarded = tmp_path / "state" / "x.lock", tmp_path / "state" / "x"
    with exclusive(file, Progress(quiet=True), guarded=guarded):
        guarded.mkdir()
    assert file.exists()
    with exclusive(file, Progress(quiet=True), guarded=guarded):
        guarded.rmdir()
    assert not file.parent.exists()


def test_the_lock_keeps_another_process_out(tmp_path: Path) -> None:
    file = tmp_path / "x.lock"
    attempt = f"import fcntl; fcntl.flock(open({str(file)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with exclusive(file, Progress(quiet=True), guarded=tmp_path):
        assert subprocess.run([sys.executable, "-c", attempt], stderr=subprocess.DEVNULL).returncode == 1
    assert subprocess.run([sys.executable, "-c", attempt]).returncode == 0


def test_a_process_with_the_same_id_but_another_start_is_a_stranger() -> None:
    me = Process.find(os.getpid())
    assert me is not None
    assert me.alive
    assert not Process(me.pid, me.started - 1).alive


def test_a_stranger_is_neither_signalled_nor_waited_for() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        known = Process.find(child.pid)
        assert known is not None
        stranger = Process(known.pid, known.started - 1)
        assert stranger.end(grace=0)
        assert known.alive
        assert known.end(grace=5)
        child.wait()


def test_a_layout_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = Layout.new(simulated=False)
    layout.write(tmp_path / "sandbox.json")
    assert Layout.read(tmp_path / "sandbox.json") == layout
    assert (tmp_path / "sandbox.json").stat().st_mode & 0o077 == 0  # it holds the administrator's token


def test_no_layout_is_no_error(tmp_path: Path) -> None:
    assert Layout.read(tmp_path / "sandbox.json") is None


def test_two_simulated_sandboxes_share_no_port_and_no_token() -> None:
    one, other = Layout.new(simulated=True), Layout.new(simulated=True)
    assert len(set(one.ports.values())) == len(one.ports)
    assert not set(one.tokens.values()) & set(other.tokens.values())


def test_the_end_check_names_a_folder_and_a_process_that_are_left(tmp_path: Path) -> None:
    paths = StatePaths("left", tmp_path)
    paths.root.mkdir()
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", str(paths.root / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # the kernel shows no command line until the new program is all there
        left = find(paths, network=None)
        child.kill()
    assert any(line == f"folder {paths.root}" for line in left)
    assert any(line.startswith(f"process {child.pid}: {sys.executable}") for line in left)


@pytest.mark.parametrize("known", [None, Running(pid=0, argv=[], since=0.0, status=1)])
def test_no_signal_is_sent_for_a_component_that_does_not_run(known: Running | None) -> None:
    with pytest.raises(SandboxError, match="kubelet does not run"):
        process_of("kubelet", known)


def test_a_component_that_runs_is_found() -> None:
    found = process_of("kubelet", Running(pid=os.getpid(), argv=[], since=0.0, status=None))
    assert found == Process.find(os.getpid())
