"""What an API server would refuse, or what could never be switched to, is refused before: with line and field."""

from __future__ import annotations

import pytest

from reconciler.core.model import Release
from reconciler.core.render import identify
from tests.fakes.rendering import APP, CONFIG, DEPLOYMENT, SERVICE, changed, refusal, release

D = "Deployment shop-v1-<revision>: "
POD = "spec.template.spec."
NODE = "spec.template.spec.containers[0]."


def deployment(old: str, new: str) -> Release:
    return release(deployment=changed(DEPLOYMENT, old, new))


def service(old: str, new: str) -> Release:
    return release(service=changed(SERVICE, old, new))


def container(*lines: str) -> Release:
    return release(deployment=DEPLOYMENT + "".join(f"          {line}\n" for line in lines))


def config(old: str, new: str) -> Release:
    return release(changed(CONFIG, old, new))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (release("just text"), "x0.yaml:1: the document is no Kubernetes object. Start it with apiVersion and kind"),
        (release("a: 1"), "x0.yaml:1: the document: `kind` is missing"),
        (release("kind: 3"), "x0.yaml:1: the document: `kind` is a number, but must be text. Quote it"),
        (
            release("kind: Deploymnt"),
            "x0.yaml:1: the document: `kind` is Deploymnt (did you mean `Deployment`?), which",
        ),
        (release("kind: ServiceAccount"), "x0.yaml:1: the document: `apiVersion` is missing"),
        (
            release("apiVersion: stable.example.com/v1\nkind: CronTab"),
            "x0.yaml:2: the document: `kind` is CronTab.stable.example.com, which source source does not allow",
        ),
        (
            release("kind: DaemonSet"),
            "x0.yaml:1: the document: `kind` is DaemonSet, which cannot be released blue/green. Use a Deployment",
        ),
        (config("v1", "apps/v1"), "x0.yaml:1: the document: `apiVersion` must be v1 for a ConfigMap"),
        (config("apiVersion: v1\n", ""), "x0.yaml:1: the document: `apiVersion` is missing"),
        (config("  name: {{ name }}", "  x: y"), "x0.yaml:3: ConfigMap: `metadata.name` is missing"),
        (config("  name: {{ name }}", "  - x"), "x0.yaml:3: ConfigMap: `metadata` is a list, but must be a mapping"),
        (config("{{ name }}", "A_{{ name }}"), "x0.yaml:4: ConfigMap: `metadata.name` may only hold a-z, 0-9, `-`"),
        (config("{{ name }}", "12"), "x0.yaml:4: ConfigMap: `metadata.name` is a number, but must be text. Quote it"),
        (service("name: shop", "name: 1shop"), "s.yaml:4: Service: `metadata.name` must begin with a letter"),
        (
            service("name: shop", "name: shop2"),
            "s.yaml:4: Service shop2: `metadata.name` differs from the app's strategy.activeService, shop. Write "
            "{{ active_service }}, or change strategy.activeService",
        ),
        (
            config("  name:", "  namespace: other\n  name:"),
            "x0.yaml:4: ConfigMap shop-v1-<revision>: `metadata.namespace` is other, but the app belongs to web. Rem",
        ),
        (
            config("  name:", "  resourceVersion: '1'\n  name:"),
            "x0.yaml:4: ConfigMap shop-v1-<revision>: `metadata.resourceVersion` is not for templates. Remove it",
        ),
        (
            config("  name:", "  labels:\n    a: b c\n  name:"),
            "x0.yaml:5: ConfigMap shop-v1-<revision>: `metadata.labels.a` holds a blank, but a label's value may only",
        ),
        (
            config("  name:", "  labels:\n    version: 1.5\n  name:"),
            "x0.yaml:5: ConfigMap shop-v1-<revision>: `metadata.labels.version` is a number, but must be text. Quote",
        ),
        (
            config("  name:", "  labels:\n    a b: c\n  name:"),
            "x0.yaml:5: ConfigMap shop-v1-<revision>: `metadata.labels.a b` is no key for a label",
        ),
        (
            config("  name:", "  annotations:\n    scrape: true\n  name:"),
            "x0.yaml:5: ConfigMap shop-v1-<revision>: `metadata.annotations.scrape` is true or false, but must be",
        ),
        (config("fast", "1"), "x0.yaml:6: ConfigMap shop-v1-<revision>: `data.MODE` is a number, but must be text"),
        (release(CONFIG, CONFIG), "x1.yaml:4: ConfigMap shop-v1-<revision>: `metadata.name` is there twice, first at"),
        (release(deployment=""), "app shop: no template renders a Deployment or StatefulSet. Add one"),
        (release(service=""), "app shop: no template renders a Service. Add one with the name shop"),
        (
            release(changed(DEPLOYMENT, "{{ name }}", "{{ name }}-b")),
            "d.yaml:7: Deployment shop-v1-<revision>: `spec.selector.matchLabels` would also select the pods of "
            "Deployment shop-v1-<revision>-b. Give each workload's pods a label of their own, and select by it",
        ),
        (
            release("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}"),
            "x0.yaml:1: Ingress shop is no active Ingress of the app. Set strategy.activeIngress to shop",
        ),
    ],
)
def test_objects(broken: Release, message: str) -> None:
    assert refusal(broken).startswith(message)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (release(deployment=DEPLOYMENT[: DEPLOYMENT.index("spec:")]), f"d.yaml:1: {D}`spec` is missing"),
        (deployment("spec:\n  sel", "spec:\n  replicas: 0\n  sel"), f"d.yaml:6: {D}`spec.replicas` is 0, but must be"),
        (
            deployment("spec:\n  sel", "spec:\n  replicas: '3'\n  sel"),
            f"d.yaml:6: {D}`spec.replicas` is text, but must be a whole number. Remove the quotes",
        ),
        (
            deployment("spec:\n  sel", "spec:\n  replicas: true\n  sel"),
            f"d.yaml:6: {D}`spec.replicas` is true or false, but must be a whole number",
        ),
        (
            deployment("selector:\n    matchLabels:\n      blue", "x:\n    blue"),
            f"d.yaml:5: {D}`spec.selector` is miss",
        ),
        (deployment("      bluegreen.reconciler/revision: {{ revision }}\n", ""), f"d.yaml:7: {D}`spec.selector.match"),
        (
            deployment("    matchLabels:", "    matchExpressions: []\n    matchLabels:"),
            f"d.yaml:7: {D}`spec.selector.matchExpressions` is not supported. Use matchLabels",
        ),
        (deployment("app: shop", "app: '-'"), f"d.yaml:12: {D}`spec.template.metadata.labels.app` must begin and end"),
        (
            deployment("      labels:", "      annotations:\n        prometheus.io/scrape: true\n      labels:"),
            f"d.yaml:12: {D}`spec.template.metadata.annotations.prometheus.io/scrape` is true or false, but must be t",
        ),
        (
            deployment("      containers:", "      restartPolicy: Never\n      containers:"),
            f"d.yaml:14: {D}`{POD}restart",
        ),
        (
            deployment("containers:", "container:"),
            f"d.yaml:13: {D}`{POD}containers` is missing or empty. Name at least",
        ),
        (deployment("- name: shop", "- nam: shop"), f"d.yaml:15: {D}`{NODE}name` is missing"),
        (deployment("- name: shop", "- name: Shop"), f"d.yaml:15: {D}`{NODE}name` may only hold a-z"),
        (deployment("image: shop:{{ version }}", "image:"), f"d.yaml:16: {D}`{NODE}image` is missing"),
        (deployment("shop:{{ version }}", "'shop '"), f"d.yaml:16: {D}`{NODE}image` holds blank space"),
        (deployment("8080", "'8080'"), f"d.yaml:19: {D}`{NODE}ports[0].containerPort` is text, but must be a whole"),
        (deployment("8080", "80800"), f"d.yaml:19: {D}`{NODE}ports[0].containerPort` is 80800, but must be from 1 to"),
        (deployment("name: http", "name: HTTP"), f"d.yaml:18: {D}`{NODE}ports[0].name` may only hold"),
        (
            deployment("containerPort: 8080", "containerPort: 1\n            - {name: http, containerPort: 2}"),
            f"d.yaml:20: {D}`{NODE}ports[1].name` is the same as `{NODE}ports[0].name`",
        ),
        (
            container("env:", "- name: A", "  value: 1"),
            f"d.yaml:22: {D}`{NODE}env[0].value` is a number, but must be te",
        ),
        (
            container("env:", "- name: A", "  value: true"),
            f"d.yaml:22: {D}`{NODE}env[0].value` is true or false, but mu",
        ),
        (container("env: {A: b}"), f"d.yaml:20: {D}`{NODE}env` is a mapping, but must be a list"),
        (container("env: [A]"), f"d.yaml:20: {D}`{NODE}env[0]` is text, but must be a mapping"),
        (
            container("env:", "- name: A", "- name: A"),
            f"d.yaml:22: {D}`{NODE}env[1].name` is the same as `{NODE}env[0]",
        ),
        (container("env: [{name: A, value: x, valueFrom: {}}]"), f"d.yaml:20: {D}`{NODE}env[0]` has both"),
        (container("args: [1]"), f"d.yaml:20: {D}`{NODE}args[0]` is a number, but must be text. Quote it"),
        (
            container("readinessProbe: {httpGet: {port: htp}}"),
            f"d.yaml:20: {D}`{NODE}readinessProbe.httpGet.port` is htp (did you mean `http`?), but no port of the",
        ),
        (
            container("livenessProbe: {tcpSocket: {port: 0}}"),
            f"d.yaml:20: {D}`{NODE}livenessProbe.tcpSocket.port` is 0",
        ),
        (
            container("volumeMounts: [{name: x, mountPath: /x}]"),
            f"d.yaml:20: {D}`{NODE}volumeMounts[0].name` is x, but no volume has that name",
        ),
        (
            deployment("      containers:", "      initContainers: [{name: shop, image: x}]\n      containers:"),
            f"d.yaml:14: {D}`{POD}initContainers[0].name` is the same as `{NODE}name`",
        ),
    ],
)
def test_deployments(broken: Release, message: str) -> None:
    assert refusal(broken).startswith(message)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            service("spec:", "spec:\n  type: ExternalName"),
            "s.yaml:6: Service shop: `spec.type` must be ClusterIP, NodeP",
        ),
        (
            service("  selector:\n    app: shop\n    bluegreen.reconciler/revision: {{ revision }}\n", ""),
            "s.yaml:5: Service shop: `spec.selector` is missing or empty. Add the labels of the pods, among them",
        ),
        (
            service("  ports:\n    - port: 80\n      targetPort: http\n", ""),
            "s.yaml:5: Service shop: `spec.ports` is mis",
        ),
        (service("port: 80", "port: 0"), "s.yaml:10: Service shop: `spec.ports[0].port` is 0, but must be from 1"),
        (
            service("port: 80", "port: '80'"),
            "s.yaml:10: Service shop: `spec.ports[0].port` is text, but must be a whole",
        ),
        (
            service("targetPort: http", "targetPort: htpp"),
            "s.yaml:11: Service shop: `spec.ports[0].targetPort` is htpp (did you mean `http`?), but no port of the "
            "containers has that name. Named ports: http",
        ),
        (service("targetPort: http", "nodePort: 99999"), "s.yaml:11: Service shop: `spec.ports[0].nodePort` is 99999"),
        (
            service("    - port: 80", "    - port: 81\n    - port: 80"),
            "s.yaml:10: Service shop: `spec.ports[0].name` is missing. A Service with several ports must name each",
        ),
        (
            service("    - port: 80\n", "    - {port: 81, name: a}\n    - port: 80\n      name: a\n"),
            "s.yaml:12: Service shop: `spec.ports[1].name` is the same as `spec.ports[0].name`",
        ),
        (service("port: 80", "port: 80\n      name: A"), "s.yaml:11: Service shop: `spec.ports[0].name` may only hold"),
    ],
)
def test_services(broken: Release, message: str) -> None:
    assert refusal(broken).startswith(message)


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ name }}'}\n"


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("data: {p: 'hunter2!'}", "x0.yaml:4: Secret shop-v1-<revision>: `data.p` is no Base64. Pipe it through"),
        (
            "stringData: {p: [hunter2]}",
            "x0.yaml:4: Secret shop-v1-<revision>: `stringData.p` is a list, but must be te",
        ),
        ("stringData: hunter2", "x0.yaml:4: Secret shop-v1-<revision>: `stringData` is text, but must be a mapping"),
        ("stringData: {p: !hunter2 x}", "x0.yaml:4: tags"),
        ("stringData: {p: *hunter2}", "x0.yaml:4: an alias"),
        ("stringData: {p: 'hunter2}", "x0.yaml:4: is not YAML"),
        ("stringData: {p: 1, p: hunter2}", "x0.yaml:4: the key `p` is there twice"),
        ("stringData: {p: {{ values.password | int + 'x' }}}", "x0.yaml:4: an expression fails with TypeError"),
        (
            "stringData: {p: {{ values.pasword }}}",
            "x0.yaml:4: `values.pasword` is not defined (did you mean `values.pas",
        ),
    ],
)
def test_an_error_never_shows_a_secret(secret: str, message: str) -> None:
    found = refusal(release(SECRET + secret, values={"password": "hunter2"}))
    assert found.startswith(message)
    assert "hunter2" not in found


def test_what_is_unusual_but_right_is_accepted() -> None:
    identify(APP, container("env: [{name: A}, {name: B, value: ''}, {name: C, valueFrom: {fieldRef: {}}}]"))
    identify(APP, deployment("name: http", "protocol: TCP\n              name: http"))
    identify(APP, service("targetPort: http", "targetPort: 8080"))
    identify(APP, service("      targetPort: http\n", ""))
    identify(APP, release(SECRET + "data: {p: aHVudGVyMg==}\nstringData: {q: x}\ntype: Opaque"))
    identify(APP, config("  name:", "  creationTimestamp: null\n  name:"))
    identify(APP, config("{{ name }}", "{{ name }}.with.dots"))
