"""The rows about the daemon: does it hear of Git, keep up, reach the cluster; who is at work, at what cost."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import units

from dashboards.panels import GREEN, RED, YELLOW, Row, graph, query, ranking, thresholds
from dashboards.release import DAEMONS


def rows() -> Sequence[Row]:
    """In the order in which one asks."""
    return (_git(), _work(), _cluster(), _members(), _process(), _told())


def _git() -> Row:
    return Row(
        "Does it hear of Git?",
        (
            graph(
                "Age of what is known of Git",
                "Time since each source was last read with success. It should stay below the source's `interval` "
                "and a bit. Apps go on with the last commit read. The event `source_failed` says why.",
                units.Seconds,
                query(f"max by (source) (reconciler_source_age_seconds{{{DAEMONS}}})", "{{source}}"),
                limits=thresholds((300, YELLOW), (900, RED)),
            ),
            graph(
                "Failed looks at Git",
                "Attempts that failed, per second. All sources at once: the network, a proxy, the Git host. One: its "
                "credentials, its host key, its branch.",
                units.OpsPerSecond,
                query(
                    f"sum by (source) (rate(reconciler_source_failures_total{{{DAEMONS}}}[$__rate_interval]))",
                    "{{source}}",
                ),
            ),
        ),
    )


def _work() -> Row:
    return Row(
        "Does it keep up?",
        (
            graph(
                "Queue",
                "Apps that were woken and whose turn has not begun. It is zero almost always; one that only grows "
                "means that the daemon does not get to work.",
                units.Short,
                query(f"sum by (instance) (reconciler_queue_depth{{{DAEMONS}}})", "{{instance}}"),
                span=8,
                limits=thresholds((10, YELLOW), (100, RED)),
            ),
            graph(
                "Wait for a turn",
                "Woken to turn begun. It adds to every switch.",
                units.Seconds,
                *_quantiles("reconciler_queue_latency_seconds"),
                span=8,
                limits=thresholds((1, YELLOW), (10, RED)),
            ),
            graph(
                "Turns",
                "What a cycle of one app takes: reading, planning, acting. `failed` ones are tried again with a "
                "growing delay.",
                units.Seconds,
                *_quantiles("reconciler_reconcile_duration_seconds", "result"),
                span=8,
                limits=thresholds((5, YELLOW), (30, RED)),
            ),
        ),
    )


def _cluster() -> Row:
    requests, took = f"reconciler_api_requests_total{{{DAEMONS}}}", "reconciler_api_request_duration_seconds"
    return Row(
        "Does it reach the cluster?",
        (
            graph(
                "Requests by code",
                "403: a permission is missing. 409: somebody else wrote first, which is harmless. 429: the API "
                "server sheds load. 5xx, or words: it is not well, or not reached.",
                units.RequestsPerSecond,
                query(f"sum by (code) (rate({requests}[$__rate_interval]))", "{{code}}"),
            ),
            graph(
                "Requests by verb",
                "Reading is by watches, so this is next to nothing while nothing is released.",
                units.RequestsPerSecond,
                query(f"sum by (verb) (rate({requests}[$__rate_interval]))", "{{verb}}"),
            ),
            graph(
                "Time of a request, 99%",
                "By verb, of what is not a watch.",
                units.Seconds,
                query(
                    "histogram_quantile(0.99, sum by (verb, le) (\n"
                    f'  rate({took}_bucket{{{DAEMONS},verb!="watch"}}[$__rate_interval])\n))',
                    "{{verb}}",
                ),
                limits=thresholds((1, YELLOW), (5, RED)),
            ),
            graph(
                "Watches begun again",
                "By resource. A watch that the API server ends after its time is no trouble; many at once, over and "
                "over, are.",
                units.OpsPerSecond,
                query(
                    f"sum by (resource) (rate(reconciler_watch_restarts_total{{{DAEMONS}}}[$__rate_interval]))",
                    "{{resource}}",
                ),
            ),
        ),
    )


def _members() -> Row:
    alone = f"reconciler_build_info{{{DAEMONS}}}"
    members = f"reconciler_members{{{DAEMONS}}} or on (job, instance) {alone}"
    return Row(
        "Who is at work?",
        (
            graph(
                "Members",
                "Live members of the group, as each of them counts. They agree, and are as many as there are replicas. "
                "Without high availability, each is its own.",
                units.Short,
                query(f"sum by (instance) ({members})", "{{instance}}"),
                span=8,
                limits=thresholds((1, GREEN), base=RED),
            ),
            graph(
                "Apps of each",
                "Every app has one owner. The sum only changes with the configuration; the shares, with the members.",
                units.Short,
                query(f"reconciler_apps_owned{{{DAEMONS}}}", "{{instance}}"),
                span=8,
                bars=True,
            ),
            graph(
                "Versions",
                "Replicas by version of the daemon. Two lines: an upgrade is under way.",
                units.Short,
                query(f"count by (version) (reconciler_build_info{{{DAEMONS}}})", "{{version}}"),
                span=8,
            ),
        ),
    )


def _process() -> Row:
    open_files = _own("process_open_fds") + "\n/\n" + _own("process_max_fds")
    return Row(
        "What does it cost?",
        (
            graph(
                "Memory",
                "Resident. It grows with apps and their pods, and is flat otherwise.",
                units.BytesIEC,
                query(_own("process_resident_memory_bytes"), "{{instance}}"),
                span=8,
            ),
            graph(
                "CPU",
                "Of one core. It works on one; near 1 it cannot keep up.",
                units.PercentUnit,
                query(f"rate(process_cpu_seconds_total{{{DAEMONS}}}[$__rate_interval]){_OF_OURS}", "{{instance}}"),
                span=8,
                limits=thresholds((0.7, YELLOW), (0.95, RED)),
            ),
            graph(
                "Open files",
                "Share of what the process may open. One that only grows is a leak.",
                units.PercentUnit,
                query(open_files, "{{instance}}"),
                span=8,
                limits=thresholds((0.5, YELLOW), (0.9, RED)),
            ),
        ),
    )


def _told() -> Row:
    by_event = f'sum by (event) (increase(reconciler_events_total{{{DAEMONS},level=~"warning|error"}}[$__range]))'
    return Row(
        "What does it say?",
        (
            graph(
                "Events by level",
                "How much it tells. The lines themselves are in the logs, one JSON object each.",
                units.EventsPerSecond,
                query(f"sum by (level) (rate(reconciler_events_total{{{DAEMONS}}}[$__rate_interval]))", "{{level}}"),
            ),
            ranking(
                "Warnings and errors, in the time shown",
                "A click leads to what the event means and what to do (troubleshooting.md).",
                units.Short,
                query(f"topk(10, {by_event})", "{{event}}", instant=True),
                ("What it means", "${docs}/troubleshooting.md#${__field.labels.event}"),
            ),
        ),
    )


_OF_OURS = f"\nand on (job, instance) reconciler_build_info{{{DAEMONS}}}"
"""`process_…` is what every program calls it: only those that are a reconciler."""


def _own(metric: str) -> str:
    return f"({metric}{{{DAEMONS}}}{_OF_OURS})"


def _quantiles(metric: str, *labels: str) -> Sequence[Dataquery]:
    """The median and the 99th percentile, by labels."""
    by, named = ", ".join(("le", *labels)), "".join(f" {{{{{label}}}}}" for label in labels)
    buckets = f"sum by ({by}) (rate({metric}_bucket{{{DAEMONS}}}[$__rate_interval]))"
    return [query(f"histogram_quantile({share}, {buckets})", f"{share:.0%}{named}") for share in (0.5, 0.99)]
