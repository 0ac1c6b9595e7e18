"""Rendering: what makes a revision, what is added to the objects, and that two colours cannot be mixed up."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.model import ANNOTATION_RENDERING, App, Colour, Release, Slot, Strategy, Template
from reconciler.core.render import _identified, identify, render
from reconciler.core.revision import HASH_LENGTH
from reconciler.core.template import draw, templates_in
from reconciler.errors import Invalid
from tests.fakes.rendering import APP, CONFIG, DEPLOYMENT, SERVICE, SLOT, changed, refusal, release

POD_LABELS = "      labels:\n        app: shop\n"


def drawn(text: str, **variables: Any) -> str:
    return draw(Template("t/x.yaml", text), {"app": "shop", "values": {}, **variables}).text


def not_drawn(text: str, **variables: Any) -> str:
    with pytest.raises(Invalid) as caught:
        drawn(text, **variables)
    return str(caught.value)


# --- the revision ---


BASE = release(CONFIG)


@pytest.mark.parametrize(
    "same",
    [
        release(CONFIG, commit="0" * 40),
        release(CONFIG, values={"unused": 1}),
        release(CONFIG, deployment=changed(DEPLOYMENT, "spec:\n  sel", "spec:\n  replicas: 4\n  sel")),
        release(CONFIG, deployment=changed(DEPLOYMENT, "  name: {{ name }}", "  name: {{ name }}\n  labels: {a: b}")),
        release(CONFIG, deployment="# a comment\n" + DEPLOYMENT),
        release(CONFIG, service=changed(SERVICE, "port: 80", "port: 81")),
        release(changed(CONFIG, "  name: {{ name }}", "  name: {{ name }}\n  labels: {a: b}")),
    ],
)
def test_what_pods_do_not_see_is_the_same_revision(same: Release) -> None:
    assert identify(APP, same) == identify(APP, BASE)


@pytest.mark.parametrize(
    "other",
    [
        release(CONFIG, version="v2"),
        release(CONFIG, deployment=changed(DEPLOYMENT, "image: shop", "image: store")),
        release(CONFIG, deployment=changed(DEPLOYMENT, POD_LABELS, POD_LABELS + "        x: y\n")),
        release(changed(CONFIG, "fast", "slow")),
        release(changed(CONFIG, "ConfigMap", "Secret").replace("\ndata:", "\nstringData:")),
        release(),
    ],
)
def test_what_pods_see_is_another_revision(other: Release) -> None:
    assert identify(APP, other) != identify(APP, BASE)


def test_colour_and_commit_in_the_pod_template_do_not_matter() -> None:
    deployment = changed(DEPLOYMENT, "app: shop\n", "app: shop\n        x: {{ colour }}-{{ commit[:7] }}-{{ name }}\n")
    one = release(deployment=deployment)
    first = identify(APP, one)
    _identified.cache_clear()  # or the second answer would only be a memory of the first
    assert identify(APP, replace(one, commit="0" * 40)) == first
    blue, green = (render(APP, one, Slot(colour, "c1")) for colour in Colour)
    assert blue.revision == green.revision
    labels = blue.components[0].manifest["spec"]["template"]["metadata"]["labels"]
    assert labels["x"] == f"blue-c1-shop-v1-{blue.revision}"


def test_the_revision_of_a_release_never_changes() -> None:
    # Whoever changes how it is made starts a release of every app.
    assert identify(APP, BASE) == "g5p829d57z"


# --- what is added ---


def stamp_taken_off(manifest: Mapping[str, Any]) -> dict[str, str]:
    annotations = dict(manifest["metadata"]["annotations"])
    name, _, stamp = annotations.pop(ANNOTATION_RENDERING).partition("@")
    assert (name, len(stamp)) == (manifest["metadata"]["name"], HASH_LENGTH)
    return annotations


def test_two_apps_of_one_template_never_share_a_revision() -> None:
    """Their Services would select each other's pods."""
    assert identify(APP, BASE) != identify(replace(APP, name="store"), BASE)


def test_the_stamp_changes_with_the_object_but_not_with_the_selector_or_secrets() -> None:
    before, after = render(APP, BASE, SLOT), render(APP, replace(BASE, version="v2"), SLOT)
    assert before.front["spec"]["selector"] != after.front["spec"]["selector"]
    assert before.front["metadata"]["annotations"] == after.front["metadata"]["annotations"]
    assert (
        before.components[0].manifest["metadata"]["annotations"]
        != after.components[0].manifest["metadata"]["annotations"]
    )


