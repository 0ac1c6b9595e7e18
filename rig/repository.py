"""A Git repository that a team would release from: commits, version bumps, reverts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A Developer",
    "GIT_AUTHOR_EMAIL": "developer@example.com",
    "GIT_COMMITTER_NAME": "A Developer",
    "GIT_COMMITTER_EMAIL": "developer@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Repository:
    """A repository with a work tree at `path`, on the branch main."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")

    @property
    def tip(self) -> str:
        """The full id of the commit that main points to."""
        return self._git("rev-parse", "refs/heads/main")

    @property
    def moved_at(self) -> float:
        """When main was last pointed to another commit, in epoch seconds."""
        return (self.path / ".git" / "refs" / "heads" / "main").stat().st_mtime_ns / 1e9

    def sign_with(self, key: Path | None) -> None:
        """Signs every commit from now on with an SSH key; with None, no more."""
        self._git("config", "gpg.format", "ssh")
        self._git("config", "user.signingKey", str(key or ""))
        self._git("config", "commit.gpgSign", "true" if key else "false")

    def commit(self, message: str, files: Mapping[str, str | bytes]) -> str:
        """Writes `files` (path → content) and commits them. Returns the commit's id."""
        self._write(files)
        self._git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.tip

    def release(self, version: str, values: Mapping[str, Any] | None = None, *, path: str = ".") -> str:
        """Commits a version bump: plain text, or YAML when there are `values`. Returns the commit's id."""
        return self.commit(f"Release {version}", {f"{path}/version": version_file(version, values)})

    def revert(self, commit: str = "HEAD") -> str:
        """`git revert`. Returns the id of the commit that it made."""
        self._git("revert", "--no-edit", commit)
        return self.tip

    def tag(self, name: str) -> None:
        """Tags the tip."""
        self._git("tag", name)

    def replace_history(self, files: Mapping[str, str]) -> str:
        """Points main to a commit that has no other before it, as after a force push. Returns its id."""
        self._write(files)
        commit = self._git("commit-tree", self._git("write-tree"), "-m", "All anew")
        self.move(commit)
        return commit

    def prepare(self, message: str, files: Mapping[str, str]) -> str:
        """Makes a commit on top of main that nothing points to yet, so that `move` to it is one rename."""
        self._write(files)
        return self._git("commit-tree", self._git("write-tree"), "-p", self.tip, "-m", message)

    def move(self, commit: str) -> float:
        """Points main to a commit, as a push does: by renaming a file. Returns the moment (epoch seconds) of it."""
        ref = self.path / ".git" / "refs" / "heads" / "main"
        fresh = ref.with_name("main.lock")
        fresh.write_text(commit + "\n")
        os.rename(fresh, ref)
        return time.time()

    def _write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        self._git("add", "--all")

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, env=os.environ | _IDENTITY, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()


def version_file(version: str, values: Mapping[str, Any] | None = None) -> str:
    """The content of a version file."""
    return yaml.safe_dump({"version": version, "values": dict(values)}) if values else f"{version}\n"
