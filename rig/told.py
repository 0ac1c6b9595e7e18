"""What daemons say: events in order, and how to find one among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]


def moment(event: Event) -> float:
    """When a daemon said it, in epoch seconds."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


class Told:
    """Events so far, of one daemon or of several."""

    __slots__ = ()

    @property
    def events(self) -> Sequence[Event]:
        """All events so far, in the order in which they came here."""
        raise NotImplementedError

    def mark(self) -> int:
        """The number of events so far: for `since`."""
        return len(self.events)

    def find(self, name: str, *, since: int = 0, **fields: Any) -> list[Event]:
        """The events of that name and with those fields, from the number `since` on."""
        wanted = {"event": name, **fields}
        return [each for each in self.events[since:] if wanted.items() <= each.items()]

    def names(self, *, since: int = 0, **fields: Any) -> list[str]:
        """The names of all events with those fields, in order."""
        return [str(each["event"]) for each in self.events[since:] if fields.items() <= each.items()]

    def story(self, since: int = 0) -> str:
        """What was said last, from the event number `since` on, for a failure's message."""
        raise NotImplementedError
