"""Powers: each that a template asks for is refused with its place unless it is allowed by name, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.powers import POWERS, check_powers, power_fault
from reconciler.core.render import identify
from reconciler.core.strictyaml import load
from reconciler.errors import Invalid
from tests.fakes.rendering import APP, DEPLOYMENT, SERVICE, changed, refusal, release

PODS = "    spec:\n      containers:\n"
CONTAINER = "          image: shop:{{ version }}\n"
PORT = "              containerPort: 8080\n"
METADATA = "      labels:\n        app: shop\n"


def of_pod(text: str) -> str:
    return changed(DEPLOYMENT, PODS, f"    spec:\n      {text}\n      containers:\n")


def of_container(text: str) -> str:
    return changed(DEPLOYMENT, CONTAINER, f"{CONTAINER}          {text}\n")


def context(text: str) -> str:
    return of_container(f"securityContext: {{{text}}}")


def annotated(text: str) -> str:
    return changed(DEPLOYMENT, METADATA, f"{METADATA}      annotations: {{{text}}}\n")


SPEC, FIRST = "spec.template.spec", "spec.template.spec.containers[0]"
ASKING = [
    ("privileged", context("privileged: true"), f"{FIRST}.securityContext.privileged"),
    ("privileged", context('privileged: "true"'), f"{FIRST}.securityContext.privileged"),
    ("hostProcess", context("windowsOptions: {hostProcess: true}"), "windowsOptions.hostProcess"),
    ("hostProcess", of_pod("securityContext: {windowsOptions: {hostProcess: true}}"), "windowsOptions.hostProcess"),
    ("hostNetwork", of_pod("hostNetwork: true"), f"{SPEC}.hostNetwork"),
    ("hostPID", of_pod("hostPID: true"), f"{SPEC}.hostPID"),
    ("hostIPC", of_pod("hostIPC: true"), f"{SPEC}.hostIPC"),
    ("hostPath", of_pod("volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /}}]"), "volumes[1].hostPath"),
    ("hostPath", of_pod("volumes: [{name: b, hostPath: {}}]"), f"{SPEC}.volumes[0].hostPath"),
    ("hostPorts", changed(DEPLOYMENT, PORT, f"{PORT}              hostPort: 80\n"), f"{FIRST}.ports[0].hostPort"),
    ("hostProbes", of_container("livenessProbe: {httpGet: {port: 80, host: 10.0.0.1}}"), "livenessProbe.httpGet.host"),
    ("hostProbes", of_container("startupProbe: {tcpSocket: {port: 80, host: a}}"), "startupProbe.tcpSocket.host"),
    ("hostProbes", of_container("lifecycle: {preStop: {httpGet: {port: 80, host: a}}}"), "preStop.httpGet.host"),
    ("capabilities", context("capabilities: {add: [CHOWN, SYS_ADMIN]}"), "capabilities.add[1]"),
    ("capabilities", context("capabilities: {add: [[CHOWN]]}"), "capabilities.add[0]"),
    ("sysctls", of_pod("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}"), "sysctls[0]"),
    ("procMount", context("procMount: Unmasked"), "securityContext.procMount"),
    ("seLinux", of_pod("securityContext: {seLinuxOptions: {type: spc_t}}"), "seLinuxOptions.type"),
    ("seLinux", context("seLinuxOptions: {user: system_u}"), "seLinuxOptions.user"),
    ("seLinux", context("seLinuxOptions: {role: system_r}"), "seLinuxOptions.role"),
    ("appArmor", context("appArmorProfile: {type: Unconfined}"), "appArmorProfile.type"),
    ("appArmor", annotated("container.apparmor.security.beta.kubernetes.io/shop: unconfined"), "annotations"),
    ("seccomp", of_pod("securityContext: {seccompProfile: {type: Unconfined}}"), "seccompProfile.type"),
    ("seccomp", annotated("seccomp.security.alpha.kubernetes.io/pod: unconfined"), "annotations"),
    (
        "privileged",
        of_pod("initContainers: [{name: a, image: a, securityContext: {privileged: true}}]"),
        "initContainers[0].securityContext.privileged",
    ),
]


@pytest.mark.parametrize(("power", "deployment", "field"), ASKING)
def test_a_power_is_refused_with_its_place_and_granted_by_its_name_alone(
    power: str, deployment: str, field: str
) -> None:
    told = refusal(release(deployment=deployment), replace(APP, powers=tuple(set(POWERS) - {power})))
    assert told.startswith("d.yaml:")
    assert field in told
    assert f"needs the power {power}: " in told
    assert f"allow: {{powers: [{power}]}}" in told
    assert identify(replace(APP, powers=(power,)), release(deployment=deployment))


def test_external_addresses_of_a_service_are_refused_one_by_one() -> None:
    service = changed(SERVICE, "  ports:\n", "  externalIPs: [192.0.2.7]\n  ports:\n")
    told = refusal(release(service=service))
    assert told.startswith("s.yaml:9: Service shop: `spec.externalIPs[0]` needs the power externalIPs")
    assert identify(replace(APP, powers=("externalIPs",)), release(service=service))


def test_a_power_that_is_taken_away_is_refused_though_it_was_rendered_before() -> None:
    asking = release(deployment=context("privileged: true"))
    assert identify(replace(APP, powers=("privileged",)), asking)
    assert "needs the power privileged" in refusal(asking)


def test_powers_are_no_part_of_the_revision() -> None:
    assert identify(APP, release()) == identify(replace(APP, powers=tuple(POWERS)), release())


HARMLESS = [
    context("privileged: false, procMount: Default, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"),
    context("privileged: null, allowPrivilegeEscalation: true, runAsUser: 0"),
    context("seccompProfile: {type: RuntimeDefault}, appArmorProfile: {type: Localhost, localhostProfile: a}"),
    of_pod("hostNetwork: false"),
    of_pod("volumes: [{name: a, hostPath: null, emptyDir: {}}]"),
    of_pod("securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}], seLinuxOptions: {level: 's0:c1,c2'}}"),
    of_container("livenessProbe: {httpGet: {port: 8080, host: ''}}"),
    annotated("container.apparmor.security.beta.kubernetes.io/shop: localhost/mine, other: unconfined"),
    changed(DEPLOYMENT, PORT, f"{PORT}              hostPort: 0\n"),
]


@pytest.mark.parametrize("deployment", HARMLESS)
def test_what_the_standards_allow_at_their_baseline_is_none(deployment: str) -> None:
    assert identify(APP, release(deployment=deployment))


@pytest.mark.parametrize(
    "above",
    ["spec:\n  template:\n    spec:", "spec:\n  jobTemplate:\n    spec:\n      template:\n        spec:", "spec:"],
)
def test_pods_are_found_in_every_kind_that_has_them(above: str) -> None:
    documents = load(f"kind: Any\nmetadata: {{name: x}}\n{above} {{hostNetwork: true}}", "x.yaml")
    with pytest.raises(Invalid, match=r"x\.yaml:\d: Any x: `.*spec\.hostNetwork` needs the power hostNetwork"):
        check_powers(documents, ())


def test_a_name_that_is_no_power_is_told_with_those_there_are() -> None:
    assert not power_fault("hostPath")
    assert power_fault("hostpath").startswith("is no power (did you mean `hostPath`?); there are privileged, ")
