"""The rows about releases: who is served, by which version, and what is on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models import units

from dashboards.panels import BLUE, GREEN, RED, YELLOW, Panel, Row, graph, heat, number, query, states, thresholds
from reconciler.core.phase import PHASES, Phase

CHOSEN = 'namespace=~"$namespace",app=~"$app"'
"""The apps that are chosen above. The daemon's own labels, so its targets have to be scraped with `honorLabels`."""
DAEMONS = 'job=~"$job"'
UNDER_WAY = "applying|progressing|proving|waiting|switching|confirming|watching"
_OF_APP = "by (namespace, app)"
_NAMED = "{{namespace}}/{{app}}"

SHOWN: Mapping[Phase, str] = {
    Phase.STABLE: GREEN,
    Phase.RETAINING: "dark-green",
    Phase.WATCHING: "light-blue",
    Phase.APPLYING: "super-light-blue",
    Phase.PROGRESSING: "light-blue",
    Phase.PROVING: BLUE,
    Phase.WAITING: "purple",
    Phase.SWITCHING: "dark-blue",
    Phase.CONFIRMING: "dark-blue",
    Phase.DRIFTED: YELLOW,
    Phase.REJECTED: "orange",
    Phase.DEGRADED: RED,
}
"""Every phase with its colour, the worst last: of an app that two daemons tell differently of, the worse is shown."""


def rows() -> Sequence[Row]:
    """In the order in which one asks."""
    return (_now(), _traffic(), _apps(), _releases(), _durations())


def phase_number() -> str:
    """The phase of each app as a number, which is all that a series can be: its place in `SHOWN`, from 1."""
    told = (
        f'(reconciler_app_phase{{{CHOSEN},phase="{phase}"}} == 1) * {number}'
        for number, phase in enumerate(SHOWN, start=1)
    )
    return f"max {_OF_APP} (\n  " + "\n  or ".join(told) + "\n)"


def in_phase(pattern: str) -> str:
    """How many of the chosen apps are in one of the phases."""
    return f'sum(max by (namespace, app, phase) (reconciler_app_phase{{{CHOSEN},phase=~"{pattern}"}}))'


def _now() -> Row:
    bad, odd = thresholds((1, RED)), thresholds((1, YELLOW))
    return Row(
        "Is anybody not served?",
        (
            number(
                "Apps without a ready pod",
                "Phase `degraded`: the Service points to a revision of which not one pod is ready. Clients get "
                "errors now. What to do: alerts.md, ReconcilerAppDegraded.",
                units.Short,
                query(in_phase("degraded")),
                bad,
            ),
            number(
                "Apps with a rejected revision",
                "What Git asks for failed. Traffic stays on the last good revision until a new commit. The event "
                "`rejected` has the reason.",
                units.Short,
                query(in_phase("rejected")),
                odd,
            ),
            number(
                "Promotions under way",
                "Apps between a commit and the end of its analysis. `waiting` ones wait for an approval or a window.",
                units.Short,
                query(in_phase(UNDER_WAY)),
                thresholds(base=BLUE),
            ),
            number(
                "Since the last switch",
                "Time since traffic last moved, of all chosen apps. Trouble that began then is likely its doing: "
                "revert the commit.",
                units.DurationSeconds,
                query(f"time() - max(reconciler_last_switch_timestamp_seconds{{{CHOSEN}}})"),
                thresholds((600, GREEN), base=YELLOW),
            ),
            number(
                "Since Git was read",
                "The oldest of all sources. Nothing that was pushed since then is known. Apps go on with the last "
                "commit read.",
                units.DurationSeconds,
                query(f"max(reconciler_source_age_seconds{{{DAEMONS}}})"),
                thresholds((300, YELLOW), (900, RED)),
            ),
            number(
                "Daemons at work",
                "Replicas that Prometheus reaches. With none, everything is served as it was, and nothing is released.",
                units.Short,
                query(f"count(reconciler_build_info{{{DAEMONS}}}) or vector(0)"),
                thresholds((1, GREEN), base=RED),
            ),
        ),
    )


