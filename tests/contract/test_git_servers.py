"""Git over real HTTPS and real SSH: credentials, certificates, known hosts, and who gets to see a secret."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from reconciler.adapters.git import GitRepository, Keys, Mirrors, keys_of_folder, keys_of_secret, no_keys
from reconciler.core.gitref import GitRef, RefKind
from reconciler.errors import Blocked, Invalid, ReconcilerError, Transient
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import GitOrigin
from tests.servers import (
    Authority,
    HttpsServer,
    SshServer,
    https_server,
    make_authority,
    missing,
    ssh_server,
)

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

SOON = 30.0
"""Seconds that anything may take; reaching them fails the test."""
PASSWORD, TOKEN = "pass-w0rd-éä", "tok-3n.abc"
BASIC = "Basic " + base64.b64encode(f"shop:{PASSWORD}".encode()).decode()
BEARER = f"Bearer {TOKEN}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def origin(tmp_path: Path) -> GitOrigin:
    (tmp_path / "served").mkdir()
    made = GitOrigin(tmp_path / "served" / "shop.git")
    made.commit({"version": b"v1"})
    return made


@pytest.fixture
def server(origin: GitOrigin, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(origin.path.parent, authority) as made:
        made.allowed = {BASIC, BEARER}
        yield made


@pytest.fixture
def sshd(origin: GitOrigin, tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "sshd") as made:
        yield made


class Folder:
    """A mounted folder with credentials."""

    def __init__(self, path: Path, authority: Authority) -> None:
        path.mkdir()
        self.path = path
        self.write(**{"ca.crt": authority.ca.read_bytes()})

    def write(self, **files: bytes | str) -> None:
        for name, content in files.items():
            (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def clear(self) -> None:
        for path in self.path.iterdir():
            path.unlink()


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Folder:
    return Folder(tmp_path / "credentials with blank", authority)


Open = Callable[..., GitRepository]


@pytest.fixture
async def opened(tmp_path: Path, folder: Folder) -> AsyncIterator[Open]:
    made: list[GitRepository] = []

    def make(url: str, keys: Keys | None = None, ref: str | GitRef = "main", timeout: float = SOON) -> GitRepository:
        mirrors = Mirrors(tmp_path / "data dir 100%")
        made.append(GitRepository(url, ref, mirrors, timeout=timeout, keys=keys or keys_of_folder(folder.path, url)))
        return made[-1]

    yield make
    for repository in made:
        await repository.close()
    left = list((tmp_path / "data dir 100%").rglob("auth-*"))
    assert left == [], "credentials were left on the disk"


async def failure(repository: GitRepository) -> ReconcilerError:
    """What asking for the tip fails with; it holds none of the secrets."""
    with pytest.raises(ReconcilerError) as caught:
        await repository.tip()
    said = f"{caught.value}{caught.value.args}{caught.value.__cause__}{caught.value.__context__}"
    assert not [secret for secret in (PASSWORD, TOKEN, BASIC.split()[1]) if secret in said]
    return caught.value


# --- https -----------------------------------------------------------------------------------------------------


async def test_basic_authentication(opened: Open, server: HttpsServer, folder: Folder, origin: GitOrigin) -> None:
    folder.write(username="shop\n", password=PASSWORD)
    repository = opened(server.url("shop.git"))
    assert await repository.tip() == origin.tip()
    assert await repository.read(origin.tip(), "version") == b"v1"
    assert {authorization for _, authorization in server.seen} == {BASIC}


async def test_nothing_is_fetched_while_nothing_moves(
    opened: Open, server: HttpsServer, folder: Folder, origin: GitOrigin
) -> None:
    """Each git asks for `info/refs` once: `ls-remote` alone, and another one that fetches, without the history."""
    folder.write(bearerToken=TOKEN)
    repository = opened(server.url("shop.git"))
    first = await repository.tip()

    async def gits() -> int:
        server.seen.clear()
        assert await repository.tip() == origin.tip()
        return sum("/info/refs" in path for path, _ in server.seen)

    assert [await gits(), await gits()] == [1, 1]
    origin.commit({"version": b"v2"}, unrelated=False)
    second = origin.commit({"version": b"v3"}, unrelated=False)
    assert [await gits(), await gits()] == [2, 1]
    mirror = repository._shared.mirror.path
    shallow = set((mirror / "shallow").read_text().split())
    assert second in shallow and shallow <= {first, second}


async def test_a_bearer_token(opened: Open, server: HttpsServer, folder: Folder, origin: GitOrigin) -> None:
    folder.write(bearerToken=TOKEN + "\n")
    assert await opened(server.url("shop.git")).tip() == origin.tip()
    assert {authorization for _, authorization in server.seen} == {BEARER}


@pytest.mark.parametrize("files", [{"username": "shop", "password": "wr0ng-one"}, {"bearerToken": "wr0ng-one"}])
async def test_wrong_credentials(files: dict[str, str], opened: Open, server: HttpsServer, folder: Folder) -> None:
    folder.write(**files)
    error = await failure(opened(server.url("shop.git")))
    assert isinstance(error, Transient)
    assert "the server refuses the credentials" in error.what
    assert "wr0ng-one" not in str(error)
    assert "Renew" in error.todo


async def test_credentials_that_are_revoked_in_the_middle_of_an_operation(
    opened: Open, server: HttpsServer, folder: Folder
) -> None:
    folder.write(bearerToken=TOKEN)
    server.revoked = True
    error = await failure(opened(server.url("shop.git")))
    assert "the server refuses the credentials" in error.what
    assert "Renew" in error.todo


async def test_no_credentials_where_some_are_needed(opened: Open, server: HttpsServer) -> None:
    error = await failure(opened(server.url("shop.git")))
    assert "terminal prompts disabled" in error.what
    assert "secretRef" in error.todo


async def test_a_certificate_by_an_unknown_authority(opened: Open, server: HttpsServer) -> None:
    server.allowed = None
    error = await failure(opened(server.url("shop.git"), no_keys))
    assert "certificate" in error.what
    assert "ca.crt" in error.todo
    assert server.seen == [], "a request went to a server that is not trusted"


async def test_a_certificate_by_another_authority(
    opened: Open, server: HttpsServer, folder: Folder, tmp_path: Path
) -> None:
    folder.write(username="shop", password=PASSWORD, **{"ca.crt": make_authority(tmp_path / "ca").ca.read_bytes()})
    assert "certificate" in (await failure(opened(server.url("shop.git")))).what
    assert server.seen == []


async def test_what_is_renewed_counts_at_the_next_look(
    opened: Open, server: HttpsServer, folder: Folder, origin: GitOrigin
) -> None:
    folder.write(username="shop", password=PASSWORD)
    repository = opened(server.url("shop.git"))
    await repository.tip()
    server.allowed = {"Basic " + base64.b64encode(b"shop:renewed").decode()}
    assert "refuses the credentials" in (await failure(repository)).what
    folder.write(password="renewed")
    assert await repository.tip() == origin.tip()


async def test_credentials_of_a_secret_renewed_while_running(
    opened: Open, server: HttpsServer, origin: GitOrigin, authority: Authority
) -> None:
    cluster = FakeCluster()

    def put(token: str) -> None:
        data = {"bearerToken": token.encode(), "ca.crt": authority.ca.read_bytes()}
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        cluster.objects["Secret", "infra", "git"] = {"kind": "Secret", "data": encoded}

    url = server.url("shop.git")
    repository = opened(url, keys_of_secret(partial(cluster.secret, "infra", "git"), "infra/git", url))
    with pytest.raises(Blocked, match="not found"):
        await repository.tip()
    put("old-token")
    assert "refuses the credentials" in (await failure(repository)).what
    put(TOKEN)
    assert await repository.tip() == origin.tip()


async def test_credentials_never_follow_a_redirect(
    opened: Open, server: HttpsServer, folder: Folder, authority: Authority, origin: GitOrigin
) -> None:
    with https_server(origin.path.parent, authority) as other:
        server.redirect = other.url("", "localhost").rstrip("/")
        folder.write(username="shop", password=PASSWORD)
        error = await failure(opened(server.url("shop.git")))
        assert other.seen == [], "the other host was asked"
        assert "302" in error.what
        assert "the address that the server redirects to" in error.todo
        # Without anything to give away, a redirect is followed: it is the credentials that forbid it.
        folder.clear()
        folder.write(**{"ca.crt": authority.ca.read_bytes()})
        assert await opened(server.url("shop.git")).tip() == origin.tip()
        assert {authorization for _, authorization in other.seen} == {""}


async def test_rubbish_is_no_answer(opened: Open, server: HttpsServer, folder: Folder) -> None:
    folder.write(bearerToken=TOKEN)
    server.rubbish = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\0\xff\r\nxy"
    assert isinstance(await failure(opened(server.url("shop.git"))), Transient)
    server.rubbish = b"\0\xff" * 1000
    assert isinstance(await failure(opened(server.url("shop.git"))), Transient)


async def test_a_server_that_hangs_is_left(opened: Open, server: HttpsServer, folder: Folder) -> None:
    folder.write(bearerToken=TOKEN)
    server.hold.clear()
    error = await failure(opened(server.url("shop.git"), timeout=1.0))
    assert "did not finish within 1 s" in error.what


async def test_no_process_shows_a_secret(opened: Open, server: HttpsServer, folder: Folder, origin: GitOrigin) -> None:
    folder.write(username="shop", password=PASSWORD)
    server.hold.clear()
    looking = asyncio.create_task(opened(server.url("shop.git")).tip())
    assert await asyncio.to_thread(server.waiting.wait, SOON)
    shown = _processes()
    server.hold.set()
    assert await asyncio.wait_for(looking, SOON) == origin.tip()
    assert any(b"git-remote-http" in each and b"shop.git" in each for each in shown), "git was not among them"
    for secret in (PASSWORD, BASIC.split()[1]):
        assert not [each for each in shown if secret.encode() in each]


def _processes() -> list[bytes]:
    """Arguments and environment of every process that we may look at."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                found.append(Path(f"/proc/{pid}/{name}").read_bytes())
            except OSError:
                continue  # it has ended, or is not ours
    return found


