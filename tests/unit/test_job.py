"""The Jobs of checks as values: what a template may say, what is ours to say, what makes it another check."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.check import Check, PostPromotion, PrePromotion
from reconciler.core.job import gate_key, is_gate_of, job_name, job_of, job_paths, measures, named
from reconciler.core.model import App, Desired, Template
from reconciler.core.probe import HttpProbe, JobProbe
from reconciler.core.render import identify, render
from reconciler.errors import Invalid
from tests.fakes.rendering import APP, SLOT, changed, release

PATH = "gates/smoke.yaml"
CHECK = Check("smoke", JobProbe(PATH), timeout=30.5)
SMOKE = """\
apiVersion: batch/v1
kind: Job
spec:
  template:
    metadata:
      labels:
        app: smoke
    spec:
      containers:
        - name: smoke
          image: a
          args: {{ pods | tojson }}
"""

SPEC = "kind: Job\nspec:\n"


def desired(template: str = SMOKE, app: App = APP, **values: Any) -> Desired:
    return render(app, replace(release(values=values), jobs={PATH: Template(PATH, template)}), SLOT)


def job(template: str = SMOKE, check: Check = CHECK) -> Any:
    return job_of(check, desired(template), ["10.0.0.1"], 7.0)


def refused(template: str, app: App = APP) -> str:
    with pytest.raises(Invalid) as caught:
        desired(template, app)
    return str(caught.value)


def test_what_is_ours_to_say_is_said() -> None:
    made = job()
    meta, spec = made["metadata"], made["spec"]
    assert meta["namespace"] == "web"
    assert meta["labels"] == {"app.kubernetes.io/managed-by": "reconciler", "bluegreen.reconciler/gate": "shop"}
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 30, 3600)
    assert spec["template"]["metadata"]["labels"] == {"app": "smoke", "bluegreen.reconciler/gate": "shop"}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ownerReferences" not in meta
    noted = json.loads(meta["annotations"]["bluegreen.reconciler/gate-of"])
    assert noted == {"check": gate_key(CHECK, desired()), "revision": desired().revision, "since": 7.0}


def test_what_a_template_may_say_is_kept_within_bounds() -> None:
    own = "  backoffLimit: 2\n  activeDeadlineSeconds: %d\n  ttlSecondsAfterFinished: 60\n"
    spec = job(changed(SMOKE, SPEC, SPEC + own % 5))["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (2, 5, 60)
    assert job(changed(SMOKE, SPEC, SPEC + own % 500))["spec"]["activeDeadlineSeconds"] == 30


def test_a_template_has_the_variables_of_the_others_and_its_own() -> None:
    names = ("app", "namespace", "version", "revision", "colour", "name", "values.url", "commit", "preview")
    text = changed(SMOKE, "{{ pods | tojson }}", f"[{', '.join(f'{{{{ {name} | quote }}}}' for name in names)}]")
    wanted = desired(text, url="x")
    [container] = job_of(CHECK, wanted, [], 0.0)["spec"]["template"]["spec"]["containers"]
    name = wanted.components[0].manifest["metadata"]["name"]
    assert container["args"] == ["shop", "web", "v1", wanted.revision, "green", name, "x", "a" * 40, ""]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: Job", "kind: CronJob", "`kind` must be Job"),
        ("batch/v1", "batch/v1beta1", "must be batch/v1"),
        ("kind: Job\n", "kind: Job\nmetadata: {namespace: other}\n", "is other, but the app belongs to web"),
        ("kind: Job\n", "kind: Job\nmetadata: {ownerReferences: []}\n", "is not for templates"),
        ("kind: Job\n", "kind: Job\nmetadata: {labels: {bluegreen.reconciler/app: shop}}\n", "for this daemon alone"),
        ("app: smoke", "bluegreen.reconciler/revision: x", "for this daemon alone"),
        (SPEC, f"{SPEC}  suspend: true\n", "it would never run"),
        (SPEC, f"{SPEC}  manualSelector: true\n", "Kubernetes chooses the selector"),
        (SPEC, f"{SPEC}  backoffLimit: 1000\n", "must be from 0 to 100"),
        (SPEC, f"{SPEC}  ttlSecondsAfterFinished: 0\n", "must be from 60"),
        ("      containers:", "      restartPolicy: Always\n      containers:", "must be Never or OnFailure"),
        ("image: a", "image: a\n          securityContext: {privileged: true}", "needs the power privileged"),
        (
            "      containers:",
            "      volumes: [{name: a, hostPath: {path: /}}]\n      containers:",
            "the power hostPath",
        ),
        ("image: a", "image: ''", "is empty"),
        ("kind: Job\n", "kind: Job\n---\nkind: Job\n", "renders 2 objects"),
        ("{{ pods | tojson }}", "{{ pod }}", "`pod` is not defined (did you mean `pods`?)"),
    ],
)
def test_a_template_is_refused_with_its_line_before_anything_is_done(old: str, new: str, told: str) -> None:
    said = refused(changed(SMOKE, old, new))
    assert told in said
    assert said.startswith(PATH)


def test_a_power_is_allowed_to_a_job_as_to_any_pod() -> None:
    text = changed(SMOKE, "      containers:", "      hostNetwork: true\n      containers:")
    assert "Job: `spec.template.spec.hostNetwork`" in refused(text)
    allowed = desired(text, replace(APP, powers=("hostNetwork",)))
    assert job_of(CHECK, allowed, [], 0.0)["spec"]["template"]["spec"]["hostNetwork"] is True


def test_pods_that_the_apps_own_objects_would_find_are_refused() -> None:
    """The Service's selector need not hold a label of ours."""
    both = {"app": "shop", "track": "{{ revision }}"}
    labels = ", ".join(f"{key}: {value}" for key, value in both.items())
    deployment = changed(release().templates[0].text, "app: shop", f"{labels.replace(', ', chr(10) + '        ')}")
    service = changed(
        release().templates[1].text, "bluegreen.reconciler/revision: {{ revision }}", "track: {{ revision }}"
    )
    text = changed(SMOKE, "app: smoke", labels.replace(", ", "\n        "))
    made = replace(release(deployment=deployment, service=service), jobs={PATH: Template(PATH, text)})
    with pytest.raises(Invalid, match="are those by which Service shop finds the app's pods"):
        render(APP, made, SLOT)


