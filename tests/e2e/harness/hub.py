"""A Git host as teams have one: a bare repository that everybody pushes to, and that may refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rig.repository import version_file
from tests.fakes.git import git


class Hub:
    """The bare repository at `path`, and in `desk` a clone in which humans work.

    Humans only ever push fast-forward: whoever lost a race has to look at what is there first.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop.git"
        self._desk = folder.with_name(folder.name + "-desk")
        folder.mkdir()
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path), cwd=folder)
        git("clone", "--quiet", str(self.path), str(self._desk), cwd=folder)

    @property
    def tip(self) -> str:
        """The full id of the commit that main is at."""
        return git("rev-parse", "refs/heads/main", cwd=self.path)

    def release(self, version: str, values: Mapping[str, Any] | None = None) -> str:
        """A human's version bump, on top of what is there. Returns its commit."""
        return self.commit(f"Release {version}", {"version": version_file(version, values)})

    def commit(self, message: str, files: Mapping[str, str]) -> str:
        """A human's commit of these files, on top of what is there. Returns its id."""
        if git("for-each-ref", "refs/heads/main", cwd=self.path):
            git("fetch", "--quiet", "origin", "main", cwd=self._desk)
            git("checkout", "--quiet", "-B", "main", "FETCH_HEAD", cwd=self._desk)
        for name, content in files.items():
            target = self._desk / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        git("add", "--all", cwd=self._desk)
        git("commit", "--quiet", "--message", message, cwd=self._desk)
        git("push", "--quiet", "origin", "HEAD:refs/heads/main", cwd=self._desk)
        return git("rev-parse", "HEAD", cwd=self._desk)

    def sign_with(self, key: Path) -> None:
        """Humans sign every commit from now on with this SSH key."""
        for name, value in {"gpg.format": "ssh", "user.signingKey": str(key), "commit.gpgSign": "true"}.items():
            git("config", name, value, cwd=self._desk)

    def log(self) -> Sequence[str]:
        """The ids of all commits of main, the latest first."""
        return git("rev-list", "refs/heads/main", cwd=self.path).split()

    def content(self, path: str, commit: str = "main") -> str:
        """A file of a commit."""
        return git("show", f"{commit}:{path}", cwd=self.path) + "\n"

    def changed(self, commit: str) -> Sequence[str]:
        """The paths that a commit changed."""
        return git("diff-tree", "--no-commit-id", "--name-only", "-r", commit, cwd=self.path).split()

    def message(self, commit: str) -> str:
        """What it says."""
        return git("log", "-1", "--format=%B", commit, cwd=self.path)

    def trailers(self, commit: str) -> Mapping[str, str]:
        """Its trailers, as git itself finds them."""
        lines = git("log", "-1", "--format=%(trailers:only,unfold)", commit, cwd=self.path).splitlines()
        return dict(line.split(": ", 1) for line in lines if line)

    def refuse(self, reason: str) -> None:
        """Pushes over HTTP are declined from now on; humans, who use the path, are let past."""
        hook = self.path / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\n[ -z \"$REQUEST_METHOD\" ] && exit\necho '{reason}' >&2\nexit 1\n")
        hook.chmod(0o755)

    def allow(self) -> None:
        """They are taken again."""
        (self.path / "hooks" / "pre-receive").unlink()
