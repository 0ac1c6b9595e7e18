"""Which values the built-in templates take. The templates are in `manifests/`, described in its README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.core.text import did_you_mean
from reconciler.errors import Invalid

KNOWN: Mapping[str, type] = {
    "image": str,
    "imagePullPolicy": str,
    "replicas": int,
    "env": dict,
    "service": dict,
    "ports": dict,
    "readinessProbe": dict,
    "livenessProbe": dict,
    "resources": dict,
    "podAnnotations": dict,
    "minReadySeconds": int,
    "terminationGracePeriodSeconds": int,
    "preStopSleepSeconds": int,
    "podSecurityContext": dict,
    "securityContext": dict,
    "config": dict,
    "autoscaling": dict,
}
_INSIDE: Mapping[str, Mapping[str, type]] = {
    "service": {"type": str, "port": int, "nodePort": int},
    "ports": {"http": int, "probe": int, "metrics": int},
    "autoscaling": {
        "minReplicas": int,
        "maxReplicas": int,
        "targetCPUUtilizationPercentage": int,
        "targetMemoryUtilizationPercentage": int,
    },
}
_NOUNS = {str: "text", int: "a whole number", dict: "a mapping"}
_SCALARS = (str, int, float, bool, type(None))  # a null removes what is below it


Place = Callable[..., str]
"""From the keys that lead to a value to where it was written."""


def check(values: Mapping[str, Any], place: Place) -> None:
    """Refuses values that the built-in templates would ignore or could not use.

    Args:
        values: the configuration's and the version file's together.
        place: where the value at some keys was written, as errors shall say it.

    Raises:
        Invalid: an unknown key, a missing `image`, or a value of the wrong type.
    """
    if not values.get("image"):
        raise Invalid(
            "`values.image` is missing, and the built-in templates need it",
            where=place(),
            todo="Set it, as in `values: {image: registry.example.com/my-app}`",
        )
    _check_types(values, KNOWN, (), place)
    for key, known in _INSIDE.items():
        _check_types(values.get(key, {}), known, (key,), place)
    if "autoscaling" in values:
        _check_autoscaling(values["autoscaling"], place)
    for key in ("env", "config", "podAnnotations"):
        _check_scalars(values.get(key, {}), key, place)
    if "VERSION" in values.get("env", {}):
        what = "`values.env.VERSION` cannot be set: the release sets VERSION"
        raise Invalid(what, where=place("env", "VERSION"), todo="Remove it")


def _check_autoscaling(values: Mapping[str, Any], place: Place) -> None:
    """The API server's own rules, which a template could not say as plainly (HorizontalPodAutoscalerSpec)."""
    where, least = place("autoscaling"), values.get("minReplicas", 1)
    if "maxReplicas" not in values:
        raise Invalid("`values.autoscaling.maxReplicas` is missing", where=where, todo="Say how many pods at most")
    if not 1 <= least <= values["maxReplicas"]:
        raise Invalid("`values.autoscaling` must have 1 ≤ minReplicas ≤ maxReplicas", where=where)
    if not any(key.startswith("target") for key in values):
        what = "`values.autoscaling` says no target, so Kubernetes would choose one"
        raise Invalid(what, where=where, todo="Set targetCPUUtilizationPercentage, as in 80")


def _check_types(values: Mapping[str, Any], known: Mapping[str, type], inside: tuple[str, ...], place: Place) -> None:
    path = ".".join(("values", *inside))
    for key, value in values.items():
        where = place(*inside, key)
        if key not in known:
            raise Invalid(
                f"`{path}.{key}` is no value of the built-in templates{did_you_mean(key, known)}",
                where=where,
                todo=f"Known are {', '.join(known)}",
            )
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise Invalid(f"`{path}.{key}` must be {_NOUNS[known[key]]}", where=where)


def _check_scalars(values: Mapping[str, Any], inside: str, place: Place) -> None:
    for key, value in values.items():
        if not isinstance(value, _SCALARS):
            raise Invalid(f"`values.{inside}.{key}` must be text or a number", where=place(inside, key))
