"""The preview Service: where it leads, when it moves, and for how long a switch waits after that.

kube-proxy programs changes at most once a second (its minSyncPeriod). Whatever touches a Service that it watches, or
such a Service's endpoints, in the second before a switch makes clients wait for that long. So the preview moves while a
revision is brought up, or once a switch has been confirmed, and never along with one. A headless Service kube-proxy
does not watch: after that nobody waits. Nor does a rollback wait for anything: it leaves the preview alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.action import Action, Apply, Preview, Prune, Purpose, RequireFree
from reconciler.core.front import route_of, same_route, selector_in, without_route
from reconciler.core.model import LABEL_REVISION, Desired, Manifest
from reconciler.core.observed import APPLY_MANAGER, Front, made_by_us
from reconciler.core.place import entries, holds
from reconciler.core.plan.manifests import annotated, identity_of, switch_manifest
from reconciler.core.plan.moved import moved_by_hand
from reconciler.core.plan.ports import clash, written_over
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.view import View, compared, is_known_good, is_whole, nobody_serves, ref_of, was_serving
from reconciler.core.preview import is_headless, read_note, write_note

SYNC_PERIOD = 1.0
"""Seconds for which kube-proxy may hold a change back after another one (its minSyncPeriod)."""
WHOLE_SECONDS = 1.0
"""How much later something can have been than it says: times of managedFields and conditions have no fraction."""
LAG = 0.5
"""Seconds that it may take from a pod's readiness to its endpoint, and from there to kube-proxy."""


def bring_up(view: View) -> tuple[Action, ...]:
    """Leads the preview to the desired revision, as soon as its workloads are there. A revision that was active before
    is not proved again: it is left alone until the switch is confirmed."""
    if view.desired.preview is None or _goes_back(view) or not is_whole(view):
        return ()
    return tuple(_lead(view, view.desired, f"{view.desired.version} is being promoted"))


def require_free(view: View) -> tuple[RequireFree, ...]:
    """That nobody else's Service has its name is known before a revision is begun. Where the active Service was deleted
    and something can stand in for it, nothing is asked: clients come first."""
    begun = view.target is not None or (view.front is None and view.observed.revisions)
    if view.desired.preview is None or view.observed.preview or begun:
        return ()
    return (RequireFree(view.desired.preview),)


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a switch waits, and until when (epoch seconds), if that is known."""

    why: str
    until: float | None = None


def before_switch(view: View) -> Wait | None:
    """What a switch to the desired revision, which is ready, has to wait for on account of the preview; None: nothing.

    `bring_up` leads it there once; what somebody else makes of it then keeps no switch from being made.
    """
    live = view.observed.preview
    if view.desired.preview is None or _goes_back(view) or nobody_serves(view):
        return None
    if _noted_revision(live) != view.desired.revision and bring_up(view):
        return Wait("every pod is ready; the preview Service is led there before the switch")
    until = quiet_from(view)
    if live is None or until is None or view.now >= until:
        return None
    return Wait(f"every pod is ready; kube-proxy still follows Service {live.name}, and would be late", until)


def quiet_from(view: View) -> float | None:
    """From when on (epoch seconds) kube-proxy has nothing to do on account of the preview Service, which is not
    headless: a second after it was last written, and after the last pod behind it became ready. None: nobody has to
    wait for that. (An Ingress is not switched by kube-proxy.)"""
    live, target = view.observed.preview, view.target
    if live is None or target is None or is_headless(live.live) or _goes_back(view) or nobody_serves(view):
        return None
    if view.front and view.front.kind == "Ingress":
        return None
    led = target.revision in {each.revision for each in view.led_to(live)}
    ready = (pod.ready_since for pod in target.pods if pod.ready and led)
    return max(live.moved_at, *ready, 0.0) + WHOLE_SECONDS + LAG + SYNC_PERIOD


def idle(view: View) -> tuple[tuple[Action, ...], float | None]:
    """Keeps the preview while nothing is promoted, and when (epoch seconds) there is something to do for it.

    The switch comes first: nothing is done before it has been confirmed for a second.
    """
    wanted = (*_at_rest(view), *_leftovers(view))
    if not wanted or view.memory.confirmed_at is None:
        return (), None
    due = view.memory.confirmed_at + SYNC_PERIOD
    return (wanted, None) if view.now >= due else ((), due)


def leads_to(service: Front | None) -> str:
    """The revision that a preview Service's selector names; '' for none."""
    return service.selector.get(LABEL_REVISION, "") if service else ""


