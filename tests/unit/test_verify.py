"""Signed commits, on real Git with real keys: what does not carry a trusted signature is never returned."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.git import AllowedSigners, GitRepository, Keyring, Mirrors, Policy
from reconciler.adapters.git.address import mirror_name
from reconciler.core.gitref import GitRef, RefKind
from reconciler.errors import Transient, Unverified
from tests.fakes.git import git
from tests.fakes.signing import HOSTILE, GpgHome, Signature, SignedOrigin, SshKey

GOOD, OTHER = "good", "other"


class Bench:
    """A repository that people push to, keys, and a daemon's look at both, which can be restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origin = SignedOrigin(folder / "origin.git")
        self.good, self.other = SshKey(folder, GOOD), SshKey(folder, OTHER)
        self.signers = folder / "allowed_signers"
        self.signers.write_text(self.good.line())
        self.policy = Policy(AllowedSigners(self.signers))
        self._opened: list[GitRepository] = []
        self.start()

    def start(self, policy: Policy | None = None, ref: GitRef | str = "main") -> None:
        """A new daemon, with what the former one left on disk."""
        self.policy = policy or self.policy
        url = str(self.origin.path)
        mirrors = Mirrors(self.folder / "mirrors")
        self.repository = GitRepository(url, ref, mirrors, timeout=60, policy=self.policy)
        self._opened.append(self.repository)

    async def refused(self) -> Unverified:
        """What is said of the tip, which is not returned."""
        with pytest.raises(Unverified) as caught:
            await self.repository.tip()
        assert "Evil" not in str(caught.value), "the author is the attacker's text"
        return caught.value

    @property
    def mirror(self) -> Path:
        return self.folder / "mirrors" / mirror_name(str(self.origin.path))

    async def close(self) -> None:
        for repository in self._opened:
            await repository.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.close()
    assert list(made.mirror.glob("verify-*")) == [], "the private folders are gone"
    assert [each for each in _command_lines() if str(made.mirror) in each] == [], "nothing is left running"


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes().decode(errors="replace")


def every(bench: Bench, most: int = 500) -> Policy:
    return replace(bench.policy, every=True, most=most)


# --- SSH ---------------------------------------------------------------------------------------------------------


async def test_a_commit_signed_by_an_allowed_key_is_returned_and_read(bench: Bench) -> None:
    commit = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == commit
    assert await bench.repository.read(commit, "version") == b"v1"


async def test_an_unsigned_commit_is_refused_and_the_last_good_one_stays_in_force(bench: Bench) -> None:
    bench.origin.push(None)
    first = await bench.refused()
    assert (first.in_force, first.untouched[:7]) == ("", "Nothing")
    good = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == good
    bad = bench.origin.push(None)
    error = await bench.refused()
    assert (error.commit, error.in_force) == (bad, good)
    assert error.what == f"commit {bad[:10]} is not acted upon: it is not signed"
    assert error.untouched == f"Commit {good[:10]}, which was accepted before, stays in force"
    assert str(bench.signers) in error.todo
    assert await bench.repository.read(good, "version") == b"v2"
    last = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == last


async def test_the_commit_that_a_tag_leads_to_is_held_to_it(bench: Bench) -> None:
    bad, good = bench.origin.push(None), bench.origin.push(bench.good.signature)
    git("tag", "-a", "-m", "A tag", "1.0.0", bad, cwd=bench.origin.path)
    bench.start(ref=GitRef(RefKind.SEMVER, "1.x"))
    assert (await bench.refused()).commit == bad
    git("tag", "-a", "-m", "A tag", "1.0.1", good, cwd=bench.origin.path)
    assert await bench.repository.tip() == good


async def test_another_key_is_refused_and_named(bench: Bench) -> None:
    bench.origin.push(bench.other.signature)
    error = await bench.refused()
    assert f"it is signed by the key {bench.other.fingerprint}, which {bench.signers} does not allow" in error.what


