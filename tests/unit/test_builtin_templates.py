"""The built-in templates give the classic example, all of it can be changed, and every mistake has a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.app.builtin import builtin_templates
from reconciler.app.observe import read_release
from reconciler.app.settings import parse_settings
from reconciler.core.builtin_values import KNOWN
from reconciler.core.model import App, Colour, Desired, Release, Slot, Strategy
from reconciler.core.render import identify, render
from reconciler.core.sandbox import Sandbox
from reconciler.errors import Invalid
from tests.fakes.git import FakeRepository

GOLDEN = Path(__file__).parent / "golden"
SLOT = Slot(Colour.BLUE, "c0ffee")
IMAGE = {"image": "registry.example.com/my-app"}
EVERYTHING: dict[str, Any] = {
    "image": "registry.example.com/my-app@sha256:" + "0" * 64,
    "imagePullPolicy": "Always",
    "replicas": 5,
    "env": {"GREETING": 'say "hi": # not a comment', "ON": True, "LEVEL": 1.5, "EMPTY": "", "GONE": None},
    "service": {"type": "NodePort", "port": 8000, "nodePort": 30080},
    "ports": {"http": 9000, "metrics": 9200},
    "readinessProbe": {"periodSeconds": 2, "httpGet": {"path": "/healthz"}},
    "livenessProbe": {"httpGet": None, "tcpSocket": {"port": "http"}},
    "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": None}},
    "podAnnotations": {"prometheus.io/scrape": None, "team": "shop", "number": 1},
    "minReadySeconds": 7,
    "terminationGracePeriodSeconds": 60,
    "preStopSleepSeconds": 10,
    "podSecurityContext": {"runAsUser": 1000},
    "securityContext": {"readOnlyRootFilesystem": False},
    "config": {"CFG_A": "1.10", "CFG_B": True, "CFG_TEXT": "two\nlines", "GONE": None},
    "autoscaling": {"minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 80},
}


def desired(values: dict[str, Any], version: str = "v1.0.0", service: str = "my-app") -> Desired:
    app = App("my-app", "default", "shop", Strategy(service))
    return render(app, Release("c0ffee", version, values, builtin_templates()), SLOT)


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        desired(values)
    return str(caught.value)


@pytest.mark.parametrize(("name", "values"), [("default", IMAGE), ("everything", EVERYTHING)])
def test_the_rendering_is_as_written_down(name: str, values: dict[str, Any]) -> None:
    """To accept a change, write `found` to the file. It makes a new revision of every app that uses these."""
    result = desired(values)
    found = yaml.safe_dump_all([*result.objects, result.front, *result.extras], sort_keys=False)
    assert found == (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")


def test_the_values_of_the_golden_file_are_all_there_are() -> None:
    assert set(EVERYTHING) == set(KNOWN)


def test_the_readme_names_every_value() -> None:
    readme = (Path(__file__).parents[2] / "manifests" / "README.md").read_text(encoding="utf-8")
    assert [key for key in KNOWN if f"| `{key}" not in readme] == []


@pytest.mark.parametrize(
    ("image", "rendered"),
    [
        ("registry.example.com/my-app", "registry.example.com/my-app:v1.0.0"),
        ("localhost:5000/my-app", "localhost:5000/my-app:v1.0.0"),
        ("sandbox.local/sample-app:latest", "sandbox.local/sample-app:latest"),
        ("my-app@sha256:abc", "my-app@sha256:abc"),
    ],
)
def test_the_version_is_the_tag_unless_there_is_one(image: str, rendered: str) -> None:
    pod = desired({"image": image}).components[0].manifest["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == rendered


def test_the_service_has_the_name_that_the_strategy_gives() -> None:
    assert desired(IMAGE, service="shop-front").front["metadata"]["name"] == "shop-front"


@pytest.mark.parametrize("version", ["1.10", "0123", "true", "1e3", "null", "2024-01-31", "V_1.x-y"])
def test_any_version_stays_text(version: str) -> None:
    pod = desired(IMAGE, version).components[0].manifest["spec"]["template"]
    assert pod["metadata"]["labels"]["version"] == version
    assert pod["spec"]["containers"][0]["env"][0] == {"name": "VERSION", "value": version}


def test_a_changed_value_of_the_pods_is_a_new_revision_and_replicas_are_not() -> None:
    app = App("my-app", "default", "shop", Strategy("my-app"))
    first, same, env, config = (
        identify(app, Release("c0ffee", "v1", {**IMAGE, **more}, builtin_templates()))
        for more in ({}, {"replicas": 7}, {"env": {"A": "b"}}, {"config": {"A": "b"}})
    )
    assert first == same
    assert len({first, env, config}) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": None}, "app my-app: `values.image` is missing, and the built-in templates need it"),
        ({"imagee": "x"}, "app my-app: `values.imagee` is no value of the built-in templates (did you mean `image`?)"),
        ({"replicas": "3"}, "app my-app: `values.replicas` must be a whole number"),
        ({"replicas": True}, "app my-app: `values.replicas` must be a whole number"),
        ({"replicas": 0}, "manifests/deployment.yaml:13: Deployment my-app-v1-0-0-<revision>: `spec.replicas` is 0"),
        ({"env": ["A=1"]}, "app my-app: `values.env` must be a mapping"),
        ({"env": {"A": [1]}}, "app my-app: `values.env.A` must be text or a number"),
        ({"env": {"VERSION": "x"}}, "app my-app: `values.env.VERSION` cannot be set"),
        ({"service": {"nodeport": 1}}, "app my-app: `values.service.nodeport` is no value"),
        ({"ports": {"http": "8080"}}, "app my-app: `values.ports.http` must be a whole number"),
        ({"service": {"type": "ExternalName"}}, "manifests/service.yaml:11: Service my-app: `spec.type` must be"),
        ({"image": "a b"}, "manifests/deployment.yaml:52: Deployment my-app-v1-0-0-<revision>: "),
    ],
)
def test_a_mistake_in_the_values_is_named(values: dict[str, Any], message: str) -> None:
    assert refusal({**IMAGE, **values}).startswith(message)


CONFIGURATION = """\
sources: [{name: shop, url: ./shop}]
apps:
  - name: my-app
    source: shop
    values:
      image: registry.example.com/my-app
      env: {A: %s}