def _traffic() -> Row:
    by_version = f"sum by (version) (rate(http_requests_total{{{CHOSEN}}}[$__rate_interval]))"
    failed = f'sum by (version) (rate(http_requests_total{{{CHOSEN},code=~"5.."}}[$__rate_interval]))'
    return Row(
        "What do clients get?",
        (
            graph(
                "Request Total by version, per second",
                "Requests that each version answers. A switch is one step: one line falls to zero where another rises. "
                "Two versions for longer than a scrape mean that something else routes to the old one.",
                units.RequestsPerSecond,
                query(by_version, "{{version}}"),
            ),
            graph(
                "Request Total by version",
                "The counters themselves, as the pods of each version hold them: a line that no longer rises gets "
                "no traffic.",
                units.Short,
                query(f"sum by (version) (http_requests_total{{{CHOSEN}}})", "{{version}}"),
            ),
            graph(
                "Error ratio by version",
                "Share of requests answered by a 5xx. A version that is worse than the one before it is to be "
                "reverted.",
                units.PercentUnit,
                query(f"({failed} or 0 * {by_version})\n/\n({by_version} > 0)", "{{version}}"),
                span=24,
                limits=thresholds((0.01, YELLOW), (0.05, RED)),
            ),
        ),
    )


def _apps() -> Row:
    shown = [(number, str(phase), colour) for number, (phase, colour) in enumerate(SHOWN.items(), start=1)]
    means = "\n".join(f"- `{phase}`: {PHASES[phase].says}" for phase in SHOWN)
    return Row(
        "Where does each app stand?",
        (states("Phase of each app", f"What the last cycle found:\n\n{means}", query(phase_number(), _NAMED), shown),),
    )


def _releases() -> Row:
    return Row(
        "What was released?",
        (
            _counted("Switches", "switches", "Moves of a selector, rollbacks included (event `switched`)."),
            _counted(
                "Rollbacks",
                "rollbacks",
                "Moves back to a revision that was active before: by a revert in Git, or because the analysis after a "
                "switch failed (event `rolled_back`).",
            ),
            _counted(
                "Rejections",
                "rejections",
                "Revisions that failed, and are not tried again before Git changes (event `rejected`, with the "
                "reason).",
            ),
        ),
    )


def _counted(title: str, what: str, says: str) -> Panel:
    """How often something happened to each app, in bars. Grafana's least interval for rates is wider than a bar by one
    scrape, so a bar of two minutes or more counts next to nothing twice."""
    expr = f"sum {_OF_APP} (increase(reconciler_{what}_total{{{CHOSEN}}}[$__rate_interval]))"
    return graph(title, says, units.Short, query(expr, _NAMED), span=8, bars=True).interval("2m")


def _durations() -> Row:
    switch, confirmation = "reconciler_switch_duration_seconds", "reconciler_switch_confirmation_seconds"
    return Row(
        "How long did it take?",
        (
            _heat(
                "From commit to switch",
                switch,
                "Commit noticed to selector written. It is mostly the time that pods take to get ready, and that "
                "gates and windows were asked to take. All apps of the chosen daemons.",
            ),
            _heat(
                "From switch to confirmation",
                confirmation,
                "Selector written to EndpointSlices that show the new pods alone. More than a few seconds: the control "
                "plane lags behind. All apps of the chosen daemons.",
            ),
            *(_quantile("From commit to switch", switch, share, thresholds()) for share in (0.5, 0.95)),
            *(
                _quantile("From switch to confirmation", confirmation, share, thresholds((5, YELLOW), (30, RED)))
                for share in (0.5, 0.95)
            ),
        ),
    )


def _heat(title: str, metric: str, says: str) -> Panel:
    expr = f"sum by (le) (increase({metric}_bucket{{{DAEMONS}}}[$__rate_interval]))"
    return heat(title, says, units.Seconds, query(expr, "{{le}}", heat=True)).interval("2m")


def _quantile(title: str, metric: str, share: float, limits: ThresholdsConfig) -> Panel:
    """Over the whole time that is shown: releases are too rare for a quantile of minutes."""
    expr = f"histogram_quantile({share}, sum by (le) (increase({metric}_bucket{{{DAEMONS}}}[$__range])))"
    says = f"{share:.0%} of those in the time shown took no longer. Empty if there was none."
    return number(f"{title}, {share:.0%}", says, units.Seconds, query(expr, instant=True), limits, span=6)
