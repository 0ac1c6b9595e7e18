"""What the tests of pushes share: servers, and repositories behind each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.reverting import (
    TOKEN,
    Bench,
    FakeSide,
    Real,
    RealSide,
)
from tests.servers import Authority, HttpsServer, SshServer, https_server, make_authority, missing, ssh_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def origin(tmp_path: Path) -> RealSide:
    (tmp_path / "served").mkdir()
    return RealSide(tmp_path / "served" / "shop.git")


@pytest.fixture
def server(origin: RealSide, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(origin.path.parent, authority) as made:
        made.allowed = {f"Bearer {TOKEN}"}
        yield made


@pytest.fixture
def sshd(origin: RealSide, tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "sshd") as made:
        yield made


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Real]:
    made = Real(tmp_path)
    yield made
    for repository in made.opened:
        await repository.close()
    assert made.left() == [], "something was left on the disk"


@pytest.fixture(params=["fake", "path", "file", "https", "ssh"])
async def bench(request: pytest.FixtureRequest, real: Real, origin: RealSide) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeSide()
        yield Bench(fake, lambda: fake)
        return
    if request.param in ("https", "ssh") and missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    match request.param:
        case "https":
            url = real.over_https(request.getfixturevalue("server"), request.getfixturevalue("authority"))
        case "ssh":
            url = real.over_ssh(request.getfixturevalue("sshd"), origin)
        case "file":
            url = f"file://{origin.path}"
        case _:
            url = str(origin.path)
    yield Bench(origin, lambda: real.open(url))


@pytest.fixture
def path_bench(real: Real, origin: RealSide) -> Bench:
    return Bench(origin, lambda: real.open(str(origin.path)))


@pytest.fixture
def https_bench(real: Real, origin: RealSide, server: HttpsServer, authority: Authority) -> Bench:
    url = real.over_https(server, authority)
    return Bench(origin, lambda: real.open(url))


@pytest.fixture
def ssh_bench(real: Real, origin: RealSide, sshd: SshServer) -> Bench:
    url = real.over_ssh(sshd, origin)
    return Bench(origin, lambda: real.open(url))