async def test_a_folder_that_is_not_there(opened: Open, server: HttpsServer, tmp_path: Path) -> None:
    url = server.url("shop.git")
    error = await failure(opened(url, keys_of_folder(tmp_path / "nowhere", url)))
    assert isinstance(error, Transient)
    assert "there is no such folder" in error.what


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, "has none of username and password, bearerToken, ca.crt"),
        ({"username": "shop"}, "has no password"),
        ({"password": PASSWORD}, "has no username"),
        ({"bearerToken": TOKEN, "username": "shop", "password": PASSWORD}, "it must be one of them"),
        ({"bearerToken": f"{TOKEN}\nX-Evil: 1"}, "control characters"),
        ({"username": "a:b", "password": PASSWORD}, "with a colon"),
    ],
)
async def test_credentials_that_cannot_be_used(
    files: dict[str, str], fault: str, opened: Open, server: HttpsServer, folder: Folder
) -> None:
    folder.clear()
    folder.write(**files)
    error = await failure(opened(server.url("shop.git")))
    assert isinstance(error, Invalid)
    assert fault in error.what
    assert server.seen == []


# --- ssh -------------------------------------------------------------------------------------------------------


async def test_ssh_by_key_and_known_host(opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin) -> None:
    folder.write(identity=sshd.identity.rstrip(b"\n"), known_hosts=sshd.known_hosts)
    repository = opened(sshd.url(origin.path))
    assert await repository.tip() == origin.tip()
    assert await repository.read(origin.tip(), "version") == b"v1"


