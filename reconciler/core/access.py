"""All that this daemon asks of the API server, as one table: which verb, on what, for which step. Pure data.

The documents, the chart's Roles and the tests are made from it: nobody has to keep a second list. A *feature* is a
group of rules that only some need; what every app needs is `ALWAYS`. All rules are for the namespaces of apps, but for
`MEMBERS`: those are for the namespace of the daemon itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

ALWAYS = "always"
MEMBERS = "members"

FEATURES: Mapping[str, str] = {
    ALWAYS: "every app",
    "secrets": "apps whose templates have Secrets",
    "statefulSets": "apps with StatefulSets",
    "ingresses": "apps with an `activeIngress`",
    "furtherKinds": "apps whose templates have ServiceAccounts, autoscalers, disruption budgets or network policies",
    "jobs": "checks that run a Job",
    "apiServerProxy": "HTTP checks with `viaApiServer: true`",
    "deletion": "apps with `deletionPolicy: delete`, or with Services that go with a revision or leave the templates",
    "credentials": "sources and notifications with a `secretRef`",
    "accounts": "apps with a `serviceAccountName`",
    MEMBERS: "several replicas (`highAvailability`)",
}
"""Name → who needs it. The chart switches each but the first and the last by `rbac.features`."""

NAMED = frozenset({"credentials", "accounts"})
"""Features whose rules are never given without `resourceNames`: those of the Secrets and ServiceAccounts meant."""


class By(Flag):
    """As whom a request is made, where an app has a `serviceAccountName`: the daemon itself, or that account."""

    DAEMON = auto()
    ACCOUNT = auto()
    EITHER = DAEMON | ACCOUNT


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb, the step that needs it, and as whom that is made."""

    name: str
    why: str
    by: By = By.ACCOUNT


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of one resource. `group` is '' for the core group. `allows`: what somebody who holds the token can
    do by it beyond what the daemon does; `bounds`: what limits that. No rule can be limited to a label."""

    feature: str
    group: str
    resource: str
    verbs: tuple[Verb, ...]
    allows: str
    bounds: str

    @property
    def names(self) -> tuple[str, ...]:
        """The verbs by their names."""
        return tuple(each.name for each in self.verbs)

    def made_by(self, by: By) -> tuple[str, ...]:
        """The verbs of requests that are made as `by`."""
        return tuple(each.name for each in self.verbs if by & each.by)


def _watched(what: str) -> tuple[Verb, ...]:
    return (
        Verb("list", f"the watch begins with what there is of {what}", By.DAEMON),
        Verb("watch", f"every change of {what} wakes its app", By.DAEMON),
    )


def _read(what: str) -> tuple[Verb, ...]:
    """Where something is written, too."""
    listed, watched = _watched(what)
    return Verb("list", f"{listed.why}; is a name free, before an apply", By.EITHER), watched


_FREE = Verb("list", "is a name free, before an apply")


def _written(what: str, *, gone: str) -> tuple[Verb, ...]:
    return (
        Verb("create", f"first apply of {what}: Kubernetes asks for this beside `patch`"),
        Verb("patch", f"every apply of {what}, and notes on it"),
        Verb("delete", gone),
    )


_NAMESPACE = "the namespace; ResourceQuotas; Pod Security admission; admission policies"
_RETIRED = "retired with its revision"
_PRUNED = "pruned when it leaves the templates"

TABLE: tuple[Rule, ...] = (
    Rule(
        ALWAYS,
        "apps",
        "deployments",
        (*_read("Deployments"), *_written("a colour", gone="a colour is retired")),
        "run any image as any ServiceAccount and with any Secret of the namespace, so act with their rights; end or "
        "change what runs there",
        _NAMESPACE,
    ),
    Rule(
        ALWAYS,
        "",
        "services",
        (*_read("Services"), *_written("a Service; the switch", gone="")[:2]),
        "lead traffic to other pods; open ports of nodes; take over addresses by `externalIPs`",
        "the namespace; quotas of Services by type; the admission plug-in DenyServiceExternalIPs",
    ),
    Rule(
        ALWAYS,
        "",
        "configmaps",
        (*_read("ConfigMaps"), *_written("a colour's ConfigMap", gone=_RETIRED)),
        "read and change the configuration of all that runs in the namespace",
        "the namespace",
    ),
    Rule(
        ALWAYS,
        "apps",
        "statefulsets",
        _watched("StatefulSets"),
        "read pod templates, with values of environment variables",
        "the namespace; nothing is written",
    ),
    Rule(
        ALWAYS,
        "networking.k8s.io",
        "ingresses",
        _watched("Ingresses"),
        "read hosts and paths",
        "the namespace; nothing is written",
    ),
    Rule(
        ALWAYS,
        "",
        "pods",
        _watched("pods"),
        "read pods, with values of environment variables",
        "the namespace; nothing is written",
    ),
    Rule(
        ALWAYS,
        "discovery.k8s.io",
        "endpointslices",
        _watched("EndpointSlices"),
        "read the addresses of pods",
        "the namespace; nothing is written",
    ),
    Rule(
        ALWAYS,
        "",
        "events",
        (Verb("create", "what happens to an app is told to `kubectl describe`", By.DAEMON),),
        "write misleading Events",
        "the namespace; they are gone after an hour",
    ),
    Rule(
        ALWAYS,
        "",
        "resourcequotas",
        (Verb("list", "does a second colour fit, before it is applied"),),
        "read quotas",
        "the namespace; nothing is written",
    ),
    Rule(
        "secrets",
        "",
        "secrets",
        (*_read("Secrets"), *_written("a colour's Secret", gone=_RETIRED)),
        "read and change every Secret of the namespace, tokens of ServiceAccounts and keys of TLS among them",
        "the namespace: keep there what only these apps need",
    ),
    Rule(
        "statefulSets",
        "apps",
        "statefulsets",
        (_FREE, *_written("a colour", gone="a colour is retired")),
        "the same as by Deployments, and claim volumes",
        f"{_NAMESPACE}; quotas of storage",
    ),
    Rule(
        "ingresses",
        "networking.k8s.io",
        "ingresses",
        (_FREE, *_written("the Ingress; the switch", gone="")[:2]),
        "take over hosts and paths from outside; have the controller read a TLS Secret of the namespace",
        "what the Ingress controller allows a namespace",
    ),
    Rule(
        "furtherKinds",
        "",
        "serviceaccounts",
        (*_read("ServiceAccounts"), *_written("an account", gone=_PRUNED)),
        "make accounts and delete them; a new one takes over what is bound to its name",
        "no token is given out by it; bindings of RBAC; what a cloud grants by an account's name",
    ),
    Rule(
        "furtherKinds",
        "autoscaling",
        "horizontalpodautoscalers",
        (*_read("autoscalers"), *_written("an autoscaler", gone="withdrawn from a colour without traffic")),
        "scale any workload of the namespace, to one pod at least",
        "ResourceQuotas",
    ),
    Rule(
        "furtherKinds",
        "policy",
        "poddisruptionbudgets",
        (*_read("disruption budgets"), *_written("a disruption budget", gone=_PRUNED)),
        "hold up the draining of nodes, or lift what guards other apps from it",
        "the namespace's pods",
    ),
    Rule(
        "furtherKinds",
        "networking.k8s.io",
        "networkpolicies",
        (*_read("network policies"), *_written("a network policy", gone=_PRUNED)),
        "open or close the network of all pods of the namespace",
        "policies of the cluster (AdminNetworkPolicy), if there are any",
    ),
    Rule(
        "jobs",
        "batch",
        "jobs",
        (
            Verb("get", "how a check's Job stands"),
            Verb("create", "a check begins"),
            Verb("delete", "a check is over, or is not wanted any more"),
        ),
        "the same as by Deployments: run any image",
        _NAMESPACE,
    ),
    Rule(
        "jobs",
        "",
        "pods",
        (Verb("list", "the pods of a check's Job"),),
        "as above",
        "as above",
    ),
    Rule(
        "jobs",
        "",
        "pods/log",
        (Verb("get", "what a failed Job printed"),),
        "read the output of all pods of the namespace",
        "the namespace",
    ),
    Rule(
        "apiServerProxy",
        "",
        "pods/proxy",
        (Verb("get", "a check asks pods of a revision"), Verb("create", "the same by POST")),
        "send requests to any port of any pod of the namespace, past network policies",
        "the namespace; GET and POST",
    ),
    Rule(
        "apiServerProxy",
        "",
        "services/proxy",
        (Verb("get", "a check asks the preview Service"), Verb("create", "the same by POST")),
        "send requests to any Service of the namespace, past network policies",
        "the namespace; GET and POST",
    ),
    Rule(
        "deletion",
        "",
        "services",
        (
            Verb(
                "delete",
                f"an app that left Git is deleted; a Service of a revision's own is {_RETIRED}; another is {_PRUNED}",
                By.EITHER,
            ),
        ),
        "cut off any Service of the namespace",
        "the namespace",
    ),
    Rule(
        "deletion",
        "networking.k8s.io",
        "ingresses",
        (Verb("delete", "an app that left Git is deleted", By.DAEMON),),
        "cut off any Ingress of the namespace",
        "the namespace",
    ),
    Rule(
        "credentials",
        "",
        "secrets",
        (
            Verb(
                "get", "credentials are read before each look at a repository, or before a channel is opened", By.DAEMON
            ),
        ),
        "read these Secrets: what they open, the token opens",
        "`resourceNames`; a repository's key needs no right to write",
    ),
    Rule(
        "accounts",
        "",
        "serviceaccounts",
        (Verb("impersonate", "what is written for an app is written as its account", By.DAEMON),),
        "do whatever these accounts may do, anywhere in the cluster",
        "`resourceNames`; the accounts' own Roles",
    ),
    Rule(
        MEMBERS,
        "coordination.k8s.io",
        "leases",
        (
            Verb("list", "which replicas there are", By.DAEMON),
            Verb("watch", "a replica comes or goes", By.DAEMON),
            Verb("create", "a replica's Lease is taken", By.DAEMON),
            Verb("patch", "it is renewed", By.DAEMON),
            Verb("delete", "it is given back; one that is long over is cleared away", By.DAEMON),
        ),
        "keep replicas from their apps, or give one app to two of them",
        "the daemon's own namespace; every write to an app is conditional, so two owners do no harm",
    ),
)


def of(feature: str) -> tuple[Rule, ...]:
    """The rules of one feature."""
    return tuple(each for each in TABLE if each.feature == feature)


def grants(features: Collection[str], by: By = By.EITHER) -> dict[tuple[str, str], tuple[str, ...]]:
    """What these features together ask for: (group, resource) → verbs, in the table's order, each once."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for each in TABLE:
        if each.feature in features and (verbs := each.made_by(by)):
            found.setdefault((each.group, each.resource), {}).update(dict.fromkeys(verbs))
    return {key: tuple(verbs) for key, verbs in found.items()}


