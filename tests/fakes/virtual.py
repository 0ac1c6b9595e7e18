"""An event loop whose time is not real: it jumps to the next moment at which something is to happen."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Waits for nothing: nobody here talks to the outside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and nothing will happen"
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._chosen = _Selector()
        super().__init__(self._chosen)

    def time(self) -> float:
        return self._chosen.now


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end, with time that takes none."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
