"""A repository checked by itself: read where it is, held against Kubernetes' schemas, told to people and programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reconciler.adapters.git import LocalRepository
from reconciler.adapters.schemas import KubernetesSchemas
from reconciler.app.builtin import builtin_templates
from reconciler.app.oneshot import Sight
from reconciler.app.verdict import Verdict, findings, verdicts
from reconciler.cli import cli
from reconciler.errors import Invalid
from tests.fakes.git import GitOrigin, git
from tests.fakes.world import APP

APP_FILE = b"values: {image: example/web}\n"


@pytest.fixture
def origin(tmp_path: Path) -> GitOrigin:
    made = GitOrigin(tmp_path / "origin", bare=False)
    made.commit({"apps/web/app.yaml": APP_FILE, "apps/web/version": b"v1"})
    return made


def validated(repository: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(cli, ["validate", "--repository", str(repository), "--output", "json", *arguments])
    return done.exit_code, json.loads(done.stdout)


# --- the repository ---


async def test_any_commit_of_any_kind_of_repository_can_be_read(origin: GitOrigin, tmp_path: Path) -> None:
    first = origin.tip()
    second = origin.commit({"apps/web/version": b"v2"}, unrelated=False)
    git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), first, cwd=origin.path)
    git("clone", "--quiet", "--bare", str(origin.path), str(tmp_path / "bare.git"), cwd=tmp_path)
    cases = [("origin", "HEAD", second), ("linked", "HEAD", first), ("bare.git", first, first)]
    for number, (place, ref, commit) in enumerate([*cases, ("origin", "main~1", first)]):
        scratch = tmp_path / f"scratch-{number}"
        scratch.mkdir()
        repository = LocalRepository(tmp_path / place, ref, scratch)
        assert await repository.tip() == commit
        assert await repository.read(commit, "apps/web/version") == (b"v1" if commit == first else b"v2")
        same = await repository.identities(first, ["apps/web/version", "no-such"])
        other = await repository.identities(commit, ["apps/web/version", "no-such"])
        assert await repository.committed_at(commit) == 1_700_000_000 + (1 if commit == first else 2)
        assert [mine == its for mine, its in zip(same, other, strict=True)] == [commit == first, True]
        await repository.close()


@pytest.mark.parametrize("ref", ["no-such", "HEAD HEAD", "HEAD\nHEAD", "", "--help"])
async def test_what_names_no_commit_is_refused(origin: GitOrigin, tmp_path: Path, ref: str) -> None:
    repository = LocalRepository(origin.path, ref, tmp_path)
    with pytest.raises(Invalid):
        await repository.tip()
    await repository.close()


# --- the schemas ---


def manifest(**spec: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}


def test_a_kind_that_is_kubernetes_own_is_known_and_of_a_custom_resource_nothing_is() -> None:
    schemas = KubernetesSchemas.of("1.34")
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    assert schemas.faults({**budget, "spec": {"maxUnavailable": 1}}) == []
    assert [each.path for each in schemas.faults({**budget, "spec": {"max": 1}})] == [("spec", "max")]
    for version in ("policy/v1beta1", "flowcontrol.apiserver.k8s.io/v1alpha1", "v2"):
        assert [each.path for each in schemas.faults({**budget, "apiVersion": version})] == [("kind",)]
    assert schemas.faults({"apiVersion": "example.com/v1", "kind": "Thing", "spec": {"any": 1}}) == []


def test_unknown_fields_wrong_types_and_missing_fields_are_faults() -> None:
    schemas = KubernetesSchemas.of("1.34")
    assert schemas.faults(manifest(ports=[{"port": 80, "targetPort": "http"}], selector={"a": "b"})) == []
    found = schemas.faults(manifest(typ="NodePort", ports=[{"port": "hunter2"}, {}]))
    assert [(each.path, each.what) for each in found] == [
        (("spec", "ports", 0, "port"), "must be of type integer"),
        (("spec", "ports", 1), "`port` is missing"),
        (("spec", "typ"), "is not a field that this Kubernetes has (did you mean `type`?)"),
    ]
    assert "hunter2" not in str(found)


def test_a_field_that_came_later_is_a_fault_of_an_older_version() -> None:
    newer = manifest(trafficDistribution="PreferClose")
    assert KubernetesSchemas.of("1.34").faults(newer) == []
    assert [each.path for each in KubernetesSchemas.of("1.29").faults(newer)] == [("spec", "trafficDistribution")]


@pytest.mark.parametrize("version", ["1.99", "1", "latest", "../x"])
def test_a_version_without_schemas_is_refused_with_those_that_there_are(version: str) -> None:
    with pytest.raises(Invalid) as caught:
        KubernetesSchemas.of(version)
    assert "1.34" in caught.value.todo


# --- the command ---


def test_the_built_in_templates_are_what_kubernetes_takes(origin: GitOrigin) -> None:
    """With the action of the preStop hook, which came with 1.29."""
    for version in ("1.30", "1.34"):
        status, found = validated(origin.path, "--kubernetes-version", version)
        assert (status, [each["ok"] for each in found]) == (0, [True]), found


def test_every_finding_has_its_file_line_and_field(origin: GitOrigin) -> None:
    templates = {f"apps/own/templates/{each.name.rpartition('/')[2]}": each.text for each in builtin_templates()}
    deployment = templates["apps/own/templates/deployment.yaml"]
    assert deployment.count("      containers:\n") == 1
    templates["apps/own/templates/deployment.yaml"] = deployment.replace(
        "      containers:\n", "      hostname: 3\n      containers:\n"
    )
    line = deployment.split("      containers:\n")[0].count("\n") + 1
    files = {path: text.encode() for path, text in templates.items()}
    files |= {"apps/own/app.yaml": b"templates: templates\n" + APP_FILE, "apps/own/version": b"v1"}
    files |= {"apps/bad/app.yaml": b"values: {}\nnonsense: 1\n", "apps/web/app.yaml": APP_FILE}
    origin.commit({**files, "apps/web/version": b"v1"})
    status, found = validated(origin.path, "--kubernetes-version", "1.34")
    assert status == 3
    by_app = {each["app"]: each for each in found}
    assert by_app["web"]["ok"]
    bad, own = by_app["bad"], by_app["own"]
    assert (bad["file"], bad["line"], bad["field"]) == ("apps/bad/app.yaml", 2, "nonsense")
    place = ("apps/own/templates/deployment.yaml", line, "spec.template.spec.hostname")
    assert (own["file"], own["line"], own["field"]) == place
    assert own["what"].endswith("must be of type string")


def test_names_of_apps_narrow_it_down_and_unknown_ones_are_wrong_usage(origin: GitOrigin) -> None:
    origin.commit({"apps/web/app.yaml": APP_FILE, "apps/web/version": b"v1", "apps/bad/app.yaml": b"x: 1"})
    assert validated(origin.path, "web")[0] == 0
    assert validated(origin.path, "bad")[0] == 3
    assert CliRunner().invoke(cli, ["validate", "--repository", str(origin.path), "other"]).exit_code == 2


@pytest.mark.parametrize("arguments", [("--ref", "no-such"), ("--apps", "apps/**"), ("--kubernetes-version", "1.99")])
def test_what_concerns_the_whole_check_is_a_finding_too(origin: GitOrigin, arguments: tuple[str, str]) -> None:
    status, found = validated(origin.path, *arguments)
    assert status == 3
    assert [each["ok"] for each in found] == [False]


def test_a_repository_without_any_app_is_not_well(origin: GitOrigin) -> None:
    """A typing error in the pattern must not make a pipeline pass."""
    status, found = validated(origin.path, "--apps", "aps/*/app.yaml")
    assert status == 3
    assert "no file matches" in found[0]["what"]


# --- findings as data ---


def test_an_error_of_several_lines_is_several_findings() -> None:
    error = Invalid("a.yaml:1: name: is empty\na.yaml:7: values: must be a mapping")
    assert list(findings("web", "a.yaml", error)) == [
        Verdict("web", False, "a.yaml", 1, "name", "name: is empty"),
        Verdict("web", False, "a.yaml", 7, "values", "values: must be a mapping"),
    ]


def test_an_error_without_a_line_names_the_apps_file() -> None:
    error = Invalid("there is no such file", where="version at commit 12 (branch main of /srv/x)", todo="Add it")
    (found,) = verdicts([Sight(APP, error=error)])
    assert (found.app, found.ok, found.line, found.todo) == (APP.name, False, None, "Add it")
    assert found.what == error.located


def test_powers_are_refused_in_a_pull_request_unless_its_pipeline_allows_them(origin: GitOrigin) -> None:
    asking = b"values: {image: x, securityContext: {privileged: true}}"
    origin.commit({"apps/web/app.yaml": asking, "apps/web/version": b"v1"}, unrelated=False)
    status, (finding,) = validated(origin.path)
    assert status == 3
    assert "needs the power privileged" in finding["what"]
    assert validated(origin.path, "--allow-power", "privileged", "--allow-power", "hostPath")[0] == 0
    status, (finding,) = validated(origin.path, "--allow-power", "privilege")
    assert (status, finding["what"].partition(" (")[0]) == (3, "--allow-power: `privilege` is no power")


def test_every_account_is_allowed_in_a_pull_request(origin: GitOrigin) -> None:
    naming = b"serviceAccountName: web\n" + APP_FILE
    origin.commit({"apps/web/app.yaml": naming, "apps/web/version": b"v1"}, unrelated=False)
    assert validated(origin.path)[0] == 0
