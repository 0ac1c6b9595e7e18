"""What is read of Git for an app: no more than changed, and values in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.app.observe import Eyes, read_release
from reconciler.core.check import Check, PostPromotion
from reconciler.core.memory import Active, Cause, Memory, Rejection
from reconciler.core.model import App, Desired, Strategy
from reconciler.core.observed import Front, Observed
from reconciler.core.probe import JobProbe
from reconciler.core.render import identify
from reconciler.errors import Invalid, Transient
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import Content, FakeRepository, Symlink
from tests.fakes.rendering import DEPLOYMENT, SERVICE, changed
from tests.fakes.world import World

APP = App(
    *("shop", "web", "source", Strategy("shop")),
    path="apps/shop",
    version_file="release/version",
    templates="templates",
    values={"a": "app", "from": {"app": 1}},
    values_files=("one.yaml", "../two.yaml"),
)
FILES: Mapping[str, Content] = {
    "apps/shop/release/version": b"version: v1\nvalues: {d: version, from: {version: 1}}\n",
    "apps/shop/release/values.yaml": b"a: beside\nb: beside\nfrom: {beside: 1}\n",
    "apps/shop/one.yaml": b"b: one\nc: one\nfrom: {one: 1}\n",
    "apps/two.yaml": b"c: two\nd: two\nfrom: {two: 1}\n",
    "apps/shop/templates/d.yaml": DEPLOYMENT.encode(),
    "apps/shop/templates/s.yaml": SERVICE.encode(),
}


class CountingRepository(FakeRepository):
    """Knows how often a file or folder was read."""

    reads = 0

    async def read(self, commit: str, path: str) -> bytes:
        self.reads += 1
        return await super().read(commit, path)

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        self.reads += 1
        return await super().read_folder(commit, path)


class Looking:
    """An app's eyes on a repository that changes file by file."""

    def __init__(self) -> None:
        self.repository = CountingRepository()
        self._cluster = FakeCluster()
        self._eyes = Eyes(APP, self.repository, self._cluster)
        self.files = dict(FILES)

    async def at(self, changes: Mapping[str, Content | None]) -> tuple[Desired, int]:
        """What the app is after a commit with `changes`, and how many reads this took."""
        merged = {**self.files, **changes}
        self.files = {path: content for path, content in merged.items() if content is not None}
        before = self.repository.reads
        desired, _ = await self._eyes.see(self.repository.commit(self.files))
        assert desired.commit == self.repository.branches["main"]
        if not self._cluster.objects:  # from now on the revision has its slot
            await self._cluster.apply(desired.components[0].manifest, "reconciler", None)
        return desired, self.repository.reads - before


async def test_a_commit_that_does_not_touch_the_app_reads_no_file() -> None:
    looking = Looking()
    first, reads = await looking.at({})
    assert reads == 5
    second, reads = await looking.at({"apps/other/version": b"v2", "apps/shop/README.md": b"x"})
    assert reads == 0
    assert second.commit != first.commit
    assert replace(second, commit=first.commit) == first


@pytest.mark.parametrize(
    "change",
    [
        {"apps/shop/release/version": b"version: v1\nvalues: {d: other, from: {version: 1}}\n"},
        *({"apps/shop/release/values.yaml": b"e: 1"}, {"apps/shop/release/values.yaml": None}),
        *({"apps/shop/one.yaml": b"e: 1"}, {"apps/two.yaml": b"e: 1"}, {"apps/shop/templates/README.md": b"x"}),
    ],
)
async def test_whatever_the_app_reads_is_read_again_when_it_changes(change: Mapping[str, Content | None]) -> None:
    looking = Looking()
    await looking.at({})
    assert (await looking.at(change))[1] >= 4
    assert (await looking.at({"other": b"x"}))[1] == 0


