"""What the documents and the chart say of permissions, written from the one table in `reconciler.core.access`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core import access
from reconciler.core.access import ALWAYS, FEATURES, MEMBERS, NAMED, By

_FOR_CHART = """\
# Written from reconciler/core/access.py by `make docs`: do not edit. Feature → rules of a Role, in the namespaces of
# apps; those of `members` in the namespace of the release. Rules that need `resourceNames` are the templates' own.
"""
_HEAD = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: default}}
rules:
"""


def chart_rules() -> str:
    """`files/rules.yaml` of the chart."""
    lines = []
    for feature in (each for each in FEATURES if each not in NAMED):
        lines += [f"{feature}:", *map(_line, access.rules([feature]))]
    return _FOR_CHART + "\n".join(lines) + "\n"


def role() -> str:
    """The daemon's Role, and the rules that are added to it by what apps have."""
    further = [each for each in FEATURES if each not in NAMED | {ALWAYS, MEMBERS}]
    lines = [_HEAD.format(name="reconciler").rstrip("\n"), *map(_line, access.rules([ALWAYS])), "```", ""]
    lines += ["Add of these rules what your apps need:", "", "```yaml"]
    for feature in further:
        lines += [f"  # {FEATURES[feature]}:", *map(_line, access.rules([feature]))]
    return "```yaml\n" + "\n".join(lines) + "\n```\n"


def roles_with_account() -> str:
    """The Roles of the daemon and of an app's account, `web`, without and with what some apps need besides."""
    own = access.rules([ALWAYS, "accounts"], By.DAEMON, {"accounts": ["web"]})
    lines = [_HEAD.format(name="reconciler").rstrip("\n"), *map(_line, own), *_if_needed(By.DAEMON)]
    lines += ["---", _HEAD.format(name="web").rstrip("\n"), *map(_line, access.rules([ALWAYS], By.ACCOUNT))]
    return "```yaml\n" + "\n".join([*lines, *_if_needed(By.ACCOUNT)]) + "\n```\n"


def _if_needed(by: By) -> list[str]:
    lines = []
    for feature in (each for each in FEATURES if each not in NAMED | {ALWAYS, MEMBERS}):
        if found := access.rules([feature], by):
            lines += [f"  # {FEATURES[feature]}:", *map(_commented, map(_line, found))]
    return lines


def _commented(line: str) -> str:
    return f"  #{line.removeprefix('  ')}"


def table() -> str:
    """Every rule: who needs it, for what, and what it lets an attacker do."""
    lines: list[str] = []
    for feature, who in FEATURES.items():
        lines += [f"**`{feature}`**: {who}.{_named(feature)}", ""]
        lines += ["| resource | verb: needed for | who holds the token can | bounded by |", "| --- | --- | --- | --- |"]
        for each in access.of(feature):
            verbs = "<br>".join(f"`{verb.name}`: {verb.why}" for verb in each.verbs)
            resource = f"`{each.resource}.{each.group}`" if each.group else f"`{each.resource}`"
            lines.append(f"| {resource} | {verbs} | {each.allows} | {each.bounds} |")
        lines.append("")
    return "\n".join(lines)


def _named(feature: str) -> str:
    if feature in NAMED:
        return " Given with `resourceNames` only."
    return " In the daemon's own namespace." if feature == MEMBERS else ""


def _line(rule: Mapping[str, Any]) -> str:
    groups = [each or '""' for each in rule["apiGroups"]]
    parts = [f"apiGroups: [{', '.join(groups)}]"]
    parts += [f"{key}: [{', '.join(rule[key])}]" for key in ("resources", "verbs", "resourceNames") if key in rule]
    return f"  - {{{', '.join(parts)}}}"
