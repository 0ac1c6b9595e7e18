"""A daemon does for an app what its account may, and nothing else; what Git says cannot change as whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from reconciler.adapters.cluster.permissions import forbidden
from reconciler.app.settings_source import SourceSettings
from reconciler.core.account import Account, called
from reconciler.errors import Blocked
from tests.fakes.bench import IMAGE, Bench
from tests.fakes.discovery import SOURCE
from tests.fakes.world import NAMESPACE

WEB, GIT = Account(NAMESPACE, "web"), Account(NAMESPACE, "git")
KINDS = ("deployments", "services", "configmaps", "secrets", "resourcequotas")
EVERYTHING = {(verb, kind) for verb in ("list", "create", "patch", "delete") for kind in KINDS}
ALLOWING = replace(SOURCE, service_accounts=("web",))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.daemon.stop()
    assert not made.events("bug"), made.events("bug")


async def renew(bench: Bench, source: SourceSettings) -> None:
    """Another configuration of the source, whose repository is opened anew."""
    await bench.start(source=source)
    bench.repository.closed = False
    bench.daemon.wake_source(source.name)


def changes(bench: Bench) -> list[tuple[Account, str]]:
    """What was written as an account."""
    return [each for each in bench.cluster.acted if not each[1].startswith("list ")]


async def test_every_write_for_an_app_is_its_accounts_and_none_for_another(bench: Bench) -> None:
    bench.cluster.rights[WEB] = EVERYTHING
    bench.commit({"web": f"serviceAccountName: web\n{IMAGE}", "db": IMAGE}, web="v1", db="v1")
    await bench.start(source=ALLOWING)
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    assert len(changes(bench)) == len([each for each in bench.cluster.writes if "web" in each]) > 0
    assert {account for account, _ in bench.cluster.acted} == {WEB}


async def test_a_missing_right_blocks_the_app_with_its_name_and_another_goes_on(bench: Bench) -> None:
    bench.cluster.rights[WEB] = EVERYTHING
    bench.commit({"web": f"serviceAccountName: web\n{IMAGE}", "db": IMAGE}, web="v1", db="v1")
    await bench.start(source=ALLOWING)
    await bench.released("web", "v1")
    bench.cluster.rights[WEB] = EVERYTHING - {("patch", "services")}
    bench.commit(web="v2", db="v2")
    await bench.released("db", "v2")
    await bench.until(lambda: bench.events("app_blocked", app="web"))
    (told,) = bench.events("app_blocked")
    assert f"{WEB} may not patch services" in str(told["reason"])
    assert not bench.events("switched", app="web", version="v2")
    bench.cluster.rights[WEB] = EVERYTHING
    await bench.released("web", "v2")


async def test_an_account_that_the_source_gets_holds_for_apps_of_broken_files_too(bench: Bench) -> None:
    """Nothing is orphaned by it, and nothing goes on as whom it was."""
    bench.cluster.rights[GIT] = EVERYTHING
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    assert not bench.cluster.acted
    bench.commit({"web": f"serviceAccountName: admin\n{IMAGE}"}, db="v2")
    await bench.until(lambda: bench.events("app_invalid", app="web"))
    await renew(bench, replace(SOURCE, service_account="git", service_accounts=("git",)))
    before = len(bench.cluster.writes)
    live = bench.cluster.get("Service", NAMESPACE, "web")
    assert live
    bench.cluster.put({**live, "spec": {**live["spec"], "selector": {"a": "b"}}})
    await bench.released("db", "v2")
    await bench.until(lambda: len(bench.events("switched", app="web")) == 2)
    assert not bench.events("app_orphaned")
    assert len(changes(bench)) == len(bench.cluster.writes) - before > 0
    assert {account for account, _ in bench.cluster.acted} == {GIT}


@pytest.mark.parametrize("broken", ["", "nonsense: 1\n"])
async def test_a_power_that_is_taken_away_is_refused_at_once_and_what_runs_stays(broken: str, bench: Bench) -> None:
    asking = "values: {image: example/x, replicas: 1, securityContext: {privileged: true}}"
    bench.commit({"web": asking}, web="v1")
    await bench.start(source=replace(SOURCE, powers=("privileged",)))
    await bench.released("web", "v1")
    bench.commit({"web": broken + asking})
    await renew(bench, SOURCE)
    await bench.until(lambda: "needs the power privileged" in str(bench.events("app_invalid", app="web")))
    assert not bench.events("app_orphaned")
    assert bench.objects("web") == {"Service", "Deployment"}


def test_a_user_is_called_what_it_is() -> None:
    assert called(WEB.user) == str(WEB) == f"ServiceAccount {NAMESPACE}/web"
    assert called("alice") == "user alice"
    assert called("system:serviceaccount:x") == "user system:serviceaccount:x"


REFUSED = 'User "{}" cannot {} resource "{}" in API group "{}" in the namespace "shop"'


@pytest.mark.parametrize(
    ("message", "what", "rule"),
    [
        (
            f'deployments.apps "web-1" is forbidden: {REFUSED.format(WEB.user, "patch", "deployments", "apps")}',
            f"{WEB} may not patch deployments.apps",
            '{apiGroups: ["apps"], resources: [deployments], verbs: [patch]}',
        ),
        (
            f'services is forbidden: {REFUSED.format("alice", "list", "services", "")}: RBAC: role "x" not found',
            'user alice may not list services: RBAC: role "x" not found',
            '{apiGroups: [""], resources: [services], verbs: [list]}',
        ),
        (
            f'serviceaccounts "web" is forbidden: {REFUSED.format("alice", "impersonate", "serviceaccounts", "")}',
            f"user alice may not act as {WEB}",
            '{apiGroups: [""], resources: [serviceaccounts], verbs: [impersonate], resourceNames: [web]}',
        ),
    ],
)
def test_a_refusal_says_who_may_not_what_and_which_rule_is_missing(message: str, what: str, rule: str) -> None:
    told = forbidden(message, WEB, "Service shop/web", "-")
    assert isinstance(told, Blocked)
    assert (told.what, told.where) == (what, "Service shop/web")
    assert told.todo.endswith(f" in namespace shop: {rule}")


def test_a_refusal_in_other_words_is_told_as_it_is() -> None:
    told = forbidden("nodes cannot be had", None, "x", "-")
    assert (told.what, told.user) == ("nodes cannot be had", "")
    assert "Role" in told.todo
