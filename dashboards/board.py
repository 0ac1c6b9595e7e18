"""The dashboard as a whole: rows, variables, annotations, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from dashboards import health, release
from dashboards.panels import DOCS, RED, SOURCE, Row

UID = "reconciler"
"""By which Grafana knows it: importing it again replaces it."""

_OF_APPS = "max by (namespace, app)"


def document() -> str:
    """The dashboard in JSON, as Grafana imports it: the same text each time."""
    made = json.loads(json.dumps(_numbered(board().build()), cls=JSONEncoder))
    for each in (*made["links"], *made["annotations"]["list"]):
        del each["placement"]  # the SDK's only value for it hides them in a menu
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def board() -> dashboard.Dashboard:
    """The dashboard."""
    made = dashboard.Dashboard("Reconciler").uid(UID).tags(["reconciler", "blue-green"]).editable()
    made = made.description("Blue/green releases by the reconciler, and how the daemon itself is. Read from the top.")
    made = made.time("now-3h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    made = made.links([_link("What an alert means", "alerts.md"), _link("What an event means", "troubleshooting.md")])
    for variable in _variables():
        made = made.with_variable(variable)
    for annotation in _annotations():
        made = made.annotation(annotation)
    for row in (*release.rows(), *health.rows()):
        made = _with_row(made, row)
    return made


def _with_row(made: dashboard.Dashboard, row: Row) -> dashboard.Dashboard:
    made = made.with_row(dashboard.Row(row.title))
    for panel in row.panels:
        made = made.with_panel(panel)
    return made


def _link(title: str, page: str) -> dashboard.DashboardLink:
    made = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"${{docs}}/{page}")
    return made.icon("doc").tooltip(title).target_blank(True)


def _variables() -> Sequence[dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.ConstantVariable]:
    return (
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _choice("job", "Installation", "label_values(reconciler_build_info, job)"),
        _choice("namespace", "Namespace", 'label_values(reconciler_app_phase{job=~"$job"}, namespace)'),
        _choice("app", "App", 'label_values(reconciler_app_phase{job=~"$job",namespace=~"$namespace"}, app)'),
        dashboard.ConstantVariable("docs").value(DOCS).label("Address of the documents"),
    )


def _choice(name: str, label: str, values: str) -> dashboard.QueryVariable:
    """Several or all. All is one pattern: a thousand names in a query are too many."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(values)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(text="All", value="$__all", selected=True))
    )


def _annotations() -> Sequence[dashboard.AnnotationQuery]:
    counted = "sum by (namespace, app) (increase(reconciler_{}_total{{{}}}[$__rate_interval])) > 0"
    last = f"{_OF_APPS} (reconciler_last_switch_timestamp_seconds{{{release.CHOSEN}}}) * 1000"
    return (
        _annotation("Switches", last, "{{app}} switched", "blue").use_value_for_time(True),
        _annotation("Rollbacks", counted.format("rollbacks", release.CHOSEN), "{{app}} rolled back", RED),
        _annotation("Rejections", counted.format("rejections", release.CHOSEN), "{{app}}: rejected", "orange"),
    )


def _annotation(name: str, expr: str, title: str, colour: str) -> dashboard.AnnotationQuery:
    """A mark on every graph. Of a switch the value is the time (ms), so it stands where it was and not at a scrape."""
    made = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour)
    return made.expr(expr).title_format(title).text_format("{{namespace}}").tag_keys("app,namespace")


def _numbered(made: model.Dashboard) -> model.Dashboard:
    """With an id for each panel, by which links and Grafana's API name it."""
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made
