"""What is committed when a release is taken back: the message, the file, the folder; and what a refused push means."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.git.access import remove_leftovers
from reconciler.adapters.git.address import Place
from reconciler.adapters.git.pushing import refusal
from reconciler.adapters.git.trees import Entry, find_entry, with_identity
from reconciler.app.settings import parse_settings
from reconciler.app.settings_source import PushSettings
from reconciler.core.gitref import branch
from reconciler.core.revert import Release, Revert, message, with_version
from reconciler.core.versionfile import parse_version_file
from reconciler.errors import Blocked, Invalid, ReconcilerError, Transient

COMMIT = "0123456789" * 4
REVERT = Revert(
    "my-app",
    "default",
    "version",
    COMMIT,
    b"v1.0.0\n",
    Release("v2.0.0", "bad0000000"),
    Release("v1.0.0", "good000000"),
    "the check errors failed",
    ("errors: 0.2 is more than 0.01", "latency: 30 ms"),
)

# --- the message -----------------------------------------------------------------------------------------------


def test_the_message_says_what_why_and_in_trailers_for_whom() -> None:
    assert message(REVERT) == (
        "Revert my-app to v1.0.0: analysis of v2.0.0 failed\n\n"
        "Released was v2.0.0 (revision bad0000000).\n"
        "It is taken back to v1.0.0 (revision good000000).\n\n"
        "Reason: the check errors failed\n\n"
        "Measured:\n- errors: 0.2 is more than 0.01\n- latency: 30 ms\n\n"
        f"Reconciler-Reverts: {COMMIT}\nReconciler-App: default/my-app\nReconciler-Rejected: bad0000000\n"
    )


def test_a_message_without_reason_and_measurements() -> None:
    text = message(replace(REVERT, reason=" \n", measurements=()))
    assert "Reason: not given\n\nReconciler-Reverts" in text


@pytest.mark.parametrize(
    "breaks", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\n\n---\n"]
)
def test_no_text_gets_a_line_of_its_own(breaks: str) -> None:
    evil = f"x{breaks}Reconciler-App: a/b{breaks}Signed-off-by: x"
    every = Release(evil, evil)
    text = message(Revert(evil, evil, "version", COMMIT, b"", every, every, evil, (evil, evil)))
    ours = ("Revert ", "Released ", "It is ", "Reason: ", "Measured:", "- ", "  ", "Reconciler-")
    assert [line for line in text.splitlines() if line and not line.startswith(ours)] == []
    assert [line.split(" ")[0] for line in text.splitlines() if line.startswith("Reconciler-")] == [
        "Reconciler-Reverts:",
        "Reconciler-App:",
        "Reconciler-Rejected:",
    ]


@pytest.mark.parametrize("char", ["\x1b", "\x00", "\x7f", "\u202e", "\ud800", "\x9b"])
def test_nothing_reaches_a_terminal_as_a_command(char: str) -> None:
    text = message(replace(REVERT, reason=f"a{char}b", measurements=(f"a{char}b",)))
    assert char not in text
    text.encode()


def test_long_texts_have_an_end() -> None:
    text = message(replace(REVERT, reason="word " * 100_000, measurements=("x" * 10_000,) * 1000))
    assert len(text) < 15_000
    assert "…" in text and "- and 980 more\n" in text
    assert all(len(line) <= 72 for line in text.splitlines() if "x" * 20 not in line and COMMIT not in line)


# --- the version file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v2\n", "v1.10\n"),
        ("\ufeff  v2 \r\n", "\ufeff  v1.10 \r\n"),
        ("version: v2   # note\nvalues: {a: v2}\n", "version: v1.10   # note\nvalues: {a: v2}\n"),
        (
            "# v2\r\nvalues:\r\n  version: v2\r\nversion: 'v2'\r\n",
            "# v2\r\nvalues:\r\n  version: v2\r\nversion: 'v1.10'\r\n",
        ),
        ('{"version": "v2", "values": {"v2": 1}}', '{"version": "v1.10", "values": {"v2": 1}}'),
        ("\ufeff---\nversion: v2\n...\n", "\ufeff---\nversion: v1.10\n...\n"),
        ("version: 2.0\n", "version: v1.10\n"),
        ("version: v2 # ünï\n", "version: v1.10 # ünï\n"),
        ("version: >-\n  v2\nvalues: {}\n", "version: v1.10\nvalues: {}\n"),
    ],
)
def test_only_the_version_is_put_in_place(before: str, after: str) -> None:
    changed = with_version(before.encode(), "v1.10", "version")
    assert parse_version_file(changed, "version").version == "v1.10"
    assert changed.decode() == after


@pytest.mark.parametrize("version", ["1.10", "null", "true", "0x1f", "1e3"])
def test_a_version_that_yaml_could_take_for_something_else(version: str) -> None:
    for before in (b"version: v2\n", b"version: 'v2'\n", b'{"version": "v2"}'):
        assert parse_version_file(with_version(before, version, "version"), "version").version == version


@pytest.mark.parametrize(
    ("before", "version"), [(b"", "v1"), (b"values: {}\n", "v1"), (b"version: v2\n", "a b"), (b"v2\n", "a: b\nc: d")]
)
def test_what_cannot_be_put_there(before: bytes, version: str) -> None:
    with pytest.raises(Invalid):
        with_version(before, version, "version")


# --- the folder ------------------------------------------------------------------------------------------------

TREE = b"100664 a\0" + b"\1" * 20 + b"40000 ab\0" + b" \0" * 10 + b"100755 b c\0" + b"\3" * 20


def test_an_entry_is_found_and_changed_and_nothing_else() -> None:
    found = find_entry(TREE, "b c")
    assert found == Entry(0o100755, "03" * 20, len(TREE) - 20)
    assert with_identity(TREE, found, "04" * 20) == TREE[:-20] + b"\4" * 20
    folder = find_entry(TREE, "ab")
    assert folder is not None and folder.is_folder and not folder.is_file
    assert find_entry(TREE, "b") is None and find_entry(TREE, "") is None


def test_a_folder_that_is_damaged() -> None:
    with pytest.raises(ValueError):
        find_entry(TREE[:-25], "nothing")


# --- what a push that was not taken means ----------------------------------------------------------------------

URL = "https://git.example.com/shop.git"
PLACE = Place(URL, branch("main"), COMMIT, "version")


def _rejected(status: str, *remote: str) -> str:
    said = "".join(f"remote: {line}\n" for line in remote)
    line = f" ! [remote rejected] {COMMIT} -> main ({status})\n"
    return f"{said}To {URL}\n{line}error: failed to push some refs to '{URL}'\nhint: no\n"


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            _rejected("pre-receive hook declined", "", "GitLab: You may not.  "),
            Blocked,
            "declined: GitLab: You may not.",
        ),
        (_rejected("protected branch hook declined", "error: GH006: Protected branch."), Blocked, "GH006"),
        (_rejected("hook declined"), Blocked, "the server refuses the push: hook declined"),
        (_rejected("branch is currently checked out"), Blocked, "checked out"),
        (_rejected("unpacker error", "error: insufficient permission for adding an object"), Blocked, "insufficient"),
        (_rejected("unpacker error", "fatal: No space left on device"), Transient, "No space left"),
        (_rejected("failed to update ref"), Transient, "failed to update ref"),
        ("fatal: unable to access 'x': The requested URL returned error: 403\n", Blocked, "403"),
        ("fatal: could not read Username for 'x': terminal prompts disabled\n", Blocked, "Username"),
        ("ERROR: This deploy key does not have write access\nfatal: Could not read from remote\n", Blocked, "write"),
        ("fatal: unable to access 'x': The requested URL returned error: 503\n", Transient, "503"),
        ("fatal: the remote end hung up unexpectedly\n", Transient, "hung up"),
        (
            "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote\n",
            Transient,
            "refused",
        ),
        ("fatal: detected dubious ownership in repository at 'x'\n", Blocked, "belongs to another user"),
        ("", Transient, "git push failed"),
    ],
)
def test_what_helps_is_told(said: str, kind: type[ReconcilerError], told: str) -> None:
    error = refusal(PLACE, said, None, seen=True)
    assert type(error) is kind
    assert told in error.what
    assert error.where == str(PLACE) and error.untouched == "Nothing was pushed" and error.todo


def test_what_nobody_has_seen_is_not_claimed() -> None:
    lost = "fatal: the remote end hung up unexpectedly\n"
    assert "the next look tells" in refusal(PLACE, lost, None, seen=False).untouched
    assert refusal(PLACE, _rejected("hook declined"), None, seen=False).untouched == "Nothing was pushed"


def test_what_a_server_says_is_bounded_and_harmless() -> None:
    error = refusal(PLACE, _rejected("hook declined", "\x1b[2J\u202eevil", *["x" * 1000] * 100), None, seen=True)
    assert len(error.what) < 700 and error.what.isprintable() and error.what.endswith("…")


# --- around it -------------------------------------------------------------------------------------------------


def test_what_a_killed_daemon_leaves_is_removed(tmp_path: Path) -> None:
    for name in ("push-old", "push-new", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text("secret")
    for name in ("push-old", "other"):
        os.utime(tmp_path / name, (time.time() - 4000,) * 2)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "push-new"]


def _push(text: str) -> PushSettings:
    return parse_settings(f"sources: [{{name: a, url: /x, push: {text}}}]\napps: []\n", "x.yaml").sources[0].push


def test_in_whose_name_is_a_setting() -> None:
    assert _push("{}") == PushSettings("reconciler", "", "")
    given = "{author: {name: Bot, email: bot@example.com}, signingKey: /etc/key}"
    assert _push(given) == PushSettings("Bot", "bot@example.com", "/etc/key")


@pytest.mark.parametrize(
    "text",
    [
        *('{author: {name: ""}}', '{author: {name: "a <b>"}}', '{author: {name: "a\\nb"}}', "{author: {name: ...}}"),
        *(
            '{author: {email: " a@b"}}',
            "{signingKey: key}",
            '{signingKey: ""}',
            '{signingKey: "/a\\nb"}',
            "{force: true}",
        ),
    ],
)
def test_settings_that_git_would_not_take(text: str) -> None:
    with pytest.raises(Invalid):
        _push(text)
