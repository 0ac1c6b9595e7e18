"""What the one-shot commands print: tables and words for people, YAML for pipes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TextIO

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconciler.app.approve import Consent, described
from reconciler.app.oneshot import Sight
from reconciler.app.verdict import Verdict
from reconciler.core.health import explain
from reconciler.core.live import LiveRevision
from reconciler.core.model import Component, Manifest
from reconciler.core.observed import led_to
from reconciler.core.phase import PHASES, Phase
from reconciler.core.plan import View, forecast, retirement_due
from reconciler.errors import ReconcilerError

_STYLES = {
    Phase.STABLE: "green",
    Phase.RETAINING: "green",
    Phase.REJECTED: "red",
    Phase.DEGRADED: "red",
    Phase.DRIFTED: "yellow",
}

_KEPT = "has no pods; a revert to it scales it up"


def is_rejected(sight: Sight) -> bool:
    """Whether what Git wants was rejected."""
    return sight.plan is not None and sight.plan.phase is Phase.REJECTED


def is_in_trouble(sight: Sight) -> bool:
    """Whether a person has to see to it: rejected, or active without one ready pod."""
    return sight.plan is not None and sight.plan.phase in (Phase.REJECTED, Phase.DEGRADED)


def plans(sights: Iterable[Sight], console: Console) -> None:
    """Every app's phase, reason and actions."""
    for sight in sights:
        if sight.app.suspend:
            console.print(Text(f"{sight.app.name}  suspended: nothing is changed for it"))
        if sight.plan is None or sight.desired is None:
            continue
        made = sight.plan
        console.print(_headline(sight.app.name, sight.desired.version, sight.desired.revision, made.phase, made.reason))
        for number, action in enumerate(made.actions, start=1):
            console.print(Text(f"  {number}. {action}"))
        coming = _coming(sight)
        for number, step in enumerate(coming, start=len(made.actions) + 1):
            console.print(Text(f"  {number}. then: {step}", style="dim"))
        if not made.actions and not coming:
            when = f" before {_clock(made.wake_at)}" if made.wake_at else ""
            console.print(Text(f"  nothing to do{when}"))


def _coming(sight: Sight) -> tuple[str, ...]:
    """What follows a plan's actions, apart from a switch that is among them."""
    assert sight.desired is not None
    assert sight.observed is not None
    assert sight.plan is not None
    return forecast(sight.desired, sight.observed, sight.at, sight.plan.phase)


def statuses(sights: Iterable[Sight], console: Console) -> None:
    """One table: a row per revision of each app, the active one marked. Then where preview Services lead."""
    sights = tuple(sights)
    table = Table(box=None, pad_edge=False)
    for heading in ("APP", "PHASE", "WANTED", "REVISION", "VERSION", "COLOUR", "ROLE", "PODS", "SINCE", "NOTE"):
        table.add_column(heading, no_wrap=heading != "NOTE", overflow="fold")
    for sight in sights:
        app = _standing(sight)
        for cells in _revisions(sight) or [("-", "-", "-", "-", "-", "-", _reason(sight))]:
            # As `Text`, or Rich would read markup in what Git, the API server and containers say.
            table.add_row(*app, *map(Text, cells))
            app = (Text(), Text(), Text())
    console.print(table)
    for sight in sights:
        if preview := _preview(sight):
            console.print(Text(f"{sight.app.name}: {preview}"), soft_wrap=True)


def _preview(sight: Sight) -> str:
    """Where the preview Service leads; '' if the app has none, or it is not known."""
    name = sight.app.strategy.preview_service
    if not name or sight.observed is None:
        return ""
    live = sight.observed.preview
    if live is None:
        return f"preview Service {name} is not there"
    led = ", ".join(f"{each.revision} ({each.version})" for each in led_to(sight.observed, live))
    return f"preview Service {name} leads to {led or 'nothing'}"


def _standing(sight: Sight) -> tuple[Text, Text, Text]:
    """App, phase, and what Git wants."""
    name = Text(sight.app.name)
    if sight.app.suspend and sight.desired:
        return name, Text("suspended", style="yellow"), Text(sight.desired.version)
    if sight.plan is None or sight.desired is None:
        return name, Text("unknown", style="red"), Text("?")
    style = _STYLES.get(sight.plan.phase, "cyan")
    return name, Text(sight.plan.phase.value, style=style), Text(sight.desired.version)


def _reason(sight: Sight) -> str:
    if sight.error:
        return sight.error.located
    return sight.plan.reason if sight.plan else ""


def _revisions(sight: Sight) -> list[tuple[str, ...]]:
    if sight.observed is None:
        return []
    front = sight.observed.front
    rows: list[tuple[str, ...]] = []
    for live in sight.observed.revisions:
        role = _role(sight, live)
        memory = front.memory if front else None
        active = memory.active if memory and memory.active and memory.active.revision == live.revision else None
        note = {"warm": _leaves(sight, live), "kept": _KEPT}.get(role) or _reason(sight)
        since = _clock(active.since) if active else ""
        pods = explain(live).partition(";")[0].removesuffix(" pods ready")
        rows.append((live.revision, live.version, live.colour.value, role, pods, since, note))
    return rows


