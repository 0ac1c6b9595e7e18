"""`crash-anywhere` for the whole story: checks, approval, switch, analysis, the way back, and the revert in Git.

The daemon dies before or after any one write, of which the push is one, and a new one goes on. Nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from reconciler.core.check import Check, Outcome, PostPromotion, PrePromotion
from reconciler.core.probe import HttpProbe
from reconciler.core.revert import REVERTS
from tests.fakes.world import APP, FakeDaemon, Killed, World

SMOKE, LOAD = Check("smoke", HttpProbe()), Check("load", HttpProbe(path="/load"))
ERRORS = Check("errors", HttpProbe(path="/errors"))
STRATEGY = replace(
    APP.strategy,
    preview_service="my-app-preview",
    pre_promotion=PrePromotion((SMOKE, LOAD)),
    auto_promotion=False,
    post_promotion=PostPromotion(60.0, (ERRORS,)),
    revert_in_git=True,
)
WRITES = 13
"""So many the undisturbed story takes, without the push."""


class Story:
    """v1.0.0 is active; v2.0.0 passes its checks, is approved, switched to, fails, is led back from, and reverted."""

    def __init__(self) -> None:
        self.world = World(replace(APP, strategy=STRATEGY))
        self.world.verdicts.outcomes = dict.fromkeys(("smoke", "load", "errors"), Outcome.PASSED)
        first = self.world.commit("v1.0.0")
        self.world.run()
        self.world.approve(self.revision("v1.0.0"), first)
        self.world.run()
        self.world.advance(100)
        self.world.run()
        assert self.world.active_version == "v1.0.0"
        self.world.verdicts.outcomes.clear()
        self.world.cluster.selector_writes.clear()
        self.world.cluster.writes.clear()
        self.deaths = 0

    def revision(self, version: str) -> str:
        return next(w.revision for w in self.world.observed.workloads if w.version == version)

    def play(self) -> None:
        world = self.world
        commit = world.commit("v2.0.0")
        self.live()
        for name in ("smoke", "load"):
            assert world.active_version == "v1.0.0"
            world.verdicts.outcomes[name] = Outcome.PASSED
            self.live()
        assert world.active_version == "v1.0.0"
        world.approve(self.revision("v2.0.0"), commit)
        self.live()
        assert world.active_version == "v2.0.0"
        world.verdicts.outcomes["errors"] = Outcome.FAILED
        self.live()
        assert world.active_version == "v1.0.0"
        for _ in range(2):
            world.advance(60)
            self.live()

    def live(self) -> None:
        """Until there is nothing left to do, over any number of deaths."""
        while True:
            known = set(self.passed())
            self.world.daemon.analyst.begun.clear()
            try:
                self.world.run()
            except Killed:
                self.deaths += 1
                self._nothing_again(known)
                self.world.restart()
            else:
                return self._nothing_again(known)

    def _nothing_again(self, known: set[str]) -> None:
        begun = {each.check.key for each in self.world.daemon.analyst.begun}
        assert not begun & known, "a check that is on record as passed was made again"

    def passed(self) -> Iterator[str]:
        """The keys of the checks that v2.0.0 has on record."""
        for each in self.world.observed.workloads:
            if each.version == "v2.0.0" and each.evidence:
                yield from each.evidence.passed

    def end(self) -> tuple[object, ...]:
        """What has to be the same whenever the daemon died."""
        front = self.world.observed.front
        assert front is not None
        memory, preview = front.memory, self.world.observed.preview
        former = [(each.version, each.failed) for each in memory.history]
        assert memory.active is not None and preview is not None
        now = memory.active.version, memory.active.on_trial, memory.confirmed_at is not None, memory.rejection
        delivered = [each.restored is not None for each in memory.deployments]
        return now, former, delivered, preview.selector, self.world.versions(), self.world.daemon.settle().phase


@pytest.fixture(scope="module")
def undisturbed() -> Story:
    story = Story()
    story.play()
    assert len(story.world.cluster.writes) == WRITES, "WRITES is to be as many, or some are not tried"
    return story


def _same(story: Story, undisturbed: Story) -> None:
    world = story.world
    assert story.deaths == 1, "the daemon did not die"
    good = undisturbed.world.cluster.selector_writes
    assert len(good) == 2
    assert world.cluster.selector_writes == good, "one switch, and one back"
    [(commit, told)] = world.repository.messages.items()
    assert world.repository.branches["main"] == commit, "one revert, and nothing on top of it"
    assert f"{REVERTS}: {world.repository.parents[commit]}" in told
    assert world.repository.commits[commit] == {"version": b"v1.0.0"}
    assert story.end() == undisturbed.end()


@pytest.mark.parametrize("moment", range(WRITES))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_write_it_comes_to_the_same_end(moment: int, when: str, undisturbed: Story) -> None:
    story = Story()
    setattr(story.world.cluster, f"kill_{when}", moment)
    story.play()
    _same(story, undisturbed)


@pytest.mark.parametrize("when", ["before_push", "after_push"])
def test_killed_while_it_pushes_it_comes_to_the_same_end(when: str, undisturbed: Story) -> None:
    story = Story()
    setattr(story.world.repository, when, _dies_once(story.world, when))
    story.play()
    _same(story, undisturbed)


def _dies_once(world: World, when: str) -> Callable[[], object]:
    def die() -> None:
        setattr(world.repository, when, lambda: None)
        raise Killed

    return die


def test_two_daemons_that_revert_at_the_same_moment_make_one_commit(undisturbed: Story) -> None:
    """The second comes to its push while the first is between its look at the branch and its own."""
    story = Story()
    world = story.world
    other = FakeDaemon(world)
    other.poll()
    other.settle()

    def both() -> None:
        world.repository.before_push = lambda: None
        other.poll()
        other.settle()

    world.repository.before_push = both
    story.play()
    story.deaths = 1
    _same(story, undisturbed)
    assert world.told.names().count("reverted_in_git") == 1
    assert world.told.names().count("revert_overtaken") == 1
