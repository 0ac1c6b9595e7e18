"""An app of two Deployments and a StatefulSet, switched by two Services or by one Ingress."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.model import App
from tests.fakes.world import APP, World

_WORKLOAD = """\
apiVersion: apps/v1
kind: {kind}
metadata:
  name: {{{{ name }}}}-{part}
spec:
  replicas: {{{{ values.replicas }}}}
  selector:
    matchLabels: {{part: {part}, bluegreen.reconciler/revision: {{{{ revision }}}}}}
  template:
    metadata:
      labels: {{part: {part}, bluegreen.reconciler/revision: {{{{ revision }}}}}}
    spec:
      containers:
        - name: {part}
          image: example/{part}:{{{{ version }}}}
          env:
            - {{name: GREETING, value: {{{{ values.env | default({{}}) | texts | toyaml | quote }}}}}}
          ports: [{{name: http, containerPort: 8080}}]
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector: {{part: {part}, bluegreen.reconciler/revision: {{{{ revision }}}}}}
  ports: [{{port: 80, targetPort: http}}]
"""
_INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ active_ingress }}
spec:
  rules:
    {% for part in ("a", "b") %}
    - host: {{ part }}.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: "{{ name }}-{{ part }}", port: {number: 80}}}
    {% endfor %}
"""
_WORKLOADS = {
    "a.yaml": _WORKLOAD.format(kind="Deployment", part="a"),
    "b.yaml": _WORKLOAD.format(kind="Deployment", part="b"),
    "db.yaml": _WORKLOAD.format(kind="StatefulSet", part="db"),
}
SERVICES = {
    **_WORKLOADS,
    "a-service.yaml": _SERVICE.format(name="{{ active_service }}", part="a"),
    "b-service.yaml": _SERVICE.format(name="my-app-b", part="b"),
}
INGRESS = {
    **_WORKLOADS,
    "a-service.yaml": _SERVICE.format(name="{{ name }}-a", part="a"),
    "b-service.yaml": _SERVICE.format(name="{{ name }}-b", part="b"),
    "ingress.yaml": _INGRESS,
}

BY_SERVICES = replace(APP, templates="templates", values={"replicas": 2})
BY_INGRESS = replace(BY_SERVICES, strategy=replace(APP.strategy, active_ingress="my-app"))


def whole_world(app: App = BY_SERVICES) -> World:
    """A world whose repository holds the templates of such an app."""
    files = INGRESS if app.strategy.active_ingress else SERVICES
    return World(app, {f"templates/{name}": text for name, text in files.items()})
