"""Moves traffic: several Services one right after the other, and all of them or none."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.action import CreateFront, Follow, Move, Switch
from reconciler.core.model import Manifest
from reconciler.core.observed import SWITCH_MANAGER
from reconciler.errors import Blocked, Invalid
from reconciler.ports import Cluster


class Refused(Exception):
    """A Service was refused for good; those moved before are back where they were."""

    def __init__(self, error: Blocked | Invalid, taken_back: tuple[str, ...]) -> None:
        super().__init__(error.what)
        self.error, self.what, self.taken_back = error, error.what, taken_back


@dataclass(frozen=True, slots=True)
class _Done:
    move: Move
    stored: Manifest


async def move(cluster: Cluster, action: CreateFront | Switch | Follow) -> Manifest | None:
    """Carries out the writes of `action`, the one with the memory last; returns what that stored, None for a `Follow`.

    Raises:
        Refused: the API server will not have one of them.
        Transient, Conflict: one failed for now. Those done stand, and the next cycle does the rest.
    """
    match action:
        case Follow():
            moves = action.moves
        case CreateFront():
            moves = (*action.along, Move(action.manifest))
        case Switch():
            moves = (*action.along, Move(action.manifest, action.front, action.over))
    done: list[_Done] = []
    for each in moves:
        try:
            done.append(_Done(each, await _write(cluster, each)))
        except (Blocked, Invalid) as error:
            raise Refused(error, await _take_back(cluster, done)) from error
    return None if isinstance(action, Follow) else done[-1].stored


async def _write(cluster: Cluster, move: Move) -> Manifest:
    if move.live is None:
        return await cluster.create(move.manifest, SWITCH_MANAGER)
    write = cluster.overwrite if move.over else cluster.apply
    return await write(move.manifest, SWITCH_MANAGER, move.live)


async def _take_back(cluster: Cluster, done: list[_Done]) -> tuple[str, ...]:
    """What was new stays: it leads to pods that are ready, and nobody used it before."""
    moved = [each for each in reversed(done) if each.move.live and each.move.back]
    for each in moved:
        assert each.move.live is not None
        assert each.move.back is not None
        live = replace(each.move.live, resource_version=each.stored["metadata"]["resourceVersion"])
        await _write(cluster, Move(each.move.back, live, each.move.over))
    return tuple(each.move.object for each in moved)
