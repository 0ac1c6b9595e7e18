"""Prints the dashboard: `python -m dashboards`."""

from dashboards.board import document

print(document(), end="")
