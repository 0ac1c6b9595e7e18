"""The configuration file: every problem is told at once, with its line; what is right becomes values of the core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.app.settings import load_settings, parse_settings, schema
from reconciler.app.settings_source import ForcePush, SecretName, SourceSettings, VerifySettings
from reconciler.app.settings_webhook import ReceiverSettings, WebhookSettings
from reconciler.core.duration import parse_duration
from reconciler.core.gitref import GitRef, RefKind, branch
from reconciler.core.model import App, DeletionPolicy, Strategy
from reconciler.core.webhook import Kind
from reconciler.errors import Invalid

ROOT = Path(__file__).parents[2]

MINIMAL = """\
sources:
- name: shop
  url: /srv/git/shop
apps:
- name: my-app
  source: shop
"""

TRANSPORT = "uses a transport that is not allowed; give a path, or a URL of file, http, https, ssh"


def refusal(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_settings(text, "c.yaml")
    return str(caught.value).split("\n")


def changed(old: str, new: str) -> str:
    assert old in MINIMAL
    return MINIMAL.replace(old, new)


def test_defaults() -> None:
    settings = parse_settings(MINIMAL, "c.yaml")
    assert settings.sources == (SourceSettings("shop", "/srv/git/shop", branch("main"), 30.0, 60.0),)
    strategy = Strategy("my-app", scale_down_delay=600.0, abort_scale_down_delay=30.0, progress_deadline=600.0)
    assert settings.apps == (
        App("my-app", "default", "shop", strategy, origin=settings.sources[0].origin, check_hosts=("*",)),
    )


def test_the_example_sets_everything_and_is_valid() -> None:
    settings = load_settings(ROOT / "config" / "reconciler.yaml")
    assert settings.sources == (SourceSettings("shop", "https://git.example.com/shop.git", branch("main"), 30.0, 60.0),)
    (app,) = settings.apps
    assert (app.path, app.version_file, app.templates) == ("apps/my-app", "version", None)
    assert app.values == {"image": "registry.example.com/my-app", "replicas": 3}


def test_every_field_arrives() -> None:
    text = """\
sources:
- {name: a, url: "ssh://git@example.com/a.git", ref: {branch: release/1.x}, interval: 1m30s, timeout: 500ms}
"""
    assert refusal(text + "apps: []")[0] == "c.yaml:2: sources[0].timeout: must be at least 1s"
    app = "{name: b, namespace: web, source: a, path: ./apps//b/, versionFile: v/f, templates: t/, values: {x: 1.10},"
    app += " deletionPolicy: delete,"
    app += " strategy: {activeService: front, autoPromotionEnabled: true, scaleDownDelay: 0, abortScaleDownDelay: 0s,"
    settings = parse_settings(text.replace("500ms", "2s") + f"apps:\n- {app} progressDeadline: 1h}}}}", "c.yaml")
    assert settings.sources == (SourceSettings("a", "ssh://git@example.com/a.git", branch("release/1.x"), 90.0, 2.0),)
    strategy = Strategy("front", scale_down_delay=0.0, abort_scale_down_delay=0.0, progress_deadline=3600.0)
    known = App("b", "web", "a", strategy, "apps/b", "v/f", "t", {"x": "1.10"}, origin=settings.sources[0].origin)
    assert settings.apps == (replace(known, deletion_policy=DeletionPolicy.DELETE, check_hosts=("*",)),)


def test_accounts_and_powers_are_the_sources_unless_the_app_says_otherwise() -> None:
    allow = "allow: {serviceAccounts: [web], powers: [hostPorts, hostPath, hostPath]}"
    text = f"""\
