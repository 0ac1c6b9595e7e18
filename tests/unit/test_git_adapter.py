"""Real Git where it differs from the ideal: hung servers, broken mirrors, hostile names, odd repositories."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from reconciler.adapters.git import GitRepository, Limits, LocalRepository, Mirrors, local_git_dir
from reconciler.adapters.git.address import Place, address_of, check_ref, mirror_name
from reconciler.adapters.git.process import GitFailed, GitTooLarge, Runner, config_text, environment, telling
from reconciler.core.address import masked
from reconciler.core.gitref import branch as branch_ref
from reconciler.errors import Invalid, Transient
from tests.fakes.git import GitOrigin, git

SOON = 10.0
"""Seconds that an event is awaited for; reaching them fails the test."""


@pytest.fixture
def origin(tmp_path: Path) -> GitOrigin:
    return GitOrigin(tmp_path / "origin.git")


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    return Mirrors(tmp_path / "mirrors", many_packs=4)


Open = Callable[..., GitRepository]


@pytest.fixture
async def opened(mirrors: Mirrors) -> AsyncIterator[Open]:
    """Makes repositories that are closed at the end."""
    made: list[GitRepository] = []

    def make(
        url: str | Path, branch: str = "main", timeout: float = SOON, limits: Limits | None = None
    ) -> GitRepository:
        made.append(GitRepository(str(url), branch, mirrors, timeout=timeout, limits=limits))
        return made[-1]

    yield make
    for repository in made:
        await repository.close()


def mirror_of(tmp_path: Path, url: str | Path) -> Path:
    return tmp_path / "mirrors" / mirror_name(str(url)) / "mirror.git"


class Server:
    """A server on 127.0.0.1 that gives `answer`, or none, to every request. Knows who came and who left."""

    def __init__(self, answer: bytes = b"") -> None:
        self.connected = asyncio.Event()
        self.left = asyncio.Event()
        self._answer = answer

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        while await reader.read(10_000):
            writer.write(self._answer)
        self.left.set()
        writer.close()


# --- servers that hang or refuse -------------------------------------------------------------------------------


async def test_time_out_ends_git_and_its_helper(opened: Open) -> None:
    async with Server() as server:
        repository = opened(f"http://127.0.0.1:{server.port}/x.git", timeout=0.5)
        with pytest.raises(Transient, match=r"did not finish within 0\.5 s"):
            await repository.tip()
        assert server.connected.is_set()
        # It is git-remote-http, a child of git's, that holds the connection.
        await asyncio.wait_for(server.left.wait(), SOON)


async def test_close_ends_git_at_once(opened: Open) -> None:
    async with Server() as server:
        repository = opened(f"http://127.0.0.1:{server.port}/x.git", timeout=600)
        tip = asyncio.create_task(repository.tip())
        await asyncio.wait_for(server.connected.wait(), SOON)
        await asyncio.wait_for(repository.close(), SOON)
        with pytest.raises(Transient):
            await asyncio.wait_for(tip, SOON)
        await asyncio.wait_for(server.left.wait(), SOON)


async def test_a_helper_that_ignores_being_asked_is_killed(origin: GitOrigin, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\ntrap '' TERM\nexec 9>{fifo}\necho here >&9\nsleep 600\n")
    ssh.chmod(stat.S_IRWXU)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    repository = GitRepository("ssh://host/x", "main", Mirrors(tmp_path / "mirrors", ssh_command=str(ssh)), timeout=1)
    with pytest.raises(Transient, match="did not finish"):
        await repository.tip()
    assert os.read(reading, 100) == b"here\n", "the helper never ran"
    # At its end once no process holds the other side; with one alive this raises BlockingIOError.
    assert os.read(reading, 1) == b""
    os.close(reading)
    await repository.close()


async def test_a_hanging_repository_holds_up_nobody_else(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"x"})
    async with Server() as server:
        hanging = opened(f"http://127.0.0.1:{server.port}/x.git", timeout=600)
        waiting = asyncio.create_task(hanging.tip())
        await asyncio.wait_for(server.connected.wait(), SOON)
        assert await asyncio.wait_for(opened(origin.path).tip(), SOON) == commit
        assert not waiting.done()
        await hanging.close()
        with pytest.raises(Transient):
            await waiting


@pytest.mark.parametrize(
    ("userinfo", "reason"), [("user:s3cr%65t@", "authentication failed"), ("", "could not read username.* disabled")]
)
async def test_wrong_credentials_are_transient_unprompted_and_masked(userinfo: str, reason: str, opened: Open) -> None:
    refusal = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    async with Server(refusal) as server:
        repository = opened(f"http://{userinfo}127.0.0.1:{server.port}/x.git")
        with pytest.raises(Transient, match=f"(?i){reason}") as caught:
            await repository.tip()
    assert "s3cr" not in f"{caught.value}{caught.value.args}{caught.value.__cause__}"
    assert (f"user:***@127.0.0.1:{server.port}" in caught.value.where) == bool(userinfo)


async def test_an_unreachable_repository(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(Transient, match="does not appear to be a git repository") as caught:
        await opened(tmp_path / "nowhere").tip()
    assert caught.value.__cause__ is None
    assert f"Is there a Git repository at {tmp_path / 'nowhere'}, and may it be read?" in caught.value.todo


async def test_endless_output_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    config = tmp_path / "x" / "gitconfig"
    config.write_text(config_text([]))
    git = Runner(environment(config, "ssh"))
    with pytest.raises(GitTooLarge, match="16 MiB"):
        git.run("-c", "alias.x=!cat /dev/zero", "x", cwd=tmp_path / "x", deadline=time.monotonic() + SOON)
    talk = "alias.x=!f() { head -c 9000000 /dev/zero >&2; echo; echo the last words; exit 1; }; f >&2"
    with pytest.raises(GitFailed, match="the last words"):
        git.run("-c", talk, "x", cwd=tmp_path / "x", deadline=time.monotonic() + SOON)


async def test_a_fetch_that_brings_too_much_is_ended_and_the_mirror_stays(origin: GitOrigin, tmp_path: Path) -> None:
    small = origin.commit({"file": b"1"})
    mirrors = Mirrors(tmp_path / "mirrors", fetch_limit=1 << 20)
    repository = GitRepository(str(origin.path), "main", mirrors, timeout=SOON)
    assert await repository.tip() == small
    origin.commit({"file": random.Random(1).randbytes(8 << 20)})
    for _ in range(2):  # the second time it is known to be too large
        with pytest.raises(Invalid, match="more than 1 MiB at once"):
            await repository.tip()
    assert not list(mirror_of(tmp_path, origin.path).glob("objects/pack/tmp_*")), "git leaves what it got lying"
    assert await repository.read(small, "file") == b"1"
    origin.reset(small)
    assert await repository.tip() == small
    await repository.close()


async def test_a_first_fetch_that_brings_too_much_leaves_nothing(origin: GitOrigin, tmp_path: Path) -> None:
    origin.commit({"file": random.Random(1).randbytes(3 << 20)})
    mirrors = Mirrors(tmp_path / "mirrors", fetch_limit=1 << 20)
    repository = GitRepository(str(origin.path), "main", mirrors, timeout=SOON)
    with pytest.raises(Invalid, match="more than 1 MiB at once"):
        await repository.tip()
    assert os.listdir(mirror_of(tmp_path, origin.path).parent) == ["gitconfig"]
    await repository.close()


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("", "-x", "--upload-pack=touch x", "a\0b", "a\nb", "file:///a%00b"),
        *("ext::sh -c touch% x", "fd::3", "ext::https://x", "git://host/x", "ftp://host/x", "EXT://x/y"),
        *("ssh://-oProxyCommand=x/y", "ssh://user@-oProxyCommand=x/y", "user@-oProxyCommand=x:y"),
        *("http:///x", "ssh://", "file://host/x"),
    ],
)
def test_hostile_addresses(url: str, mirrors: Mirrors, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        GitRepository(url, "main", mirrors)
    assert list(tmp_path.iterdir()) == []
    assert local_git_dir(url) is None


@pytest.mark.parametrize(
    "url",
    [
        *("https://host/x.git", "https://u:p@host:8443/x", "http://[::1]:80/x", "ssh://git@host:22/x"),
        *("git@host:team/x.git", "host:x", "ssh://git@[::1]/x"),
    ],
)
def test_ordinary_addresses(url: str) -> None:
    assert address_of(url) == url


@pytest.mark.parametrize(
    "branch",
    [
        *("", "-b", "--exec=x", "a..b", "a b", "a\0b", "a\n", "a~1", "a^", "a:b", "a?", "a*", "[a", "a\\b", "@"),
        *("a@{1}", "a//b", "/a", "a/", ".a", "a/.b", "a.lock", "a.lock/b", "a."),
    ],
)
def test_hostile_branches(branch: str, mirrors: Mirrors) -> None:
    with pytest.raises(Invalid, match="no name of a branch"):
        GitRepository("/x", branch, mirrors)


@pytest.mark.parametrize("branch", ["main", "feature/x", "v1.2", "ünï", "a-b_c", "a@b", "HEAD2", "refs/heads/x", "50%"])
async def test_unusual_branches(branch: str, opened: Open, tmp_path: Path) -> None:
    assert check_ref(branch_ref(branch), "").text == branch
    origin = GitOrigin(tmp_path / "x.git", branch)
    commit = origin.commit({"file": b"x"})
    assert await opened(origin.path, branch).tip() == commit


async def test_git_itself_refuses_other_transports(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    config = tmp_path / "x" / "gitconfig"
    config.write_text(config_text([]))
    git = Runner(environment(config, "ssh"))
    with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
        git.run("ls-remote", "--", f"ext::touch {tmp_path}/pwned", cwd=tmp_path / "x", deadline=time.monotonic() + SOON)
    assert not (tmp_path / "pwned").exists()


async def test_a_missing_branch_names_five_others(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"x"})
    for number in range(6):
        git("branch", f"b{number}", commit, cwd=origin.path)
    with pytest.raises(Invalid, match="no branch nope; there are b0, b1, b2, b3, b4 and 2 more"):
        await opened(origin.path, "nope").tip()


async def test_a_huge_file_is_refused_before_it_is_read(opened: Open, origin: GitOrigin) -> None:
    origin.commit({"file": b"x" * (1 << 20) + b"y", "fits": b"x" * (1 << 20)})
    repository = opened(origin.path)
    commit = await repository.tip()
    with pytest.raises(Invalid, match="1048577 bytes, 1048576 are allowed"):
        await repository.read(commit, "file")
    assert len(await repository.read(commit, "fits")) == 1 << 20


# --- secrets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:pw@host/x", "https://user:***@host/x"),
        ("at 'https://user:p:w@d@host/x'!", "at 'https://user:***@host/x'!"),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:pw@host/x", "ssh://git:***@host/x"),
        ("git@host:x", "git@host:x"),
        ("https://host/x?private_token=abc&a=b", "https://host/x?private_token=***&a=b"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_a_secret_is_masked_outside_of_its_url_too() -> None:
    assert masked("password 's3cret!' or 's3cret%21'", "https://u:s3cret%21@host/") == "password '***' or '***'"


def test_an_error_masks_what_git_said() -> None:
    error = Place("https://u:s3cret@host/x", branch_ref("main")).transient(
        "fatal: no https://u:s3cret@host/x, nor with s3cret"
    )
    assert "s3cret" not in str(error)


def test_a_renewed_token_keeps_its_mirror() -> None:
    assert mirror_name("https://a:b@host/x") == mirror_name("https://host/x") != mirror_name("https://host/y")
    assert mirror_name("ssh://a@host/~/x") != mirror_name("ssh://b@host/~/x")
    assert "secret" not in mirror_name("https://user:secret@host/x")


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (b"", ""),
        (b"warning: x\nfatal: broken\n", "broken"),
        (
            b"ssh: connect: refused\nfatal: Could not read from remote repository.\n\n"
            b"Please make sure you have the correct access rights\nand the repository exists.\n",
            "ssh: connect: refused",
        ),
        (
            b"error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403\n"
            b"fatal: expected flush after ref listing\n",
            "RPC failed; HTTP 403 curl 22 The requested URL returned error: 403",
        ),
        (b"fatal: \x1b[31mred\x07\n", " [31mred "),
    ],
)
def test_telling(stderr: bytes, expected: str) -> None:
    assert telling(stderr) == expected


# --- broken mirrors heal ---------------------------------------------------------------------------------------


def _overwrite(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.chmod(0o600)
        path.write_bytes(b"garbage")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": shutil.rmtree,
    "no HEAD": lambda mirror: os.remove(mirror / "HEAD"),
    "no objects": lambda mirror: shutil.rmtree(mirror / "objects"),
    "packs lost": lambda mirror: shutil.rmtree(mirror / "objects/pack"),
    "packs garbled": lambda mirror: _overwrite(mirror, "objects/pack/*.pack"),
    "indexes garbled": lambda mirror: _overwrite(mirror, "objects/pack/*.idx"),
    "config garbled": lambda mirror: _overwrite(mirror, "config"),
    "shallow garbled": lambda mirror: _overwrite(mirror, "shallow"),
    "ref locked": lambda mirror: (mirror / "refs/reconciler/heads/main.lock").touch(),
    "shallow locked": lambda mirror: (mirror / "shallow.lock").touch(),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_broken_mirror_is_built_anew(damage: str, opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    repository = opened(origin.path)
    origin.commit({"file": b"1"})
    await repository.tip()
    DAMAGE[damage](mirror_of(tmp_path, origin.path))
    second = origin.commit({"file": b"2"})
    assert await repository.tip() == second
    assert await repository.read(second, "file") == b"2"
    left = {path.name for path in mirror_of(tmp_path, origin.path).parent.iterdir()}
    assert left == {"gitconfig", "mirror.git"}


@pytest.mark.parametrize("damage", ["gone", "no HEAD", "packs lost", "packs garbled", "indexes garbled"])
async def test_a_read_heals_the_mirror_too(damage: str, opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path)
    assert await repository.tip() == commit
    DAMAGE[damage](mirror_of(tmp_path, origin.path))
    assert await repository.read(commit, "file") == b"1"
    assert await repository.tip() == commit


async def test_a_file_garbled_within_a_sound_history_is_fetched_anew(
    opened: Open, origin: GitOrigin, tmp_path: Path
) -> None:
    # git's own connectivity check does not read contents, so fetching into the same mirror would repair nothing.
    content = random.Random(1).randbytes(5000)
    commit = origin.commit({"file": content})
    repository = opened(origin.path)
    await repository.tip()
    (pack,) = mirror_of(tmp_path, origin.path).glob("objects/pack/*.pack")
    garbled = bytearray(pack.read_bytes())
    garbled[2000:3000] = bytes(1000)
    pack.chmod(0o600)
    pack.write_bytes(garbled)
    assert await repository.read(commit, "file") == content


async def test_after_a_rebuild_every_branch_is_complete_again(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    other = origin.commit({"file": b"other"})
    git("branch", "other", other, cwd=origin.path)
    main = origin.commit({"file": b"main"})
    first, second = opened(origin.path), opened(origin.path, "other")
    await first.tip()
    await second.tip()
    DAMAGE["gone"](mirror_of(tmp_path, origin.path))
    await first.read(main, "file")
    assert await second.tip() == other
    origin.vanish()
    assert await second.read(other, "file") == b"other"


async def test_many_readers_of_a_broken_mirror_build_one(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path)
    await repository.tip()
    DAMAGE["gone"](mirror_of(tmp_path, origin.path))
    before = repository._shared.mirror.generation
    assert set(await asyncio.gather(*(repository.read(commit, "file") for _ in range(50)))) == {b"1"}
    assert repository._shared.mirror.generation == before + 1


async def test_a_mirror_that_cannot_be_rebuilt_is_left_alone(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path)
    await repository.tip()
    origin.vanish()
    with pytest.raises(Transient):
        await repository.tip()
    with pytest.raises(Transient):  # has tried both to fetch and to rebuild
        await repository.read("1" * 40, "file")
    assert await repository.read(commit, "file") == b"1"
    assert {path.name for path in mirror_of(tmp_path, origin.path).parent.iterdir()} == {"gitconfig", "mirror.git"}


# --- reads that hang or wait -----------------------------------------------------------------------------------


async def test_a_read_that_waits_for_others_does_not_run_out_of_time(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path, timeout=0.5)
    await repository.tip()
    busy = threading.Event()
    repository._shared.reading.submit(busy.wait)
    reading = asyncio.create_task(repository.read(commit, "file"))
    await asyncio.wait([reading], timeout=1.0)
    assert not reading.done(), "it failed although it never had its turn"
    busy.set()
    assert await reading == b"1"


async def test_a_read_that_hangs_is_ended_alone_and_the_mirror_is_not_blamed(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"1"})
    hanging, other = opened(origin.path, timeout=0.5), opened(origin.path)
    await hanging.tip()
    await hanging.read(commit, "file")
    reader = hanging._shared._objects
    assert reader is not None
    assert reader._git.cat_file_header is not None
    process = reader._git.cat_file_header.proc
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    results = await asyncio.gather(
        hanging.read(commit, "file"), other.read(commit, "file"), hanging.read(commit, "file"), return_exceptions=True
    )
    assert isinstance(results[0], Transient) and "took longer" in results[0].what
    assert set(results[1:]) == {b"1"}
    assert hanging._shared.mirror.generation == 1, "a sound mirror was built anew"


# --- commits that are not in the mirror ------------------------------------------------------------------------


async def test_an_older_commit_is_fetched_after_a_restart(opened: Open, origin: GitOrigin) -> None:
    old = origin.commit({"file": b"1"})
    origin.commit({"file": b"2"}, unrelated=False)
    repository = opened(origin.path)
    await repository.tip()
    assert await repository.read(old, "file") == b"1"


async def test_tips_are_fetched_not_only_asked_for(opened: Open, origin: GitOrigin) -> None:
    repository = opened(origin.path)
    for content in (b"1", b"2"):
        origin.commit({"file": content})
        commit = await repository.tip()
        origin.vanish()
        assert await repository.read(commit, "file") == content
        origin.heal()


async def test_tidying_drops_old_commits_and_they_come_back(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    repository = opened(origin.path)
    commits: list[str] = []

    async def push(times: int) -> int:
        """Pushes and reads the tip; returns how many packs are left when the mirror's thread is done."""
        for _ in range(times):
            commits.append(origin.commit({"file": b"%d" % len(commits)}, unrelated=not commits))
            await repository.tip()
        assert await repository.tip() == commits[-1]
        return len(list((mirror_of(tmp_path, origin.path) / "objects/pack").glob("*.pack")))

    assert await push(4) == 1
    for number in (0, 1):  # two packs more
        assert await repository.read(commits[number], "file") == b"%d" % number
    assert await push(1) == 1
    assert await repository.read(commits[0], "file") == b"0"
    assert await repository.read(commits[-1], "file") == b"4"


