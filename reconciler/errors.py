"""Every failure the reconciler knows, sorted by what has to change before a retry makes sense.

::

    ReconcilerError            what is wrong, where, what was left untouched, what to do
    ├── Transient              the world outside (network, API server, Git host): time heals it
    ├── Conflict               somebody else wrote first: look again at once, then decide afresh
    └── Permanent              the same input gives the same failure: wait until the input changes
        ├── Invalid            Git or the configuration says something unusable (exit code 3)
        │   └── Unverified     a commit's signature does not hold; an earlier commit may still be in force
        └── Blocked            the cluster holds something in the way that is not ours to change
            └── Forbidden      a permission is missing

An adapter raises only these. Whatever else escapes is a bug, and is caught in one place: the loop.
"""

from __future__ import annotations

_LONGEST = 20_000
"""Characters of one part of an error: enough for a configuration full of problems, one a line."""


class ReconcilerError(Exception):
    """A failure told so that its reader can act on it.

    Args:
        what: the fault in one sentence without a full stop.
        where: the file:line, object or field at fault, if there is one.
        untouched: what was deliberately left as it was.
        todo: what the reader should do about it.

    All four are made fit for a terminal and a log: names that come from Git may hold anything.
    """

    def __init__(self, what: str, *, where: str = "", untouched: str = "", todo: str = "") -> None:
        what, where, untouched, todo = map(printable, (what, where, untouched, todo))
        super().__init__(what, where, untouched, todo)
        self.what = what
        self.where = where
        self.untouched = untouched
        self.todo = todo

    @property
    def located(self) -> str:
        """What is wrong, after where it is."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return ". ".join(part for part in (self.located, self.untouched, self.todo) if part)


class Transient(ReconcilerError):
    """Time may heal it. `retry_after` is the least wait in seconds that the other side asked for."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        untouched: str = "",
        todo: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, where=where, untouched=untouched, todo=todo)
        self.retry_after = retry_after


class Conflict(ReconcilerError):
    """A conditional write found that the object is no longer what the decision was made from."""


class Permanent(ReconcilerError):
    """Nothing but a changed input makes this succeed."""


class Invalid(Permanent):
    """Git or the configuration holds something that cannot be used."""


class Unverified(Invalid):
    """The branch's tip `commit` must not be acted upon. `in_force` was accepted before it, and may be; '': none was."""

    def __init__(
        self, what: str, *, where: str = "", untouched: str = "", todo: str = "", commit: str, in_force: str
    ) -> None:
        super().__init__(what, where=where, untouched=untouched, todo=todo)
        self.commit = commit
        self.in_force = in_force


class Blocked(Permanent):
    """The cluster holds something in the way which this daemon neither created nor adopted."""


class Forbidden(Blocked):
    """`user`, as RBAC knows it, has no permission to do that; '' if the API server did not say who."""

    def __init__(self, what: str, *, where: str = "", untouched: str = "", todo: str = "", user: str = "") -> None:
        super().__init__(what, where=where, untouched=untouched, todo=todo)
        self.user = user


def printable(text: str) -> str:
    """Without control characters, and with an end; line ends stay."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