sources:
- {{name: a, url: /x, serviceAccountName: git, {allow}}}
apps:
- {{name: one, source: a}}
- {{name: two, source: a, serviceAccountName: two, allow: {{powers: [seccomp]}}}}
- {{name: three, source: a, allow: {{powers: []}}}}
"""
    settings = parse_settings(text, "c.yaml")
    (source,) = settings.sources
    assert (source.service_account, source.service_accounts) == ("git", ("git", "web"))
    found = [(each.service_account, each.powers) for each in settings.apps]
    assert found == [("git", ("hostPath", "hostPorts")), ("two", ("seccomp",)), ("git", ())]


def test_what_is_no_account_and_no_power_is_told() -> None:
    one, two = refusal(MINIMAL + "  serviceAccountName: 'a:b'\n  allow: {powers: [hostpath]}\n")
    assert one.startswith("c.yaml:7: apps[0].serviceAccountName: may only hold")
    assert two.startswith("c.yaml:8: apps[0].allow.powers[0]: is no power (did you mean `hostPath`?)")


RECEIVER = "{name: hub, type: github, secretFile: /run/secret, sources: [shop]}"


def webhook(address: str = "", receivers: str = RECEIVER) -> str:
    given = f"  address: {address}\n" if address else ""
    return f"{MINIMAL}webhook:\n{given}  receivers: [{receivers}]"


def test_a_webhook_is_only_there_if_it_is_given() -> None:
    assert parse_settings(MINIMAL, "c.yaml").webhook is None
    assert parse_settings(MINIMAL + "webhook:", "c.yaml").webhook is None
    receiver = ReceiverSettings("hub", Kind.GITHUB, "/run/secret", ("shop",))
    assert parse_settings(webhook(), "c.yaml").webhook == WebhookSettings("127.0.0.1", 9292, (receiver,))


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("'[::1]:9292'", "::1", 9292),
        ("hooks.example.com:65535", "hooks.example.com", 65535),
        ("localhost:0", "localhost", 0),
    ],
)
def test_addresses_to_listen_on(address: str, host: str, port: int) -> None:
    found = parse_settings(webhook(address), "c.yaml").webhook
    assert found and (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "address", ["':9292'", "localhost", "'::1:80'", "'http://a:80'", "'a b:80'", "'a:80\\n'", "a:-1"]
)
def test_what_is_no_address_to_listen_on(address: str) -> None:
    (line,) = refusal(webhook(address))
    assert line.startswith("c.yaml:8: webhook.address: must be HOST:PORT")


def test_all_problems_of_a_webhook_are_told_at_once() -> None:
    text = """\
  adress: localhost:99999
  receivers:
  - {name: Hub, type: bitbucket, secretFile: '', sources: []}
  - {name: hub, type: gitea, secret: hunter2-hunter2-hunter2, sources: [shp, shop]}
  - {name: hub, type: gitlab, secretFile: x, sources: shop, secretFil: y}
  address: localhost:99999
