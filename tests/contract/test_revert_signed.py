"""Taking a release back in real Git with a signature: which keys sign, and that the source accepts it itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.adapters.git import (
    AllowedSigners,
    Author,
    GitRepository,
    Keyring,
    Policy,
)
from reconciler.core.revert import Revert
from reconciler.errors import Blocked
from tests.fakes.git import git
from tests.fakes.reverting import (
    Bench,
    Real,
    RealSide,
    asked,
    bad_release,
    refused,
)
from tests.fakes.signing import GpgHome, SignedOrigin, SshKey, run


class Signed:
    """An origin where every commit is signed, and a daemon that asks for it."""

    def __init__(self, real: Real, folder: Path) -> None:
        self.real = real
        self.folder = folder
        self.origin = SignedOrigin(folder / "signed.git")
        self.human, self.daemon = SshKey(folder, "human"), SshKey(folder, "daemon")
        self.daemon.path.chmod(0o644)  # as a mounted Secret may be, and ssh-keygen refuses
        self.signers = folder / "allowed_signers"
        self.allow(self.human, self.daemon)

    def allow(self, *keys: SshKey) -> None:
        self.signers.write_text("".join(key.line(principal="*") for key in keys))

    def open(self, key: Path | None, policy: Policy | None = None) -> GitRepository:
        policy = policy or Policy(AllowedSigners(self.signers), every=True)
        return self.real.open(str(self.origin.path), author=Author(signing_key=key), policy=policy)

    def push(self) -> str:
        return self.origin.push(self.human.signature)

    def tip(self) -> str:
        return git("rev-parse", "refs/heads/main", cwd=self.origin.path)

    def ask(self, onto: str) -> Revert:
        return asked(onto, path="version")


@pytest.fixture
def signed(real: Real, tmp_path: Path) -> Signed:
    return Signed(real, tmp_path)


async def test_signed_by_ssh_the_commit_is_accepted_by_the_source_itself(signed: Signed) -> None:
    repository = signed.open(signed.daemon.path)
    signed.push()
    await repository.tip()
    bad = signed.push()
    assert await repository.tip() == bad
    made = await repository.revert(signed.ask(bad))
    assert await repository.tip() == made
    options = ("-c", f"gpg.ssh.allowedSignersFile={signed.signers}")
    git(*options, "verify-commit", made, cwd=signed.origin.path)


async def test_signed_by_openpgp_the_commit_is_accepted(signed: Signed, tmp_path: Path) -> None:
    home = GpgHome()
    try:
        pair = home.key("daemon")
        (tmp_path / "public.asc").write_text(home.public(pair))
        (tmp_path / "secret.asc").write_text(run("gpg", "--armor", "--export-secret-keys", pair.key, env=home.env))
        bad = signed.origin.push(pair)
    finally:
        home.close()
    policy = Policy(Keyring(tmp_path / "public.asc"), every=True)
    repository = signed.open(tmp_path / "secret.asc", policy=policy)
    made = await repository.revert(signed.ask(await repository.tip()))
    assert await repository.tip() == made == signed.tip() != bad
    assert [each for each in _command_lines() if "gpg-agent" in each and "push-" in each] == []


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes().decode(errors="replace")


async def test_without_a_key_nothing_is_pushed_to_where_signatures_are_asked_for(signed: Signed) -> None:
    bad = signed.push()
    repository = signed.open(None)
    error = await refused(repository, signed.ask(await repository.tip()))
    assert isinstance(error, Blocked) and "push.signingKey" in error.todo
    assert signed.tip() == bad


async def test_nothing_is_pushed_that_the_source_would_not_accept(signed: Signed) -> None:
    signed.allow(signed.human)
    bad = signed.push()
    repository = signed.open(signed.daemon.path)
    error = await refused(repository, signed.ask(await repository.tip()))
    assert isinstance(error, Blocked)
    assert "would not accept the daemon's own commit" in error.what and signed.daemon.fingerprint in error.what
    assert signed.tip() == bad
    signed.allow(signed.human, signed.daemon)
    assert await repository.revert(signed.ask(bad)) == signed.tip()


def _damaged(folder: Path, kind: str) -> None:
    path = folder / "key"
    match kind:
        case "passphrase":
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", str(path))
        case "pem passphrase":
            run("ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "secret words", "-f", str(path))
        case "public":
            path.write_text(SshKey(folder, "x").public)
        case "garbage":
            path.write_bytes(b"\0\xff" * 100)
        case "large":
            path.write_bytes(b"x" * ((1 << 20) + 1))
        case "damaged":
            path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
        case "damaged openpgp":
            path.write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n")
        case "openpgp passphrase":
            home = GpgHome()
            loopback = ("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "secret words")
            run(*loopback, "--quick-generate-key", "x", "ed25519", "sign", env=home.env)
            path.write_text(run(*loopback, "--armor", "--export-secret-keys", env=home.env))
            home.close()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("missing", "cannot be read: no such file"),
        ("passphrase", "has a passphrase"),
        ("pem passphrase", "has a passphrase"),
        ("openpgp passphrase", "has a passphrase"),
        ("public", "is a public key"),
        ("garbage", "holds neither"),
        ("large", "more than 1 MiB"),
        ("damaged", "cannot be signed"),
        ("damaged openpgp", "is damaged"),
    ],
)
async def test_a_key_that_cannot_be_used(
    kind: str, what: str, path_bench: Bench, origin: RealSide, real: Real, tmp_path: Path
) -> None:
    bad = await bad_release(path_bench)
    _damaged(tmp_path, kind)
    repository = real.open(str(origin.path), author=Author(signing_key=tmp_path / "key"))
    error = await refused(repository, asked(bad))
    assert isinstance(error, Blocked)
    assert what in error.what and error.where == str(tmp_path / "key")
    assert origin.tip() == bad