def test_objects_are_named_placed_and_labelled() -> None:
    desired = render(APP, BASE, SLOT)
    revision = identify(APP, BASE)
    shared = {"bluegreen.reconciler/app": "shop", "app.kubernetes.io/managed-by": "reconciler"}
    coloured = {
        "bluegreen.reconciler/app": "shop",
        "bluegreen.reconciler/revision": revision,
        "bluegreen.reconciler/colour": "green",
    }
    config, workload = desired.objects
    for each in (config, workload):
        assert each["metadata"]["name"] == f"shop-v1-{revision}"
        assert each["metadata"]["namespace"] == "web"
        assert each["metadata"]["labels"] == {**shared, **coloured}
    assert stamp_taken_off(workload) == {
        "bluegreen.reconciler/version": "v1",
        "bluegreen.reconciler/commit": "a" * 40,
    }
    assert workload["spec"]["template"]["metadata"]["labels"] == {"app": "shop", **coloured}
    assert stamp_taken_off(desired.front) == {
        "bluegreen.reconciler/deletion-policy": "orphan",
        "bluegreen.reconciler/origin": "@",
    }
    named = {key: value for key, value in desired.front["metadata"].items() if key != "annotations"}
    assert named == {"name": "shop", "namespace": "web", "labels": shared}
    assert desired.front["spec"]["selector"] == {"app": "shop", "bluegreen.reconciler/revision": revision}
    assert (desired.commit, desired.version, desired.revision) == ("f" * 40, "v1", revision)


@pytest.mark.parametrize(("written", "count"), [("", 1), ("  replicas: 4\n", 4)])
def test_replicas_are_taken_out(written: str, count: int) -> None:
    deployment = changed(DEPLOYMENT, "spec:\n  selector", f"spec:\n{written}  selector")
    desired = render(APP, release(deployment=deployment), SLOT)
    assert desired.components[0].replicas == count
    assert "replicas" not in desired.components[0].manifest["spec"]


def test_what_the_template_says_besides_is_kept() -> None:
    metadata = "metadata:\n  namespace: web\n  labels: {team: a}\n  annotations: {x: y}\n"
    deployment = changed(DEPLOYMENT, "metadata:\n  name", metadata + "  name") + "status: {}\n"
    workload = render(APP, release(deployment=deployment), SLOT).components[0].manifest
    assert workload["metadata"]["labels"]["team"] == "a"
    assert workload["metadata"]["annotations"]["x"] == "y"
    assert "status" not in workload


def test_a_result_can_be_changed_without_harm_to_the_next() -> None:
    first = render(APP, BASE, SLOT)
    kept = copy.deepcopy(first.components[0].manifest)
    first.components[0].manifest["spec"]["template"]["spec"]["containers"].clear()
    assert render(APP, BASE, SLOT).components[0].manifest == kept


def test_what_an_alias_shares_is_not_changed_in_both_places() -> None:
    metadata = "metadata: &shared\n  labels: &labels {app: shop}\n  name"
    deployment = changed(DEPLOYMENT, "metadata:\n  name", metadata)
    deployment = changed(deployment, "metadata:\n      labels:\n        app: shop", "metadata: *shared")
    workload = render(APP, release(deployment=deployment), SLOT).components[0].manifest
    assert "namespace" not in workload["spec"]["template"]["metadata"]
    assert "app.kubernetes.io/managed-by" not in workload["spec"]["template"]["metadata"]["labels"]


def test_templates_of_one_file_several_files_json_or_nothing_are_the_same() -> None:
    one = Release("c", "v1", {}, (Template("all.yaml", f"{DEPLOYMENT}---\n{SERVICE}---\n{CONFIG}"),))
    assert identify(APP, one) == identify(APP, BASE)
    assert identify(APP, release(CONFIG, "# nothing\n---\n", "{% if false %}kind: x{% endif %}")) == identify(APP, BASE)


