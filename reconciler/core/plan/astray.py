"""Services that lead elsewhere than they were last switched to: a hand moved them, or they are new."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.action import Follow, Switch
from reconciler.core.front import route_of, same_route
from reconciler.core.plan.cutover import along, cut_over
from reconciler.core.plan.moved import moved_by_hand
from reconciler.core.plan.view import View, claim_of, is_fit, is_whole


def put_back(view: View) -> Switch | Follow | None:
    """While Git wants another revision, a route that a hand moved goes back to where it was last switched to."""
    if view.front is None or view.standing is None:
        return None
    of_active = replace(view, desired=view.standing, standing=None)
    if of_active.target is None or not is_whole(of_active) or not is_fit(of_active, of_active.target):
        return None
    if not same_route(view.front.route, route_of(view.standing.front)):
        back = cut_over(of_active, claim_of(of_active), moved_by_hand(view.front))
        return back if isinstance(back, Switch) else None
    return follow(of_active)


def follow(view: View) -> Follow | None:
    """Leads the further Services to the desired revision, which the active one leads to; None if they do."""
    moves = along(view)
    if not moves or view.target is None or not is_whole(view) or not is_fit(view, view.target):
        return None
    noted = view.memory.active
    to = noted if noted and noted.revision == view.desired.revision else view.as_active(view.now)
    moved = next((each for each in view.services if any(m.live and m.live.name == each.name for m in moves)), None)
    return Follow(moves, to, moved_by_hand(moved) if moved else "there was no such Service")
