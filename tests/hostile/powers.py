"""What a template can ask for that reaches beyond its namespace, and what it can try to hide that."""

from __future__ import annotations

from tests.fakes.rendering import DEPLOYMENT, SERVICE, changed
from tests.hostile.case import Case, over

_PODS = "    spec:\n      containers:\n"
_PORT = "              containerPort: 8080\n"
_IMAGE = "          image: shop:{{ version }}\n"


def _pods(name: str, power: str, *lines: str) -> Case:
    """Lines of the pods' spec."""
    added = "".join(f"      {line}\n" for line in lines)
    text = changed(DEPLOYMENT, _PODS, f"    spec:\n{added}      containers:\n")
    return Case(name, "Invalid", f"needs the power {power}", over(deployment=text.encode()))


def _container(name: str, power: str, line: str) -> Case:
    text = changed(DEPLOYMENT, _IMAGE, f"{_IMAGE}          {line}\n")
    return Case(name, "Invalid", f"needs the power {power}", over(deployment=text.encode()))


def _context(name: str, power: str, context: str) -> Case:
    return _container(name, power, f"securityContext: {{{context}}}")


_ROOT = "securityContext: {privileged: true}"

POWERS = (
    _context("a privileged container", "privileged", "privileged: true"),
    _context("… as text", "privileged", "privileged: 'true'"),
    _pods("… that starts first", "privileged", f"initContainers: [{{name: a, image: a, {_ROOT}}}]"),
    _pods("… that is there for debugging", "privileged", f"ephemeralContainers: [{{name: a, image: a, {_ROOT}}}]"),
    _pods(
        "… by an alias",
        "privileged",
        f"initContainers: [{{name: a, image: a, {_ROOT.replace('{', '&root {')}}}]",
        "ephemeralContainers: [{name: b, image: a, securityContext: *root}]",
    ),
    _pods(
        "… that a template puts together", "privileged", "{{ 'initContainers: [{securityContext: {privileged: 1}}]' }}"
    ),
    _pods("the node's disk", "hostPath", "volumes: [{name: a, hostPath: {path: /}}]"),
    _pods("the container runtime's socket", "hostPath", "volumes: [{name: a, hostPath: {path: /run/containerd.sock}}]"),
    _pods("the node's network", "hostNetwork", "hostNetwork: true"),
    _pods("the node's processes", "hostPID", "hostPID: true"),
    _pods("the node's shared memory", "hostIPC", "hostIPC: true"),
    Case(
        "a port of the node",
        "Invalid",
        "needs the power hostPorts",
        over(deployment=changed(DEPLOYMENT, _PORT, f"{_PORT}              hostPort: 80\n").encode()),
    ),
    _container(
        "a probe of the cloud's metadata", "hostProbes", "livenessProbe: {httpGet: {port: 80, host: 169.254.169.254}}"
    ),
    _context("the kernel's rights", "capabilities", "capabilities: {add: [SYS_ADMIN]}"),
    _context("all of them", "capabilities", "capabilities: {add: [ALL]}"),
    _pods("the kernel's settings", "sysctls", "securityContext: {sysctls: [{name: kernel.core_pattern, value: x}]}"),
    _context("an unmasked `/proc`", "procMount", "procMount: Unmasked"),
    _context("no seccomp", "seccomp", "seccompProfile: {type: Unconfined}"),
    _context("no AppArmor", "appArmor", "appArmorProfile: {type: Unconfined}"),
    _context("another SELinux type", "seLinux", "seLinuxOptions: {type: spc_t}"),
    _pods("a process of the Windows node", "hostProcess", "securityContext: {windowsOptions: {hostProcess: true}}"),
    Case(
        "a Service that takes over an address",
        "Invalid",
        "needs the power externalIPs",
        over(service=changed(SERVICE, "  ports:\n", "  externalIPs: [192.0.2.7]\n  ports:\n").encode()),
    ),
    Case(
        "powers that are a mapping, not a list",
        "Invalid",
        "must be a list",
        over(service=changed(SERVICE, "  ports:\n", "  externalIPs: {a: 192.0.2.7}\n  ports:\n").encode()),
    ),
)