def _leaves(sight: Sight, live: LiveRevision) -> str:
    """When a warm colour may go."""
    if sight.desired is None or sight.observed is None:
        return ""
    due = retirement_due(View(sight.desired, sight.observed, sight.at), live)
    return f"kept until {_clock(due)}" if due else "kept until the switch is confirmed"


def _role(sight: Sight, live: LiveRevision) -> str:
    assert sight.observed is not None
    front = sight.observed.front
    if front and any(each.revision == live.revision for each in led_to(sight.observed, front)):
        return "active"
    if sight.desired and live.revision == sight.desired.revision:
        return "rejected" if is_rejected(sight) else "preview"
    former = front.memory.former(live.revision) if front else None
    if former and live.replicas == 0 and sight.app.strategy.revision_history_limit:
        return "kept"
    return "warm" if former else "leaving"


def verdicts(sights: Iterable[Sight], console: Console) -> None:
    """One line for every app that renders."""
    for sight in sights:
        if sight.desired and not sight.error:
            wanted = sight.desired
            line = Text.assemble(("ok ", "green"), f"{sight.app.name}  {wanted.version}  revision {wanted.revision}")
            console.print(line)


def as_json(found: Iterable[Verdict], out: TextIO) -> None:
    """Every finding of `validate`, as a list."""
    out.write(json.dumps([asdict(each) for each in found], indent=2) + "\n")


def manifests(sights: Iterable[Sight], out: TextIO) -> None:
    """The rendered objects as a YAML stream that kubectl could read."""
    for sight in sights:
        if sight.desired:
            wanted = sight.desired
            preview = (wanted.preview,) if wanted.preview else ()
            documents = [
                *wanted.configs,
                *map(_with_replicas, wanted.components),
                *preview,
                *wanted.fronts,
                *wanted.extras,
            ]
            yaml.safe_dump_all(documents, out, sort_keys=False, explicit_start=True)


def _with_replicas(component: Component) -> Manifest:
    manifest = component.manifest
    return {**manifest, "spec": {"replicas": component.replicas, **manifest["spec"]}}


def failures(sights: Iterable[Sight], console: Console) -> None:
    """What could not be read or done, app by app."""
    for sight in sights:
        if sight.error:
            problem(sight.error, console, f"app {sight.app.name}")


def notes(sights: Iterable[Sight], console: Console) -> None:
    """What could not be found out, app by app: no failure."""
    for sight in sights:
        if sight.note:
            line = Text.assemble(("note ", "bold yellow"), f"app {sight.app.name}: {sight.note}")
            console.print(line, soft_wrap=True)


def problem(error: ReconcilerError, console: Console, about: str = "") -> None:
    """One error: what and where, what was left untouched, what to do."""
    where = f"{about} [{error.where}]" if about and error.where not in ("", about) else about or error.where
    # An error without a place of its own has several, one a line.
    faults = [f"{where}: {error.what}"] if where else error.what.split("\n")
    for fault in faults:
        console.print(Text.assemble(("error ", "bold red"), fault), soft_wrap=True)
    for line in (error.untouched, error.todo):
        if line:
            console.print(Text(f"      {line}"), soft_wrap=True)


def consent(given: Consent, console: Console) -> None:
    """What was approved or withdrawn, what that is bound to, and what comes next."""
    desired, approval = given.desired, given.approval
    verb = "withdrawn" if given.withdrawn else "approved before" if given.already else "approved"
    console.print(Text.assemble((f"{verb} ", "green"), f"{desired.app.name}  {described(desired)}"), soft_wrap=True)
    lines = [f"The approval was given {approval}"] if given.withdrawn or given.already else [f"Given by {approval.by}"]
    if given.user not in ("", approval.by):
        lines.append(f"The API server knows you as {given.user}, and that is what its audit log says")
    if not given.withdrawn:
        lines.append("It counts for this revision and this commit alone: after another commit it is to be given again")
    lines.append(_next(given))
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)


def _next(given: Consent) -> str:
    made, app = given.sight.plan, given.sight.app
    if app.suspend:
        return "The app is suspended: traffic moves only once it is not any more"
    if given.withdrawn:
        return "Traffic stays where it is until it is approved again, unless the daemon has moved it just now"
    now = f" Now: {made.phase.value}{f', {made.reason}' if made.reason else ''}" if made else ""
    return f"The daemon moves traffic to it as soon as nothing else is to be waited for.{now}"


def _headline(app: str, version: str, revision: str, phase: Phase, reason: str) -> Text:
    style = _STYLES.get(phase, "cyan")
    line = Text.assemble((app, "bold"), f"  {version} ({revision})  ", (phase.value, style), f": {PHASES[phase].says}")
    return line.append(f"\n  {reason}" if reason else "")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M:%SZ")
