"""Checks of Deployments and StatefulSets, and of how Services and an Ingress fit them.

Sources of the rules: the Kubernetes API reference for Deployment, StatefulSet, PodSpec, ServiceSpec and IngressSpec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from reconciler.core import naming
from reconciler.core.field import Field
from reconciler.core.objects import Object, check_annotations
from reconciler.core.text import did_you_mean

MAX_PORT = 65535
MAX_REPLICAS = 100_000
_DEFAULT_REPLICAS = 1
_REFERENCE_LISTS = ("configMapRef", "secretRef")
_REFERENCE_KEYS = ("configMapKeyRef", "secretKeyRef")


def replicas_of(workload: Object) -> int:
    """The workload's `spec.replicas`, 1 if it has none (the API's default).

    Raises:
        Invalid: less than one, which could never become ready and be switched to.
    """
    replicas = workload.root["spec"]["replicas"]
    return _DEFAULT_REPLICAS if replicas.value is None else replicas.integer(1, MAX_REPLICAS)


def pod_labels(workload: Object) -> Mapping[str, str]:
    """The labels that the template itself gives its pods."""
    return workload.root["spec"]["template"]["metadata"]["labels"].labels()


def match_labels(workload: Object) -> Mapping[str, str]:
    """The workload's selector.

    Raises:
        Invalid: it is empty, or more than `matchLabels`.
    """
    selector = workload.root["spec"].mapping()["selector"].mapping()
    if selector["matchExpressions"].value is not None:
        raise selector["matchExpressions"].fault("is not supported", "Use matchLabels")
    labels = selector["matchLabels"].mapping().labels()
    if not labels:
        raise selector["matchLabels"].fault("is empty")
    return labels


def check_workload(workload: Object) -> None:
    """Raises `Invalid` for a pod template that the API server would refuse, or that could never run."""
    replicas_of(workload)
    match_labels(workload)
    template = workload.root["spec"]["template"].mapping()
    pod_labels(workload)
    check_annotations(template["metadata"]["annotations"])
    spec = template["spec"].mapping()
    restart = spec["restartPolicy"]
    if restart.value not in (None, "Always"):
        raise restart.fault(f"must be Always in a {workload.kind}", "Remove it")
    check_pod(spec, _claimed(workload))


def check_pod(spec: Field, claimed: Set[str] = frozenset()) -> None:
    """Raises `Invalid` for containers and volumes of a pod's `spec` that the API server would refuse. `claimed` are
    volumes that are there without being among the pod's own."""
    containers = spec["containers"].elements()
    if not containers:
        raise spec["containers"].fault("is missing or empty", "Name at least one container with its image")
    everything = [*containers, *spec["initContainers"].elements()]
    for container in everything:
        _check_container(container)
    _refuse_twice([container["name"] for container in everything])
    _check_volumes(spec, everything, claimed)


def check_service(service: Object, workloads: Iterable[Object]) -> None:
    """Raises `Invalid` for a Service that the API server would refuse, or that leads to no port of the pods."""
    spec = service.root["spec"].mapping()
    if spec["type"].value not in (None, "ClusterIP", "NodePort", "LoadBalancer"):
        raise spec["type"].fault("must be ClusterIP, NodePort or LoadBalancer")
    if not spec["selector"].labels():
        raise spec["selector"].fault(
            "is missing or empty", "Add the labels of the pods, among them bluegreen.reconciler/revision"
        )
    ports = spec["ports"].elements()
    if not ports and spec["clusterIP"].value != "None":
        raise spec["ports"].fault("is missing or empty", "Name at least one port")
    known = {name for each in workloads for name in _container_ports(each)}
    for port in ports:
        _check_service_port(port, known, len(ports) > 1)
    _refuse_twice([port["name"] for port in ports if port["name"].value])


def check_target_ports(service: Object, found: Iterable[Object]) -> None:
    """Raises `Invalid` if a port leads to one by name that none of the workloads has which the Service finds."""
    known = {name for each in found for name in _container_ports(each)}
    for port in service.root["spec"]["ports"].elements():
        if port["targetPort"].value is not None:
            _check_port_reference(port["targetPort"], known)


def check_not_unique(service: Object) -> None:
    """Raises `Invalid` if a Service of a revision's own claims what two revisions cannot both have."""
    spec = service.root["spec"]
    fixed = [port["nodePort"] for port in spec["ports"].elements()]
    if spec["clusterIP"].value != "None":
        fixed.append(spec["clusterIP"])
    for field in fixed:
        if field.value is not None:
            raise field.fault("cannot be had by two revisions side by side", "Remove it, and Kubernetes chooses one")