async def test_a_tampered_commit_is_refused(bench: Bench) -> None:
    bench.origin.tamper(bench.origin.push(bench.good.signature))
    assert "the signature is bad: the commit is not what was signed" in (await bench.refused()).what


async def test_a_commit_too_large_to_be_looked_at_is_refused(bench: Bench) -> None:
    commit = bench.origin.make(None)
    bench.origin.tamper(commit, "x" * (17 << 20))
    assert "it is too large to be looked at" in (await bench.refused()).what


async def test_validity_dates_hold_for_the_commits_own_date(bench: Bench) -> None:
    validity = 'valid-after="20190101",valid-before="20200101"'
    bench.signers.write_text(f"# who may\n{bench.good.line(validity)}")
    bench.origin.push(bench.good.signature)
    error = await bench.refused()
    assert f"the key of line 2 in {bench.signers} does not count: key has expired" in error.what
    assert "at the commit's own date" in error.what
    early = bench.origin.make(bench.good.signature, env={"GIT_COMMITTER_DATE": "2018-06-01T00:00:00Z"})
    bench.origin.point(early)
    assert "key is not yet valid" in (await bench.refused()).what
    within = bench.origin.make(bench.good.signature, env={"GIT_COMMITTER_DATE": "2019-06-01T00:00:00Z"})
    bench.origin.point(within)
    assert await bench.repository.tip() == within


async def test_a_key_for_other_namespaces_is_refused(bench: Bench) -> None:
    bench.signers.write_text(bench.good.line('namespaces="file,email"'))
    bench.origin.push(bench.good.signature)
    assert 'key is not permitted for use in signature namespace "git"' in (await bench.refused()).what
    bench.signers.write_text(bench.good.line('namespaces="file,git"'))
    assert await bench.repository.tip()


async def test_keys_are_read_again_at_every_look(bench: Bench) -> None:
    first = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == first
    bench.signers.write_text(bench.other.line())
    error = await bench.refused()
    assert (error.commit, error.in_force) == (first, first), "it is told, but what was accepted stays in force"
    assert f"commit {first[:10]} would not be accepted now: it is signed by the key" in error.what
    second = bench.origin.push(bench.other.signature)
    assert await bench.repository.tip() == second
    bench.signers.write_text(bench.good.line() + bench.other.line())
    assert await bench.repository.tip() == second


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("", 0, "holds no key"),
        ("# nobody\n\n", 0, "holds no key"),
        ("{good}nonsense\n", 2, "is no line of an allowed-signers file"),
        ("{good}a@b valid-before=20200101 {public}\n", 2, "is no line of an allowed-signers file"),
        ('{good}a@b namespace="git" {public}\n', 2, "is no line of an allowed-signers file"),
        ("\n{public}\n", 2, "begins with the key"),
        ("a@b {cut}\n", 1, "the key is cut short"),
        ("a@b ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA\n", 1, "the key is cut short, or not of the type"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n", 1, "is a private key"),
        ("{good}\0\xff\n", 2, "is no line of an allowed-signers file"),
    ],
)
async def test_garbage_among_the_allowed_signers_is_refused_as_a_whole(
    content: str, line: int, what: str, bench: Bench
) -> None:
    good = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == good
    public = " ".join(bench.good.public.split()[:2])
    text = content.replace("{good}", bench.good.line()).replace("{cut}", public[:-8]).replace("{public}", public)
    bench.signers.write_text(text, encoding="latin-1")
    error = await bench.refused()
    assert error.where == (f"{bench.signers}:{line}" if line else str(bench.signers))
    assert error.what.startswith(what)
    assert error.what.endswith(f", so commit {good[:10]} would not be accepted now")
    assert "c2VjcmV0" not in str(error)
    assert error.in_force == good


@pytest.mark.parametrize("fault", ["missing", "folder", "huge"])
async def test_an_unusable_file_of_signers_is_told(fault: str, bench: Bench) -> None:
    bench.signers.unlink()
    if fault == "folder":
        bench.signers.mkdir()
    if fault == "huge":
        bench.signers.write_bytes(b"#" * (1 << 20) + b"\n")
    bench.origin.push(bench.good.signature)
    error = await bench.refused()
    assert error.where == str(bench.signers)
    assert {"missing": "no such file", "folder": "is a directory", "huge": "more than 1 MiB"}[fault] in error.what