# --- two colours side by side ---


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            release(deployment=changed(DEPLOYMENT, "bluegreen.reconciler/revision: {{ revision }}", "app: shop")),
            "d.yaml:7: Deployment shop-v1-<revision>: `spec.selector.matchLabels` would also select the pods of the "
            "other colour. Add `bluegreen.reconciler/revision: {{ revision }}` there",
        ),
        (
            release(deployment=changed(DEPLOYMENT, "/revision: {{ revision }}", "/colour: {{ colour }}")),
            "d.yaml:7: Deployment shop-v1-<revision>: `spec.selector.matchLabels` would also select",
        ),
        (
            release(service=changed(SERVICE, "    bluegreen.reconciler/revision: {{ revision }}\n", "")),
            "s.yaml:6: Service shop: `spec.selector` would also select the pods of the other colour. Add "
            "`bluegreen.reconciler/revision: {{ revision }}` there",
        ),
        (
            release(service=changed(SERVICE, "app: shop\n", "app: store\n")),
            "s.yaml:7: Service shop: `spec.selector.app` does not match the labels of the pods",
        ),
        (
            release(deployment=changed(DEPLOYMENT, "      bluegreen.", "      app: store\n      bluegreen.")),
            "d.yaml:8: Deployment shop-v1-<revision>: `spec.selector.matchLabels.app` does not match the labels of "
            "the pods in this Deployment's template. Give `spec.template.metadata.labels`",
        ),
        (
            release(deployment=changed(DEPLOYMENT, "name: {{ name }}", "name: shop-{{ version }}")),
            "d.yaml:4: Deployment shop-v1: `metadata.name` is the same for every revision, so that two could not run "
            "side by side. Write `name: {{ name }}`",
        ),
        (
            release(changed(CONFIG, "{{ name }}", "shop")),
            "x0.yaml:4: ConfigMap shop: `metadata.name` is the same for every revision",
        ),
        (
            release(CONFIG, deployment=DEPLOYMENT + "          envFrom: [{configMapRef: {name: '{{ name }}-x'}}]\n"),
            "d.yaml:20: Deployment shop-v1-<revision>: `spec.template.spec.containers[0].envFrom[0].configMapRef.name` "
            "changes with the revision, but no template renders a ConfigMap, Secret or Service of that name",
        ),
    ],
)
def test_colours_that_would_get_in_each_others_way_are_refused(broken: Release, message: str) -> None:
    assert refusal(broken).startswith(message)


def test_a_selector_on_the_name_is_as_good() -> None:
    deployment = changed(DEPLOYMENT, "bluegreen.reconciler/revision: {{ revision }}", "pods: {{ name }}")
    deployment = changed(deployment, POD_LABELS, POD_LABELS + "        pods: {{ name }}\n")
    service = changed(SERVICE, "bluegreen.reconciler/revision: {{ revision }}", "pods: {{ name }}")
    desired = render(APP, release(deployment=deployment, service=service), SLOT)
    assert desired.front["spec"]["selector"]["pods"] == f"shop-v1-{desired.revision}"


def test_references_to_objects_from_elsewhere_are_fine() -> None:
    sources = "          envFrom: [{configMapRef: {name: common}}, {secretRef: {name: '{{ name }}'}}]\n"
    identify(APP, release(changed(CONFIG, "ConfigMap", "Secret"), deployment=DEPLOYMENT + sources))