async def test_what_changes_in_place_is_rendered_anew_though_the_revision_is_the_same() -> None:
    looking = Looking()
    first, _ = await looking.at({})
    more = changed(DEPLOYMENT, "spec:\n  selector", "spec:\n  replicas: 7\n  selector")
    second, _ = await looking.at({"apps/shop/templates/d.yaml": more.encode()})
    assert (first.components[0].replicas, second.components[0].replicas) == (1, 7)
    assert first.revision == second.revision


async def test_after_a_commit_that_cannot_be_used_the_former_one_is_known_still() -> None:
    looking = Looking()
    first, _ = await looking.at({})
    with pytest.raises(Invalid, match="is empty"):
        await looking.at({"apps/shop/release/version": b""})
    again, reads = await looking.at(FILES)
    assert (again.revision, reads) == (first.revision, 0)


def test_a_commit_that_does_not_touch_the_app_writes_nothing() -> None:
    world = World()
    world.release("v1.0.0")
    before, told = dict(world.cluster.objects), len(world.told.events)
    world.repository.commit({"version": b"v1.0.0", "other": b"x"})
    world.run()
    assert world.cluster.objects == before
    assert len(world.told.events) == told


async def _values(files: Mapping[str, Content], app: App = APP) -> Mapping[str, Any]:
    repository = FakeRepository()
    return (await read_release(app, repository, repository.commit(files))).values


async def test_values_go_over_each_other_in_their_order() -> None:
    assert await _values(FILES) == {
        "a": "beside",
        "b": "one",
        "c": "two",
        "d": "version",
        "from": {"app": 1, "beside": 1, "one": 1, "two": 1, "version": 1},
    }


async def test_the_file_beside_the_version_file_need_not_be_there_but_those_that_are_named() -> None:
    without = {path: content for path, content in FILES.items() if not path.endswith("values.yaml")}
    assert (await _values(without))["a"] == "app"
    del without["apps/two.yaml"]
    with pytest.raises(Invalid, match=r"apps/two\.yaml.*no such file"):
        await _values(without)


async def test_a_file_that_is_named_and_beside_is_read_where_it_is_named() -> None:
    app = replace(APP, values_files=("release/values.yaml", "one.yaml"))
    assert (await _values(FILES, app))["b"] == "one"
    app = replace(APP, values_files=("one.yaml", "release/values.yaml"))
    assert (await _values(FILES, app))["b"] == "beside"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a", r"^apps/shop/one\.yaml:1: must hold one mapping"),
        (b"a: 1\n---\nb: 1", "must hold one mapping"),
        (b"a: 1\na: 2", r"^apps/shop/one\.yaml:2:1: the key `a` is there twice"),
        (b"x" * 70_000, r"^apps/shop/one\.yaml: has 70000 bytes"),
        (Symlink("/etc/passwd"), "symbolic link"),
    ],
)
async def test_a_file_of_values_that_cannot_be_used_says_where(content: Content, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        await _values({**FILES, "apps/shop/one.yaml": content})
    link = {"apps/shop/release/values.yaml": Symlink("/etc/passwd")}
    with pytest.raises(Invalid, match="symbolic link"):
        await _values({**FILES, **link})


async def test_an_empty_file_of_values_holds_none() -> None:
    assert (await _values({**FILES, "apps/shop/one.yaml": b"# nothing\n"}))["b"] == "beside"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("release/version", "apps/shop/release/version:3"),
        ("one.yaml", "apps/shop/one.yaml:3"),
        ("release/values.yaml", "apps/shop/release/values.yaml:3"),
    ],
)
async def test_a_value_that_is_wrong_is_told_where_it_stands(path: str, where: str) -> None:
    app = App("shop", "web", "s", Strategy("shop"), "apps/shop", "release/version", values_files=("one.yaml",))
    inside = b"version: v1\nvalues:\n  replcas: 2\n" if path.endswith("version") else b"image: x\n#\nreplcas: 2\n"
    files = {"apps/shop/release/version": b"v1", "apps/shop/one.yaml": b"image: x", f"apps/shop/{path}": inside}
    repository = FakeRepository()
    release = await read_release(app, repository, repository.commit(files))
    with pytest.raises(Invalid, match="replcas") as caught:
        identify(app, release)
    assert caught.value.where == where


