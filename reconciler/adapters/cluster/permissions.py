"""Whom the API server refused what, and the rule that would allow it.

Read off its message, which has it in words alone (k8s.io/apiserver, `forbiddenMessage` in responsewriters/errors.go):
`User "…" cannot VERB resource "…" in API group "…" in the namespace "…"`, and after a colon what RBAC has to say.
"""

from __future__ import annotations

import re

from reconciler.core.access import feature_of
from reconciler.core.account import Account, called
from reconciler.errors import Forbidden

_REFUSED = re.compile(
    r'(?:\S+ (?:"(?P<name>[^"]*)" )?is forbidden: )?User "(?P<user>[^"]*)" cannot (?P<verb>\S+) '
    r'resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)" in the namespace "(?P<namespace>[^"]*)"'
    r"(?P<rest>.*)",
    re.DOTALL,
)
_ELSEWHERE = "Allow it in the Role of the account: README.md has the whole Role, under Permissions"


def forbidden(message: str, account: Account | None, where: str, untouched: str) -> Forbidden:
    """The error for a `message` that says what somebody may not do. `account`: as whom it was tried, if not as oneself.

    Of the impersonation itself the message names the account that was to be acted as: it is what is forbidden then.
    """
    found = _REFUSED.fullmatch(message)
    if not found:
        return Forbidden(message, where=where, untouched=untouched, todo=_ELSEWHERE)
    who, verb, resource, namespace = (found[key] for key in ("user", "verb", "resource", "namespace"))
    rule = f'apiGroups: ["{found["group"]}"], resources: [{resource}], verbs: [{verb}]'
    if verb == "impersonate" and account:
        what = f"{called(who)} may not act as {account}{found['rest']}"
        rule = f"{rule}, resourceNames: [{account.name}]"
    else:
        what = f"{called(who)} may not {verb} {_in_group(resource, found['group'])}{found['rest']}"
    todo = f"Add to a Role of {called(who)} in namespace {namespace}: {{{rule}}}"
    if feature := feature_of(verb, found["group"], resource):
        todo += f". In the chart's values: rbac.features.{feature}"
    return Forbidden(what, where=where, untouched=untouched, todo=todo, user=who)


def _in_group(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource
