"""The built-in templates as files of an app's own repository, so that tests can change them."""

from __future__ import annotations

from reconciler.app.builtin import builtin_templates


def own_templates(**replaced: str) -> dict[str, str]:
    """Path → text of every built-in template, for a folder `templates`. `replaced`: name without suffix → text."""
    files = {each.name.rpartition("/")[2]: each.text for each in builtin_templates()}
    files |= {f"{name}.yaml": text for name, text in replaced.items()}
    return {f"templates/{name}": text for name, text in files.items()}