async def _as_active(repository: FakeRepository, app: App, commit: str) -> tuple[Eyes, Observed, str]:
    """Eyes on an app whose active revision is what that commit says, though Git wants another by now."""
    desired, _ = await Eyes(app, repository, FakeCluster()).see(commit)
    repository.commit({**FILES, "apps/shop/release/version": b"v2"})
    active = Active(desired.revision, desired.version, desired.slot.colour, commit, 1.0)
    front = Front("Service", "shop", "u", "1", {}, Memory(active=active), {}, False, desired.front)
    return Eyes(app, repository, FakeCluster()), Observed(front), repository.branches["main"]


async def test_the_active_revision_is_rendered_with_its_jobs_which_may_be_measuring_it_still() -> None:
    check = Check("books", JobProbe("gates/books.yaml"))
    app = replace(APP, strategy=replace(APP.strategy, post_promotion=PostPromotion(60.0, (check,))))
    job = "{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}"
    repository = FakeRepository()
    commit = repository.commit({**FILES, "apps/shop/gates/books.yaml": job.encode()})
    eyes, observed, _ = await _as_active(repository, app, commit)
    wanted, _ = await Eyes(APP, repository, FakeCluster()).see(repository.branches["main"])
    standing = await eyes.see_standing(wanted, observed)
    assert standing is not None
    assert list(standing.jobs) == ["gates/books.yaml"]


async def test_the_active_revision_is_rendered_without_the_jobs_that_were_not_there_yet() -> None:
    check = Check("books", JobProbe("gates/books.yaml"))
    app = replace(APP, strategy=replace(APP.strategy, post_promotion=PostPromotion(60.0, (check,))))
    repository = FakeRepository()
    _, observed, _ = await _as_active(repository, APP, repository.commit(FILES))
    wanted, _ = await Eyes(APP, repository, FakeCluster()).see(repository.branches["main"])
    standing = await Eyes(app, repository, FakeCluster()).see_standing(wanted, observed)
    assert standing is not None
    assert standing.jobs == {}


async def test_the_active_revision_is_read_again_where_git_did_not_answer() -> None:
    repository = FakeRepository()
    eyes, observed, tip = await _as_active(repository, APP, repository.commit(FILES))
    wanted, _ = await Eyes(APP, repository, FakeCluster()).see(tip)
    repository.fail_with(Transient("the disk is slow"))
    assert await eyes.see_standing(wanted, observed) is None
    repository.fail_with(None)
    assert await eyes.see_standing(wanted, observed) is not None


async def test_what_describes_the_app_is_of_the_app() -> None:
    """Who mends a check in app.yaml has the version tried again that it rejected."""
    app, repository = replace(APP, file="apps/shop/app.yaml"), FakeRepository()
    first = repository.commit({**FILES, "apps/shop/app.yaml": b"checks: wrong"})
    eyes = Eyes(app, repository, FakeCluster())
    wanted, _ = await eyes.see(first)
    rejection = Rejection(wanted.revision, wanted.version, first, "it failed", 1.0, Cause.ANALYSIS)
    front = Front("Service", "shop", "u", "1", {}, Memory(rejection=rejection), {}, False, wanted.front)
    same, _ = await eyes.see(repository.commit({**FILES, "apps/shop/app.yaml": b"checks: wrong", "other": b"x"}))
    assert (await eyes.see_likeness(same, Observed(front))).same_as == first
    mended, _ = await eyes.see(repository.commit({**FILES, "apps/shop/app.yaml": b"checks: mended"}))
    assert (await eyes.see_likeness(mended, Observed(front))).same_as == ""