# --- Jinja ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n{{ values.imag }}", "t/x.yaml:2: `values.imag` is not defined (did you mean `values.image`?). Define it"),
        ("{{ values['imag'] }}", "t/x.yaml:1: `values.imag` is not defined (did you mean `values.image`?)"),
        ("{{ imge }}", "t/x.yaml:1: `imge` is not defined (did you mean `values.image`?)"),
        ("{{ ap }}", "t/x.yaml:1: `ap` is not defined (did you mean `app`?)"),
        ("{{ values.env.FO }}", "t/x.yaml:1: `values.env.FO` is not defined (did you mean `values.env.FOO`?)"),
        ("{{ values.qqq.zzz }}", "t/x.yaml:1: `values.qqq` is not defined. Define it"),
        ("{{ app.zzz }}", "t/x.yaml:1: `.zzz` is not defined: what is before it is no mapping"),
        ("{{ qqq | quote }}", "t/x.yaml:1: `qqq` is not defined"),
        ("{{ qqq | toyaml }}", "t/x.yaml:1: `qqq` is not defined"),
        ("{{ qqq ~ 'x' }}", "t/x.yaml:1: `qqq` is not defined"),
        ("{% if qqq %}{% endif %}", "t/x.yaml:1: `qqq` is not defined"),
        ("a\n\n{% for x in qqq %}{% endfor %}", "t/x.yaml:3: `qqq` is not defined"),
        ("a\n{{ ", "t/x.yaml:2: is not a Jinja2 template: unexpected 'end of template'"),
        ("a\n{% endif %}", "t/x.yaml:2: is not a Jinja2 template: Encountered unknown tag 'endif'"),
        ("{{ 1 | toYaml }}", "t/x.yaml:1: is not a Jinja2 template: No filter named 'toYaml' (did you mean `toyaml`?)"),
        ("{{ 1 | nope }}", "t/x.yaml:1: is not a Jinja2 template: No filter named 'nope'"),
        ("\n{% include 'x' %}", "t/x.yaml:2: is not a Jinja2 template: `include` is not supported"),
        ("{% extends 'x' %}", "t/x.yaml:1: is not a Jinja2 template: `extends` is not supported"),
        ("\n{{ fail('no ' ~ app) }}", "t/x.yaml:2: no shop"),
        ("{{ 1 / 0 }}", "t/x.yaml:1: an expression fails with ZeroDivisionError"),
        ("\n{{ values.image + 1 }}", "t/x.yaml:2: an expression fails with TypeError"),
        ("{{ [1] | quote }}", "t/x.yaml:1: a list or mapping is where text or a number must be"),
        ("{{ ''.__class__ }}", "t/x.yaml:1: access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ values.update({}) }}", "t/x.yaml:1: access to attribute 'update' of 'dict' object is unsafe"),
        ("{{ range(10**9) | length }}", "t/x.yaml:1: `range` gives more than 10000 numbers in all"),
        (
            "{% for i in range(200) %}{% for j in range(200) %}{% endfor %}{% endfor %}",
            "t/x.yaml:1: `range` gives more than 10000 numbers in all",
        ),
        ("{{ 'x' * 10**9 }}", "t/x.yaml:1: `*` would make more than 1048576 characters"),
        ("{{ 9 ** 9 ** 9 ** 9 }}", "t/x.yaml:1: `**` takes numbers up to 1000"),
        ("{{ '%9999999999d' % 1 }}", "t/x.yaml:1: `%` on text is not supported"),
        ("{{ 'x'.ljust(10**9) }}", "t/x.yaml:1: access to attribute 'ljust' of 'str' object is unsafe"),
        ("{{ 'x' | indent(10**9) }}", "t/x.yaml:1: `indent` takes numbers up to 1000"),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "t/x.yaml:1: `~` would make more than 1048576 characters",
        ),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "t/x.yaml:1: `+` would make more than 1048576 characters",
        ),
        (
            "{% set x = 'a' * 100000 %}{{ x | replace('a', x) }}",
            "t/x.yaml:1: `replace` would make more than 1048576 characters",
        ),
        ("{% for i in range(5000) %}{{ 'x' * 1000 }}{% endfor %}", "t/x.yaml:1: renders to more than 1024 KiB"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "t/x.yaml:1: an expression fails with RecursionError"),
        ("{{ [1, 2] | random }}", "t/x.yaml:1: is not a Jinja2 template: No filter named 'random'"),
        ("{{ {}['a' ~ 'b'] }}", "t/x.yaml:1: `(a mapping).(a computed key)` is not defined"),
        ("{{ lipsum() }}", "t/x.yaml:1: `lipsum` is not defined"),
    ],
)
def test_a_template_that_fails_says_where_and_why(text: str, message: str) -> None:
    assert not_drawn(text, values={"image": "i", "env": {"FOO": "x"}}).startswith(message)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("{{ .Values.image }}", "`values.image`"),
        ("a\n{{- if .Values.env }}", "`values.env`"),
        ("{{ toYaml .Values.env }}", "`values.env`"),
        ("{{ .Release.Name }}", "names without the dot"),
    ],
)
def test_who_writes_for_helm_is_told_what_to_write_instead(text: str, instead: str) -> None:
    told = not_drawn(text, values={"image": "i"})
    assert "is Helm's syntax" in told
    assert told.endswith(f"write {instead}")


