"""Writes the documents that are generated from the code, or says which of them are stale.

    python -m docs.generate            writes them
    python -m docs.generate --check    writes nothing; exits with 1 if one is stale, and names it

What is generated: docs/events.md (`core.event`), docs/metrics.md (`adapters.metrics.catalog`), the phases in
ARCHITECTURE.md (`core.phase`), the schemas in config/ (`app.settings`), helm/reconciler/files/dashboard.json
(`dashboards`), what is said of permissions in README.md, docs/operations.md and the chart (`core.access`), and of the
chart what `docs.chart` says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # for `python docs/generate.py`

from dashboards import board  # noqa: E402
from docs import access, chart  # noqa: E402
from reconciler import __version__  # noqa: E402
from reconciler.adapters.metrics import catalog  # noqa: E402
from reconciler.app.settings import app_schema, schema  # noqa: E402
from reconciler.core import event, phase  # noqa: E402


def generated(root: Path = ROOT) -> Mapping[str, str]:
    """What every generated document should hold: path below `root` → text."""
    return {
        "docs/events.md": event.document(),
        "docs/metrics.md": catalog.document(),
        "ARCHITECTURE.md": _filled(root, "ARCHITECTURE.md", {"phases": phases()}),
        "README.md": _filled(root, "README.md", {"role": access.role(), "accounts": access.roles_with_account()}),
        "docs/operations.md": _filled(root, "docs/operations.md", {"access": access.table()}),
        "helm/reconciler/files/rules.yaml": access.chart_rules(),
        "config/reconciler.schema.json": schema(),
        "config/app.schema.json": app_schema(),
        "helm/reconciler/files/dashboard.json": board.document(),
        **_of_the_chart(root),
    }


def stale(root: Path = ROOT) -> list[str]:
    """Paths of the generated documents that do not hold what they should."""
    return [name for name, text in generated(root).items() if _text_of(root / name) != text]


def write(root: Path = ROOT) -> list[str]:
    """Writes what is stale. Returns the paths written."""
    texts = generated(root)
    written = stale(root)
    for name in written:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(texts[name], encoding="utf-8")
    return written


def between_markers(text: str, section: str, name: str) -> str:
    """`text` with `section` between the markers of that name. Raises ValueError unless each is there once."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document must hold {begin} and {end} once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{section}{end}{after}"


def _filled(root: Path, path: str, sections: Mapping[str, str]) -> str:
    """The document with its generated sections, by the names of their markers."""
    text = (root / path).read_text(encoding="utf-8")
    for name, section in sections.items():
        text = between_markers(text, section, name)
    return text


def _of_the_chart(root: Path) -> Mapping[str, str]:
    values = (ROOT / chart.CHART / "values.yaml").read_text(encoding="utf-8")
    manual, values_schema, about = (
        f"{chart.CHART}/{name}" for name in ("README.md", "values.schema.json", "Chart.yaml")
    )
    return {
        manual: _filled(root, manual, {"values": chart.table(values)}),
        values_schema: chart.with_config((root / values_schema).read_text(encoding="utf-8"), schema()),
        about: chart.with_versions((root / about).read_text(encoding="utf-8"), __version__),
    }


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
