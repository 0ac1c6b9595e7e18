"""Running git: hardened, with an environment of its own, and so that its time-out really ends it.

GitPython's `kill_after_timeout` is not used: it finds git's children (ssh, git-remote-https) with `pgrep` or `ps`,
which slim container images lack, and then waits for pipes that such an orphan still holds open. Here every git
leads a process group, which is ended as a whole.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git.cmd import Git

from reconciler.core.address import SCHEMES

GRACE = 0.5
"""Seconds between SIGTERM, on which git removes its lock files, and SIGKILL."""
_STDOUT_LIMIT = 16 << 20
"""Bytes, some 250,000 refs: what a server may make git print before it is taken for hostile."""
_STDERR_KEPT = 64 << 10
"""Bytes of stderr that are kept, the last ones."""
_TICK = 0.1
"""Seconds between two looks at a folder that must not grow too far."""

_KEPT = (
    *("PATH", "HOME", "USER", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
)
_HINTS = ("Please make sure you have the correct access rights", "and the repository exists.", "hint:")
_VAGUE = ("Could not read from remote", "expected flush after ref listing", "the remote end hung up", "early EOF")
"""What git says last of a transport that broke off. The line before it holds the reason."""

_CONFIG = """\
# Written by reconciler at every start; changes are lost.
[core]
    hooksPath = /dev/null
    fsmonitor = false
    logAllRefUpdates = false
    # The mirror is a cache that can be built again: not worth waiting for the disk.
    fsync = none
[init]
    templateDir =
[transfer]
    fsckObjects = true
[fetch]
    recurseSubmodules = false
    writeCommitGraph = false
    # Always keep the pack: it appears whole or not at all, where loose objects appear one by one.
    unpackLimit = 1
[uploadpack]
    # For the upload-pack that git starts for a local repository: history can then be read without its files.
    allowFilter = true
[submodule]
    recurse = false
[gc]
    auto = 0
    autoDetach = false
[maintenance]
    auto = false
[credential]
    helper =
[protocol]
    allow = never
"""
_LOCAL_PUSH = """\
[gc]
    auto = 0
[maintenance]
    auto = false
[credential]
    helper =
[protocol]
    allow = never
"""


class GitFailed(Exception):
    """Git ended with an error. The text is the telling part of its `stderr`; secrets are still in both."""

    def __init__(self, what: str, stderr: bytes = b"") -> None:
        super().__init__(what)
        self.stderr = stderr


class GitTimedOut(Exception):
    """Git was ended because its time was up."""


class GitTooLarge(Exception):
    """Git was ended because the other side sent more than is taken. The text says how much that is."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A folder that may grow by `most` bytes while a git runs. Sub-folders do not count."""

    folder: Path
    most: int

    def size(self) -> int:
        """Bytes of all files that are in it now; 0 without such a folder."""
        try:
            with os.scandir(self.folder) as entries:
                return sum(entry.stat().st_size for entry in entries)
        except OSError:  # a file went between the two calls, or the folder is not there: the next look tells
            return 0


def config_text(own: Sequence[Path]) -> str:
    """The one configuration file that git reads besides the mirror's own.

    It stands in for the user's and the system's. A file and not `-c` options, because git hides those from the
    `upload-pack` that it starts for a local repository, which is where `safe.directory` is asked for: the
    folders in `own` may belong to another user, as a mounted repository does.
    """
    escaped = (str(path).replace("\\", "\\\\").replace('"', '\\"') for path in own)
    return _CONFIG + _allowed() + "[safe]\n" + "".join(f'    directory = "{path}"\n' for path in escaped)


def local_push_config() -> str:
    """The configuration file for a push to a local repository, which the git that receives it reads as well.

    That is not ours: its hooks run, what it takes is safe on the disk, and the rule that it belongs to the same user
    (`safe.directory`) is git's own.
    """
    return _LOCAL_PUSH + _allowed()


def _allowed() -> str:
    return "".join(f'[protocol "{scheme}"]\n    allow = always\n' for scheme in SCHEMES)


def environment(config: Path, ssh_command: str) -> dict[str, str]:
    """The whole environment for git. Of the daemon's own only `_KEPT` is handed on.

    A variable such as GIT_DIR, GIT_CONFIG_COUNT or GIT_PROXY_COMMAND therefore cannot leak in. Without credentials
    of the source (`access`), they come from `~/.netrc`, `~/.ssh` or an ssh agent; nobody is ever prompted.
    """
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CEILING_DIRECTORIES": str(config.parent.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_SSH_COMMAND": ssh_command,
        # Goes over the configuration, that of a local repository too, which `upload-pack` reads beside ours.
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