"""
    label = "may only hold a-z, 0-9 and `-`, and must begin and end with a letter or digit"
    assert refusal(f"{MINIMAL}webhook:\n{text}") == [
        "c.yaml:8: webhook.adress: unknown key (did you mean `address`?)",
        f"c.yaml:10: webhook.receivers[0].name: {label}",
        "c.yaml:10: webhook.receivers[0].type: input should be 'github', 'gitlab', 'gitea' or 'generic'",
        "c.yaml:10: webhook.receivers[0].secretFile: must be the path of a file",
        "c.yaml:10: webhook.receivers[0].sources: must not be empty",
        "c.yaml:11: webhook.receivers[1].secretFile: is missing",
        "c.yaml:11: webhook.receivers[1].secret: unknown key (did you mean `secretFile`?)",
        "c.yaml:11: webhook.receivers[1].sources[0]: there is no source `shp` (did you mean `shop`?)",
        "c.yaml:12: webhook.receivers[2].sources: must be a list",
        "c.yaml:12: webhook.receivers[2].secretFil: unknown key (did you mean `secretFile`?)",
        "c.yaml:12: webhook.receivers[2].name: another receiver has this name already (hub, receivers[1])",
        "c.yaml:13: webhook.address: has a port over 65535",
    ]


@pytest.mark.parametrize(
    ("text", "verify"),
    [
        ("{allowedSigners: keys/signers}", VerifySettings(every=False, allowed_signers="keys/signers")),
        ("{mode: all, keyring: /etc/keys}", VerifySettings(every=True, keyring="/etc/keys")),
        ("{mode: HEAD, keyring: /etc/keys, allowedSigners: null}", VerifySettings(every=False, keyring="/etc/keys")),
    ],
)
def test_signatures_can_be_asked_for(text: str, verify: VerifySettings) -> None:
    settings = parse_settings(changed("shop\napps", f"shop\n  verify: {text}\napps"), "c.yaml")
    assert settings.sources[0].verify == verify


@pytest.mark.parametrize(
    ("text", "field", "wrong"),
    [
        ("{mode: all}", "verify", "give either `allowedSigners` or `keyring`"),
        ("{keyring: a, allowedSigners: b}", "verify", "give either `allowedSigners` or `keyring`"),
        ("{mode: head, keyring: a}", "verify.mode", "input should be 'HEAD' or 'all'"),
        ('{keyring: ""}', "verify.keyring", "must be the path of a file"),
        ("{keyrings: a}", "verify.keyrings", "unknown key (did you mean `keyring`?)"),
    ],
)
def test_what_verify_may_not_say(text: str, field: str, wrong: str) -> None:
    told = refusal(changed("shop\napps", f"shop\n  verify: {text}\napps"))
    assert f"c.yaml:4: sources[0].{field}: {wrong}" in told


def test_a_key_without_a_value_is_not_there() -> None:
    settings = parse_settings(MINIMAL + "  values:\n    # replicas: 3\n  strategy:\n", "c.yaml")
    assert settings.apps[0].values == {}


def test_no_apps_must_be_said() -> None:
    assert parse_settings("sources: []\napps: []", "c.yaml").apps == ()
    assert refusal("sources: []\napps:") == ["c.yaml:2: apps: is missing"]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
sources:
- name: shop
  url: ext::sh -c touch
  ref: {brnch: main}
  interval: 500ms
  timeout: 60
- name: shop
  url: ftp://example.com
- 3
apps:
- name: My_App
  sorce: shop
  path: ../x
  versionFile: /abs
- name: b
  source: shp
  strategy: {activeService: svc, autoPromotionEnabled: false, scaleDownDelay: 10 min, progresDeadline: 1m}
- name: b
  source: shop
  values: [1]
  strategy: {activeService: svc}
- name: 9app
  namespace: web.site
  source: shop
  strategy: {progressDeadline: true, autoPromotionEnabled: yes}
extra: 1
"""
    assert refusal(text) == [
        f"c.yaml:3: sources[0].url: {TRANSPORT}",
        "c.yaml:4: sources[0].ref.brnch: unknown key (did you mean `branch`?)",
        "c.yaml:5: sources[0].interval: must be at least 1s",
        "c.yaml:6: sources[0].timeout: has no unit: write `60s` if seconds are meant",
        "c.yaml:7: sources[1].name: another source has this name already (shop, sources[0])",
        f"c.yaml:8: sources[1].url: {TRANSPORT}",
        "c.yaml:9: sources[2]: must be a mapping",
        "c.yaml:11: apps[0].name: may only hold a-z, 0-9 and `-`, and must begin and end with a letter or digit",
        "c.yaml:11: apps[0].source: is missing",
        "c.yaml:12: apps[0].sorce: unknown key (did you mean `source`?)",
        "c.yaml:13: apps[0].path: must not climb out with `..`",
        "c.yaml:14: apps[0].versionFile: must be relative, without a `/` at its beginning",
        "c.yaml:16: apps[1].source: there is no source `shp` (did you mean `shop`?)",
        "c.yaml:17: apps[1].strategy.scaleDownDelay: is no duration: write it like `30s`, `10m`, `1h30m` or `500ms`",
        "c.yaml:17: apps[1].strategy.progresDeadline: unknown key (did you mean `progressDeadline`?)",
        "c.yaml:18: apps[2].name: another app has this name already (b, apps[1])",
        "c.yaml:20: apps[2].values: must be a mapping",
        "c.yaml:21: apps[2].strategy: another app has this active Service already (default/svc, apps[1])",
        "c.yaml:22: apps[3].name: must begin with a letter, as a Service's name; or set `strategy.activeService`",
        "c.yaml:23: apps[3].namespace: may only hold a-z, 0-9 and `-`, and must begin and end with a letter or digit",
        "c.yaml:25: apps[3].strategy.autoPromotionEnabled: must be `true` or `false`",
        "c.yaml:25: apps[3].strategy.progressDeadline: must be a duration, like `30s` or `10m`",
        "c.yaml:26: extra: unknown key",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "c.yaml: must hold one document, but holds 0. List `sources` and `apps`"),
        ("- 1", "c.yaml:1: must be a mapping"),
        ("sources: []", "c.yaml:1: apps: is missing"),
        ("sources: 3\napps: []", "c.yaml:1: sources: must be a list"),
        ("a: 1\na: 2", "c.yaml:2:1: the key `a` is there twice, first on line 1"),
        (MINIMAL + "---\na: 1", "c.yaml: must hold one document, but holds 2. List `sources` and `apps`"),
        ("#" * (1024 * 1024 + 1), "c.yaml: is larger than 1024 KiB"),
        (changed("my-app", "''"), "c.yaml:5: apps[0].name: is empty"),
        (changed("my-app", "1.5"), "c.yaml:5: apps[0].name: must be text"),
        (changed("my-app", "a" * 64), "c.yaml:5: apps[0].name: has 64 characters, more than 63"),
        (changed("/srv/git/shop", "''"), "c.yaml:3: sources[0].url: is empty or contains control characters"),
        (changed("/srv/git/shop", "--upload-pack=x"), "c.yaml:3: sources[0].url: begins with '-'; give a path"),
        (MINIMAL + "  path: a\\b", "c.yaml:7: apps[0].path: must be a path with `/` between its parts"),
        (MINIMAL + "  strategy: {activeService: 15}", "c.yaml:7: apps[0].strategy.activeService: must be text"),
        (MINIMAL + "  strategy: {activeService: 1a}", "c.yaml:7: apps[0].strategy.activeService: must begin with"),
        (MINIMAL + "  strategy: {scaleDownDelay: -1s}", "c.yaml:7: apps[0].strategy.scaleDownDelay: is no duration"),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    assert refusal(text)[0].startswith(problem)


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "a~1", "a/", "/a", "a.lock", "a@{1}", "a//b", "a/.b", "@"])
def test_branches_that_git_would_refuse(branch: str) -> None:
    (line,) = refusal(changed("  url:", f"  ref: {{branch: '{branch}'}}\n  url:"))
    assert line == "c.yaml:3: sources[0].ref.branch: is no name of a branch (see `git help check-ref-format`)"


