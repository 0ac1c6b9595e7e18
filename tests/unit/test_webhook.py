"""Who proves to know the secret, and what is counted. No digest here was computed by the code under test.

The first is from GitHub's documentation; the others were made by `printf … | openssl dgst -sha256 -hmac KEY`.
"""

from __future__ import annotations

import pytest

from reconciler.core.webhook import Headers, Kind, identity, is_ping, verify, wrong_secret
from reconciler.web.bounds import Bucket, Seen, Tally

SECRET = b"not-so-secret-key"
BODY = b'{"ref":"refs/heads/main"}'
DIGEST = "8308b44218cd9bca35656c9adb9e8650b002862e40b46e7d1095fa481fffaeac"
OF_NOTHING = "f2bac0b4cfeabe7fea7fca4434b156630f686695c325e77aaa6d3992e8df80fb"
SHA1 = "a04a53725406b86f498af90c7ce473ec0b3413ee"
WITHOUT_KEY = "090ba1b9ca860d37bb4ca7492549a8a347caac3490f763399e6498622c9b47f9"

GITHUB, GITEA, FORGEJO, GENERIC = "x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-signature"
TOKEN = "x-gitlab-token"


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST}"}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST.upper()}"}),
        (Kind.GITEA, {GITEA: DIGEST}),
        (Kind.GITEA, {FORGEJO: DIGEST}),
        (Kind.GENERIC, {GENERIC: f"sha256={DIGEST}"}),
        (Kind.GITLAB, {TOKEN: SECRET.decode()}),
    ],
)
def test_who_knows_the_secret_is_let_in(kind: Kind, headers: Headers) -> None:
    assert verify(kind, SECRET, headers, BODY)


def test_githubs_own_example() -> None:
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = b"It's a Secret to Everybody"
    assert verify(Kind.GITHUB, secret, {GITHUB: f"sha256={digest}"}, b"Hello, World!")


def test_a_body_need_not_be_text_nor_be_there_and_a_secret_need_not_be_ascii() -> None:
    digest = "65a40de086563672690f54f207dea6c99d84674cb78000c0d624dcaf9469e59c"
    secret = "schlüssel-der-welt"
    assert verify(Kind.GITEA, secret.encode(), {GITEA: digest}, b"\xff\0binary")
    assert verify(Kind.GITEA, SECRET, {GITEA: OF_NOTHING}, b"")
    assert verify(Kind.GITLAB, secret.encode(), {TOKEN: secret}, b"")


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (Kind.GITHUB, {}),
        (Kind.GITHUB, {GITHUB: ""}),
        (Kind.GITHUB, {GITHUB: "sha256="}),
        (Kind.GITHUB, {GITHUB: DIGEST}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST[:-1]}"}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST}0"}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST}\n"}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST[:-1]}b"}),
        (Kind.GITHUB, {GITHUB: f"sha256={OF_NOTHING}"}),
        (Kind.GITHUB, {GITHUB: f"sha256={WITHOUT_KEY}"}),
        (Kind.GITHUB, {GITHUB: f"sha1={SHA1}"}),
        (Kind.GITHUB, {GITHUB: f"sha512={DIGEST}"}),
        (Kind.GITHUB, {GITHUB: f"SHA256={DIGEST}"}),
        (Kind.GITHUB, {GITHUB: f"sha256={DIGEST}, sha256={DIGEST}"}),
        (Kind.GITHUB, {"x-hub-signature": f"sha1={SHA1}"}),
        (Kind.GITHUB, {GITEA: DIGEST, GENERIC: f"sha256={DIGEST}", TOKEN: SECRET.decode()}),
        (Kind.GITHUB, {GITHUB: "sha256=" + "é" * 64}),
        (Kind.GITHUB, {GITHUB: "sha256=" + "٠" * 64}),  # digits of another script
        (Kind.GITHUB, {GITHUB: "\udcff\udcfe"}),
        (Kind.GITEA, {GITEA: f"sha256={DIGEST}"}),
        (Kind.GITEA, {GITEA: OF_NOTHING, FORGEJO: DIGEST}),
        (Kind.GITEA, {GITHUB: f"sha256={DIGEST}"}),
        (Kind.GENERIC, {GENERIC: DIGEST}),
        (Kind.GENERIC, {GENERIC: f"sha1={SHA1}"}),
        (Kind.GITLAB, {}),
        (Kind.GITLAB, {TOKEN: ""}),
        (Kind.GITLAB, {TOKEN: SECRET.decode()[:-1]}),
        (Kind.GITLAB, {TOKEN: SECRET.decode() + " "}),
        (Kind.GITLAB, {TOKEN: f"sha256={DIGEST}"}),
        (Kind.GITLAB, {TOKEN: "\udcff\udcfe"}),
    ],
)
def test_who_does_not_is_not(kind: Kind, headers: Headers) -> None:
    assert not verify(kind, SECRET, headers, BODY)