async def test_a_missing_program_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.origin.push(bench.good.signature)
    only_git = bench.folder / "bin"
    only_git.mkdir()
    (only_git / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(only_git))
    bench.start()
    assert "ssh-keygen is not installed" in (await bench.refused()).what


# --- what is remembered ------------------------------------------------------------------------------------------


async def test_after_a_restart_the_last_good_commit_is_still_in_force(bench: Bench) -> None:
    good = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    bad = bench.origin.push(None)
    bench.start()
    error = await bench.refused()
    assert (error.commit, error.in_force) == (bad, good)
    assert await bench.repository.read(good, "version") == b"v1"


async def test_it_is_so_with_a_mirror_that_was_built_anew(bench: Bench) -> None:
    good = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    bench.origin.push(None)
    shutil.rmtree(bench.mirror / "mirror.git")
    bench.start()
    assert (await bench.refused()).in_force == good
    assert await bench.repository.read(good, "version") == b"v1"


async def test_a_rewritten_branch_takes_the_last_good_commit_from_nobody(bench: Bench) -> None:
    """It is only in the mirror then, and tidying up must leave it there."""
    good = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    shutil.rmtree(bench.origin.path)
    bench.origin = SignedOrigin(bench.origin.path)
    bench.origin.push(None)
    assert (await bench.refused()).in_force == good
    git("gc", "--quiet", "--prune=now", cwd=bench.mirror / "mirror.git")
    assert await bench.repository.read(good, "version") == b"v1"


async def test_what_other_keys_accepted_is_not_in_force(bench: Bench) -> None:
    good = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == good
    strict = bench.folder / "strict"
    strict.write_text(bench.other.line())
    bench.start(Policy(AllowedSigners(strict)))
    assert (await bench.refused()).in_force == ""


async def test_a_damaged_record_counts_as_none(bench: Bench) -> None:
    bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    [record] = bench.mirror.glob("verified-*")
    record.write_text("--output=x\n")
    bench.origin.push(None)
    bench.start()
    assert (await bench.refused()).in_force == ""


async def test_a_damaged_mirror_is_no_verdict_and_heals(bench: Bench) -> None:
    good = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    bench.signers.write_text(bench.other.line() + bench.good.line())
    for pack in (bench.mirror / "mirror.git/objects/pack").iterdir():
        pack.unlink()
    with pytest.raises(Transient):
        await bench.repository.tip()
    assert await bench.repository.tip() == good


# --- mode: all ---------------------------------------------------------------------------------------------------


async def test_an_unsigned_commit_below_a_signed_one_is_refused_in_mode_all_alone(bench: Bench) -> None:
    bench.start(every(bench))
    first = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == first
    unsigned = bench.origin.push(None)
    tip = bench.origin.push(bench.good.signature)
    error = await bench.refused()
    assert error.what == f"commit {tip[:10]} is not acted upon: its ancestor {unsigned[:10]}: it is not signed"
    assert (error.commit, error.in_force) == (tip, first)
    bench.start(replace(bench.policy, every=False))
    assert await bench.repository.tip() == tip
    bench.start(replace(bench.policy, every=True))
    assert await bench.repository.tip() == tip, "the way on, if the branch must not be rewritten"
    last = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == last


async def test_a_first_start_in_mode_all_accepts_by_the_tip(bench: Bench) -> None:
    bench.start(every(bench))
    bench.origin.push(None)
    tip = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == tip


