"""How credentials reach git: in files of ours alone, never by argument or environment, and gone afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.adapters.git.access import opened, remove_leftovers
from reconciler.adapters.git.process import config_text, environment, telling
from reconciler.core.credentials import Credentials, read_credentials

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
SECRETS = ("p4ssw0rd", "t0k3n-abc", "c2VjcmV0", "c2hvcDpwNHNzdzByZA==")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a folder 50%" / "gitconfig"
    path.parent.mkdir()
    path.write_text(config_text([]))
    return path


@pytest.mark.parametrize(
    "keys",
    [
        Credentials(username=b"shop", password=b'p4ssw0rd"\\#;'),
        Credentials(bearer=b"t0k3n-abc", ca=b"PEM\n"),
        Credentials(identity=KEY, known_hosts=b"host ssh-ed25519 AAAA\n"),
    ],
)
def test_files_of_ours_alone_that_are_gone_afterwards(keys: Credentials, config: Path) -> None:
    with opened(keys, environment(config, "ssh"), config) as access:
        (folder,) = config.parent.glob("auth-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        shown = f"{access}{access.env}{keys!r}{keys}"
        assert not [secret for secret in SECRETS if secret in shown]
        assert access.env["HOME"] == str(folder), "the user's own ~/.netrc and ~/.ssh"
        assert "SSH_AUTH_SOCK" not in access.env
    assert list(config.parent.iterdir()) == [config]


def test_git_reads_the_header_back_byte_by_byte(config: Path) -> None:
    password = 'p"\\ #;\té'.encode()
    with opened(Credentials(username=b"shop", password=password), environment(config, "ssh"), config) as access:
        assert _configured("http.extraHeader", access.env).startswith("Authorization: Basic ")
        assert _configured("http.followRedirects", access.env) == "false"
        assert _configured("core.hooksPath", access.env) == "/dev/null", "what git is hardened by holds as before"
    with opened(Credentials(bearer=b'a"\\b;#c'), environment(config, "ssh"), config) as access:
        assert _configured("http.extraHeader", access.env) == 'Authorization: Bearer a"\\b;#c'


def _configured(name: str, env: Mapping[str, str]) -> str:
    """What git takes a setting for; '' if it has none. Away from any repository, which would have its own."""
    command, where = ["git", "config", "--get", name], env["HOME"]
    done = subprocess.run(command, env=dict(env), cwd=where, capture_output=True, text=True, check=False)
    return done.stdout.rstrip("\n")


def test_a_ca_alone_lets_redirects_be_followed(config: Path) -> None:
    with opened(Credentials(ca=b"PEM\n"), {"GIT_SSL_CAINFO": "/x", **environment(config, "ssh")}, config) as access:
        assert "GIT_SSL_CAINFO" not in access.env, "it would win over the configuration"
        assert _configured("http.sslCAInfo", access.env).endswith("/ca.crt")
        assert _configured("http.followRedirects", access.env) == ""


@pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh")
def test_ssh_takes_this_key_and_these_hosts_alone(config: Path) -> None:
    keys = Credentials(identity=KEY, known_hosts=b"host ssh-ed25519 AAAA\n")
    with opened(keys, environment(config, "ssh"), config) as access:
        words = shlex.split(access.env["GIT_SSH_COMMAND"])
        done = subprocess.run([*words, "-G", "host"], capture_output=True, text=True, check=True)
        found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        (folder,) = config.parent.glob("auth-*")
        assert found["identityfile"].strip('"').replace("%%", "%") == str(folder / "identity")
        assert found["userknownhostsfile"].strip('"').replace("%%", "%") == str(folder / "known_hosts")
    assert (found["stricthostkeychecking"], found["batchmode"], found["identitiesonly"]) == ("true", "yes", "yes")
    assert (found["globalknownhostsfile"], found["passwordauthentication"]) == ("/dev/null", "no")


def test_what_a_killed_process_left_is_removed_and_what_another_one_uses_is_not(tmp_path: Path) -> None:
    old, new = tmp_path / "auth-old", tmp_path / "auth-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "identity").touch()
    long_ago = time.time() - 4000
    os.utime(old, (long_ago, long_ago))
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_secrets_are_masked_in_what_git_says(config: Path) -> None:
    keys = Credentials(username=b"shop", password=b"p4ssw0rd")
    with opened(keys, environment(config, "ssh"), config) as access:
        said = access.masked("remote: shop, p4ssw0rd is wrong (Basic c2hvcDpwNHNzdzByZA==)")
        long = b"fatal: " + b"x" * 295 + b" p4ssw0rd"
        assert telling(long, access.masked).endswith("x ***"), "half a secret, cut off"
    assert said == "remote: shop, *** is wrong (Basic ***)"


@pytest.mark.parametrize("url", ["https://x/y", "ssh://git@x/y", "git@x:y"])
def test_a_file_that_is_too_large_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="more than 1 MiB"):
        read_credentials({"identity": bytes((1 << 20) + 1)}, url)
