"""Every event that the reconciler can emit: one table, from which docs/events.md is generated.

An event's name is in the past tense; its fields are a subset of `FIELDS`. To emit an unlisted event, or a field
that the table does not give it, is a bug, and fails at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """The log level of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


FIELDS: Mapping[str, str] = {
    "app": "name of the app",
    "namespace": "namespace of the app's objects",
    "version": "desired version, as the version file in Git says it",
    "revision": "short hash of the app's name, version, pod template and configuration",
    "colour": "blue or green: the slot that the revision holds",
    "commit": "full id of the commit that asked for it",
    "duration": "seconds since the step began; the event's row says which step",
    "lead_time": "seconds from the commit that first asked for the revision to its switch; absent for a rollback, and "
    "if the commit's time is not known",
    "reason": "why, in words",
    "from_revision": "revision that the selector pointed to before; null for the first release",
    "from_version": "version that the selector pointed to before; null for the first release",
    "phase": "phase of the app now (see ARCHITECTURE.md)",
    "from_phase": "phase of the app before; null after a start",
    "object": "kind and name of the object",
    "objects": "kinds and names of the objects",
    "differences": "list of {field, wanted, found, by}, `by` the field manager that changed it; "
    "no values of Secrets, ConfigMaps and environment variables",
    "replicas": "wanted number of pods",
    "source": "name of the source in the configuration",
    "url": "address of the repository, without credentials",
    "ref": "what is followed: `branch main`, `tag v1.0.0`, `tags 1.x`, `commit 9b1f…`",
    "branch": "branch that is followed, if it is one",
    "tag": "tag that was found, if a tag or a range of versions is followed",
    "to_commit": "commit that the ref leads to now",
    "from_commit": "commit that the ref led to before; null after a start",
    "retry_in": "seconds until the next try",
    "untouched": "what was deliberately left as it was",
    "todo": "what to do about it",
    "file": "path of the configuration file",
    "path": "path in the repository of the file that describes the app",
    "apps": "number of apps in the configuration",
    "sources": "number of sources",
    "daemon_version": "version of the reconciler",
    "kind": "kind of object that is watched",
    "receiver": "name of the webhook's receiver; empty where none can be told",
    "address": "HOST:PORT that is listened on",
    "count": "how many of this kind since it was last told",
    "task": "what the daemon was doing: `app NAME`, `source NAME`, `watch NAMESPACE`, `sweep NAMESPACE`, `check NAME`, "
    "`channel NAME`",
    "check": "name of the check",
    "stage": "`prePromotionAnalysis` (before the switch) or `postPromotionAnalysis` (after it)",
    "measured": "what a check measured last: a status, a value, the end of a log",
    "member": "name of this daemon among those that share the apps: its Lease's",
    "members": "names of the members that are alive",
    "holder": "the process that looks after the app: its member's name, and a word for this life of it, "
    "and how often it has taken over an app",
    "from_holder": "the process that did before; null if none did",
    "channel": "name of the channel in `notifications` of the configuration",
}

_WHO = ("app", "namespace", "version", "revision", "colour", "commit")
_WHY = ("reason", "untouched", "todo")
_SOURCE = ("source", "url", "ref", "branch")
_CHECK = ("check", "stage", "measured", "reason")


@dataclass(frozen=True, slots=True)
class Spec:
    """One row of the table. `on_service`: also written as a Kubernetes Event on the app's Service."""

    says: str
    fields: tuple[str, ...]
    level: Level = Level.INFO
    on_service: bool = False