def rules(
    features: Collection[str], by: By = By.EITHER, names: Mapping[str, Collection[str]] | None = None
) -> list[Any]:
    """The same as the `rules` of a Role (rbac.authorization.k8s.io/v1). `names` gives the `resourceNames` of `NAMED`
    features, which have rules of their own, and none without them."""
    plain = grants([each for each in features if each not in NAMED], by)
    found = [_rule(group, resource, verbs) for (group, resource), verbs in plain.items()]
    known = names or {}
    named = [(each, known[each.feature]) for each in TABLE if each.feature in features and known.get(each.feature)]
    return found + [
        {**_rule(each.group, each.resource, each.made_by(by)), "resourceNames": list(of_these)}
        for each, of_these in named
        if each.made_by(by)
    ]


def feature_of(verb: str, group: str, resource: str) -> str:
    """The feature by which the chart allows this; '' if it always does, or if there is none."""
    asked = [each.feature for each in TABLE if (each.group, each.resource) == (group, resource) and verb in each.names]
    return asked[0] if asked and asked[0] not in NAMED | {ALWAYS, MEMBERS} else ""


def pairs(features: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Each (verb, group, resource) of these features."""
    for (group, resource), verbs in grants(features).items():
        yield from ((verb, group, resource) for verb in verbs)


def _rule(group: str, resource: str, verbs: tuple[str, ...]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