# --- odd repositories ------------------------------------------------------------------------------------------


async def test_histories_may_be_replaced(opened: Open, origin: GitOrigin) -> None:
    repository = opened(origin.path)
    for content, unrelated in ((b"1", True), (b"2", False), (b"3", True)):
        commit = origin.commit({"file": content}, unrelated=unrelated)
        assert await repository.tip() == commit
        assert await repository.read(commit, "file") == content
    assert repository._shared.mirror.generation == 1, "none of this is a reason to start from scratch"


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\r"])
async def test_an_authors_name_forges_no_parent(end: str, opened: Open, origin: GitOrigin) -> None:
    first = origin.commit({"file": b"1"})
    tree = git("rev-parse", f"{first}^{{tree}}", cwd=origin.path)
    who = f"A{end}parent {first}{end} <a@example.com> 1700000000 +0000"
    text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n".encode()
    forged = git("hash-object", "-t", "commit", "-w", "--stdin", cwd=origin.path, stdin=text)
    origin.reset(forged)
    repository = opened(origin.path)
    assert await repository.tip() == forged
    assert not await repository.follows(forged, first)


async def test_packed_refs(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"1"})
    git("pack-refs", "--all", "--prune", cwd=origin.path)
    assert not (origin.path / "refs/heads/main").exists()
    assert await opened(origin.path).tip() == commit


