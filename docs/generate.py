"""Writes the documents that are generated from the code, or says which of them are stale.

    python -m docs.generate            writes them
    python -m docs.generate --check    writes nothing; exits with 1 if one is stale, and names it

What is generated: docs/events.md (`core.event`), docs/metrics.md (`adapters.metrics.catalog`), the phases in
ARCHITECTURE.md (`core.phase`), and config/reconciler.schema.json and config/app.schema.json (`app.settings`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # for `python docs/generate.py`

from reconciler.adapters.metrics import catalog  # noqa: E402
from reconciler.app.settings import app_schema, schema  # noqa: E402
from reconciler.core import event, phase  # noqa: E402

BEGIN, END = "<!-- phases:begin -->", "<!-- phases:end -->"


def generated(root: Path = ROOT) -> Mapping[str, str]:
    """What every generated document should hold: path below `root` → text."""
    architecture = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return {
        "docs/events.md": event.document(),
        "docs/metrics.md": catalog.document(),
        "ARCHITECTURE.md": between_markers(architecture, phases()),
        "config/reconciler.schema.json": schema(),
        "config/app.schema.json": app_schema(),
    }


def stale(root: Path = ROOT) -> list[str]:
    """Paths of the generated documents that do not hold what they should."""
    return [name for name, text in generated(root).items() if _text_of(root / name) != text]


def write(root: Path = ROOT) -> list[str]:
    """Writes what is stale. Returns the paths written."""
    texts = generated(root)
    written = stale(root)
    for name in written:
        (root / name).write_text(texts[name], encoding="utf-8")
    return written


def between_markers(text: str, section: str) -> str:
    """`text` with `section` between the markers. Raises ValueError unless each marker is there once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"ARCHITECTURE.md must hold {BEGIN} and {END} once each")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section}{END}{after}"


def phases() -> str:
    """The phases as a Mermaid diagram and as a table, in Markdown."""
    lines = ["```mermaid", phase.diagram(), "```", ""]
    lines += ["| phase | at rest | means | next |", "| --- | --- | --- | --- |"]
    for each, meaning in phase.PHASES.items():
        following = "<br>".join(f"`{then}`: {why}" for then, why in meaning.next.items())
        at_rest = "yes" if meaning.settled else ""
        lines.append(f"| `{each}` | {at_rest} | {meaning.says} | {following} |")
    return "\n".join(lines) + "\n"


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description="Writes the generated documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if one is stale")
    if parser.parse_args(arguments).check:
        for name in (found := stale(root)):
            print(f"{name} is stale: run `make docs`", file=sys.stderr)
        return 1 if found else 0
    for name in write(root):
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