def _goes_back(view: View) -> bool:
    """Whether the desired revision was active before, so that a switch to it is a rollback or a repair."""
    return was_serving(view) or is_known_good(view)


def _at_rest(view: View) -> Iterator[Action]:
    """Where it belongs while nothing is promoted: on the active revision, or where it was last led to. One that is new
    or that nobody has led anywhere goes to the active one in any case."""
    home = view.desired if view.desired_is_active else view.standing
    if view.desired.preview is None or home is None:
        return
    live = view.observed.preview
    noted = read_note(live.live) if live else None
    if noted is None or view.desired.app.strategy.preview_idles_on_active:
        yield from _lead(view, home, "nothing is promoted")
        return
    known = (each for each in (view.desired, view.standing) if each and each.revision == noted[LABEL_REVISION])
    if there := next(known, None):
        yield from _lead(view, there, "its selector's form changed in the templates")
    else:
        yield from _lead(view, home, "", noted)


def _lead(view: View, to: Desired, reason: str, selector: Mapping[str, str] | None = None) -> Iterator[Action]:
    """One step towards the preview Service as `to` has it: it is made or made anew, moved, and then whatever else of it
    is put right. With `selector`, it leads there instead.

    It is made with its selector, which the manager of the rest lets go of as soon as the preview's own has it: to a
    headless Service without one Kubernetes gives addresses of both families, and with these it could never get one.
    """
    live, rendered = view.observed.preview, to.preview
    assert rendered is not None
    if live is None:
        yield Apply(rendered, Purpose.RELEASE)
        return
    if live.live["metadata"].get("deletionTimestamp"):
        return
    if is_headless(live.live) != is_headless(rendered):
        yield Prune(ref_of(live), "pruned", "whether a Service has an address of its own cannot be changed")
        return
    route = {"selector": selector} if selector else route_of(rendered)
    if not same_route(live.route, route) or read_note(live.live) != selector_in(route):
        yield _move(view, live, selector_in(route), reason)
        return
    manifest, found = compared(view, without_route(rendered), live.live)
    if found:
        yield Apply(manifest, purpose_of(found), ref_of(live), found, over=_over(rendered, live))
    elif any(e.get("manager") == APPLY_MANAGER and holds(e, ("spec", "selector")) for e in entries(live.live)):
        yield Apply(manifest, Purpose.NOTE, ref_of(live))


def _move(view: View, live: Front, selector: Mapping[str, str], reason: str) -> Preview:
    revision, noted = selector[LABEL_REVISION], read_note(live.live)
    there = view.observed.revision(revision)
    there_already = same_route(live.route, {"selector": selector})
    return Preview(
        service=ref_of(live),
        manifest=annotated(switch_manifest(identity_of(live), None, {"selector": selector}), write_note(selector)),
        revision=revision,
        version=there.version if there else None,
        colour=there.colour if there else None,
        source="" if there_already else leads_to(live),
        reason=moved_by_hand(live) if noted == selector and not there_already else reason,
    )


def _over(rendered: Manifest, live: Front) -> Manifest | None:
    """What no apply could write: see `ports`."""
    ports = written_over(rendered, live) if clash(rendered, live) else []
    return switch_manifest(identity_of(live), None, {}, ports) if ports else None


def _leftovers(view: View) -> Iterator[Prune]:
    """A preview Service that the configuration does not name any more. Where the desired revision is active, it goes as
    any other Service that left the templates."""
    for each in () if view.desired_is_active else view.strays:
        if each.kind == "Service" and read_note(each.live) and made_by_us(each.live):
            yield Prune(ref_of(each), "pruned", "it is the preview Service no more")


def _noted_revision(live: Front | None) -> str:
    noted = read_note(live.live) if live else None
    return noted[LABEL_REVISION] if noted else ""
