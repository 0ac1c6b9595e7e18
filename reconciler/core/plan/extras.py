"""Objects of further kinds: when each is applied, and when it goes (ADR 20).

A coloured one lives as its revision's ConfigMaps do: `early` applies it before the workload, and it is retired with the
rest. What there is of the active revision alone, `tend` applies once its switch is confirmed: the shared objects, so
that a promotion disturbs nobody, and the autoscaler, so that no idle colour is sized by its idleness. It prunes, too.

The *inventory*, a part of the Service's memory, names every kind that objects of ours may be of and that is watched on
demand: further kinds, and Secrets. It is written before the first object of a kind is, so that a restart finds what
left the templates meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Apply, Prune, Purpose, Ref, Remember
from reconciler.core.diff import Difference
from reconciler.core.further import followed, is_autoscaler, noted_on, of_active, of_colour
from reconciler.core.model import PREFIX, App, Desired, Manifest
from reconciler.core.observed import Config, Observed, made_by_us
from reconciler.core.plan.manifests import remember
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.view import View, compared, ref_of
from reconciler.core.policy import NEEDED_TO_START, is_allowed, is_followed, kind_name, resource_of

_KEPT = (PREFIX + "prune", "disabled")
"""An annotation of whoever wants an object to outlive its template, as Flux has it."""


def early(view: View) -> Iterator[Apply]:
    """What has to be there before the desired revision's pods: its coloured objects, and of the shared ones those
    without which no pod starts. These are made if they are missing, and else left as the active revision has them. Once
    the desired revision is that, and its switch confirmed, `tend` or `kept` sees to them."""
    new = Purpose.RELEASE if view.target is None else Purpose.REPAIR
    for each in of_colour(view.desired):
        yield from _applied(view, each, new)
    if view.desired_is_active and view.memory.confirmed_at is not None:
        return
    for each in of_active(view.desired):
        if kind_name(resource_of(each)) in NEEDED_TO_START and _live(view, each) is None:
            yield Apply(each, new)


def kept(view: View) -> Iterator[Apply]:
    """What there is of the active revision alone, put back as the desired revision has it, which is the active one."""
    for each in of_active(view.desired):
        yield from _applied(view, each, Purpose.REPAIR)


def tend(view: View) -> tuple[Apply | Prune, ...]:
    """All that follows a confirmed switch to the desired revision. Another colour's autoscaler goes first: it would
    shrink that one, which a revert may need."""
    applies = (each for wanted in of_active(view.desired) for each in _applied(view, wanted, Purpose.RELEASE))
    return (*_idle_autoscalers(view), *applies, *_pruned(view), *_pruned_services(view))


def ahead(desired: Desired, observed: Observed) -> tuple[Apply, ...]:
    """What `tend` will apply once the desired revision is active."""
    return tuple(kept(View(desired, observed, 0.0)))


def note_before(view: View) -> Remember | None:
    """The inventory with the desired revision's kinds, if one of them is not in it; None without a Service, whose
    creation writes it."""
    missing = followed(view.desired) - view.memory.inventory
    if not view.front or not missing:
        return None
    inventory = view.memory.inventory | missing
    return remember(view.front, replace(view.memory, inventory=inventory), "", f"{', '.join(sorted(missing))} is used")


def note_after(view: View) -> Remember | None:
    """The inventory as it is once nothing of ours is left of a kind: it need not be watched any more. A kind that is
    not allowed any more is not looked at, so it stays."""
    known, app = view.memory.inventory, view.desired.app
    seen = frozenset(each.kind for each in _all(view) if is_followed(each.kind))
    hidden = {each for each in known if not is_allowed(app, each)}
    used = followed(view.desired) | seen | hidden | _of_workloads(view.observed)
    if not view.front or used == known:
        return None
    reason = f"kinds in use: {', '.join(sorted(used)) or 'none'}"
    return remember(view.front, replace(view.memory, inventory=used), "", reason)


def known_kinds(app: App, observed: Observed) -> frozenset[str]:
    """The kinds on demand, as resources, that objects of ours may be of by what the cluster says; all of them
    allowed."""
    noted = observed.front.memory.inventory if observed.front else frozenset()
    return frozenset(each for each in noted | _of_workloads(observed) if is_allowed(app, each))


def _of_workloads(observed: Observed) -> frozenset[str]:
    return frozenset(kind for each in observed.workloads for kind in noted_on(each.live))


def _applied(view: View, manifest: Manifest, new: Purpose) -> Iterator[Apply]:
    there = _live(view, manifest)
    if there is None:
        yield Apply(manifest, new)
    elif not there.deleting:
        wanted, found = compared(view, manifest, there.live)
        if real := tuple(each for each in found if not _is_namespace(each)):
            yield Apply(wanted, purpose_of(real), ref_of(there), real)


def _is_namespace(found: Difference) -> bool:
    """A cluster-scoped object has none; no other can be found in another one than the app's."""
    return found.path == "metadata.namespace"


def _idle_autoscalers(view: View) -> Iterator[Prune]:
    wanted = {_identity(resource_of(each), each["metadata"]["name"]) for each in of_active(view.desired)}
    for each in view.observed.configs:
        if is_autoscaler(each.live) and not each.deleting and _identity(each.kind, each.name) not in wanted:
            yield Prune(_ref(each), "autoscaler_withdrawn", "its colour gets no traffic")


def _pruned(view: View) -> Iterator[Prune]:
    """By kind and name, whatever the version: one object shows in every version that is watched."""
    wanted = {_identity(resource_of(each), each["metadata"]["name"]) for each in view.desired.extras}
    reason = f"the templates of {view.desired.version} do not have it"
    gone: set[tuple[str, str]] = set()
    for each in view.observed.shared:
        identity = _identity(each.kind, each.name)
        if identity not in wanted | gone and not each.deleting and not _is_kept(each.live):
            gone.add(identity)
            yield Prune(_ref(each), "pruned", reason)


def _pruned_services(view: View) -> Iterator[Prune]:
    """Further Services that left the templates. One that was the active one under its former name has a memory: clients
    may still use it, and it stays until somebody deletes it."""
    for each in view.strays:
        further = each.kind == "Service" and each.memory.active is None and made_by_us(each.live)
        if further and not _is_kept(each.live):
            yield Prune(ref_of(each), "pruned", f"the templates of {view.desired.version} do not have it")


def _is_kept(live: Manifest) -> bool:
    return bool((live["metadata"].get("annotations") or {}).get(_KEPT[0]) == _KEPT[1])


def _identity(resource: str, name: str) -> tuple[str, str]:
    return kind_name(resource), name


def _live(view: View, manifest: Manifest) -> Config | None:
    wanted = resource_of(manifest), manifest["metadata"]["name"]
    return next((each for each in _all(view) if (each.kind, each.name) == wanted), None)


def _all(view: View) -> tuple[Config, ...]:
    return (*view.observed.configs, *view.observed.shared)


def _ref(each: Config) -> Ref:
    return ref_of(each)
