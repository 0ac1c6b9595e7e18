"""What goes wrong for a reason that a person can act on: shown as a message, never as a traceback."""

from __future__ import annotations


class SandboxError(Exception):
    """A failure with a message for the person at the terminal, and, where it helps, the end of a log."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.log = log