"""


@pytest.mark.parametrize(
    ("env", "version_file", "message"),
    [
        ("[1]", "v1", "reconciler.yaml:7: `values.env.A` must be text"),
        ("x", "version: v1\nvalues:\n  env:\n    B: [1]\n", "version:4: `values.env.B` must be text"),
        ("[1]", "version: v1\nvalues:\n  env: {B: x}\n", "reconciler.yaml:7: `values.env.A` must be text"),
        ("x", "version: v1\nvalues: {image: ''}\n", "version:2: `values.image` is missing"),
    ],
)
async def test_a_mistake_in_the_values_names_the_file_that_has_it(env: str, version_file: str, message: str) -> None:
    app = parse_settings(CONFIGURATION % env, "reconciler.yaml").apps[0]
    repository = FakeRepository()
    commit = repository.commit({"version": version_file.encode()})
    read = await read_release(app, repository, commit)
    with pytest.raises(Invalid) as caught:
        identify(app, read)
    assert str(caught.value).startswith(message)


async def test_what_a_built_in_template_makes_of_a_value_leads_back_to_the_values() -> None:
    app = parse_settings(CONFIGURATION % "x", "reconciler.yaml").apps[0]
    repository = FakeRepository()
    commit = repository.commit({"version": b"version: v1\nvalues:\n  replicas: 0\n"})
    with pytest.raises(Invalid, match=r"from `values` \(version:2, reconciler\.yaml:5\)$"):
        identify(app, await read_release(app, repository, commit))


def _manual() -> str:
    text = (Path(__file__).resolve().parents[2] / "manifests/README.md").read_text(encoding="utf-8")
    return text.partition("## Filters and functions\n")[2].partition("\n## ")[0]


def test_the_manual_names_every_filter_and_no_other() -> None:
    filters, _, _ = _manual().partition("Of Jinja's functions")
    table = re.findall(r"^\| (`.*?) \|", filters, re.MULTILINE)
    named = re.findall(r"`(\w+)(?:\(\w+\))?`", f"{' '.join(table)} {filters.partition('has them')[2]}")
    assert sorted(named) == sorted(Sandbox().filters)


def test_the_manual_names_every_function_and_no_other() -> None:
    functions = _manual().partition("Of Jinja's functions there are ")[2].partition(" (")[0]
    # `range` comes with each rendering, and there the variable `namespace` goes over Jinja's function.
    here = {*Sandbox().globals, "range"} - {"namespace", "fail"}
    assert set(re.findall(r"`(\w+)`", functions)) == here
