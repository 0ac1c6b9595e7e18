"""Every metric of the reconciler's own: one table, from which docs/metrics.md is generated.

Names follow Prometheus' conventions ("Metric and label naming"): base units, `_total` for what only grows. No label has
values that Git, the cluster or a stranger can make up without end; what there is of `app` and `source` goes with the
app or source itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """The metric's type, as Prometheus calls it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Spec:
    """One row. `advice`: when to look at it, and what to do; `buckets` are upper bounds in the metric's unit."""

    type: Type
    labels: tuple[str, ...]
    says: str
    advice: str
    buckets: tuple[float, ...] = ()

    @property
    def help(self) -> str:
        """What it says, without Markdown."""
        return self.says.replace("`", "")


_APP = ("app", "namespace")

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""What takes milliseconds, and has a time-out of 10 s."""
_PROMOTION = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""A revert to a warm revision takes milliseconds, a promotion as long as pods and checks do."""
_CONFIRMATION = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

METRICS: Mapping[str, Spec] = {
    "reconciler_build_info": Spec(
        Type.GAUGE, ("version",), "Always 1; `version` is the reconciler's.", "Join with it to see an upgrade roll out."
    ),
    "reconciler_reconcile_duration_seconds": Spec(
        Type.HISTOGRAM,
        ("result",),
        "How long an app's turn took: see, plan, and do what the plan says. `result`: `ok` or `failed`.",
        "`failed` that goes on: the events `app_invalid`, `app_blocked` and `app_failed` say which app and why. Slow: "
        "look at the API server's own latency.",
        _FAST,
    ),
    "reconciler_queue_depth": Spec(
        Type.GAUGE,
        (),
        "Apps that were woken and whose turn has not begun. Those that wait out a failure are not among them.",
        "Seconds above 0: the daemon lacks CPU. Give it more, or share the apps out over more replicas.",
    ),
    "reconciler_queue_latency_seconds": Spec(
        Type.HISTOGRAM,
        (),
        "From an app's wake-up to the beginning of its turn.",
        "As `reconciler_queue_depth`.",
        _FAST,
    ),
    "reconciler_source_age_seconds": Spec(
        Type.GAUGE,
        ("source",),
        "Since the source was last read with success; before that, since it was begun. Of a suspended one it grows.",
        "Several times its `interval`: commits are not noticed. The event `source_failed` says why.",
    ),
    "reconciler_source_failures_total": Spec(
        Type.COUNTER, ("source",), "Looks at the source that failed, each try counted.", "The event `source_failed`."
    ),
    "reconciler_app_phase": Spec(
        Type.GAUGE,
        (*_APP, "phase"),
        "1 for the phase that the app is in, 0 for every other one. All 0: not looked at yet.",
        "`rejected`, `degraded`, `drifted`, or long in `waiting`: somebody is needed; the app's events say for what.",
    ),
    "reconciler_switches_total": Spec(
        Type.COUNTER,
        _APP,
        "Moves of the app's traffic, rollbacks among them: events `switched`.",
        "Mark them in the app's own graphs.",
    ),
    "reconciler_rollbacks_total": Spec(
        Type.COUNTER,
        _APP,
        "Switches to a revision that was active before: events `rolled_back`.",
        "Every one is worth knowing the reason of.",
    ),
    "reconciler_rejections_total": Spec(
        Type.COUNTER,
        _APP,
        "Revisions that failed: events `rejected`.",
        "The event `rejected` says what failed. A new commit tries again.",
    ),
    "reconciler_last_switch_timestamp_seconds": Spec(
        Type.GAUGE,
        _APP,
        "When the app's traffic last moved, also before a restart of the daemon. Absent if it never did.",
        "For annotations, and for `time() - …`.",
    ),
    "reconciler_switch_duration_seconds": Spec(
        Type.HISTOGRAM,
        (),
        "From the claim of the revision for a commit until the write that moves traffic was answered: `duration` of "
        "`switched`.",
        "Mostly the app's own start-up and checks. Of a revert to a warm revision it is the write alone.",
        _PROMOTION,
    ),
    "reconciler_switch_confirmation_seconds": Spec(
        Type.HISTOGRAM,
        (),
        "From that write until EndpointSlices show the new pods alone: `duration` of `switch_confirmed`.",
        "Slow: the cluster's endpoint controller is.",
        _CONFIRMATION,
    ),
    "reconciler_api_requests_total": Spec(
        Type.COUNTER,
        ("verb", "resource", "code"),
        "Requests to the API server, in the words of its audit log; `apply` is a server-side apply. `resource` is "
        "`other` for further kinds that are not built in, `discovery` for lists of kinds. `code` is the HTTP status, "
        "or `error` if there was no answer.",
        "403: a permission is missing, and an event names it. 409 now and then is usual. 429, 5xx and `error`: look at "
        "the API server.",
    ),
    "reconciler_api_request_duration_seconds": Spec(
        Type.HISTOGRAM,
        ("verb",),
        "Until the answer began; of `watch`, until it was accepted.",
        "Every switch is one such request.",
        _FAST,
    ),
    "reconciler_watch_restarts_total": Spec(
        Type.COUNTER,
        ("resource",),
        "Watches that ended by an error, each try counted. One that the API server ended in peace is none.",
        "The event `cluster_unreachable`. Steadily growing while that is not told: something between daemon and API "
        "server cuts connections.",
    ),
    "reconciler_events_total": Spec(
        Type.COUNTER,
        ("event", "level"),
        "Events told, by name: [events.md](events.md).",
        "`bug` and `task_hung` should never be seen.",
    ),
    "reconciler_members": Spec(
        Type.GAUGE,
        (),
        "Live members of the group, as this one sees it. Absent without high availability.",
        "Fewer than replicas: look at the missing one. Members that disagree for long: at their connection to the API "
        "server.",
    ),
    "reconciler_apps_owned": Spec(
        Type.GAUGE, (), "Apps that this daemon looks after.", "The sum over all members is the number of apps."
    ),
}


def document() -> str:
    """docs/metrics.md, as Markdown."""
    lines = [_INTRODUCTION, "| metric | type | labels | means | what to do |", "| --- " * 5 + "|"]
    for name, spec in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        lines.append(f"| `{name}` | {spec.type} | {labels} | {spec.says} | {spec.advice} |")
    histograms = [(name, spec.buckets) for name, spec in METRICS.items() if spec.buckets]
    lines += ["", "## Buckets", "", "| histogram | upper bounds, in seconds |", "| --- | --- |"]
    lines += [f"| `{name}` | {', '.join(f'{bound:g}' for bound in buckets)} |" for name, buckets in histograms]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """# Metrics

Generated by `make docs` from `reconciler/adapters/metrics/catalog.py`: do not edit.

With [`monitoring`](configuration.md#monitoring) in the configuration, `/metrics` shows what is below, as Prometheus'
text or as OpenMetrics, whichever `Accept` names first. The probes at the same port are in [probes.md](probes.md).

- Times are in seconds. A histogram has `_bucket`, `_sum` and `_count`.
- `app` and `namespace` are of apps that this daemon looks after now. An app that leaves takes its series with it; so do
  sources. Counters of an app begin at 0 when the daemon is started, or takes the app over: use `rate()`, `increase()`.
- All other labels have values out of fixed lists. There are 16 series for each app, 2 for each source, a few
  hundred for the daemon as a whole.
- The same text is shown for a second, however many ask.
- There are also `process_*` (memory, CPU, file descriptors) and `python_*` of Python's Prometheus client.
"""