async def test_a_shallow_repository(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    origin.commit({"file": b"1"})
    commit = origin.commit({"file": b"2"}, unrelated=False)
    git("clone", "--quiet", "--bare", "--depth=1", origin.path.as_uri(), str(tmp_path / "shallow"), cwd=tmp_path)
    assert await opened(tmp_path / "shallow").tip() == commit


@pytest.mark.parametrize("form", ["path", "with .git", "url", "spaces", "worktree", "worktree of a subfolder name"])
async def test_local_repositories_in_every_form(form: str, opened: Open, tmp_path: Path) -> None:
    path = tmp_path / ('a b%20"c' if form == "spaces" else "plain")
    origin = GitOrigin(path, bare=False)
    commit = origin.commit({"file": b"1"})
    url = {"with .git": str(path / ".git"), "url": path.as_uri()}.get(form, str(path))
    if form.startswith("worktree"):
        git("branch", "other", commit, cwd=path)
        git("worktree", "add", "--quiet", str(tmp_path / "tree"), "other", cwd=path)
        url = str(tmp_path / "tree")
    assert local_git_dir(url) == (path / ".git").resolve()
    repository = opened(url)
    assert await repository.tip() == commit
    assert await repository.read(commit, "file") == b"1"


def test_local_git_dir(tmp_path: Path, origin: GitOrigin) -> None:
    assert local_git_dir(str(origin.path)) == origin.path.resolve()
    assert local_git_dir(str(tmp_path / "origin")) == origin.path.resolve()  # git adds .git as well
    assert local_git_dir(str(tmp_path / "nowhere")) is None
    assert local_git_dir("https://host/x") is None
    assert local_git_dir(f"host:{origin.path}") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_repository_of_another_user(opened: Open, tmp_path: Path) -> None:
    origin = GitOrigin(tmp_path / "theirs", bare=False)
    commit = origin.commit({"file": b"1"})
    for path in (origin.path, *origin.path.rglob("*")):
        os.chown(path, 12345, 12345)
    assert await opened(origin.path).tip() == commit


# --- surroundings ----------------------------------------------------------------------------------------------


async def test_inherited_variables_do_not_leak_in(
    opened: Open, origin: GitOrigin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    leaks = ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_SHALLOW_FILE")
    for name in leaks:
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "none")
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path)
    assert await repository.tip() == commit
    assert await repository.read(commit, "file") == b"1"


