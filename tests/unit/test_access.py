"""The table of permissions: what is watched and written is in it, and what is made of it is what it says."""

from __future__ import annotations

import pytest
import yaml

from docs.access import chart_rules, role, roles_with_account
from reconciler.adapters.cluster.kinds import FIXED, JOB, KINDS, WATCHED, Kind
from reconciler.adapters.cluster.permissions import forbidden
from reconciler.core import access
from reconciler.core.access import ALWAYS, FEATURES, MEMBERS, NAMED, TABLE, By
from reconciler.core.policy import ON_DEMAND

_SWITCHED = sorted(FEATURES.keys() - NAMED - {ALWAYS, MEMBERS})


def _group(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[0]


def _allowed(verb: str, kind: Kind, *features: str) -> bool:
    return verb in access.grants(features).get((_group(kind), kind.plural), ())


def test_what_is_watched_in_every_namespace_is_always_allowed_and_nothing_else_is() -> None:
    watched = {(_group(each), each.plural) for each in WATCHED}
    allowed = {key for key, verbs in access.grants([ALWAYS]).items() if "watch" in verbs}
    assert allowed == watched


@pytest.mark.parametrize("kind", [*(KINDS[each] for each in sorted(ON_DEMAND)), *FIXED.values()], ids=lambda k: k.name)
def test_what_is_watched_on_demand_is_allowed_by_a_feature_alone(kind: Kind) -> None:
    feature = "secrets" if kind.key in ON_DEMAND else "furtherKinds"
    assert all(_allowed(verb, kind, feature) for verb in ("list", "watch", "create", "patch", "delete"))
    assert not any(_allowed(verb, kind, ALWAYS) for verb in ("get", "list", "watch", "create", "patch", "delete"))


def test_whatever_is_written_may_be_applied_and_looked_up_before() -> None:
    for (group, resource), verbs in access.grants(FEATURES.keys() - NAMED - {"jobs", "apiServerProxy"}).items():
        if "patch" in verbs:
            assert {"list", "create"} <= set(verbs), (group, resource)
    assert _allowed("create", JOB, "jobs")


def test_no_rule_is_a_wildcard_and_each_says_why_and_what_it_allows() -> None:
    for rule in TABLE:
        assert "*" not in (rule.group, rule.resource, *rule.names)
        assert rule.feature in FEATURES and rule.allows and rule.bounds
        assert rule.verbs and all(verb.why for verb in rule.verbs)
    assert {each.feature for each in TABLE} == set(FEATURES)


def test_what_may_be_read_without_bounds_is_not_allowed_by_default() -> None:
    found = access.grants([ALWAYS])
    assert ("", "secrets") not in found and ("", "pods/log") not in found
    assert not [
        key for key, verbs in found.items() if {"get", "update", "deletecollection", "impersonate"} & set(verbs)
    ]


def test_features_that_name_objects_have_no_rule_without_their_names() -> None:
    assert access.rules(NAMED) == []
    [rule] = access.rules(["credentials"], names={"credentials": ["git"]})
    assert rule == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["git"]}


def test_the_charts_file_says_the_same() -> None:
    found = yaml.safe_load(chart_rules())
    assert set(found) == FEATURES.keys() - NAMED
    for feature, rules in found.items():
        assert rules == access.rules([feature])


def test_the_roles_in_the_readme_say_the_same() -> None:
    main, further = (yaml.safe_load(each.partition("```")[0]) for each in role().split("```yaml\n")[1:])
    assert main["rules"] == access.rules([ALWAYS])
    assert further == [rule for each in FEATURES if each in _SWITCHED for rule in access.rules([each])]
    text = roles_with_account().removeprefix("```yaml\n").removesuffix("```\n")
    daemon, account = yaml.safe_load_all(text)
    assert {verb for each in daemon["rules"] for verb in each["verbs"]} == {"list", "watch", "create", "impersonate"}
    assert [each["resources"] for each in daemon["rules"] if "create" in each["verbs"]] == [["events"]]
    assert not [each for each in account["rules"] if {"watch", "impersonate"} & set(each["verbs"])]
    assert yaml.safe_load(text.replace("  #- ", "  - ").partition("---")[0])["rules"][-1]["verbs"] == ["delete"]


def test_with_accounts_both_roles_together_are_what_one_would_be() -> None:
    features = FEATURES.keys() - NAMED
    daemon, account = access.grants(features, By.DAEMON), access.grants(features, By.ACCOUNT)
    together = {key: {*daemon.get(key, ()), *account.get(key, ())} for key in daemon.keys() | account.keys()}
    assert together == {key: set(verbs) for key, verbs in access.grants(features).items()}


@pytest.mark.parametrize(
    ("verb", "group", "resource", "feature"),
    [
        ("list", "", "secrets", "secrets"),
        ("create", "apps", "statefulsets", "statefulSets"),
        ("delete", "", "services", "deletion"),
        ("create", "", "pods/proxy", "apiServerProxy"),
        ("list", "apps", "statefulsets", ""),
        ("patch", "", "services", ""),
        ("get", "", "secrets", ""),
        ("create", "batch", "cronjobs", ""),
    ],
)
def test_what_is_missing_is_named_with_the_charts_switch(verb: str, group: str, resource: str, feature: str) -> None:
    message = (
        f'{resource} is forbidden: User "system:serviceaccount:ops:reconciler" cannot {verb} resource "{resource}" '
        f'in API group "{group}" in the namespace "shop"'
    )
    told = forbidden(message, None, "here", "-")
    assert f"may not {verb} {resource}" in told.what
    assert f'apiGroups: ["{group}"], resources: [{resource}], verbs: [{verb}]' in told.todo
    assert "namespace shop" in told.todo
    assert told.todo.rpartition("rbac.features.")[2 if feature else 0] == feature
