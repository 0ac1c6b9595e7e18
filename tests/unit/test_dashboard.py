"""The dashboard is whole: what every panel has to have, and that it names nothing that there is not."""

from __future__ import annotations

import re
from itertools import groupby

import pytest

from dashboards.panels import DOCS, WIDTH
from dashboards.release import SHOWN
from reconciler.adapters.metrics.catalog import METRICS
from reconciler.core.event import EVENTS
from reconciler.core.phase import Phase
from tests.expressions import FOREIGN, ROOT, asked, dashboard, filled, metrics, panels

_NAMES = [each["title"] for each in panels()]


@pytest.mark.parametrize("panel", panels(), ids=_NAMES)
def test_a_panel_has_what_a_reader_needs(panel: dict[str, object]) -> None:
    defaults = panel["fieldConfig"]["defaults"]  # type: ignore[index]
    assert panel["description"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None  # what holds below the first threshold
    assert panel["targets"]


def test_titles_and_ids_are_unique() -> None:
    assert len(set(_NAMES)) == len(_NAMES) > 30
    ids = [each["id"] for each in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_fill_the_lines_of_the_grid() -> None:
    for y, line in groupby(panels(), key=lambda panel: panel["gridPos"]["y"]):
        held = list(line)
        assert sum(each["gridPos"]["w"] for each in held) == WIDTH, f"line {y}: {[each['title'] for each in held]}"
        assert len({each["gridPos"]["h"] for each in held}) == 1


def test_queries_of_a_panel_have_letters_of_their_own() -> None:
    for panel in panels():
        letters = [each["refId"] for each in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def test_every_variable_that_is_asked_for_is_defined() -> None:
    defined = {each["name"]: "x" for each in dashboard()["templating"]["list"]}
    assert list(defined) == ["datasource", "job", "namespace", "app", "docs"]
    for _, expr in asked():
        assert "$" not in filled(expr, **defined)


def test_every_metric_that_is_asked_for_exists_and_every_one_that_exists_is_shown() -> None:
    shown = {name for _, expr in asked() for name in metrics(expr)}
    assert shown - FOREIGN == set(METRICS)


def test_every_event_that_a_description_names_exists() -> None:
    named = {
        name
        for panel in panels()
        for name in re.findall(r"[Ee]vents? `(\w+)`", panel["description"])
        if name in panel["description"]
    }
    assert "rejected" in named
    assert named <= set(EVENTS)


def test_every_phase_has_a_colour() -> None:
    assert set(SHOWN) == set(Phase)
    assert list(SHOWN)[-1] is Phase.DEGRADED, "the worst is shown where two daemons differ"


def test_links_lead_to_documents_that_there_are() -> None:
    data = [link["url"] for panel in panels() for link in panel["fieldConfig"]["defaults"].get("links", [])]
    pages = {re.sub(r"#.*", "", url) for url in [*data, *(link["url"] for link in dashboard()["links"])]}
    assert pages == {"${docs}/alerts.md", "${docs}/troubleshooting.md"}
    for page in pages:
        assert (ROOT / page.replace("${docs}", "docs")).exists()
    assert [each["query"] for each in dashboard()["templating"]["list"] if each["name"] == "docs"] == [DOCS]