EVENTS: Mapping[str, Spec] = {
    "started": Spec("The daemon runs.", ("daemon_version", "file", "apps", "sources")),
    "stopped": Spec("The daemon ended as it was told to. `duration`: how long it ran.", ("reason", "duration")),
    "config_reloaded": Spec("A changed configuration is in force.", ("file", "apps", "sources")),
    "config_rejected": Spec(
        "A changed configuration is unusable; the old one stays in force.", ("file", *_WHY), Level.ERROR
    ),
    "source_updated": Spec(
        "The ref leads to another commit. `duration`: the look at the repository.",
        (*_SOURCE, "tag", "commit", "from_commit", "duration"),
    ),
    "source_failed": Spec(
        "The repository cannot be read, or `commit` must not be acted upon; every app goes on with the last good one.",
        (*_SOURCE, "commit", "retry_in", *_WHY),
        Level.ERROR,
    ),
    "source_recovered": Spec(
        "The repository can be read again. `duration`: how long it could not.",
        (*_SOURCE, "commit", "duration"),
    ),
    "source_suspended": Spec(
        "The repository is not asked, as the configuration says.", (*_SOURCE, "commit", *_WHY), Level.WARNING
    ),
    "history_rewritten": Spec(
        "The ref leads to a commit that did not come after the one before (a force push, or unrelated history). It is "
        "followed.",
        (*_SOURCE, "commit", "from_commit", *_WHY),
        Level.WARNING,
    ),
    "history_refused": Spec(
        "The same, but `onForcePush: refuse` forbids to follow it: `from_commit` stays in force.",
        (*_SOURCE, "commit", "from_commit", *_WHY),
        Level.ERROR,
    ),
    "monitoring_opened": Spec("`/livez`, `/readyz` and `/metrics` are answered at this address.", ("address",)),
    "webhook_opened": Spec("Webhooks are listened to at this address.", ("address",)),
    "webhook_received": Spec("A sender that knows the secret woke the source.", ("receiver", "source")),
    "webhook_refused": Spec(
        "A request was refused before anything was done about it; told once a minute for each reason.",
        ("receiver", "count", "reason"),
        Level.WARNING,
    ),
    "app_invalid": Spec(
        "What Git says of the app at this commit cannot be used; nothing was changed.",
        ("app", "namespace", "commit", *_WHY),
        Level.ERROR,
        on_service=True,
    ),
    "app_discovered": Spec(
        "A file in the repository describes an app that was not looked after before.",
        ("app", "namespace", "source", "commit", "path"),
    ),
    "app_orphaned": Spec(
        "Git no longer has the app, or it may not be looked after any more; its objects stay and serve.",
        ("app", "namespace", "source", "commit", "path", *_WHY),
        Level.WARNING,
    ),
    "deletion_begun": Spec(
        "Git (or the configuration) no longer has the app, and its deletionPolicy is `delete`: its Services go first.",
        ("app", "namespace", "source", "commit", "path", "reason"),
        Level.WARNING,
        on_service=True,
    ),
    "deletion_held": Spec(
        "The same, but it is not deleted for now.",
        ("app", "namespace", "source", "commit", "path", *_WHY),
        Level.WARNING,
        on_service=True,
    ),
    "deletion_ended": Spec(
        "The app came back before it was deleted. What is still there of it goes on.", (*_WHO, "reason"), Level.WARNING
    ),
    "app_deleted": Spec(
        "Nothing is left of a removed app. `duration`: since this daemon saw that it is to be deleted.",
        ("app", "namespace", "source", "commit", "path", "duration", "reason"),
        Level.WARNING,
    ),
    "suspended": Spec("`suspend` is set: nothing is changed for the app.", ("app", "namespace", "reason")),
    "resumed": Spec("`suspend` is not set any more: the app is looked after again.", ("app", "namespace")),
    "app_blocked": Spec(
        "Something in the cluster is in the way that is not ours to change.",
        (*_WHO, *_WHY),
        Level.ERROR,
        on_service=True,
    ),
    "app_failed": Spec("A step failed and is tried again.", (*_WHO, "retry_in", *_WHY), Level.WARNING),
    "phase_changed": Spec("The app is in another phase.", (*_WHO, "phase", "from_phase", "reason")),
    "adopted": Spec(
        "An object that was made by hand was taken over: it got our labels, and nothing else was changed.",
        (*_WHO, "object"),
    ),
    "approval_awaited": Spec(
        "The revision has passed all checks, and waits for `reconciler approve` (or the approval file).",
        (*_WHO, *_WHY),
        on_service=True,
    ),
    "window_awaited": Spec(
        "The revision could be switched to, but no release window is open. `reason` says when the next one is.",
        (*_WHO, "reason"),
    ),
    "analysis_passed": Spec(
        "The analysis after the switch is over, and nothing failed. `duration`: since the switch was confirmed.",
        (*_WHO, "duration", "reason"),
        on_service=True,
    ),
    "analysis_inconclusive": Spec(
        "The analysis after the switch is over; something could not be evaluated, and `inconclusive` is `proceed`.",
        (*_WHO, "duration", *_WHY),
        Level.WARNING,
        on_service=True,
    ),
    "analysis_failed": Spec(
        "The analysis after the switch failed, and there is no earlier revision to go back to.",
        (*_WHO, "duration", *_WHY),
        Level.ERROR,
        on_service=True,
    ),
    "analysis_ended": Spec("The analysis after the switch is not asked for any more.", (*_WHO, "duration", "reason")),
    "reverted_in_git": Spec(
        "A revert of the rejected version was committed and pushed. `commit`: the one that asked for it; `to_commit`: "
        "the revert.",
        (*_WHO, "to_commit", "reason"),
        on_service=True,
    ),
    "revert_overtaken": Spec(
        "Somebody committed before the revert could be pushed: what they want is looked at first.",
        (*_WHO, "reason"),
    ),
    "waiting_for": Spec("A promotion is not begun: apps that it depends on have not settled.", (*_WHO, "reason")),
    "revision_applied": Spec(
        "The desired revision's objects were created. `duration`: since the source's update was noticed.",
        (*_WHO, "object", "replicas", "duration"),
        on_service=True,
    ),
    "revision_reused": Spec("A revision that is still there was claimed for this commit.", (*_WHO, "object")),
    "revision_scaled": Spec(
        "The number of pods wanted of a revision was changed.", (*_WHO, "object", "replicas", "reason")
    ),
    "revision_unhealthy": Spec(
        "A pod of the revision being promoted is in trouble; traffic stays where it is. Each trouble once a release.",
        (*_WHO, "reason"),
        Level.WARNING,
    ),
    "revision_ready": Spec(
        "Every wanted pod of the desired revision is ready. `duration`: since it was claimed for this commit.",
        (*_WHO, "replicas", "duration"),
    ),
    "check_passed": Spec(
        "A check of the revision passed. `duration`: since the claim of the promotion, or since the switch was "
        "confirmed.",
        (*_WHO, *_CHECK, "duration"),
        on_service=True,
    ),
    "check_failed": Spec(
        "A check of the revision failed. `duration` as in `check_passed`.",
        (*_WHO, *_CHECK, "duration"),
        Level.ERROR,
        on_service=True,
    ),
    "check_inconclusive": Spec(
        "A check of the revision could not be evaluated, which is no pass. `duration` as in `check_passed`.",
        (*_WHO, *_CHECK, "duration"),
        Level.WARNING,
        on_service=True,
    ),
    "check_attempt_failed": Spec(
        "One measurement of a check did not succeed; the check goes on. Told ten times at most for each check.",
        (*_WHO, *_CHECK),
        Level.WARNING,
    ),
    "switched": Spec(
        "Traffic moved: the Service's selector, with those of the app's further Services, or the Ingress' backends. "
        "`objects`: what was moved, in that order. `duration`: from the claim of the revision for this commit until "
        "the patch was answered; absent where a Service was only led after the others.",
        (*_WHO, "from_revision", "from_version", "objects", "duration", "lead_time", "reason"),
        on_service=True,
    ),
    "rolled_back": Spec(
        "That switch went back to a revision that was active before. `duration` as in `switched`.",
        (*_WHO, "from_revision", "from_version", "duration", "reason"),
        on_service=True,
    ),
    "switch_taken_back": Spec(
        "One Service of several refused to be switched: those switched before it lead back where they did.",
        (*_WHO, "objects", "reason"),
        Level.ERROR,
        on_service=True,
    ),
    "switch_confirmed": Spec(
        "EndpointSlices show the new colour's ready pods alone. `duration`: since the switch.",
        (*_WHO, "duration", "reason"),
    ),
    "preview_moved": Spec(
        "The preview Service leads to another revision: to the one that is promoted, or while nothing is, to where "
        "`previewServiceWhenIdle` says. `version` and `colour` are absent if that revision is not there any more.",
        (*_WHO, "object", "from_revision", "reason"),
    ),
    "rejected": Spec(
        "The revision failed and is not tried again until Git changes. `duration`: since it was claimed.",
        (*_WHO, "duration", *_WHY),
        Level.ERROR,
        on_service=True,
    ),
    "rejection_cleared": Spec("A new commit made an earlier rejection moot.", (*_WHO, "reason")),
    "overtaken": Spec(
        "A promotion was overtaken by a newer commit; what it had started was deleted.",
        (*_WHO, "reason"),
    ),
    "leftovers_deleted": Spec(
        "Configuration of a revision whose Deployment and pods are gone was deleted.",
        ("app", "namespace", "revision", "commit", "reason"),
    ),
    "retired": Spec("An old colour was deleted.", (*_WHO, "reason"), on_service=True),
    "object_created": Spec("An object of a further kind was created.", (*_WHO, "object")),
    "pruned": Spec(
        "An object that is not in the templates any more was deleted.", (*_WHO, "object", "reason"), on_service=True
    ),
    "autoscaler_withdrawn": Spec(
        "The autoscaler of a colour that gets no traffic was deleted, so that the colour keeps its size.",
        (*_WHO, "object", "reason"),
    ),
    "object_updated": Spec(
        "Fields were changed in place, as Git or the configuration asks; no pod was restarted.",
        (*_WHO, "object", "differences"),
    ),
    "drift_repaired": Spec(
        "Fields that we own had been changed and were put back.",
        (*_WHO, "object", "differences"),
        Level.WARNING,
        on_service=True,
    ),
    "drift_refused": Spec(
        "The active pod template was edited by hand. To put it back would restart pods in service, so it is left.",
        (*_WHO, *_WHY),
        Level.WARNING,
        on_service=True,
    ),
    "degraded": Spec("Not one pod of the active revision is ready.", (*_WHO, *_WHY), Level.ERROR, on_service=True),
    "recovered": Spec("A pod of the active revision is ready again.", (*_WHO, "reason"), on_service=True),
    "cluster_unreachable": Spec(
        "A watch ended or was refused. Nothing is done in that namespace until what it holds is known again.",
        ("kind", "namespace", "retry_in", *_WHY),
        Level.ERROR,
    ),
    "cluster_reachable": Spec("Every watch of that namespace is up to date again.", ("namespace", "duration")),
    "events_refused": Spec(
        "Kubernetes Events may not be written in that namespace; told once. Everything else goes on.",
        ("namespace", *_WHY),
        Level.WARNING,
    ),
    "quotas_refused": Spec(
        "ResourceQuotas may not be listed there, so nobody can say whether a colour fits. The release goes on.",
        (*_WHO, *_WHY),
        Level.WARNING,
    ),
    "notification_failed": Spec(
        "A channel of the notifications cannot be used; told once. Everything else goes on.",
        ("channel", "retry_in", *_WHY),
        Level.WARNING,
    ),
    "notification_recovered": Spec(
        "It can be used again. `duration`: how long it could not. `count`: messages that were lost meanwhile.",
        ("channel", "duration", "count"),
    ),
    "membership_changed": Spec(
        "Another daemon of the group came or went: the apps are shared out anew. `reason` says who.",
        ("member", "members", "reason"),
    ),
    "lease_lost": Spec(
        "This daemon could not renew its Lease in time, or has none yet. Until it has one it changes nothing, and the "
        "other members look after its apps.",
        ("member", *_WHY),
        Level.WARNING,
    ),
    "lease_recovered": Spec(
        "It has its Lease again, and a share of the apps. `duration`: how long it had none.", ("member", "duration")
    ),
    "lease_left": Spec(
        "The Lease of a `member` that is gone could not be deleted. It is tried again from time to time.",
        ("member", *_WHY),
        Level.WARNING,
    ),
    "members_unseen": Spec(
        "The Leases of the group may not be listed or watched: this daemon goes on with its apps, but notices late, or "
        "not at all, that another comes or goes.",
        ("member", *_WHY),
        Level.WARNING,
    ),
    "app_taken_over": Spec(
        "This daemon looks after the app from now on: what a former one still sends for it will fail.",
        ("app", "namespace", "holder", "from_holder"),
    ),
    "task_hung": Spec(
        "A task was not heard of when it should have been, whatever Git or the API server do: `/livez` fails for it.",
        ("task", *_WHY),
        Level.ERROR,
    ),
    "bug": Spec(
        "Something happened that nobody foresaw. What it happened in begins anew; please report it.",
        ("task", "retry_in", "reason"),
        Level.ERROR,
    ),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: a name from `EVENTS`, and its fields."""

    name: str
    fields: Mapping[str, Any]

    @property
    def spec(self) -> Spec:
        """The row of the table."""
        return EVENTS[self.name]


def event(name: str, **fields: Any) -> Event:
    """An event by the table. Raises KeyError for an unlisted name, ValueError for a field that it does not have."""
    unlisted = fields.keys() - set(EVENTS[name].fields)
    if unlisted:
        raise ValueError(f"event {name} has no field {', '.join(sorted(unlisted))}")
    return Event(name, {key: fields[key] for key in EVENTS[name].fields if key in fields})


def document() -> str:
    """docs/events.md, as Markdown."""
    lines = [_INTRODUCTION, "| event | level | on the Service | means | fields |", "| --- " * 5 + "|"]
    for name, spec in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in spec.fields)
        on_service = "yes" if spec.on_service else ""
        lines.append(f"| `{name}` | {spec.level} | {on_service} | {spec.says} | {fields} |")
    lines += ["", "## Fields", "", "| field | holds |", "| --- | --- |"]
    lines += [f"| `{field}` | {says} |" for field, says in FIELDS.items()]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """# Events

Generated by `make docs` from `reconciler/core/event.py`: do not edit.

Every step leaves an event. Off a terminal each is one JSON object a line on standard output, with `timestamp`
(UTC, ISO 8601), `level` and `event` before the fields below; on a terminal the same is set in colour. Events
marked *on the Service* are Kubernetes Events too, so `kubectl describe service` tells the story. A field that does
not apply is absent. An event is written after its effect: a daemon killed between the two does the step once, and
may leave its event out; `switch_confirmed` and `phase_changed` then still say where the app is.
"""
