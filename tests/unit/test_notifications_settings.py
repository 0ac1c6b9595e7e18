"""`notifications` of the configuration: defaults, every mistake with its line, and addresses that are checked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from reconciler.adapters.notify import open_service
from reconciler.app.settings import parse_settings
from reconciler.app.settings_notifications import CHANNELS_LIMIT, ChannelSettings, GroupName
from reconciler.app.settings_source import SecretName
from reconciler.cli import cli
from reconciler.core.notice import KINDS, Channel, Group, Notice
from reconciler.core.notice_text import message, template_fault
from reconciler.errors import Invalid

ROOT = Path(__file__).parents[2]
BASE = "sources: [{name: main, url: .}]\napps: [{name: web, source: main}]\nnotifications:\n"
SECRET = "hunter2-do-not-tell"


def channels(text: str) -> tuple[ChannelSettings, ...]:
    return parse_settings(BASE + text, "c.yaml").notifications


def refusal(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        channels(text)
    return caught.value.what


def test_defaults() -> None:
    (found,) = channels("- {name: team, urlFile: /etc/team}")
    assert found == ChannelSettings(Channel("team", frozenset(Group) - {Group.STARTED}), url_file="/etc/team")
    assert found.where == "c.yaml:4: notifications[0].urlFile"
    assert parse_settings("sources: []\napps: []\n", "c.yaml").notifications == ()


def test_everything_that_can_be_said() -> None:
    (found,) = channels(
        "- name: team\n  secretRef: {name: chat, namespace: ops, key: token}\n  events: [started, problem]\n"
        "  apps: [web, shop-*]\n  sources: [main]\n  burst: 3\n  per: 10s\n  repeatAfter: 0\n  timeout: 5s\n"
        "  title: '{{ app }}'\n  template: '{{ text }}'\n"
    )
    channel = Channel(
        name="team",
        groups=frozenset({Group.STARTED, Group.PROBLEM}),
        apps=("web", "shop-*"),
        sources=("main",),
        burst=3,
        per=10.0,
        repeat_after=0.0,
        title="{{ app }}",
        template="{{ text }}",
    )
    assert found == ChannelSettings(channel, secret=SecretName("ops", "chat"), key="token", timeout=5.0)


def test_a_channel_that_only_moved_in_the_file_is_the_same_one() -> None:
    assert channels("- {name: team, urlFile: /x}") == channels("\n\n- {name: team, urlFile: /x}")


def test_the_names_of_groups_in_the_schema_are_those_of_the_core() -> None:
    assert set(get_args(GroupName)) == {each.value for each in Group}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {name: a}", "c.yaml:4: notifications[0]: give either `urlFile` or `secretRef`"),
        ("- {name: a, urlFile: /x, secretRef: {name: b}}", "give either `urlFile` or `secretRef`"),
        (f"- {{name: a, url: 'json://{SECRET}'}}", "notifications[0].url: unknown key (did you mean `urlFile`?)"),
        ("- {name: a, urlFile: /x, events: [switch]}", "events[0]: input should be 'started', 'approval'"),
        ("- {name: a, urlFile: /x, events: []}", "events: must not be empty"),
        ("- {name: a, urlFile: /x, apps: [wep]}", "apps[0]: there is no app `wep` (did you mean `web`?)"),
        ("- {name: a, urlFile: /x, sources: [man]}", "sources[0]: there is no source `man`"),
        ("- {name: a, urlFile: /x, apps: ['a/b']}", "apps[0]: must be a name, or a pattern of names"),
        ("- {name: a, urlFile: /x, burst: 0}", "burst: input should be greater than or equal to 1"),
        ("- {name: a, urlFile: /x, per: 0}", "per: must be at least 1s"),
        ("- {name: a, urlFile: /x, timeout: 5}", "timeout: has no unit"),
        ("- {name: a, urlFile: ''}", "urlFile: must be the path of a file"),
        ("- {name: a, secretRef: {name: b, key: 'x/y'}}", "secretRef.key: must be a key of a Secret"),
        ("- name: a\n  urlFile: /x\n  template: '{{ comit }}'", "c.yaml:6: notifications[0].template: line 1: `comit`"),
        ("- {name: a, urlFile: /x, title: '{{ app'}", "title: line 1: is not a Jinja2 template"),
        ("- {name: a, urlFile: /x}\n- {name: a, urlFile: /y}", "c.yaml:5: notifications[1].name: another channel has"),
        ("\n".join([f"- {{name: a{n}, urlFile: /x}}" for n in range(CHANNELS_LIMIT + 1)]), "at most 32 items"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    refused = refusal(text)
    assert told in refused
    assert SECRET not in refused


def test_apps_that_may_be_discovered_may_be_named() -> None:
    text = "sources: [{name: main, url: ., apps: 'apps/*/app.yaml'}]\napps: []\nnotifications:\n"
    assert parse_settings(text + "- {name: a, urlFile: /x, apps: [later]}", "c.yaml").notifications


# --- validate ---


def validated(folder: Path, addresses: dict[str, str]) -> tuple[int, list[dict[str, Any]]]:
    entries = []
    for name, address in addresses.items():
        (folder / name).write_text(address)
        entries.append(f"- name: {name}\n  urlFile: {folder / name}\n")
    config = folder / "reconciler.yaml"
    config.write_text("sources: []\napps: []\nnotifications:\n" + "".join(entries) + "- {name: z, urlFile: /no/such}\n")
    done = CliRunner().invoke(cli, ["validate", "--config", str(config), "--output", "json"])
    assert SECRET not in done.output
    return done.exit_code, json.loads(done.stdout)


def test_addresses_that_are_there_are_checked_without_being_used(tmp_path: Path) -> None:
    good = {"web": f"json://127.0.0.1:1/{SECRET}\n", "mail": f"mailtos://a:{SECRET}@example.com"}
    assert validated(tmp_path, good) == (0, [])


def test_a_wrong_address_is_told_with_file_and_line_and_without_itself(tmp_path: Path) -> None:
    bad = {"a": f"slak://{SECRET}", "b": "", "c": f"json://x\njson://{SECRET}", "d": f"slack://{SECRET}"}
    status, found = validated(tmp_path, bad)
    assert status == 3
    assert [(each["line"], each["field"]) for each in found] == [
        (line, f"notifications[{index}].urlFile") for index, line in enumerate((5, 7, 9, 11))
    ]
    whats = [each["what"] for each in found]
    assert whats[0].endswith("there is no such service")
    assert whats[1].endswith("b: is empty")
    assert whats[2].endswith("c: holds more than one line, or control characters")
    assert whats[3].endswith("`slack://` needs more or other parts")


# --- the manual ---


def _manual() -> str:
    return (ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")


def test_the_configurations_in_the_manual_are_valid() -> None:
    blocks = [each for each in re.findall(r"```yaml\n(.*?)```", _manual(), re.DOTALL) if "notifications:" in each]
    assert blocks
    for block in blocks:
        assert parse_settings(f"sources: [{{name: shop, url: .}}]\napps: []\n{block}", "x").notifications


def test_the_templates_in_the_manual_can_be_used() -> None:
    templates = re.findall(r"```jinja\n(.*?)```", _manual(), re.DOTALL)
    assert templates
    for each in templates:
        assert template_fault(each) == ""
        told = message(Notice("rejected", {"app": "web"}, "main", 0.0), Channel("x", frozenset(), template=each))
        assert "cannot be used" not in told.body


def test_the_addresses_in_the_manual_are_such_that_apprise_knows() -> None:
    addresses = re.findall(r"^\| [^|]+ \| `([a-z]+://[^`]+)`", _manual(), re.MULTILINE)
    assert len(addresses) >= 6
    for each in addresses:
        assert open_service(each)


def test_the_manual_lists_every_group_and_event() -> None:
    for name, kind in KINDS.items():
        assert re.search(rf"^\| `{kind.group}` \|.*`{name}`", _manual(), re.MULTILINE), name
