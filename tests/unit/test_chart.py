"""The Helm chart, rendered by the real helm: what reaches the cluster, and what is refused before it does.

`make test` builds helm first. By hand: `python -m sandbox helm version`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.chart import table, with_versions
from docs.generate import ROOT
from reconciler.adapters.schemas import KubernetesSchemas
from reconciler.app.settings import parse_settings
from sandbox.build import HELM

CHART = ROOT / "helm/reconciler"
PROGRAM = HELM.output / "helm"
EVERYTHING, DEFAULT = CHART / "ci/everything-values.yaml", CHART / "ci/default-values.yaml"

Object = dict[str, Any]
Values = Mapping[str, Any]

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="helm is not built: python -m sandbox helm version")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, check=False)


def render(file: Path = DEFAULT, values: Values | None = None) -> list[Object]:
    """The objects of a release `blue` in the namespace `ops`."""
    done = run(*_template(file, values or {}))
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusal(values: Values, file: Path = DEFAULT) -> str:
    """What helm says to values that it must not take."""
    done = run(*_template(file, values))
    assert done.returncode != 0, "it was taken"
    return done.stderr


def _template(file: Path, values: Values) -> list[str]:
    more = [word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]
    return ["template", "blue", str(CHART), "--namespace", "ops", "--values", str(file), *more]


def of_kind(kind: str, objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def one(kind: str, objects: list[Object]) -> Object:
    (found,) = of_kind(kind, objects)
    return found


def pods(objects: list[Object]) -> list[Object]:
    """What is like a pod: labels in its metadata, and a spec."""
    templates = [each["spec"]["template"] for each in of_kind("Deployment", objects)]
    return templates + of_kind("Pod", objects)


def rules(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """All rules, each with the namespace that it holds in ('' for all)."""
    for role in of_kind("Role", objects) + of_kind("ClusterRole", objects):
        for rule in role["rules"]:
            yield role["metadata"].get("namespace", ""), rule


def table_of_rules() -> Mapping[str, list[Object]]:
    loaded: Mapping[str, list[Object]] = yaml.safe_load((CHART / "files/rules.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("file", [DEFAULT, EVERYTHING], ids=lambda file: file.stem)
def test_helm_finds_nothing_to_say(file: Path) -> None:
    done = run("lint", "--strict", "--quiet", str(CHART), "--values", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [DEFAULT, EVERYTHING], ids=lambda file: file.stem)
def test_every_object_is_what_kubernetes_takes(file: Path) -> None:
    schemas = KubernetesSchemas.of("1.34")
    objects = [each for each in render(file) if not each["apiVersion"].startswith("monitoring.coreos.com/")]
    assert len(objects) > 9
    assert [fault for each in objects for fault in schemas.faults(each)] == []


@pytest.mark.parametrize("file", [DEFAULT, EVERYTHING], ids=lambda file: file.stem)
def test_all_pods_are_restricted(file: Path) -> None:
    """The fields that the Pod Security Standard "restricted" asks for, and a root file system that is only read."""
    found = pods(render(file))
    assert len(found) == 2
    for pod in found:
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        assert not [each for each in pod["spec"].get("volumes", []) if "hostPath" in each]
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert container["resources"]["limits"]["memory"]


def test_no_value_takes_the_restrictions_away() -> None:
    weak = {"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}}
    for pod in pods(render(values={"podSecurityContext": weak})):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "/podSecurityContext/runAsUser" in refusal({"podSecurityContext": {"runAsUser": 0}})


def test_only_the_daemons_pods_have_a_token() -> None:
    objects = render()
    deployment, test = pods(objects)
    assert deployment["spec"]["automountServiceAccountToken"] is True
    assert test["spec"]["automountServiceAccountToken"] is False
    assert one("ServiceAccount", objects)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("wide", [False, True])
def test_no_rule_has_a_wildcard(wide: bool) -> None:
    found = list(rules(render(EVERYTHING, {"rbac.clusterWide": wide})))
    assert found
    assert not [rule for _, rule in found for words in rule.values() for word in words if "*" in word]


def test_secrets_are_nobodys_unless_asked_for() -> None:
    assert not [rule for _, rule in rules(render()) if "secrets" in rule["resources"]]
    asked = rules(render(values={"rbac.features.secrets": True}))
    assert [rule["verbs"] for _, rule in asked if "secrets" in rule["resources"]]


def test_of_secrets_that_the_configuration_names_each_can_be_read_and_no_other() -> None:
    found = rules(render(EVERYTHING, {"rbac.features.secrets": False}))
    reading = [(namespace, rule) for namespace, rule in found if "secrets" in rule["resources"]]
    named = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["channels", "shop-git"], "verbs": ["get"]}
    assert reading == [("shop", named)]


def test_each_namespace_has_a_role_of_its_own() -> None:
    objects = render(values={"namespaces": ["shop", "till"], "highAvailability.enabled": False, "replicas": 1})
    for kind in ("Role", "RoleBinding"):
        assert [each["metadata"]["namespace"] for each in of_kind(kind, objects)] == ["shop", "till"]
    assert not of_kind("ClusterRole", objects)
    subject = {"kind": "ServiceAccount", "name": "blue-reconciler", "namespace": "ops"}
    assert [each["subjects"] for each in of_kind("RoleBinding", objects)] == [[subject], [subject]]


def test_without_namespaces_it_is_the_releases_own_and_leases_are_always_there() -> None:
    assert {namespace for namespace, _ in rules(render())} == {"ops"}
    elsewhere = rules(render(values={"namespaces": ["shop"]}))
    assert {namespace for namespace, rule in elsewhere if rule["resources"] == ["leases"]} == {"ops"}


def test_one_role_for_the_cluster_replaces_those_of_the_namespaces() -> None:
    objects = render(values={"rbac.clusterWide": True, "namespaces": ["shop"]})
    assert one("ClusterRole", objects)["rules"] == table_of_rules()["always"]
    assert [each["metadata"]["name"] for each in of_kind("Role", objects)] == ["blue-reconciler-members"]


def test_accounts_can_be_impersonated_by_name_in_their_namespace() -> None:
    found = [(namespace, rule) for namespace, rule in rules(render(EVERYTHING)) if rule["verbs"] == ["impersonate"]]
    assert [(namespace, rule["resourceNames"]) for namespace, rule in found] == [
        ("shop", ["web", "worker"]),
        ("till", ["till"]),
    ]


def test_a_daemon_that_only_acts_as_accounts_writes_nothing_itself() -> None:
    features = dict.fromkeys(_features(), True) | {"deletion": False}
    values = {"rbac.writes": False, "rbac.features": features}
    found = [(rule["resources"], rule["verbs"]) for _, rule in rules(render(values=_lone(values)))]
    assert (["events"], ["create"]) in found
    assert {tuple(verbs) for resources, verbs in found if resources != ["events"]} == {("list", "watch")}


def test_the_rules_of_each_feature_are_added_by_its_switch() -> None:
    for feature in _features():
        switched = one("Role", render(values=_lone({f"rbac.features.{feature}": True})))
        assert switched["rules"] == table_of_rules()["always"] + table_of_rules()[feature]


def test_there_is_a_switch_for_every_feature() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(values["rbac"]["features"]) == set(_features())
    described = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]["rbac"]
    assert set(described["properties"]["features"]["properties"]) == set(_features())


def _features() -> list[str]:
    return sorted(set(table_of_rules()) - {"always", "members"})


def _lone(values: Values) -> Values:
    return {"replicas": 1, "highAvailability.enabled": False, **values}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rbac": {"writes": False, "features": {"deletion": True}}}, "may not write with rbac.writes: false"),
        ({"listenAddress": "::"}, "at '/listenAddress'"),
        (
            {"monitoring": {"enabled": False, "prometheusRule": {"enabled": True}}},
            "monitoring.prometheusRule: there is nothing to ask",
        ),
        ({"replica": 3}, "additional properties 'replica' not allowed"),
        ({"replicas": "3"}, "at '/replicas': got string, want integer"),
        ({"config.sorces": []}, "at '/config': additional properties 'sorces' not allowed"),
        ({"config.sources": [{"nam": "x"}]}, "at '/config/sources/0': additional properties 'nam' not allowed"),
        ({"config.monitoring.address": "x"}, "at '/config': additional properties 'monitoring' not allowed"),
        ({"rbac.features.secret": True}, "additional properties 'secret' not allowed"),
        ({"rbac.extraRules": [{"apiGroups": ["*"], "resources": ["x"], "verbs": ["get"]}]}, "/apiGroups/0"),
        ({"namespaces": ["Shop"]}, "at '/namespaces/0'"),
        ({"monitoring.port": 80}, "at '/monitoring/port'"),
    ],
)
def test_what_is_misspelt_is_refused_with_its_place(values: Values, told: str) -> None:
    assert told in refusal(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"image.repository": ""}, "image.repository: name the image"),
        ({"highAvailability.enabled": False}, "replicas: several daemons need highAvailability.enabled"),
        ({"data.volume": {"emptyDir": {}}}, "data.volume: one volume serves one daemon"),
        ({"monitoring.enabled": False, "monitoring.podMonitor.enabled": True}, "monitoring.podMonitor"),
        ({f"monitoring.{kind}Monitor.enabled": True for kind in ("service", "pod")}, "choose one of"),
        ({"webhook.ingress.enabled": True}, "webhook.ingress: there is no webhook"),
        (
            {"webhook.ingress.enabled": True, "config.webhook.receivers": [
                {"name": "shop", "type": "github", "secretFile": "/etc/hook", "sources": ["shop"]}]},
            "webhook.ingress.host: name the host",
        ),
        ({"serviceAccount.create": False}, "serviceAccount.name: name the account"),
        ({"config.apps": [{"name": "web", "source": "x"}]}, "config.apps[0] (web) is in the namespace default"),
        (
            {"config.sources": [{"name": "shop", "url": "x", "apps": "*.yaml", "namespace": "ops",
                                 "allow": {"namespaces": ["till"]}}]},
            "config.sources[0] (shop) may have apps in the namespace till",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_what_to_do(values: Values, told: str) -> None:
    assert told in refusal(values)


def test_a_change_of_the_configuration_restarts_nothing() -> None:
    before, after = (
        one("Deployment", render(values={"config.sources": [{"name": "shop", "url": url}]}))
        for url in ("https://one.example.com/shop.git", "https://two.example.com/shop.git")
    )
    assert before == after


def test_what_is_fixed_at_start_restarts_the_pods() -> None:
    before, after = (
        one("Deployment", render(values={"replicas": 1, "highAvailability.enabled": shared}))
        for shared in (True, False)
    )
    assert before["spec"]["template"] != after["spec"]["template"]


def test_the_daemon_takes_the_configuration_that_it_is_given() -> None:
    objects = render(EVERYTHING)
    (text,) = (each["data"]["reconciler.yaml"] for each in of_kind("ConfigMap", objects) if _holds_config(each))
    settings = parse_settings(text, "reconciler.yaml")
    assert [each.name for each in settings.sources] == ["shop", "till"]
    assert settings.webhook is not None
    assert (settings.webhook.host, settings.webhook.port) == ("0.0.0.0", 9292)
    assert settings.monitoring is not None
    assert settings.high_availability is not None
    assert settings.high_availability.group == "blue-reconciler"


def _holds_config(configmap: Object) -> bool:
    return "reconciler.yaml" in configmap["data"]


def test_the_chart_adds_what_it_decides() -> None:
    config = yaml.safe_load(one("ConfigMap", render())["data"]["reconciler.yaml"])
    assert config["monitoring"] == {"address": "0.0.0.0:8081"}
    assert config["highAvailability"] == {"group": "blue-reconciler"}
    assert "webhook" not in config


def test_an_update_and_a_drain_leave_ready_pods() -> None:
    objects = render()
    assert one("Deployment", objects)["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert one("PodDisruptionBudget", objects)["spec"]["maxUnavailable"] == 1
    assert not of_kind("PodDisruptionBudget", render(values={"replicas": 1}))


def test_a_volume_that_serves_one_pod_is_never_mounted_by_two() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "mirrors"}}
    deployment = one("Deployment", render(values=_lone({"data.volume": claim})))
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert {"name": "data", **claim} in deployment["spec"]["template"]["spec"]["volumes"]


def test_everything_that_selects_pods_selects_the_daemons_and_not_the_test() -> None:
    objects = render(EVERYTHING)
    daemon, test = (pod["metadata"]["labels"] for pod in pods(objects))
    spread = pods(objects)[0]["spec"]["topologySpreadConstraints"]
    selectors = [
        one("Deployment", objects)["spec"]["selector"]["matchLabels"],
        one("Service", objects)["spec"]["selector"],
        one("PodDisruptionBudget", objects)["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy", objects)["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in spread),
    ]
    for selector in selectors:
        assert selector.items() <= daemon.items()
        assert not selector.items() <= test.items()
    service = one("Service", objects)["metadata"]["labels"]
    assert one("ServiceMonitor", objects)["spec"]["selector"]["matchLabels"].items() <= service.items()


def test_credentials_are_folders_that_only_the_daemon_reads() -> None:
    spec = pods(render(EVERYTHING))[0]["spec"]
    mounts = {each["mountPath"]: each["name"] for each in spec["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    for name in ("shop-hook", "shop-git"):
        volume = volumes[mounts[f"/etc/reconciler-secrets/{name}"]]
        assert volume["secret"] == {"secretName": name, "defaultMode": 0o440}
    assert not [each for each in spec["containers"][0]["volumeMounts"] if "subPath" in each]  # never brought up to date


def test_without_monitoring_there_are_no_probes_and_no_service() -> None:
    objects = render(values={"monitoring.enabled": False})
    assert not [
        key for key in one("Deployment", objects)["spec"]["template"]["spec"]["containers"][0] if "Probe" in key
    ]
    assert not of_kind("Service", objects) + of_kind("Pod", objects)
    assert one("NetworkPolicy", objects)["spec"]["ingress"] == []


def test_dns_is_reached_where_its_pods_listen() -> None:
    """A policy is held against addresses after the Service's: OpenShift's DNS pods listen at 5353."""
    [dns, *_] = one("NetworkPolicy", render())["spec"]["egress"]
    assert {(each["protocol"], each["port"]) for each in dns["ports"]} == {
        (protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)
    }


def test_it_can_listen_where_there_is_ipv6_alone() -> None:
    receivers = {"receivers": [{"name": "x", "type": "github", "secretFile": "/x", "sources": ["shop"]}]}
    objects = render(values={"listenAddress": "[::]", "config.webhook": receivers})
    config = yaml.safe_load(one("ConfigMap", objects)["data"]["reconciler.yaml"])
    assert config["monitoring"]["address"] == "[::]:8081"
    assert config["webhook"]["address"] == "[::]:9292"


def test_the_test_pod_is_admitted_as_the_daemon_is() -> None:
    objects = render()
    account = one("Deployment", objects)["spec"]["template"]["spec"]["serviceAccountName"]
    spec = one("Pod", objects)["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == (account, False)


def test_only_the_webhook_is_led_to_from_outside() -> None:
    rule = one("Ingress", render(EVERYTHING))["spec"]["rules"]
    assert [path["path"] for each in rule for path in each["http"]["paths"]] == ["/hook"]


def test_the_test_pod_asks_what_the_service_offers() -> None:
    objects = render()
    name = one("Pod", objects)["spec"]["containers"][0]["args"][1]
    assert name == one("Service", objects)["metadata"]["name"].upper().replace("-", "_")


def test_a_value_that_nothing_is_said_of_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"line 3: image\.tag has no comment"):
        table("image:\n  # -- Where\n  tag: x\n".replace("# -- Where", "# Where"))


def test_the_table_has_comments_of_several_lines_and_whole_mappings() -> None:
    text = "# -- One\n# two | three\nimage: {tag: x}\nmore:\n  # -- Four\n  five: []\n"
    assert table(text).splitlines()[2:] == [
        '| `image` | `{"tag": "x"}` | One two \\| three |',
        "| `more.five` | `[]` | Four |",
    ]


def test_chart_and_daemon_have_one_version() -> None:
    text = "name: x\nversion: 1.0.0\nappVersion: '1.0.0'\n"
    assert with_versions(text, "2.0.0") == 'name: x\nversion: 2.0.0\nappVersion: "2.0.0"\n'


def test_links_of_alerts_and_dashboard_lead_to_the_documents_or_are_not_there() -> None:
    shown = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}
    objects = render(values={"monitoring": {**shown, "docsUrl": "https://wiki.example.org/ops/"}})
    links = [each["annotations"]["runbook_url"] for each in _alerts(objects)]
    assert links and all(each.startswith("https://wiki.example.org/ops/alerts.md#") for each in links)
    assert "docs.example.com" not in str(objects)
    bare = _alerts(render(values={"monitoring": shown}))
    assert bare and not any("runbook_url" in each["annotations"] for each in bare)


def test_alerts_are_about_this_release_and_all_of_its_replicas() -> None:
    """One Prometheus may know several releases, and knows no pod that has no address yet."""
    objects = render(values={"monitoring.prometheusRule": {"enabled": True}, "replicas": 3})
    by_name = {each["alert"]: each["expr"] for each in _alerts(objects)}
    namespace = one("Deployment", objects)["metadata"]["namespace"]
    ours = f'{{namespace="{namespace}", pod=~"{one("Deployment", objects)["metadata"]["name"]}-.*"}}'
    assert by_name["ReconcilerAbsent"] == f"absent(reconciler_build_info{ours})"
    assert by_name["ReconcilerMembersMissing"] == f"min by (namespace, job) (reconciler_members{ours}) < 3"


def _alerts(objects: list[Object]) -> list[Object]:
    return [each for group in one("PrometheusRule", objects)["spec"]["groups"] for each in group["rules"]]