def test_a_template_is_held_against_the_rules_when_it_is_run_too() -> None:
    """What it renders to for no pod in particular proves nothing."""
    trick = "          {{ 'securityContext: {privileged: true}' if pods[0] == '10.0.0.1' else '' }}\n"
    wanted = desired(changed(SMOKE, "          args", f"{trick}          args"))
    with pytest.raises(Invalid, match="privileged"):
        job_of(CHECK, wanted, ["10.0.0.1"], 0.0)


def test_a_job_is_no_part_of_the_revision_but_of_what_was_passed() -> None:
    one, other = desired(), desired(changed(SMOKE, "image: a", "image: b"))
    assert one.revision == other.revision == identify(APP, release())
    assert gate_key(CHECK, one) == gate_key(CHECK, desired())
    assert gate_key(CHECK, one) != gate_key(CHECK, other)
    assert gate_key(CHECK, one).startswith(f"{CHECK.key}.")


def test_a_value_that_only_the_job_uses_makes_another_check() -> None:
    text = changed(SMOKE, "image: a", "image: {{ values.image }}")
    assert gate_key(CHECK, desired(text, image="a")) != gate_key(CHECK, desired(text, image="b"))


def test_checks_without_a_job_go_by_their_own_keys() -> None:
    check = Check("http", HttpProbe())
    assert gate_key(check, desired()) == check.key


def test_the_jobs_of_both_stages_are_read_once_each() -> None:
    checks = (CHECK, Check("http", HttpProbe()), Check("again", JobProbe(PATH)))
    after = PostPromotion(60.0, (Check("late", JobProbe("late.yaml")),))
    strategy = replace(APP.strategy, pre_promotion=PrePromotion(checks), post_promotion=after)
    assert job_paths(replace(APP, strategy=strategy)) == (PATH, "late.yaml")


def test_names_fit_a_label_and_tell_attempts_apart() -> None:
    long = job_name("a" * 63, "b" * 63, "c" * 10, 99)
    assert len(long) == 63
    assert long != job_name("a" * 63, "b" * 63, "c" * 10, 98)
    assert job_name("My_App", "smoke test", "bcdfghjklm", 1) == "my-app-smoke-test-bcdfghjklm-1"


def test_only_a_job_of_ours_with_the_same_note_measures_the_same() -> None:
    made = named(job(), "x")
    assert is_gate_of(made, "shop") and not is_gate_of(made, "other")
    assert measures(made, job())
    assert not measures(made, job_of(CHECK, desired(), [], 8.0))
    leaving = {**made, "metadata": {**made["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert not measures(leaving, job())
    foreign = {**made, "metadata": {**made["metadata"], "labels": {"bluegreen.reconciler/gate": "shop"}}}
    assert not is_gate_of(foreign, "shop")
    assert not is_gate_of({"metadata": {}}, "shop")


def test_secret_values_are_in_no_text_of_the_app() -> None:
    assert "s3cret" not in repr(desired(password="s3cret"))
