"""The active revision is still on trial, and Git wants another one already: it is watched all the same.

A newer commit overtakes a promotion at any step, but it may be a while until its own revision is let through. Meanwhile
clients are on a revision that has not stood its analysis: if that fails, traffic goes back as it would have.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.action import Action, CreateFront, Follow, Switch
from reconciler.core.phase import Phase
from reconciler.core.plan.confirm import confirmed, has_arrived
from reconciler.core.plan.trial import Trial, ended, go_back, trial_of
from reconciler.core.plan.view import Plan, View


def watched(view: View, made: Plan) -> Plan:
    """`made`, the plan for what Git wants, with what is to be done about the active revision's trial."""
    active = view.memory.active
    if view.standing is None or view.front is None or active is None or not active.on_trial or view.desired_is_active:
        return made
    return _with_trial(replace(view, desired=view.standing, standing=None), made)


def watched_alone(view: View) -> Plan:
    """What is to be done about the trial of the active revision, which is `view.desired`, and nothing else: for when it
    cannot be told what Git wants."""
    active, nothing = view.memory.active, Plan(Phase.WATCHING)
    on_trial = active is not None and active.on_trial and active.revision == view.desired.revision
    return _with_trial(view, nothing) if on_trial else nothing


def _with_trial(of_active: View, made: Plan) -> Plan:
    front, trial = of_active.front, trial_of(of_active)
    if trial is None or front is None or not of_active.desired_is_active:
        return made
    if trial.failed:
        back = go_back(of_active, front, trial.reason)
        made = replace(made, reason=back.reason, actions=back.actions) if back.actions and not _moves(made) else made
    elif noted := _noted(of_active, trial):
        made = made if _moves(made) else replace(made, actions=noted)
    wake_at = min(filter(None, (made.wake_at, trial.wake_at)), default=None)
    return replace(made, checks=made.checks | trial.checks, wake_at=wake_at)


def _moves(made: Plan) -> bool:
    """Whether traffic leaves the revision anyway."""
    return any(isinstance(each, Switch | CreateFront | Follow) for each in made.actions)


def _noted(view: View, trial: Trial) -> tuple[Action, ...]:
    """That the switch has arrived, or that the trial is over."""
    active, front = view.memory.active, view.front
    assert active is not None
    assert front is not None
    if view.memory.confirmed_at is None:
        arrived, reason = has_arrived(view, active.revision, active.version)
        return (confirmed(view, front, reason, view.memory.rejection),) if arrived else ()
    return (ended(view, front, trial),) if trial.over else ()
