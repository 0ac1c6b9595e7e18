"""What accounts may do and what was asked, as the rig reads it off kubectl and off the proxy."""

from __future__ import annotations

from reconciler.core.access import ALWAYS
from rig.access import asked, differences, documented, listed
from rig.proxy import Call

_PRINTED = """\
Resources                                       Non-Resource URLs   Resource Names   Verbs
selfsubjectreviews.authentication.k8s.io        []                  []               [create]
selfsubjectaccessreviews.authorization.k8s.io   []                  []               [create]
deployments.apps                                []                  []               [list watch create patch delete]
secrets                                         []                  [git ssh]        [get]
pods/log                                        []                  []               [get]
                                                [/api/*]            []               [get]
"""


def test_what_kubectl_lists_is_read_without_what_everybody_may() -> None:
    assert listed(_PRINTED) == {
        "deployments.apps": {"list", "watch", "create", "patch", "delete"},
        "secrets [git ssh]": {"get"},
        "pods/log": {"get"},
    }


def test_each_verb_that_is_too_much_or_missing_is_named() -> None:
    found, wanted = {"pods": frozenset({"list", "get"})}, {"pods": frozenset({"list"}), "secrets": frozenset({"get"})}
    assert differences(found, wanted) == ["may, but need not: get pods", "needs, but may not: get secrets"]
    assert differences(wanted, wanted) == []


def test_the_documented_permissions_are_the_tables() -> None:
    found = documented([ALWAYS, "statefulSets", "credentials"], {"credentials": ["ssh", "git"]})
    assert found["statefulsets.apps"] == {"list", "watch", "create", "patch", "delete"}
    assert found["secrets [git ssh]"] == {"get"} and "secrets" not in found


def test_what_a_request_takes_is_read_off_its_path_and_status() -> None:
    def call(method: str, path: str, *, watch: bool = False) -> Call:
        return Call(method, path, "", b"", watch)

    core, apps = "/api/v1/namespaces/shop", "/apis/apps/v1/namespaces/shop"
    answers = [
        (call("GET", f"{core}/pods"), 200),
        (call("GET", f"{core}/pods", watch=True), 200),
        (call("GET", f"{core}/pods/web-1/log"), 200),
        (call("POST", f"{core}/services/web:80/proxy/ready/on"), 403),
        (call("PATCH", f"{apps}/deployments/web"), 201),
        (call("DELETE", f"{apps}/deployments/web"), 200),
        (call("GET", "/api/v1/namespaces/other/secrets"), 200),
        (call("GET", "/apis/batch/v1"), 200),
    ]
    assert asked(answers, "shop") == {
        ("list", "", "pods"),
        ("watch", "", "pods"),
        ("get", "", "pods/log"),
        ("create", "", "services/proxy"),
        ("patch", "apps", "deployments"),
        ("create", "apps", "deployments"),
        ("delete", "apps", "deployments"),
    }