async def test_hooks_do_not_run(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    repository = opened(origin.path)
    origin.commit({"file": b"1"})
    await repository.tip()
    hook = mirror_of(tmp_path, origin.path) / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    hook.chmod(stat.S_IRWXU)
    origin.commit({"file": b"2"})
    await repository.tip()
    assert not (tmp_path / "pwned").exists()


async def test_branches_share_a_mirror_and_close_one_by_one(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    main = origin.commit({"file": b"1"})
    git("branch", "a", main, cwd=origin.path)
    git("branch", "a2/b", main, cwd=origin.path)
    repositories = [opened(origin.path, branch) for branch in ("main", "a", "a2/b")]
    assert set(await asyncio.gather(*(each.tip() for each in repositories))) == {main}
    await repositories[0].close()
    assert await repositories[1].tip() == main
    assert await repositories[1].read(main, "file") == b"1"
    assert len(list((tmp_path / "mirrors").iterdir())) == 1


async def test_a_branch_name_may_become_a_folder(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"1"})
    git("branch", "a", commit, cwd=origin.path)
    assert await opened(origin.path, "a").tip() == commit
    git("branch", "-m", "a", "a/b", cwd=origin.path)
    renamed = opened(origin.path, "a/b")
    assert await renamed.tip() == commit
    assert renamed._shared.mirror.generation == 1


async def test_no_process_outlives_close(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"file": b"1"})
    repository = opened(origin.path)
    await repository.tip()
    await repository.read(commit, "file")
    reader = repository._shared._objects
    assert reader is not None
    assert reader._git.cat_file_header is not None
    process = reader._git.cat_file_header.proc
    assert process is not None
    assert process.poll() is None
    await repository.close()
    assert process.poll() is not None


