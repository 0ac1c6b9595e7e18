"""The queries of docs/analysis-queries.md, so that what is written there is what was tried."""

from __future__ import annotations

import re
from pathlib import Path

_DOCUMENT = Path(__file__).parents[3] / "docs" / "analysis-queries.md"
_WINDOW = "[1m]"


def for_the_daemon(heading: str, *, window: str = "5s") -> str:
    """The query under a heading, over a window that suits a test; its variables are the daemon's to put in."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(heading)}$.*?^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found and _WINDOW in found[1], f"no query over {_WINDOW} under {heading!r} in {_DOCUMENT.name}"
    return found[1].replace(_WINDOW, f"[{window}]")


def documented(heading: str, *, window: str = "5s", **values: str) -> str:
    """The same with the variables put in."""
    query = for_the_daemon(heading, window=window)
    for name, value in values.items():
        query = query.replace(f"{{{{ {name} }}}}", value)
    assert "{{" not in query, f"a variable without a value: {query}"
    return query
