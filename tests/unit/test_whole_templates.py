"""Templates of an app of several workloads and Services that would render, and must not be released."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.core.model import App, Release, Template
from reconciler.core.render import identify
from reconciler.errors import Blocked, Invalid
from tests.fakes.whole import BY_INGRESS, BY_SERVICES, INGRESS, SERVICES, whole_world

_OWN = "  ports: [{port: 80, targetPort: http"


def release(files: Mapping[str, str], name: str, old: str, new: str) -> Release:
    assert old in files[name]
    changed = {**files, name: files[name].replace(old, new)}
    return Release("c" * 40, "v1.0.0", {"replicas": 2}, tuple(Template(*each) for each in changed.items()))


@pytest.mark.parametrize(
    ("app", "files", "name", "old", "new", "message"),
    [
        (BY_SERVICES, SERVICES, "a.yaml", "{name: http,", "{name: web,", "targetPort. is http, but no port of the"),
        (BY_INGRESS, INGRESS, "a-service.yaml", "http}", "http, nodePort: 30080}", "nodePort. cannot be had by two"),
        (BY_INGRESS, INGRESS, "a-service.yaml", _OWN, f"  clusterIP: 10.0.0.9\n{_OWN}", "clusterIP. cannot be had by"),
        (BY_SERVICES, SERVICES, "b-service.yaml", "part: b", "part: c", "selector. finds the pods of no workload"),
    ],
)
def test_what_could_not_work_is_refused(
    app: App, files: Mapping[str, str], name: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        identify(app, release(files, name, old, new))


def test_a_headless_service_of_a_revision_is_fine() -> None:
    assert identify(BY_INGRESS, release(INGRESS, "a-service.yaml", _OWN, f"  clusterIP: None\n{_OWN}"))


def test_a_name_that_is_taken_is_told_before_anything_is_applied() -> None:
    world = whole_world()
    world.release("v1.0.0")
    taken = {"kind": "Service", "metadata": {"name": "my-app-c", "namespace": "shop"}, "spec": {"selector": {"a": "b"}}}
    world.cluster.put(taken)
    world.files["templates/c.yaml"] = world.files["templates/b-service.yaml"].replace(b"my-app-b", b"my-app-c")
    world.commit("v2.0.0")
    world.daemon.poll()
    with pytest.raises(Blocked, match="was not made by this daemon"):
        world.daemon.settle()
    assert world.versions() == ["v1.0.0"]