async def test_parents_of_a_merge_count_but_not_what_was_there_before(bench: Bench) -> None:
    """Both branches begin below the commit that was accepted first, where nothing was signed."""
    bench.start(every(bench))
    good, origin = bench.good.signature, bench.origin
    old = origin.push(None)
    base = origin.push(None)
    first = origin.push(good)
    assert await bench.repository.tip() == first
    side = origin.make(good, origin.make(good, old))
    merged = origin.push(good, first, side)
    assert await bench.repository.tip() == merged
    bad = origin.make(None, base)
    origin.push(good, merged, origin.make(good, bad))
    assert f"its ancestor {bad[:10]}: it is not signed" in (await bench.refused()).what


async def test_history_that_was_cut_again_is_fetched_again(bench: Bench) -> None:
    """A lost commit is brought back without its history. What it has in common with the tip must still be known."""
    bench.start(every(bench))
    old = bench.origin.push(None)
    first = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    side = bench.origin.make(bench.other.signature, old)
    merged = bench.origin.push(bench.good.signature, first, side)
    assert bench.other.fingerprint in (await bench.refused()).what
    git("fetch", "--quiet", "--depth=1", str(bench.origin.path), first, cwd=bench.mirror / "mirror.git")
    bench.signers.write_text(bench.good.line() + bench.other.line())
    assert await bench.repository.tip() == merged


async def test_as_much_history_is_fetched_as_it_takes(bench: Bench) -> None:
    bench.start(every(bench))
    bench.origin.push(None)
    first = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    unsigned = bench.origin.push(None)
    for _ in range(10):
        tip = bench.origin.push(bench.good.signature)
    assert f"ancestor {unsigned[:10]}" in (await bench.refused()).what
    bench.origin.point(first)
    for _ in range(10):
        tip = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == tip


async def test_more_commits_than_the_bound_are_refused(bench: Bench) -> None:
    bench.start(every(bench, most=3))
    bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    for _ in range(3):
        tip = bench.origin.push(bench.good.signature)
    assert await bench.repository.tip() == tip
    for _ in range(4):
        bench.origin.push(bench.good.signature)
    assert f"there are more than 3 commits since {tip[:10]}" in (await bench.refused()).what


async def test_a_repository_that_hides_history_is_refused(bench: Bench) -> None:
    """By a cut of its own (`shallow`) above the unsigned commit, as a clone without history or a hostile host has."""
    bench.start(every(bench))
    first = bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    bench.origin.push(None)
    above = bench.origin.push(bench.good.signature)
    bench.origin.push(bench.good.signature)
    (bench.origin.path / "shallow").write_text(above + "\n")
    error = await bench.refused()
    assert f"the repository does not give out all commits since {first[:10]}" in error.what
    (bench.origin.path / "shallow").unlink()
    assert "it is not signed" in (await bench.refused()).what


async def test_a_rewritten_branch_is_held_to_it_from_where_it_forked(bench: Bench) -> None:
    bench.start(every(bench))
    base = bench.origin.push(None)
    bench.origin.push(bench.good.signature)
    await bench.repository.tip()
    amended = bench.origin.push(bench.good.signature, base)
    assert await bench.repository.tip() == amended
    bench.origin.point(base)
    assert f"commit {base[:10]} is not acted upon: it is not signed" in (await bench.refused()).what


# --- OpenPGP -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpg() -> Iterator[GpgHome]:
    made = GpgHome()
    yield made
    made.close()


@pytest.fixture(scope="module")
def openpgp(gpg: GpgHome) -> dict[str, Signature]:
    keys = {name: gpg.key(name) for name in ("good", "unknown", "revoked")}
    return keys | {"expired": gpg.key("expired", at="20200101T000000", lasts="1y")}


@pytest.fixture
def ring(bench: Bench, gpg: GpgHome, openpgp: dict[str, Signature]) -> Path:
    """A folder of keys as kubelet mounts it: links to files in a hidden folder that is a link."""
    folder = bench.folder / "keys"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026")
    for name in ("good", "revoked", "expired"):
        (folder / "..2026" / f"{name}.asc").write_text(gpg.public(openpgp[name]))
        (folder / f"{name}.asc").symlink_to(f"..data/{name}.asc")
    bench.start(Policy(Keyring(folder)))
    return folder