@pytest.mark.parametrize("kind", [Kind.GITHUB, Kind.GITEA, Kind.GENERIC])
def test_a_proof_holds_for_its_body_and_its_secret_only(kind: Kind) -> None:
    headers = {GITHUB: f"sha256={DIGEST}", GITEA: DIGEST, GENERIC: f"sha256={DIGEST}"}
    assert not verify(kind, SECRET, headers, BODY + b"\n")
    assert not verify(kind, SECRET + b"\n", headers, BODY)


def test_a_secret_that_can_be_guessed_lets_nobody_in() -> None:
    assert wrong_secret(b"") == "is empty"
    assert wrong_secret(b"fifteen-letters") == "is shorter than 16 characters"
    assert wrong_secret(b"sixteen--letters") == ""
    assert not verify(Kind.GITLAB, b"", {TOKEN: ""}, b"")
    assert not verify(Kind.GITLAB, b"short", {TOKEN: "short"}, b"")


def test_only_github_pings() -> None:
    assert is_ping(Kind.GITHUB, {"x-github-event": "ping"})
    assert not is_ping(Kind.GITHUB, {"x-github-event": "push"})
    assert not is_ping(Kind.GENERIC, {"x-github-event": "ping"})


def test_a_number_that_is_not_signed_makes_no_replay_new() -> None:
    first, second = {"x-github-delivery": "1"}, {"x-github-delivery": "2"}
    assert identity(Kind.GITHUB, first, BODY) == identity(Kind.GITHUB, second, BODY)
    assert identity(Kind.GITHUB, first, BODY) != identity(Kind.GITHUB, first, BODY + b" ")


def test_gitlab_numbers_its_deliveries() -> None:
    first, second = {"x-gitlab-event-uuid": "1"}, {"x-gitlab-event-uuid": "2\udcff"}
    assert identity(Kind.GITLAB, first, BODY) == identity(Kind.GITLAB, first, BODY)
    assert identity(Kind.GITLAB, first, BODY) != identity(Kind.GITLAB, second, BODY)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=10.0, burst=20.0)
    assert [bucket.take(5.0) for _ in range(21)] == [True] * 20 + [False]
    assert not bucket.take(5.05)
    assert bucket.take(5.15)
    assert not bucket.take(5.15)
    assert sum(bucket.take(1000.0) for _ in range(100)) == 20


def test_what_was_seen_is_forgotten_after_a_while_and_beyond_a_number() -> None:
    seen = Seen(limit=2, seconds=60.0)
    assert not seen.again(b"a", 0.0)
    assert seen.again(b"a", 59.0)
    assert not seen.again(b"a", 60.0)
    assert not seen.again(b"b", 61.0)
    assert seen.again(b"a", 62.0)
    assert not seen.again(b"c", 63.0)
    assert not seen.again(b"a", 64.0)


def test_a_tally_tells_the_first_at_once_and_then_how_many_there_were() -> None:
    tally, key, other = Tally(seconds=60.0), ("shop", "wrong"), ("shop", "slow")
    assert [tally.count(key, at) for at in (0.0, 1.0, 59.0)] == [1, 0, 0]
    assert tally.count(other, 59.0) == 1
    assert tally.count(key, 60.0) == 3
    assert tally.rest() == {}
    assert tally.count(key, 61.0) == 0
    assert tally.rest() == {key: 1}