def backends(ingress: Object) -> Iterator[Field]:
    """The `service` of each backend of an Ingress.

    Raises:
        Invalid: it has no backend, or one without a Service's name and port.
    """
    spec = ingress.root["spec"].mapping()
    paths = [path for rule in spec["rules"].elements() for path in rule["http"]["paths"].elements()]
    for path in paths:
        path["pathType"].text()
    default = [spec["defaultBackend"]] if spec["defaultBackend"].value is not None else []
    found = [*default, *(path["backend"] for path in paths)]
    if not found:
        raise spec["rules"].fault("leads nowhere", "Add a rule with a path and its backend")
    for backend in found:
        service = backend.mapping()["service"].mapping()
        service["name"].text(naming.wrong_service_name)
        yield service


def references(workload: Object) -> Iterator[Field]:
    """The names of the ConfigMaps, Secrets and Services that the pods use."""
    yield workload.root["spec"]["serviceName"]
    spec = workload.root["spec"]["template"]["spec"]
    for container in [*spec["containers"].elements(), *spec["initContainers"].elements()]:
        for source in container["envFrom"].elements():
            yield from (source[key]["name"] for key in _REFERENCE_LISTS)
        for variable in container["env"].elements():
            yield from (variable["valueFrom"][key]["name"] for key in _REFERENCE_KEYS)
    for volume in spec["volumes"].elements():
        yield from (volume["configMap"]["name"], volume["secret"]["secretName"])


def _check_container(container: Field) -> None:
    container.mapping()["name"].text(naming.wrong_dns_label)
    image = container["image"].text()
    if image != image.strip() or " " in image:
        raise container["image"].fault("holds blank space")
    for key in ("command", "args"):
        for part in container[key].elements():
            part.any_text()
    for variable in container["env"].elements():
        _check_variable(variable)
    _refuse_twice([variable["name"] for variable in container["env"].elements()])
    ports = container["ports"].elements()
    for port in ports:
        port.mapping()["containerPort"].integer(1, MAX_PORT)
        if port["name"].value is not None:
            port["name"].text(naming.wrong_port_name)
    _refuse_twice([port["name"] for port in ports if port["name"].value])
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        _check_probe(container[probe], {port["name"].value for port in ports})


def _check_variable(variable: Field) -> None:
    variable.mapping()["name"].text()
    variable["value"].any_text()
    if variable["value"].value and variable["valueFrom"].value is not None:
        raise variable.fault("has both `value` and `valueFrom`", "Remove one of the two")


def _check_probe(probe: Field, port_names: set[str]) -> None:
    if probe.value is None:
        return
    probe.mapping()
    for handler in ("httpGet", "tcpSocket"):
        port = probe[handler]["port"]
        if probe[handler].value is not None:
            _check_port_reference(port, port_names)


def _check_port_reference(port: Field, names: set[str]) -> None:
    if isinstance(port.value, str):
        name = port.text()
        if name not in names:
            known = sorted(filter(None, names))
            raise port.fault(
                f"is {name}{did_you_mean(name, known)}, but no port of the containers has that name",
                f"Named ports: {', '.join(known) or 'none'}",
            )
    else:
        port.integer(1, MAX_PORT)


def _check_service_port(port: Field, names: set[str], several: bool) -> None:
    port.mapping()["port"].integer(1, MAX_PORT)
    if port["name"].value is not None:
        port["name"].text(naming.wrong_dns_label)
    elif several:
        raise port["name"].fault("is missing", "A Service with several ports must name each")
    if port["nodePort"].value is not None:
        port["nodePort"].integer(1, MAX_PORT)
    if port["targetPort"].value is not None:
        _check_port_reference(port["targetPort"], names)


def _container_ports(workload: Object) -> set[str]:
    spec = workload.root["spec"]["template"]["spec"]
    everything = [*spec["containers"].elements(), *spec["initContainers"].elements()]
    return {port["name"].value for each in everything for port in each["ports"].elements()}


def _claimed(workload: Object) -> set[str]:
    """The volumes that a StatefulSet makes for each of its pods."""
    templates = workload.root["spec"]["volumeClaimTemplates"].elements()
    return {each["metadata"].mapping()["name"].text(naming.wrong_dns_label) for each in templates}


def _check_volumes(spec: Field, containers: list[Field], claimed: Set[str]) -> None:
    volumes = spec["volumes"].elements()
    names = claimed | {volume.mapping()["name"].text(naming.wrong_dns_label) for volume in volumes}
    _refuse_twice([volume["name"] for volume in volumes])
    for container in containers:
        for mount in container["volumeMounts"].elements():
            name = mount.mapping()["name"].text()
            mount["mountPath"].text()
            if name not in names:
                raise mount["name"].fault(f"is {name}{did_you_mean(name, names)}, but no volume has that name")


def _refuse_twice(fields: list[Field], key: Callable[[Field], object] = lambda field: field.value) -> None:
    seen: dict[object, Field] = {}
    for field in fields:
        first = seen.setdefault(key(field), field)
        if first is not field:
            raise field.fault(f"is the same as `{first.name}`", "Rename one of the two, or remove it")