@pytest.mark.parametrize("url", ["git@example.com:shop.git", "file:///srv/x", "../repos/x", "https://[::1]:3000/x.git"])
def test_addresses_of_repositories(url: str) -> None:
    assert parse_settings(changed("/srv/git/shop", f"'{url}'"), "c").sources[0].url == url


def test_no_problem_shows_an_address_with_its_password() -> None:
    found = refusal(changed("/srv/git/shop", "ftp://me:hunter2@example.com/x"))
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the configuration cannot be read: no such file or directory"),
        (b"\xff\xfea\0", "is UTF-16. Save it as UTF-8"),
        (b"a\xff", "is not UTF-8 text"),
        (b"x" * (1024 * 1024 + 1), "has 1048577 bytes, more than the 1024 KiB allowed"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid) as caught:
        load_settings(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_the_published_schema_is_up_to_date() -> None:
    """If not: `python -m reconciler.app.settings > config/reconciler.schema.json`."""
    assert (ROOT / "config" / "reconciler.schema.json").read_text(encoding="utf-8") == schema()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("500ms", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("1h1m1s", 3661)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("30", "has no unit: write `30s`"),
        ("", "is no duration"),
        ("1d", "is no duration"),
        ("-1s", "is no duration"),
        ("1 s", "is no duration"),
        ("s", "is no duration"),
        ("1s\n", "is no duration"),
        ("99999999h", "is longer than ten years"),
    ],
)
def test_what_is_no_duration(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        parse_duration(text)


# --- sources ---------------------------------------------------------------------------------------------------


def source_with(fields: str, url: str = "https://git.example.com/a.git") -> str:
    return f"sources:\n- name: shop\n  url: {url}\n{fields}apps: []\n"


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("{}", branch("main")),
        ("{branch: next}", branch("next")),
        ("{tag: v1.0.0}", GitRef(RefKind.TAG, "v1.0.0")),
        ("{semver: '>=1.2.0 <2.0.0'}", GitRef(RefKind.SEMVER, ">=1.2.0 <2.0.0")),
        ("{commit: " + "9b1f" * 10 + "}", GitRef(RefKind.COMMIT, "9b1f" * 10)),
    ],
)
def test_what_can_be_followed(ref: str, expected: GitRef) -> None:
    assert parse_settings(source_with(f"  ref: {ref}\n"), "c.yaml").sources[0].ref == expected


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("{branch: a, tag: b}", "ref: must be one of branch, tag, semver, commit, but there are branch and tag"),
        ("{tag: -x}", "ref.tag: is no name of a tag (see `git help check-ref-format`)"),
        ("{semver: newest}", "ref.semver: is no range of versions, like `1.x`, `~1.2` or `>=1.2.0 <2.0.0`"),
        ("{commit: 9b1f}", "ref.commit: is no full id of a commit: 40 digits, in lower case"),
    ],
)
def test_what_cannot_be_followed(ref: str, said: str) -> None:
    assert refusal(source_with(f"  ref: {ref}\n")) == [f"c.yaml:4: sources[0].{said}"]


