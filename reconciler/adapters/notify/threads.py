"""Work that blocks, with a time limit, off the event loop.

No thread of Python can be ended from outside. One that outlives its limit is left behind, and so that they do not
pile up, nothing more is begun once there are `HANGING`. They are daemon threads: the process ends without them, which
a `ThreadPoolExecutor` would not let it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.errors import ReconcilerError, Transient

HANGING = 3

T = TypeVar("T")


@dataclass(slots=True)
class Threads:
    """The threads of one channel, called `name`. For one event loop."""

    name: str
    _hanging: set[asyncio.Future[Any]] = field(default_factory=set)

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """What `work` gives, in a thread of its own. Raises what `work` raises of `ReconcilerError`.

        Raises:
            Transient: it took longer than `seconds`, or failed in any other way, or too many hang already.
        """
        if len(self._hanging) >= HANGING:
            raise Transient(f"{HANGING} earlier tries hang still", todo="Find out why the service does not answer")
        future = self._begun(work)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(future)
        except TimeoutError:
            self._hanging.add(future)
            future.add_done_callback(self._hanging.discard)
            raise Transient(f"took longer than {seconds:g} s", todo="Find out why the service is slow") from None

    def leave(self, work: Callable[[], None]) -> None:
        """Has `work` done in a thread, and does not wait for it or look what comes of it."""
        self._begun(work)

    def _begun(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(_seen)

        def deliver(settle: Callable[[Any], None], outcome: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: None if future.done() else settle(outcome))

        def run() -> None:
            try:
                result = work()
            except ReconcilerError as error:
                deliver(future.set_exception, error)
            except Exception as error:  # noqa: BLE001 - code of a hundred services; its words may hold the address
                deliver(future.set_exception, Transient(f"fails with {type(error).__name__}"))
            else:
                deliver(future.set_result, result)

        threading.Thread(target=run, name=self.name, daemon=True).start()
        return future


def _seen(future: asyncio.Future[Any]) -> None:
    """So that asyncio does not complain of a failure that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