async def test_ssh_and_an_annotated_tag(opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin) -> None:
    """sshd does not hand on GIT_PROTOCOL, so this is Git's protocol 0: only what is advertised can be fetched."""
    folder.write(identity=sshd.identity, known_hosts=sshd.known_hosts)
    first = origin.tip()
    origin.tag("v1.0.0", annotated=True)
    origin.commit({"version": b"v2"}, unrelated=False)
    repository = opened(sshd.url(origin.path), ref=GitRef(RefKind.SEMVER, "1.x"))
    assert await repository.tip() == first
    assert await repository.read(first, "version") == b"v1"


async def test_history_is_read_over_https_and_ssh(
    opened: Open, server: HttpsServer, sshd: SshServer, folder: Folder, origin: GitOrigin
) -> None:
    """With files left out (HTTPS, protocol 2) and by a server that cannot do that (SSH, protocol 0)."""
    folder.write(bearerToken=TOKEN, identity=sshd.identity, known_hosts=sshd.known_hosts)
    both = opened(server.url("shop.git")), opened(sshd.url(origin.path))
    first = origin.tip()
    for content in (b"2", b"3", b"4"):
        origin.commit({"version": content}, unrelated=False)
    for repository in both:
        assert await repository.follows(await repository.tip(), first)
    origin.commit({"version": b"5"}, unrelated=True)
    for repository in both:
        assert not await repository.follows(await repository.tip(), first)


async def test_ssh_to_a_host_with_another_key(opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin) -> None:
    folder.write(identity=sshd.identity, known_hosts=sshd.known_as("other"))
    error = await failure(opened(sshd.url(origin.path)))
    assert "Host key verification failed" in error.what
    assert "Is it the right host?" in error.todo


async def test_ssh_to_a_host_that_is_not_known(
    opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin
) -> None:
    folder.write(identity=sshd.identity, known_hosts=b"other.example.com ssh-ed25519 AAAA\n")
    assert "Host key verification failed" in (await failure(opened(sshd.url(origin.path)))).what


async def test_ssh_with_a_key_that_is_not_let_in(
    opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin
) -> None:
    folder.write(identity=(sshd.folder / "other").read_bytes(), known_hosts=sshd.known_hosts)
    error = await failure(opened(sshd.url(origin.path)))
    assert "Permission denied (publickey)" in error.what
    assert "public key" in error.todo


@pytest.mark.parametrize(("kept", "fault"), [("identity", "has no known_hosts"), ("known_hosts", "has no identity")])
async def test_ssh_with_half_of_what_it_needs(
    kept: str, fault: str, opened: Open, sshd: SshServer, folder: Folder, origin: GitOrigin
) -> None:
    folder.write(**{kept: getattr(sshd, kept)})
    error = await failure(opened(sshd.url(origin.path)))
    assert isinstance(error, Invalid)
    assert fault in error.what


async def test_ssh_without_credentials_trusts_no_unknown_host(opened: Open, sshd: SshServer, origin: GitOrigin) -> None:
    assert "Host key verification failed" in (await failure(opened(sshd.url(origin.path), no_keys))).what