async def test_a_commit_signed_by_a_key_of_the_ring_is_returned(
    bench: Bench, ring: Path, openpgp: dict[str, Signature]
) -> None:
    commit = bench.origin.push(openpgp["good"])
    assert await bench.repository.tip() == commit
    bench.start(Policy(Keyring(ring / "good.asc")))
    assert await bench.repository.tip() == commit


async def test_unknown_expired_and_revoked_keys_are_refused_and_told_apart(
    bench: Bench, ring: Path, gpg: GpgHome, openpgp: dict[str, Signature]
) -> None:
    for name, what in (("unknown", "by the unknown key"), ("expired", "which has expired")):
        bench.origin.push(openpgp[name])
        told = (await bench.refused()).what
        assert what in told
        assert openpgp[name].key[-16:] in told
    revoked = bench.origin.push(openpgp["revoked"])
    assert await bench.repository.tip() == revoked
    gpg.revoke(openpgp["revoked"])
    (ring / "revoked.asc").write_text(gpg.public(openpgp["revoked"]))
    assert "which is revoked" in (await bench.refused()).what


async def test_a_commit_tampered_with_is_refused_by_gpg(
    bench: Bench, ring: Path, openpgp: dict[str, Signature]
) -> None:
    bench.origin.tamper(bench.origin.push(openpgp["good"]))
    assert "the signature is bad" in (await bench.refused()).what


def _trusts(gpg: GpgHome, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the daemon's user has all of those keys in his own ring."""
    home = bench.folder / "home"
    home.mkdir()
    (home / ".gnupg").symlink_to(gpg.folder)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GNUPGHOME", str(gpg.folder))


async def test_keys_of_the_other_kind_do_not_count_whoever_trusts_them(
    bench: Bench, ring: Path, gpg: GpgHome, openpgp: dict[str, Signature], monkeypatch: pytest.MonkeyPatch
) -> None:
    """git goes by the signature and not by gpg.format; the daemon's user may well trust that key."""
    bench.origin.push(bench.good.signature)
    assert "it is signed by SSH, but this source trusts OpenPGP keys only" in (await bench.refused()).what
    _trusts(gpg, bench, monkeypatch)
    bench.start(Policy(AllowedSigners(bench.signers)))
    bench.origin.push(openpgp["good"])
    assert "it is signed by OpenPGP, but this source trusts SSH keys only" in (await bench.refused()).what


async def test_the_users_own_ring_does_not_count(
    bench: Bench, gpg: GpgHome, openpgp: dict[str, Signature], ring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trusts(gpg, bench, monkeypatch)
    bench.start()
    bench.origin.push(openpgp["unknown"])
    assert "unknown key" in (await bench.refused()).what


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("nonsense\n", 0, "holds no armoured OpenPGP public key"),
        ("\n-----BEGIN PGP PRIVATE KEY BLOCK-----\nc2VjcmV0\n", 2, "is a private key"),
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
            0,
            "no usable public key",
        ),
    ],
)
async def test_garbage_in_the_ring_is_refused_as_a_whole(
    content: str, line: int, what: str, bench: Bench, ring: Path, openpgp: dict[str, Signature]
) -> None:
    (ring / "z.asc").write_text(content)
    bench.origin.push(openpgp["good"])
    error = await bench.refused()
    assert error.where == (f"{ring / 'z.asc'}:{line}" if line else str(ring / "z.asc"))
    assert what in error.what
    assert "c2VjcmV0" not in str(error)


@pytest.mark.parametrize("files", [0, 65])
async def test_a_ring_of_no_or_too_many_files_is_refused(files: int, bench: Bench) -> None:
    folder = bench.folder / "keys"
    folder.mkdir()
    for number in range(files):
        (folder / str(number)).touch()
    bench.start(Policy(Keyring(folder)))
    bench.origin.push(None)
    assert f"holds {files} files" in (await bench.refused()).what


def test_the_author_is_hostile() -> None:
    """What `refused` looks for is really there."""
    assert "Evil" in HOSTILE
