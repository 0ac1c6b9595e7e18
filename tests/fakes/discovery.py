"""A source that discovers its apps, and how they are described."""

from __future__ import annotations

from reconciler.app.discovery import Found, parse_app_file
from reconciler.app.settings_source import SourceSettings
from reconciler.core.gitref import branch
from reconciler.errors import Invalid

SOURCE = SourceSettings(
    "git",
    "https://git.example.com/shop.git",
    branch("main"),
    interval=3600.0,
    timeout=5.0,
    apps="apps/*/app.yaml",
    namespace="shop",
    namespaces=("shop", "back"),
)


def found(file: str, text: str = "") -> Found:
    """What `Discovery` makes of a file."""
    try:
        return Found(file, parse_app_file(text.encode(), file, SOURCE))
    except Invalid as error:
        return Found(file, fault=error)
