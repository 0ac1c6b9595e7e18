"""What is generated of the Helm chart: the table in its README, and the part of its schema that is the configuration's.

The table is made from the comments of values.yaml: one that begins with `# --` says what the value below it is, as
helm-docs has it. The schema of `config` is that of the configuration file, so that `helm install` refuses a misspelt
field before anything reaches the cluster. What the chart itself decides is no part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

CHART = "helm/reconciler"
DECIDED = ("monitoring",)
"""Fields of the configuration that the chart alone writes: it has values of its own for them."""

_DESCRIBED = "# -- "


def table(values: str) -> str:
    """A Markdown table of all values in the text of a values.yaml: name, default (as JSON), description.

    Raises:
        ValueError: a value is not described.
    """
    lines = values.splitlines()
    rows = (
        f"| `{name}` | `{json.dumps(_plain(node), ensure_ascii=False)}` | {said.replace('|', chr(92) + '|')} |"
        for name, node, said in _described(yaml.compose(values), lines, "")
    )
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _described(mapping: yaml.Node | None, lines: Sequence[str], prefix: str) -> Iterator[tuple[str, yaml.Node, str]]:
    assert isinstance(mapping, yaml.MappingNode)
    for key, node in mapping.value:
        name = f"{prefix}{key.value}"
        said = _comment_above(lines, key.start_mark.line)
        if said:
            yield name, node, said
        elif isinstance(node, yaml.MappingNode) and node.value:
            yield from _described(node, lines, f"{name}.")
        else:
            raise ValueError(f"values.yaml, line {key.start_mark.line + 1}: {name} has no comment that begins with --")


def _comment_above(lines: Sequence[str], line: int) -> str:
    """The text after `# --` in the comment that ends above `line` (counted from 0), joined; '' if there is none."""
    said: list[str] = []
    for each in reversed(lines[:line]):
        text = each.strip()
        if not text.startswith("#"):
            break
        if text.startswith(_DESCRIBED):
            return " ".join([text.removeprefix(_DESCRIBED), *said])
        said.insert(0, text.lstrip("# "))
    return ""


def _plain(node: yaml.Node) -> Any:
    return yaml.safe_load(yaml.serialize(node))


def with_config(values_schema: str, config_schema: str) -> str:
    """The chart's schema, that of the configuration file put in: as `properties.config`, its `$defs` at the root."""
    outer, inner = json.loads(values_schema), json.loads(config_schema)
    outer["$defs"] = inner.pop("$defs")
    inner.pop("$schema")
    inner["properties"] = {name: each for name, each in inner["properties"].items() if name not in DECIDED}
    outer["properties"]["config"] = inner
    return json.dumps(outer, indent=2) + "\n"


def with_versions(chart: str, version: str) -> str:
    """The text of a Chart.yaml that says `version` of the chart and of the daemon: they are released together."""
    chart = re.sub(r"^version: .*$", f"version: {version}", chart, flags=re.MULTILINE)
    return re.sub(r"^appVersion: .*$", f'appVersion: "{version}"', chart, flags=re.MULTILINE)