def test_credentials_suspend_and_force_pushes() -> None:
    fields = "  secretRef: {name: git.shop}\n  suspend: true\n  onForcePush: refuse\n"
    (source,) = parse_settings(source_with(fields), "c.yaml").sources
    assert source.secret == SecretName("default", "git.shop")
    assert (source.suspend, source.on_force_push, source.credentials) == (True, ForcePush.REFUSE, None)
    (source,) = parse_settings(source_with("  credentials: /etc/git\n"), "c.yaml").sources
    assert (source.credentials, source.secret) == (Path("/etc/git"), None)
    (source,) = parse_settings(source_with("  secretRef: {name: a, namespace: infra}\n"), "c.yaml").sources
    assert source.secret == SecretName("infra", "a")


@pytest.mark.parametrize(
    ("url", "fields", "said"),
    [
        ("https://x/y", "  secretRef: {name: a}\n  credentials: /b\n", "has secretRef and credentials"),
        ("http://x/y", "  credentials: /b\n", "has credentials, but http:// would let everybody read them"),
        ("/srv/git", "  credentials: /b\n", "has credentials, but its url is a local repository"),
        ("https://x/y", "  secretRef: {name: ../a}\n", "secretRef.name: may only hold a-z"),
        ("https://x/y", "  credentials: ' '\n", "credentials: must be the path of a folder"),
        ("https://x/y", "  onForcePush: ignore\n", "onForcePush: input should be 'follow' or 'refuse'"),
        ("https://u:p@x/y", "", "url: holds a password, which the list of processes would show: use `secretRef`"),
    ],
)
def test_sources_that_make_no_sense(url: str, fields: str, said: str) -> None:
    (line,) = refusal(source_with(fields, url))
    assert said in line
