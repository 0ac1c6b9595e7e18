"""Powers: what a pod or Service can be given that reaches beyond its namespace. Refused unless allowed by name.

For pods it is what the Pod Security Standards refuse at the level *baseline*, as of Kubernetes 1.34
(https://kubernetes.io/docs/concepts/security/pod-security-standards/); `externalIPs` of a Service take over traffic to
addresses of others (CVE-2020-8554). What RBAC and admission refuse is refused besides: this is not instead of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from reconciler.core.field import Field
from reconciler.core.strictyaml import Document, Key
from reconciler.core.text import did_you_mean

POWERS: Mapping[str, str] = {
    "privileged": "is a container with the rights of the node's root",
    "hostProcess": "is a process of the Windows node itself",
    "hostNetwork": "is the node's own network",
    "hostPID": "shows and reaches the node's processes",
    "hostIPC": "is the node's shared memory",
    "hostPath": "is a folder of the node",
    "hostPorts": "is a port of the node",
    "hostProbes": "makes the kubelet ask any address",
    "capabilities": "is a right of the kernel that containers do not usually have",
    "sysctls": "is a setting of the kernel that others may notice",
    "procMount": "shows what is hidden of the kernel",
    "seLinux": "is another SELinux label than a container's",
    "appArmor": "switches AppArmor off",
    "seccomp": "switches the filter of system calls off",
    "externalIPs": "takes over traffic to that address",
}
"""By name, what each does."""

_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
_SYSCTLS = (
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout"),
    *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
    *("net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"),
)
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILES = (None, "RuntimeDefault", "Localhost")
_PROFILE_ANNOTATIONS = {
    "container.apparmor.security.beta.kubernetes.io/": "appArmor",
    "container.seccomp.security.alpha.kubernetes.io/": "seccomp",
    "seccomp.security.alpha.kubernetes.io/pod": "seccomp",
}
"""What these profiles were called before they were fields: by the beginning of the key."""
_ANNOTATED_PROFILES = ("", "runtime/default", "docker/default")
_TEMPLATES: tuple[tuple[Key, ...], ...] = (
    ("spec", "template"),
    ("spec", "jobTemplate", "spec", "template"),
    ("template",),
)
"""Where the kinds of Kubernetes keep the template of their pods."""

_Asked: TypeAlias = Iterator[tuple[str, Field]]


def check_powers(documents: Iterable[Document], allowed: Collection[str]) -> None:
    """Raises `Invalid` for the first field of the objects that asks for a power which is not `allowed`."""
    for document in documents:
        for power, field in _asked(_root(document)):
            if power not in allowed:
                todo = f"Remove it, or let the configuration say so, of the source or the app: {_allowing(power)}"
                raise field.fault(f"needs the power {power}: it {POWERS[power]}, and is not allowed to this app", todo)


def _allowing(power: str) -> str:
    return f"`allow: {{powers: [{power}]}}`"


def power_fault(name: str) -> str:
    """Why `name` is no power, or ''."""
    return "" if name in POWERS else f"is no power{did_you_mean(name, POWERS)}; there are {', '.join(POWERS)}"


def _root(document: Document) -> Field:
    root = Field(document, "", document.data)
    names = (root["kind"].value, root["metadata"]["name"].value)
    return Field(document, " ".join(str(each) for each in names if each), document.data)


def _asked(root: Field) -> _Asked:
    if root["kind"].value == "Service":
        for address in root["spec"]["externalIPs"].elements():
            yield "externalIPs", address
    for pods in (root, *(root.at(*path) for path in _TEMPLATES)):
        yield from _of_pods(pods)


def _of_pods(template: Field) -> _Asked:
    spec = template["spec"]
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        yield from _if(_is_set(spec[name]), name, spec[name])
    for volume in spec["volumes"].elements():
        yield from _if(volume["hostPath"].value is not None, "hostPath", volume["hostPath"])
    for sysctl in spec["securityContext"]["sysctls"].elements():
        yield from _if(sysctl["name"].value not in _SYSCTLS, "sysctls", sysctl)
    yield from _of_context(spec["securityContext"])
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec[key].elements():
            yield from _of_container(container)
    yield from _of_annotations(template["metadata"]["annotations"])


def _of_container(container: Field) -> _Asked:
    context = container["securityContext"]
    yield from _if(_is_set(context["privileged"]), "privileged", context["privileged"])
    for capability in context["capabilities"]["add"].elements():
        yield from _if(capability.value not in _CAPABILITIES, "capabilities", capability)
    yield from _if(context["procMount"].value not in (None, "Default"), "procMount", context["procMount"])
    yield from _of_context(context)
    for port in container["ports"].elements():
        yield from _if(port["hostPort"].value not in (None, 0), "hostPorts", port["hostPort"])
    for handler in _handlers(container):
        for kind in ("httpGet", "tcpSocket"):
            yield from _if(handler[kind]["host"].value not in (None, ""), "hostProbes", handler[kind]["host"])


def _handlers(container: Field) -> tuple[Field, ...]:
    hooks = container["lifecycle"]
    probes = (container[name] for name in ("livenessProbe", "readinessProbe", "startupProbe"))
    return (*probes, hooks["postStart"], hooks["preStop"])


def _of_context(context: Field) -> _Asked:
    """What a pod's securityContext has as well as a container's."""
    windows, labels = context["windowsOptions"]["hostProcess"], context["seLinuxOptions"]
    yield from _if(_is_set(windows), "hostProcess", windows)
    yield from _if(labels["type"].value not in _SELINUX_TYPES, "seLinux", labels["type"])
    for key in ("user", "role"):
        yield from _if(labels[key].value not in (None, ""), "seLinux", labels[key])
    for power, key in (("appArmor", "appArmorProfile"), ("seccomp", "seccompProfile")):
        profile = context[key]["type"]
        yield from _if(profile.value not in _PROFILES, power, profile)


def _of_annotations(annotations: Field) -> _Asked:
    for key, entry in annotations.entries():
        power = next((power for begin, power in _PROFILE_ANNOTATIONS.items() if str(key).startswith(begin)), "")
        profile = str(entry.value or "")
        harmless = profile in _ANNOTATED_PROFILES or profile.startswith("localhost/")
        yield from _if(bool(power) and not harmless, power, entry)


def _is_set(flag: Field) -> bool:
    """Whatever is not plainly false: the API server alone knows what it takes for true."""
    return flag.value is not None and flag.value is not False


def _if(holds: bool, power: str, field: Field) -> _Asked:
    if holds:
        yield power, field
