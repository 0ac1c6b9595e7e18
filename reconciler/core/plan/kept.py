"""Former revisions that are kept with no pods once their retention is over (`revisionHistoryLimit`).

Such a revision costs nothing but its objects, and is what a `git revert` brings back without anything being made anew.
It is scaled down under a field manager of its own, as what its commit rendered is not at hand: the next promotion's
apply takes the field over again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from reconciler.core.action import ScaleDown
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.memory import Active
from reconciler.core.model import ADOPTED, Manifest
from reconciler.core.objects import API_VERSIONS
from reconciler.core.plan.view import View, ref_of


def is_kept(view: View, revision: LiveRevision) -> bool:
    """Whether it is not deleted when its retention is over: it is among the latest of those that were active before and
    are still there, as many as the limit says."""
    latest = islice(_candidates(view), view.desired.app.strategy.revision_history_limit)
    return any(each.revision == revision.revision for each in latest)


def is_idle(view: View, revision: LiveRevision) -> bool:
    """Whether it is kept, and shall have no pods: nobody waits for anything of it."""
    return revision.replicas == 0 and is_kept(view, revision)


def is_spent(view: View, revision: LiveRevision) -> bool:
    """The same, and its last pod is gone: it takes nothing of the namespace's quotas that a new colour would need."""
    return is_idle(view, revision) and not revision.pods


def scaled_to_zero(view: View, revision: LiveRevision, reason: str) -> Iterator[ScaleDown]:
    """Takes the pods of a revision that is kept; each write is bound to the state that was seen."""
    for each in revision.workloads:
        if each.replicas > 0:
            who = each.revision, each.version, each.colour
            yield ScaleDown(*who, _without_pods(each, view.desired.app.namespace), ref_of(each), reason)


def _candidates(view: View) -> Iterator[Active]:
    """Former revisions that Git could go back to, newest first. Not one that failed after its switch; nor what was made
    by hand and adopted, which no commit renders."""
    for each in view.memory.history:
        there = view.observed.revision(each.revision)
        if there and not there.deleting and not each.failed and not each.revision.startswith(ADOPTED):
            yield each


def _without_pods(workload: Workload, namespace: str) -> Manifest:
    meta = {"name": workload.name, "namespace": namespace}
    identity = {"apiVersion": API_VERSIONS[workload.kind], "kind": workload.kind, "metadata": meta}
    return {**identity, "spec": {"replicas": 0}}
