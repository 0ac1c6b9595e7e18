"""What the one-shot commands print."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reconciler import report
from reconciler.app.oneshot import Sight
from reconciler.core.model import LABEL_MANAGED_BY, LABEL_REVISION, MANAGED_BY
from reconciler.core.observed import observe
from reconciler.errors import Invalid
from tests.fakes.world import APP


@pytest.mark.parametrize(("selector", "role"), [({LABEL_REVISION: "abc"}, "active"), ({}, "leaving")])
def test_a_selector_that_matches_nothing_makes_no_revision_active(selector: dict[str, str], role: str) -> None:
    ours = {LABEL_MANAGED_BY: MANAGED_BY}
    meta = {"uid": "1", "resourceVersion": "1", "labels": {**ours, LABEL_REVISION: "abc"}}
    pods = {"metadata": {"labels": {LABEL_REVISION: "abc"}}}
    live = [
        {"kind": "Deployment", "metadata": {"name": "my-app-abc", **meta}, "spec": {"template": pods}},
        {"kind": "Service", "metadata": {"name": "my-app", **meta, "labels": ours}, "spec": {"selector": selector}},
    ]
    out = io.StringIO()
    report.statuses([Sight(APP, observed=observe(live, APP.strategy))], Console(file=out, width=200))
    assert role in out.getvalue().splitlines()[-1].split()


@pytest.mark.parametrize("said", ["spec[name=x] is [bold]not[/bold] known", "[/nonsense] was found"])
def test_brackets_in_what_others_say_are_shown_as_they_are(said: str) -> None:
    out = io.StringIO()
    sight = Sight(APP, error=Invalid(said, todo=said))
    report.statuses([sight], Console(file=out, width=200))
    report.failures([sight], Console(file=out, width=200))
    assert out.getvalue().count(said) == 3


def test_a_note_is_told_with_its_app() -> None:
    out = io.StringIO()
    report.notes([Sight(APP), Sight(APP, note="alice may not [bold]patch[/bold]")], Console(file=out, width=200))
    assert out.getvalue() == f"note app {APP.name}: alice may not [bold]patch[/bold]\n"