class Runner:
    """Runs one git command after another for one repository; `kill` ends the present one for good."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._mask: Callable[[str], str] = _as_it_is
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def using(self, env: Mapping[str, str], mask: Callable[[str], str]) -> Iterator[None]:
        """Runs every git with that environment for as long as the `with` lasts, and puts what it complains of through
        `mask`. For the network thread."""
        former, self._env, self._mask = self._env, dict(env), mask
        try:
            yield
        finally:
            self._env, self._mask = former, _as_it_is

    @contextlib.contextmanager
    def adding(self, env: Mapping[str, str]) -> Iterator[None]:
        """Runs every git with more in its environment for as long as the `with` lasts. For the network thread."""
        former, self._env = self._env, {**self._env, **env}
        try:
            yield
        finally:
            self._env = former

    def masked(self, text: str) -> str:
        """`text` without the secrets that are in use now. For the network thread."""
        return self._mask(text)

    def run(
        self,
        *arguments: str,
        cwd: Path,
        deadline: float,
        growth: Growth | None = None,
        program: str = "git",
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """The stdout of `git arguments…`, run in the folder `cwd`. Blocks until `deadline` (time.monotonic) at most.

        `env` goes over the environment. `program` is another one than git, as bounded and ended like it.

        Raises:
            GitTimedOut: the deadline passed. Git and everything that it started are gone then.
            GitTooLarge: it printed more than 16 MiB, or `growth` was exceeded; the same.
            GitFailed: git ended with an error or could not be started.
        """
        process = self._start([program, *arguments], cwd, env or {})
        output = _Output(process)
        try:
            _await(process, output, deadline, growth)
        except (GitTimedOut, GitTooLarge):
            _end(process, output)
            raise
        finally:
            output.close()
            with self._lock:
                self._running.discard(process)
        if process.returncode:
            what = telling(output.stderr, self._mask) or f"{program} ended with status {process.returncode}"
            raise GitFailed(what, bytes(output.stderr))
        return bytes(output.stdout)

    def kill(self) -> None:
        """Ends what runs now and refuses whatever comes later. From any thread, as often as you like."""
        with self._lock:
            self._closed = True
            for process in self._running:
                _signal_group(process, signal.SIGKILL)

    def _start(self, command: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise GitFailed("the repository was closed")
            process = start(command, {**self._env, **env}, cwd, subprocess.DEVNULL, subprocess.PIPE)
            self._running.add(process)
            return process


def start(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Starts git as the leader of its own session, so that a terminal's Ctrl-C does not reach it either."""
    try:
        return subprocess.Popen(
            command, env=env, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
    except OSError as error:
        raise GitFailed(f"{command[0]} cannot be started: {error.strerror or error}") from error


class _Output:
    """What a git prints, taken in as it comes, so that it never waits for us; but no more is kept than is of use."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._pipes = (process.stdout, process.stderr)
        self._selector = selectors.DefaultSelector()
        for pipe, take in zip(self._pipes, (self._take_stdout, self._take_stderr), strict=True):
            self._selector.register(pipe, selectors.EVENT_READ, take)

    def read(self, seconds: float) -> bool:
        """Takes in what comes within `seconds`. Returns False once nobody holds the pipes any more."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            data = os.read(key.fd, 1 << 16)
            if data:
                key.data(data)
            else:
                self._selector.unregister(key.fileobj)
        return bool(self._selector.get_map())

    @property
    def too_large(self) -> bool:
        """Whether stdout went over its limit. What came after that is lost."""
        return len(self.stdout) > _STDOUT_LIMIT

    def close(self) -> None:
        """Lets go of the pipes."""
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    def _take_stdout(self, data: bytes) -> None:
        if not self.too_large:
            self.stdout += data

    def _take_stderr(self, data: bytes) -> None:
        self.stderr += data
        del self.stderr[:-_STDERR_KEPT]


def _await(process: subprocess.Popen[bytes], output: _Output, deadline: float, growth: Growth | None) -> None:
    """Returns when git has ended by itself, and all that it started."""
    before = growth.size() if growth else 0
    while output.read(min(_TICK, deadline - time.monotonic())):
        if output.too_large:
            raise GitTooLarge(f"more than {_in_mib(_STDOUT_LIMIT)} of names")
        _check_growth(growth, before)
        if time.monotonic() >= deadline:
            raise GitTimedOut
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise GitTimedOut from None
    _check_growth(growth, before)


def _check_growth(growth: Growth | None, before: int) -> None:
    if growth and growth.size() - before > growth.most:
        raise GitTooLarge(f"more than {_in_mib(growth.most)} at once")


def _in_mib(size: int) -> str:
    return f"{size / 2**20:g} MiB"


def _end(process: subprocess.Popen[bytes], output: _Output) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process, number)
        # Bounded: a helper that left the group (ssh's ControlPersist does) may keep stderr open for ever.
        until = time.monotonic() + GRACE
        while output.read(until - time.monotonic()) and time.monotonic() < until:
            pass
        if not output.read(0):
            # Nobody holds git's pipes any more, so that all its children are gone, too.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
                return
    process.poll()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Safe only because a leader that nobody has waited for keeps its id: see the callers.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _as_it_is(text: str) -> str:
    return text


def telling(stderr: bytes | bytearray, mask: Callable[[str], str] = _as_it_is) -> str:
    """What git said last, without its general advice: one line, 300 characters at most. Masked before it is cut off, as
    half a secret would not be known for one."""
    lines = [line.strip() for line in mask(stderr.decode(errors="replace")).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_HINTS)]
    lines = [line for line in lines if not any(vague in line for vague in _VAGUE)] or lines
    text = lines[-1].removeprefix("fatal: ").removeprefix("error: ").rstrip(".") if lines else ""
    return "".join(char if char.isprintable() else " " for char in text)[:300]


class ObjectGit(Git):
    """GitPython's Git for its persistent `cat-file` processes, started with our environment and session.

    GitPython copies the daemon's whole environment; this is the one method through which it starts processes.
    """

    def __init__(self, mirror: Path, env: Mapping[str, str]) -> None:
        super().__init__(mirror)
        self._mirror = mirror
        self._hardened_env = {**env, "GIT_DIR": str(mirror)}

    def execute(self, command: Any, istream: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Starts `command`; returns its process as GitPython's own method does for `as_process=True`."""
        process = start(command, self._hardened_env, self._mirror, istream, subprocess.DEVNULL)
        return self.AutoInterrupt(process, command)

    def interrupt(self) -> None:
        """Kills the persistent processes from another thread; a blocked read then fails at once."""
        for command in (self.cat_file_all, self.cat_file_header):
            if command is not None and command.proc is not None:
                command.proc.kill()
