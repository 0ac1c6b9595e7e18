"""The Jobs of checks in Git: read with the app, and what a change of one does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.adapters.schemas import KubernetesSchemas
from reconciler.app.observe import Eyes, read_release
from reconciler.app.oneshot import Workbench
from reconciler.app.settings import Settings
from reconciler.core.check import Check, PrePromotion
from reconciler.core.job import gate_key
from reconciler.core.model import App
from reconciler.core.probe import JobProbe
from reconciler.errors import Invalid
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import Content, FakeRepository
from tests.fakes.rendering import APP as SHOP
from tests.fakes.rendering import DEPLOYMENT, SERVICE
from tests.fakes.world import APP as WORLD_APP
from tests.fakes.world import World, drive
from tests.unit.test_job import SMOKE
from tests.unit.test_oneshot import SOURCE

CHECK = Check("smoke", JobProbe("gates/smoke.yaml"))
FILES: Mapping[str, Content] = {
    "apps/shop/version": b"v1",
    "apps/shop/templates/d.yaml": DEPLOYMENT.encode(),
    "apps/shop/templates/s.yaml": SERVICE.encode(),
    "apps/shop/gates/smoke.yaml": SMOKE.encode(),
}


def checked(app: App) -> App:
    """The app with the check."""
    return replace(app, strategy=replace(app.strategy, pre_promotion=PrePromotion((CHECK,))))


APP = checked(replace(SHOP, path="apps/shop"))


async def test_a_changed_job_is_the_same_revision_and_another_check() -> None:
    repository, cluster = FakeRepository(), FakeCluster()
    eyes = Eyes(APP, repository, cluster)
    first, _ = await eyes.see(repository.commit(FILES))
    await cluster.apply(first.components[0].manifest, "reconciler", None)
    await cluster.apply(first.front, "reconciler", None)
    again, _ = await eyes.see(repository.commit({**FILES, "README.md": b"x"}))
    assert gate_key(CHECK, again) == gate_key(CHECK, first)
    changed = SMOKE.replace("image: a", "image: b").encode()
    other, _ = await eyes.see(repository.commit({**FILES, "apps/shop/gates/smoke.yaml": changed}))
    assert other.revision == first.revision
    assert gate_key(CHECK, other) != gate_key(CHECK, first)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "apps/shop/gates/smoke.yaml"),
        (b"a: \xff", "is not UTF-8 text"),
        (b"x" * (1024 * 1024 + 1), "has 1048577 bytes"),
    ],
)
async def test_a_job_that_cannot_be_used_makes_the_app_invalid(content: bytes | None, told: str) -> None:
    files = {path: each for path, each in FILES.items() if not path.endswith("smoke.yaml")}
    repository = FakeRepository()
    commit = repository.commit({**files, **({"apps/shop/gates/smoke.yaml": content} if content else {})})
    with pytest.raises(Invalid) as caught:
        await read_release(APP, repository, commit)
    assert told in str(caught.value)


def test_what_is_active_is_still_looked_after_though_its_commit_has_no_such_job() -> None:
    """The check was added after it was released."""
    world = World()
    world.release("v1")
    eyes = Eyes(checked(WORLD_APP), world.repository, world.cluster)
    commit = world.repository.commit({"version": b"v2", "gates/smoke.yaml": SMOKE.encode()})
    desired, observed = drive(eyes.see(commit))
    standing = drive(eyes.see_standing(desired, observed))
    assert standing is not None and standing.version == "v1"
    assert desired.jobs and not standing.jobs


async def test_validate_holds_a_job_against_kubernetes_schemas() -> None:
    repository = FakeRepository()
    misspelt = SMOKE.replace("kind: Job\nspec:\n", "kind: Job\nspec:\n  backofLimit: 1\n").encode()
    for smoke, told in (
        (FILES["apps/shop/gates/smoke.yaml"], ""),
        (misspelt, "gates/smoke.yaml:4: Job: `spec.backofLimit`"),
    ):
        repository.commit({**FILES, "apps/shop/gates/smoke.yaml": smoke})
        bench = Workbench(Settings((replace(SOURCE, name=APP.source),), (APP,)), FakeClock(), lambda _: repository)
        [sight] = await bench.render([], KubernetesSchemas.of("1.34"))
        assert (told in str(sight.error)) if told else sight.error is None, sight.error
