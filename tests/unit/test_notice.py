"""Who is told of what, how often, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.event import EVENTS, Event, event
from reconciler.core.notice import KINDS, Channel, Group, Notice, Tone, name_fault, notice_of
from reconciler.core.notice_text import TEMPLATE_LIMIT, message, template_fault, variables
from reconciler.core.ration import REMEMBERED, Ration

ALL = Channel("all", frozenset(Group))
WHO = {"app": "web", "namespace": "shop", "version": "v2", "revision": "abc", "colour": "green", "commit": "c" * 40}


def notice(name: str, at: float = 0.0, source: str = "main", **fields: Any) -> Notice:
    known = {key: value for key, value in WHO.items() if name not in EVENTS or key in EVENTS[name].fields}
    made = notice_of(Event(name, {**known, **fields}), source, at)
    assert made is not None
    return made


def channel(**fields: Any) -> Channel:
    return replace(ALL, **fields)


# --- which events, for whom ---


def test_every_kind_of_notice_is_an_event_and_every_group_has_one() -> None:
    assert KINDS.keys() <= EVENTS.keys()
    assert {each.group for each in KINDS.values()} == set(Group)


def test_headlines_and_identities_are_made_of_fields_that_the_event_has() -> None:
    for name in KINDS:
        own = dict.fromkeys(EVENTS[name].fields, "x")
        assert KINDS[name].headline.format_map(own)
        assert set(KINDS[name].same) <= own.keys(), name


def test_what_undoes_each_other_says_so_both_ways() -> None:
    pairs = {(name, kind.ends) for name, kind in KINDS.items() if kind.ends}
    assert pairs == {(ended, name) for name, ended in pairs}


def test_an_event_for_logs_is_no_notice() -> None:
    for name in ("phase_changed", "revision_ready", "webhook_received", "notification_failed", "bug"):
        assert notice_of(Event(name, {}), "", 0.0) is None


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("revision_applied", Group.STARTED),
        ("approval_awaited", Group.APPROVAL),
        ("switched", Group.SWITCHED),
        ("rolled_back", Group.ROLLED_BACK),
        ("rejected", Group.REJECTED),
        ("drift_repaired", Group.DRIFT),
        ("drift_refused", Group.DRIFT),
        ("source_failed", Group.SOURCE),
        ("source_recovered", Group.SOURCE),
        ("app_blocked", Group.PROBLEM),
        ("app_invalid", Group.PROBLEM),
        ("analysis_failed", Group.PROBLEM),
        ("analysis_inconclusive", Group.PROBLEM),
        ("degraded", Group.PROBLEM),
    ],
)
def test_a_channel_is_told_of_the_groups_that_it_asked_for_alone(name: str, group: Group) -> None:
    told = notice(name)
    assert channel(groups=frozenset({group})).wants(told)
    assert not channel(groups=frozenset(Group) - {group}).wants(told)


@pytest.mark.parametrize(
    ("apps", "sources", "wanted"),
    [
        (("web",), ("*",), True),
        (("w*",), ("*",), True),
        (("api", "*eb"), ("main",), True),
        (("we",), ("*",), False),
        (("*",), ("other",), False),
        (("*",), ("ma*",), True),
    ],
)
def test_an_app_is_chosen_by_its_name_and_its_source(
    apps: tuple[str, ...], sources: tuple[str, ...], wanted: bool
) -> None:
    assert channel(apps=apps, sources=sources).wants(notice("switched")) is wanted


def test_a_source_is_chosen_by_its_own_name_whatever_the_apps() -> None:
    failed = notice_of(event("source_failed", source="main", reason="gone"), "", 0.0)
    assert failed is not None
    assert channel(apps=("no-such",), sources=("main",)).wants(failed)
    assert not channel(sources=("other",)).wants(failed)


def test_of_an_app_whose_source_is_not_known_only_those_who_want_all_sources_are_told() -> None:
    unknown = notice("app_invalid", source="")
    assert ALL.wants(unknown)
    assert not channel(sources=("m*",)).wants(unknown)


@pytest.mark.parametrize("pattern", ["", "a/b", "a b", "**", "a*b*", "[ab]", "a?", "web\n"])
def test_what_is_no_pattern_of_names_is_refused(pattern: str) -> None:
    assert name_fault(pattern)


# --- how often ---


def test_the_same_thing_is_told_again_only_after_a_time_and_then_with_how_often_it_was() -> None:
    ration = Ration(channel(repeat_after=100.0))
    drift: dict[str, Any] = {"object": "Service/web", "differences": [{"field": "spec.type", "by": "kubectl"}]}
    told = [ration.admit(notice("drift_repaired", at, **drift)) for at in (0.0, 1.0, 99.9, 100.0, 150.0, 201.0)]
    assert [each and each.times for each in told] == [1, None, None, 3, None, 2]


def test_other_apps_commits_reasons_and_fields_are_other_things() -> None:
    ration = Ration(ALL)
    different = [
        notice("app_blocked", reason="a"),
        notice("app_blocked", reason="b"),
        notice("app_blocked", reason="a", commit="d"),
        notice("app_blocked", reason="a", app="api"),
        notice("drift_repaired", object="Service/web", differences=[{"field": "a"}]),
        notice("drift_repaired", object="Service/web", differences=[{"field": "b"}]),
        notice("rejected", revision="other"),
    ]
    assert all(ration.admit(each) for each in different)
    assert not any(ration.admit(each) for each in different)


def test_several_workloads_of_one_release_are_one_beginning() -> None:
    ration = Ration(ALL)
    assert ration.admit(notice("revision_applied", object="Deployment/a"))
    assert ration.admit(notice("revision_applied", object="Deployment/b")) is None


def test_a_failure_after_a_recovery_is_news_and_so_is_the_next_recovery() -> None:
    ration = Ration(ALL)

    def turn(name: str, at: float) -> bool:
        made = notice_of(Event(name, {"source": "main", "commit": "c", "reason": "r"}), "", at)
        return made is not None and ration.admit(made) is not None

    story = ["source_failed", "source_failed", "source_recovered", "source_failed", "source_recovered"]
    assert [turn(name, float(at)) for at, name in enumerate(story)] == [True, False, True, True, True]


def test_a_recovery_of_one_app_makes_no_news_of_another_ones_trouble() -> None:
    ration = Ration(ALL)
    assert ration.admit(notice("degraded", app="api"))
    assert ration.admit(notice("recovered", app="web"))
    assert ration.admit(notice("degraded", app="api")) is None


def test_what_goes_over_the_limit_is_counted_and_told_with_the_next_message() -> None:
    ration = Ration(channel(burst=2, per=10.0))
    told = [ration.admit(notice("rejected", 0.0, revision=str(number))) for number in range(14)]
    assert [bool(each) for each in told] == [True, True, *[False] * 12]
    after = ration.admit(notice("rejected", 5.0, revision="x"))
    assert after and after.more == 12
    assert "And 12 more" in message(after, ALL).body
    assert ration.admit(notice("rejected", 5.0, revision="y")) is None, "a token comes every five seconds"
    last = ration.admit(notice("rejected", 10.0, revision="z"))
    assert last and last.more == 1


def test_what_went_over_the_limit_does_not_count_as_told() -> None:
    ration = Ration(channel(burst=1, per=1.0))
    assert ration.admit(notice("rejected", 0.0, revision="a"))
    assert ration.admit(notice("rejected", 0.0, revision="b")) is None
    assert ration.admit(notice("rejected", 2.0, revision="b"))


def test_what_is_the_same_costs_nothing_of_the_limit() -> None:
    ration = Ration(channel(burst=2, per=1000.0))
    assert ration.admit(notice("rejected"))
    assert not any(ration.admit(notice("rejected")) for _ in range(10))
    assert ration.admit(notice("rejected", revision="other"))


def test_what_was_lost_on_the_way_is_counted_and_may_be_told_again() -> None:
    ration = Ration(ALL)
    first = ration.admit(notice("rejected"))
    assert first
    ration.lost(replace(first, more=4))
    again = ration.admit(notice("rejected", 1.0))
    assert again and (again.more, again.times) == (5, 1)


def test_a_clock_that_goes_back_gives_no_tokens_and_takes_none() -> None:
    ration = Ration(channel(burst=1, per=10.0))
    assert ration.admit(notice("rejected", 100.0, revision="a"))
    assert ration.admit(notice("rejected", 50.0, revision="b")) is None
    assert ration.admit(notice("rejected", 60.0, revision="c"))


def test_only_so_many_things_are_remembered() -> None:
    ration = Ration(channel(burst=10_000))
    for number in range(REMEMBERED + 1):
        assert ration.admit(notice("rejected", revision=str(number)))
    assert len(ration._told) == REMEMBERED
    assert ration.admit(notice("rejected", revision=str(REMEMBERED))) is None
    assert ration.admit(notice("rejected", revision="0")), "the oldest was forgotten"


def test_a_rollback_takes_the_place_of_its_switch_and_of_no_other() -> None:
    back = notice("rolled_back")
    assert back.replaces(notice("switched"))
    assert not back.replaces(notice("switched", app="api"))
    assert not back.replaces(notice("switched", revision="other"))
    assert not notice("switched").replaces(notice("rolled_back"))


# --- in which words ---


def test_our_own_words_say_what_why_what_was_left_what_to_do_and_which_commit() -> None:
    told = notice("rejected", 1.0, reason="the pods crash", untouched="Traffic stays", todo="Commit anew", duration=3.5)
    made = message(told, ALL)
    assert (made.title, made.tone) == ("web: v2 is rejected", Tone.FAILURE)
    assert made.body.splitlines() == [
        "Why: the pods crash",
        "Left as it was: Traffic stays",
        "To do: Commit anew",
        f"App shop/web, source main, version v2, revision abc (green), commit {'c' * 12}, after 3.5 s, "
        "at 1970-01-01T00:00:01+00:00",
    ]


def test_every_event_has_a_title_and_a_text_with_the_least_of_its_fields() -> None:
    for name in KINDS:
        made = message(Notice(name, {}, "main", 0.0), ALL)
        assert made.title and "main" in made.body


def test_drift_names_the_fields_and_who_changed_them_but_no_values() -> None:
    changes = [{"field": f"spec.f{number}", "wanted": "hunter2", "found": "x", "by": "kubectl"} for number in range(7)]
    lines = message(notice("drift_repaired", object="Service/web", differences=changes), ALL).body.splitlines()
    assert lines[0] == "Changed: Service/web spec.f0, by kubectl"
    assert lines[5] == "And 2 more fields of it"
    assert "hunter2" not in "".join(lines)


def test_a_template_has_every_field_and_those_that_do_not_apply_are_empty() -> None:
    own = channel(title="{{ event }} {{ app }}", template="{{ title }}|{{ object }}|{{ from_version }}|{{ times }}")
    made = message(notice("switched", from_version=None), own)
    assert (made.title, made.body) == ("switched web", "web: traffic moved to v2|||1")
    assert variables(notice("switched")).keys() >= {"group", "level", "text", "at", "more"}


def test_a_title_is_one_line_of_a_bounded_length_and_a_text_is_bounded_and_printable() -> None:
    made = message(notice("rejected", app="a\nBcc: x\x1b[0m" + "b" * 500, reason="r" * 9000), ALL)
    assert "\n" not in made.title and "\x1b" not in made.title and len(made.title) == 200
    assert len(made.body) == 4000 and made.body.endswith("…")


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{{ comit }}", "line 1: `comit` is not defined (did you mean `commit`?)"),
        ("fine\n{{ app ", "line 2: is not a Jinja2 template"),
        ("{{ ''.__class__ }}", "line 1:"),
        ("{{ cycler.__init__.__globals__ }}", "line 1:"),
        ("{% include '/etc/passwd' %}", "line 1: is not a Jinja2 template: `include` is not supported"),
        ("{% for a in range(999999) %}x{% endfor %}", "line 1: `range` gives more than"),
        ("{{ 'x' * 9999999 }}", "line 1: `*` would make more than"),
        ("{{ fail('not so') }}", "line 1: not so"),
        ("{{ duration + 1 }}", "line 1: an expression fails with TypeError"),
        ("x" * (TEMPLATE_LIMIT + 1), "has more than 8192 characters"),
    ],
)
def test_a_template_that_cannot_do_for_every_event_is_refused_before_it_is_needed(template: str, fault: str) -> None:
    assert template_fault(template).startswith(fault)


def test_a_template_that_can_is_not() -> None:
    template = "{{ app or source }}{% for each in differences %} {{ each.field }}{% endfor %} {{ commit[:7] }}"
    assert template_fault(template) == ""


def test_a_template_that_fails_all_the_same_is_told_and_our_own_words_stand_in() -> None:
    own = channel(template="{% if reason == 'odd' %}{{ fail('too odd') }}{% endif %}fine")
    assert template_fault(own.template) == ""
    assert message(notice("rejected", reason="usual"), own).body == "fine"
    body = message(notice("rejected", reason="odd"), own).body
    assert body.startswith("Why: odd")
    assert body.endswith("(The channel's template cannot be used: line 1: too odd)")
