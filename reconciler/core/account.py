"""A ServiceAccount of the cluster, as whom something is done.

Its user name is Kubernetes' own (k8s.io/apiserver, pkg/authentication/serviceaccount): an account's rights are those of
that user, and of the groups that follow from its name.
"""

from __future__ import annotations

from dataclasses import dataclass

_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount `name` of `namespace`."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        """Its user name, as RBAC and audit know it."""
        return f"{_PREFIX}{self.namespace}:{self.name}"

    def __str__(self) -> str:
        return f"ServiceAccount {self.namespace}/{self.name}"


def called(user: str) -> str:
    """What to call a user in an error: an account by its kind and name."""
    namespace, colon, name = user.removeprefix(_PREFIX).partition(":")
    return str(Account(namespace, name)) if user.startswith(_PREFIX) and colon else f"user {user}"
