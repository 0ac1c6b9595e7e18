"""The built-in templates, for apps that bring none of their own."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from reconciler.core.model import Template


@cache
def builtin_templates() -> tuple[Template, ...]:
    """The built-in templates, sorted by name; the values they take are in `core.builtin_values`.

    They are the folder `manifests/`: of the package when it was installed from a wheel, of the checkout
    when it was not.
    """
    folder = _folder()
    return tuple(
        Template(f"manifests/{each.name}", each.read_text(encoding="utf-8"))
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".yaml")
    )


def _folder() -> Traversable:
    package = files("reconciler")
    installed = package.joinpath("manifests")
    return installed if installed.is_dir() else package.joinpath("..", "manifests")