def _commit_saying(origin: GitOrigin, committer: bytes, message: bytes = b"x\n") -> str:
    """A commit as somebody might write it who does not use git, which the branch points to."""
    tree = git("rev-parse", f"{origin.commit({'version': b'v1'})}^{{tree}}", cwd=origin.path)
    text = b"tree %s\nauthor A <a@example.com> 1 +0000\ncommitter %s\n\n%s" % (tree.encode(), committer, message)
    commit = git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", cwd=origin.path, stdin=text)
    origin.reset(commit)
    return commit


@pytest.mark.parametrize(
    "committer",
    [b"A <a@example.com> 1700000000 +0200", b"committer 5 <a@example.com> 1700000000 -0900", b"A <> 1700000000 +0000"],
)
async def test_the_committers_date_whatever_he_is_called(opened: Open, origin: GitOrigin, committer: bytes) -> None:
    commit = _commit_saying(origin, committer, b"committer B <b@example.com> 1 +0000\n")
    repository = opened(origin.path)
    assert await repository.tip() == commit
    assert await repository.committed_at(commit) == 1_700_000_000


@pytest.mark.parametrize("seconds", [b"99999999999", b"soon", b"-5", b""])
async def test_a_date_that_no_calendar_could_show_is_none(tmp_path: Path, origin: GitOrigin, seconds: bytes) -> None:
    """In a repository that is read where it is: a fetch refuses most of these itself."""
    commit = _commit_saying(origin, b"A <a@example.com> %s +0000" % seconds)
    repository = LocalRepository(origin.path, commit, tmp_path)
    with pytest.raises(Invalid, match="no usable time"):
        await repository.committed_at(commit)
    await repository.close()


async def test_the_date_of_a_commit_that_left_the_mirror_is_not_fetched(
    opened: Open, origin: GitOrigin, tmp_path: Path
) -> None:
    repository = opened(origin.path)
    commit = origin.commit({"version": b"v1"})
    await repository.tip()
    unfetched = origin.commit({"version": b"v2"})
    with pytest.raises(Invalid, match="not in the mirror"):
        await repository.committed_at(unfetched)
    assert await repository.committed_at(commit) == 1_700_000_001