def test_a_failing_expression_shows_no_value() -> None:
    for text in ("{{ values.p | int + 'x' }}", "{{ {}[values.p] }}", "{{ values.p.q }}", "{{ values.p | round }}"):
        assert "hunter2" not in not_drawn(text, values={"p": "hunter2"})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ values.items }}{{ values.keys }}", "34"),
        ("{% for k, v in values.env.items() %}{{ k }}={{ v }};{% endfor %}", "A=1;B=True;"),
        ("{{ qqq | default('x') }}{{ values.qqq | default('y') }}", "xy"),
        ("{{ (values.qqq | default({})).z | default('z') }}", "z"),
        ("{{ 'a\"b' | quote }}{{ 5 | quote }}{{ true | quote }}{{ none | quote }}", '"a\\"b""5""true"""'),
        ("{{ 'é' | b64enc }} {{ 'Foo_Bar!' | slug }}", "w6k= foo-bar"),
        ("{{ [1, {'a': 'yes'}] | toyaml | indent(2) }}", "- 1\n  - a: 'yes'"),
        ("{{ {'a': {'b': 1, 'c': 2}} | merge({'a': {'b': none, 'd': 3}}) }}", "{'a': {'c': 2, 'd': 3}}"),
        ("{{ {'a': 1, 'b': true} | texts }}", "{'a': '1', 'b': 'true'}"),
        ("{% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb\n"),
        ("{{ range(3) | list }}", "[0, 1, 2]"),
    ],
)
def test_filters_and_expressions(text: str, result: str) -> None:
    assert drawn(text, values={"items": 3, "keys": 4, "env": {"A": 1, "B": True}}) == result


def test_every_line_of_the_output_knows_its_line_in_the_template() -> None:
    text = """\
{# a comment
   of two lines #}
a: {{ app }}
{% for i in range(2) %}

- {{ i }}
  {{ values | toyaml | indent(2) }}
  b
{% endfor %}
{% if app %}
c

d: {{
  app }}{{ app }}
{% endif %}
end
"""
    rendered = draw(Template("t", text), {"app": "x", "values": {"k": 1, "l": 2}})
    found = list(zip(rendered.lines, rendered.text.splitlines(), strict=True))
    loop = [(5, ""), (6, "- {}"), (7, "  k: 1"), (7, "  l: 2"), (8, "  b")]
    assert found == [
        (3, "a: x"),
        *((line, each.format(0)) for line, each in loop),
        *((line, each.format(1)) for line, each in loop),
        (11, "c"),
        (12, ""),
        (13, "d: xx"),
        (16, "end"),
    ]


def test_errors_in_what_is_rendered_name_the_template_line() -> None:
    deployment = "{# one\ntwo #}\n{% for i in range(3) %}\n# {{ i }}\n{% endfor %}\n" + DEPLOYMENT
    broken = changed(deployment, "containerPort: 8080", "containerPort: eighty")
    assert refusal(release(deployment=broken)).startswith("d.yaml:24: Deployment shop-v1-<revision>: ")
    broken = changed(deployment, "  name: {{ name }}", "  name: {{ name }}\n  name: x")
    assert refusal(release(deployment=broken)) == "d.yaml:10: the key `name` is there twice, first on line 9"


def test_the_templates_of_a_folder() -> None:
    files = {"b.yaml": b"b", "a.yml.j2": b"\xef\xbb\xbfa\r\n", "README.md": b"\xff", ".x.yaml": b"x", "c.json": b"{}"}
    assert templates_in("apps/t", files) == (
        Template("apps/t/a.yml.j2", "a\n"),
        Template("apps/t/b.yaml", "b"),
        Template("apps/t/c.json", "{}"),
    )
    with pytest.raises(Invalid, match=r"^apps/t: holds no template.*Folders below it are not read$"):
        templates_in("apps/t", {"README.md": b""})
    with pytest.raises(Invalid, match=r"^apps/t/x\.yaml:2: is not UTF-8 text"):
        templates_in("apps/t", {"x.yaml": b"\n\xff"})


def test_an_app_may_call_its_service_otherwise() -> None:
    app = App("shop", "web", "s", Strategy("front"), templates="t")
    service = changed(SERVICE, "name: shop", "name: {{ active_service }}")
    assert render(app, release(service=service), SLOT).front["metadata"]["name"] == "front"
