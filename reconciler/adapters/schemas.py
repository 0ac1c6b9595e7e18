"""Kubernetes' JSON Schemas, from the package kubernetes-validate: which fields objects have, and of which types.

The package's own `validate` reads 2 MB of definitions for each object, stops at the first fault, and shows values,
which may be secret. So only its data is used, and faults are put into words here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from reconciler.core.model import Manifest
from reconciler.core.text import did_you_mean
from reconciler.errors import Invalid
from reconciler.ports import SchemaFault

_EXTRA = "Install the extra `validate` from the checkout of this project: pip install '.[validate]'"


@dataclass(frozen=True, slots=True)
class KubernetesSchemas:
    """The schemas of one version of Kubernetes, in which unknown fields are faults."""

    version: str
    _folder: Path

    @classmethod
    def of(cls, version: str) -> KubernetesSchemas:
        """The schemas of `version`, like `1.34`. Raises `Invalid` if there are none, or the package is missing."""
        try:
            import_module("jsonschema")
            root = Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema"
        except ModuleNotFoundError:
            raise Invalid("the package kubernetes-validate is not installed", todo=_EXTRA) from None
        folder = root.joinpath(f"v{version.removeprefix('v')}.0-local-strict")
        if not folder.is_dir():
            known = sorted(name.split(".")[1] for each in root.iterdir() if (name := each.name).endswith("-strict"))
            told = ", ".join(f"1.{minor}" for minor in sorted(known, key=int))
            raise Invalid(f"there are no schemas of Kubernetes {version}", todo=f"Choose one of {told}")
        return cls(version, folder)

    def faults(self, manifest: Manifest) -> list[SchemaFault]:
        """Everything in `manifest` that this version of Kubernetes does not have or take, in the order of fields."""
        group, _, version = str(manifest["apiVersion"]).rpartition("/")
        name = "-".join(filter(None, (manifest["kind"].lower(), group.partition(".")[0], version)))
        found = [fault for error in _validator(self._folder, name).iter_errors(manifest) for fault in _told(error)]
        return sorted(found, key=lambda each: [str(key) for key in each.path])


@cache
def _validator(folder: Path, name: str) -> Any:
    jsonschema, referencing = import_module("jsonschema"), import_module("referencing")
    schema = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    registry = referencing.Resource.from_contents(schema) @ referencing.Registry()
    registry = _definitions(folder) @ registry
    return jsonschema.validators.Draft202012Validator(schema, registry=registry)


@cache
def _definitions(folder: Path) -> Any:
    contents = json.loads(folder.joinpath("_definitions.json").read_text(encoding="utf-8"))
    return import_module("referencing").Resource.from_contents(contents)


def _told(error: Any) -> Iterator[SchemaFault]:
    path, schema = tuple(error.absolute_path), error.schema
    known: Mapping[str, Any] = schema.get("properties") or {}
    if error.validator == "additionalProperties":
        for key in error.instance.keys() - known.keys():
            yield SchemaFault((*path, key), f"is not a field that this Kubernetes has{did_you_mean(key, known)}")
    elif error.validator == "required":
        for key in set(schema["required"]) - error.instance.keys():
            yield SchemaFault(path, f"`{key}` is missing")
    elif error.validator == "type":
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        yield SchemaFault(path, f"must be of type {' or '.join(each for each in types if each != 'null')}")
    elif error.validator == "enum":
        yield SchemaFault(path, f"must be one of {', '.join(map(str, schema['enum']))}")
    else:
        yield SchemaFault(path, f"is not what Kubernetes takes here (`{error.validator}` of its schema)")
