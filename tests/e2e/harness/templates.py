"""The built-in templates as files of an app's own repository, so that tests can change them."""

from __future__ import annotations

from reconciler.app.builtin import builtin_templates

BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: '{{ name }}'}
spec: {maxUnavailable: 1, selector: {matchLabels: {bluegreen.reconciler/revision: '{{ revision }}'}}}
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: my-app}
spec: {podSelector: {matchLabels: {app: my-app}}, policyTypes: [Ingress], ingress: [{}]}
"""
PREVIEW = """\
apiVersion: v1
kind: Service
metadata: {name: '{{ preview_service }}'}
spec:
  selector: {app: '{{ app }}', bluegreen.reconciler/revision: '{{ revision }}'}
  ports: [{name: http, port: 80, targetPort: http}]
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ name }}'}\ndata: {password: '{{ version | b64enc }}'}\n"
SERVICE_ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: my-app}\n"


def own_templates(**replaced: str) -> dict[str, str]:
    """Path → text of every built-in template, for a folder `templates`. `replaced`: name without suffix → text."""
    files = {each.name.rpartition("/")[2]: each.text for each in builtin_templates()}
    files |= {f"{name}.yaml": text for name, text in replaced.items()}
    return {f"templates/{name}": text for name, text in files.items()}
