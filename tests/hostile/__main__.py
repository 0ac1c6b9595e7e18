"""Prints the table of `docs/git-hostile.md`."""

from tests.hostile import table

print(table())
