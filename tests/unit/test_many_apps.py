"""A daemon whose apps are described in the repository: they come, change and go by commits alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.app.settings_source import ForcePush, VerifySettings
from reconciler.core.gitref import branch
from reconciler.core.model import App, DeletionPolicy, Strategy
from reconciler.errors import Transient
from tests.fakes.bench import IMAGE, Bench
from tests.fakes.discovery import SOURCE
from tests.fakes.git import FakeRepository
from tests.fakes.world import NAMESPACE


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.daemon.stop()
    assert not made.events("bug"), made.events("bug")


async def test_apps_come_and_go_by_commits(bench: Bench) -> None:
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    bench.commit({"new": IMAGE}, new="v1")
    await bench.released("new", "v1")
    last = bench.remove("db")
    await bench.until(lambda: bench.events("app_orphaned"))
    assert bench.events("app_orphaned", app="db", commit=last, path="apps/db/app.yaml")
    bench.commit(web="v2")
    await bench.released("web", "v2")
    assert bench.objects("db") == {"Service", "Deployment"}
    assert [each["app"] for each in bench.events("app_discovered")] == ["db", "web", "new"]


async def test_a_broken_file_holds_its_app_at_the_last_good_commit_and_no_other(bench: Bench) -> None:
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    bench.commit({"web": "nonsense: 1\n" + IMAGE}, web="v2", db="v2")
    await bench.released("db", "v2")
    (invalid,) = bench.events("app_invalid")
    assert invalid["app"] == "web"
    assert str(invalid["reason"]).startswith("apps/web/app.yaml:1: nonsense: unknown key")
    bench.commit(db="v3")
    await bench.released("db", "v3")
    assert len(bench.events("app_invalid")) == 1, "told once"
    assert not bench.events("switched", app="web", version="v2")
    bench.commit({"web": IMAGE})
    await bench.released("web", "v2")


async def test_what_is_held_is_still_kept_as_it_was(bench: Bench) -> None:
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"web": "nonsense: 1"})
    await bench.until(lambda: bench.events("app_invalid"))
    bench.cluster.remove("Service", NAMESPACE, "web")
    await bench.until(lambda: bench.cluster.get("Service", NAMESPACE, "web"))


async def test_settings_and_version_of_one_commit_make_one_revision(bench: Bench) -> None:
    """Never the new version with the old values, nor the other way round."""
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"web": IMAGE.replace("example/x", "example/y")}, web="v2")
    await bench.released("web", "v2")
    assert len(bench.events("revision_applied", app="web")) == 2


async def test_unreadable_git_removes_nothing(bench: Bench) -> None:
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.repository.fail_with(Transient("unreachable"))
    bench.remove("web")
    await bench.until(lambda: bench.events("source_failed"))
    assert not bench.events("app_orphaned")
    assert bench.objects("web") == {"Service", "Deployment"}


async def test_a_listing_that_fails_is_a_failure_of_the_source_and_is_tried_again(bench: Bench) -> None:
    class Unlisted(FakeRepository):
        broken = True

        async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
            if self.broken:
                raise Transient("the mirror is damaged")
            return await super().find(commit, pattern)

    bench.repository = repository = Unlisted()
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.until(lambda: bench.events("source_failed"))
    assert not bench.events("source_updated")
    repository.broken = False
    bench.daemon.wake_source(SOURCE.name)
    await bench.released("web", "v1")


async def test_a_reload_that_forbids_a_namespace_ends_the_looking_after(bench: Bench) -> None:
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.start(source=replace(SOURCE, namespace="back", namespaces=("back",)))
    assert bench.events("app_orphaned", app="web")
    bench.repository.closed = False
    bench.daemon.wake_source(SOURCE.name)
    await bench.until(lambda: bench.events("app_discovered", app="web", namespace="back"))
    assert bench.objects("web") == {"Service", "Deployment"}


async def test_a_source_that_is_suspended_keeps_its_apps(bench: Bench) -> None:
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.start(source=replace(SOURCE, suspend=True))
    bench.repository.closed = False
    bench.remove("web")
    bench.cluster.remove("Service", NAMESPACE, "web")
    await bench.until(lambda: bench.cluster.get("Service", NAMESPACE, "web"))
    assert bench.events("source_suspended") and not bench.events("app_orphaned")
    await bench.start()
    bench.repository.closed = False
    bench.daemon.wake_source(SOURCE.name)
    await bench.until(lambda: bench.events("app_orphaned", app="web"))


async def test_a_reload_of_a_source_finds_its_apps_again_at_the_same_commit(bench: Bench) -> None:
    bench.commit({"web": IMAGE, "db": "nonsense: 1"}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.start(source=replace(SOURCE, interval=SOURCE.interval / 2))
    bench.repository.closed = False
    bench.daemon.wake_source(SOURCE.name)
    await bench.until(lambda: len(bench.events("app_invalid", app="db")) == 2)
    assert len(bench.events("app_discovered", app="web")) == 1


async def test_a_rewritten_history_that_is_refused_describes_no_apps(bench: Bench) -> None:
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start(source=replace(SOURCE, on_force_push=ForcePush.REFUSE))
    await bench.released("web", "v1")
    bench.repository.commit({"apps/new/app.yaml": IMAGE.encode(), "apps/new/version": b"v1"}, unrelated=True)
    bench.daemon.wake_source(SOURCE.name)
    await bench.until(lambda: bench.events("history_refused"))
    assert not bench.events("app_orphaned") and not bench.events("app_discovered", app="new")


@pytest.mark.parametrize("change", [{"ref": branch("prod")}, {"verify": VerifySettings(False, "/etc/signers")}])
async def test_what_was_accepted_elsewhere_or_by_other_keys_is_not_held(
    bench: Bench, change: Mapping[str, Any]
) -> None:
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"web": "nonsense: 1"}, web="v1")
    await bench.until(lambda: bench.events("app_invalid"))
    await bench.start(source=replace(SOURCE, **change))
    bench.repository.closed = False
    bench.daemon.wake_source(SOURCE.name)
    await bench.until(lambda: bench.events("app_orphaned", app="web"))
    assert bench.objects("web") == {"Service", "Deployment"}


async def test_a_suspended_app_is_not_touched_until_it_is_resumed(bench: Bench) -> None:
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"web": IMAGE + "suspend: true"}, web="v2", db="v2")
    await bench.released("db", "v2")
    assert len(bench.events("suspended", app="web")) == 1
    bench.cluster.remove("Service", NAMESPACE, "web")
    bench.commit(db="v3")
    await bench.released("db", "v3")
    assert bench.objects("web") == {"Deployment"}
    bench.commit({"web": IMAGE})
    await bench.released("web", "v2")
    assert len(bench.events("resumed", app="web")) == 1


async def test_an_app_of_the_configuration_can_be_suspended(bench: Bench) -> None:
    values = {"image": "example/x", "replicas": 1}
    app = App("web", NAMESPACE, SOURCE.name, Strategy("web"), path="apps/web", values=values, suspend=True)
    bench.commit(web="v1")
    await bench.start(app)
    await bench.until(lambda: bench.events("source_updated"))
    assert bench.events("suspended", app="web")
    await bench.start(replace(app, suspend=False))
    await bench.released("web", "v1")
    assert [each.name for each in bench.told.events if each.name in ("suspended", "resumed")] == [
        "suspended",
        "resumed",
    ]


# --- deletionPolicy ---

DELETED = IMAGE + "deletionPolicy: delete\n"


async def test_an_app_that_asks_for_it_is_deleted_with_its_file_and_no_other(bench: Bench) -> None:
    bench.commit({"web": DELETED, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    last = bench.remove("web")
    await bench.until(lambda: bench.events("app_deleted"))
    assert bench.events("app_deleted", app="web", commit=last, path="apps/web/app.yaml", source="git")
    assert bench.objects("web") == set()
    assert bench.objects("db") == {"Service", "Deployment"}
    assert not bench.events("app_orphaned")
    bench.commit({"web": DELETED}, web="v2")
    await bench.released("web", "v2")


async def test_a_daemon_that_starts_after_the_file_was_removed_deletes_too(bench: Bench) -> None:
    bench.commit({"web": DELETED, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    await bench.daemon.stop()
    bench.remove("web")
    bench.remove("db")
    bench.repository.closed = False
    bench.daemon = bench.another()
    await bench.start()
    await bench.until(lambda: bench.events("app_deleted", app="web"))
    assert bench.objects("web") == set()
    assert bench.objects("db") == {"Service", "Deployment"}


async def test_a_revert_in_the_middle_of_a_deletion_brings_the_app_back(bench: Bench) -> None:
    bench.commit({"web": DELETED}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.remove("web")
    await bench.until(lambda: bench.objects("web") == {"Deployment"})
    bench.commit({"web": DELETED}, web="v1")
    await bench.until(lambda: bench.events("deletion_ended", app="web"))
    await bench.until(lambda: len(bench.events("switch_confirmed", app="web")) == 2)
    assert bench.objects("web") == {"Service", "Deployment"}
    assert not bench.events("app_deleted")
    assert len(bench.events("revision_applied", app="web")) == 1, "its pods were there all the time"


async def test_the_policy_that_was_in_force_last_counts(bench: Bench) -> None:
    """Also if the Service was never told, since the version file of that commit is broken."""
    bench.commit({"web": DELETED}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"web": IMAGE}, web="\0")
    await bench.until(lambda: bench.events("app_invalid", app="web"))
    bench.remove("web")
    await bench.until(lambda: bench.events("app_orphaned", app="web"))
    await bench.until(lambda: _policy(bench) == "orphan")
    await bench.daemon.stop()
    bench.repository.closed = False
    bench.daemon = bench.another()
    await bench.start()
    bench.commit({"db": IMAGE}, db="v1")
    await bench.released("db", "v1")
    assert bench.objects("web") == {"Service", "Deployment"}


def _policy(bench: Bench) -> str:
    live = bench.cluster.get("Service", NAMESPACE, "web")
    assert live
    return str(live["metadata"]["annotations"]["bluegreen.reconciler/deletion-policy"])


async def test_an_entry_of_the_configuration_that_is_removed_is_deleted_if_it_says_so(bench: Bench) -> None:
    values = {"image": "example/x", "replicas": 1}
    made = [
        App(name, NAMESPACE, SOURCE.name, Strategy(name), f"apps/{name}", values=values, deletion_policy=policy)
        for name, policy in (("web", DeletionPolicy.DELETE), ("db", DeletionPolicy.ORPHAN))
    ]
    bench.commit(web="v1", db="v1")
    await bench.start(*made)
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    await bench.start()
    await bench.until(lambda: bench.events("app_deleted", app="web"))
    assert bench.objects("web") == set()
    assert bench.objects("db") == {"Service", "Deployment"}


async def test_a_deletion_waits_until_every_file_of_the_source_can_be_read(bench: Bench) -> None:
    bench.commit({"web": DELETED, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"db": "nonsense: 1"})
    bench.remove("web")
    await bench.until(lambda: bench.events("deletion_held", app="web"))
    bench.commit({"db": IMAGE})
    await bench.until(lambda: bench.events("app_deleted", app="web"))


# --- dependsOn ---

NEEDS_DB = IMAGE + "dependsOn: [db]\n"


async def test_an_app_waits_until_what_it_depends_on_has_settled(bench: Bench) -> None:
    bench.commit({"db": IMAGE, "web": NEEDS_DB}, db="v1", web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit(db="v2", web="v2")
    await bench.released("web", "v2")
    told = [(each.name, each.fields["app"], each.fields["version"]) for each in bench.told.events if each.name in SEEN]
    for version in ("v1", "v2"):
        assert told.index(("switch_confirmed", "db", version)) < told.index(("revision_applied", "web", version))
    waits = [str(each["reason"]) for each in bench.events("waiting_for", app="web", version="v2")]
    assert waits and all(each.startswith("waits for db (") for each in waits)
    assert len(waits) == len(set(waits)), "each once"


async def test_who_waits_is_woken_by_what_it_waits_for(bench: Bench) -> None:
    """Not by chance, since something of its own changed."""
    bench.watched = ("db",)
    bench.commit({"db": IMAGE, "web": NEEDS_DB}, db="v1", web="v1")
    await bench.start()
    await bench.until(lambda: bench.events("revision_applied", app="web"))


SEEN = ("switch_confirmed", "revision_applied")


@pytest.mark.parametrize(
    ("other", "reason"),
    [("nonsense: 1\n" + IMAGE, "it is not yet at what Git wants"), (IMAGE + "suspend: true", "it is suspended")],
)
async def test_what_cannot_settle_is_waited_for_and_told_and_upkeep_goes_on(
    bench: Bench, other: str, reason: str
) -> None:
    bench.commit({"db": IMAGE, "web": NEEDS_DB}, db="v1", web="v1")
    await bench.start()
    await bench.released("web", "v1")
    bench.commit({"db": other}, web="v2")
    await bench.until(lambda: bench.events("waiting_for", reason=f"waits for db ({reason})"))
    bench.cluster.remove("Service", NAMESPACE, "web")
    await bench.until(lambda: bench.cluster.get("Service", NAMESPACE, "web"))
    assert not bench.events("switched", app="web", version="v2")
    bench.commit({"db": IMAGE})
    await bench.released("web", "v2")


async def test_an_app_that_nobody_has_described_yet_is_waited_for(bench: Bench) -> None:
    bench.commit({"web": NEEDS_DB}, web="v1")
    await bench.start()
    await bench.until(lambda: bench.events("waiting_for", app="web", reason="waits for db (there is no such app)"))
    bench.commit({"db": IMAGE}, db="v1")
    await bench.released("web", "v1")
