"""Apps that a repository describes: what their files may say, and which of them can be together."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.app.discovery import Discovery, parse_app_file
from reconciler.app.roster import Head, Roster, Seen, removed, roster
from reconciler.app.settings import parse_settings
from reconciler.core.account import Account
from reconciler.core.dependencies import Waits, cycle
from reconciler.core.glob import part_matches, pattern_fault
from reconciler.core.model import App, DeletionPolicy, Ignored, Strategy
from reconciler.errors import Invalid
from tests.fakes.discovery import SOURCE, found
from tests.fakes.git import FakeRepository

FILE = "apps/web/app.yaml"


def parsed(text: str, file: str = FILE) -> App:
    return parse_app_file(text.encode(), file, SOURCE)


def test_an_empty_file_is_an_app_named_after_its_folder() -> None:
    assert parsed("") == App("web", "shop", "git", Strategy("web"), path="apps/web", file=FILE, origin=SOURCE.origin)


def test_every_field_arrives() -> None:
    text = """\
name: front
namespace: back
versionFile: release/version
templates: templates
values: {image: example/web}
strategy: {activeService: www, scaleDownDelay: 1m}
valuesFiles: [values-prod.yaml]
adopt: true
ignoreDifferences: [{kind: Service, jsonPointers: [/metadata/annotations/a~1b]}]
dependsOn: [db, cache]
suspend: true
deletionPolicy: delete
"""
    assert parsed(text) == App(
        "front",
        "back",
        "git",
        Strategy("www", scale_down_delay=60.0),
        path="apps/web",
        version_file="release/version",
        templates="templates",
        values={"image": "example/web"},
        values_files=("values-prod.yaml",),
        adopt=True,
        ignored=(Ignored("Service", (("metadata", "annotations", "a/b"),)),),
        depends_on=("db", "cache"),
        suspend=True,
        file=FILE,
        deletion_policy=DeletionPolicy.DELETE,
        origin=SOURCE.origin,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source: other", f"{FILE}:1: source: unknown key"),
        ("path: ../other", f"{FILE}:1: path: unknown key"),
        ("\nnamespace: kube-system", f"{FILE}:2: namespace: source git does not allow this namespace to its apps"),
        ("adopt: true\nnamespace: other", f"{FILE}:2: namespace: source git does not allow this namespace to its apps"),
        ("namspace: shop", f"{FILE}:1: namspace: unknown key (did you mean `namespace`?)"),
        ("deletionPolicy: prune", f"{FILE}:1: deletionPolicy: input should be 'orphan' or 'delete'"),
        ("suspend: yes", f"{FILE}:1: suspend: "),
        ("\nserviceAccountName: admin", f"{FILE}:2: serviceAccountName: source git does not allow this ServiceAcc"),
        ("allow: {powers: [hostPath]}", f"{FILE}:1: allow: unknown key"),
        ("dependsOn: [web]", f"{FILE}:1: dependsOn: an app cannot wait for itself"),
        ("dependsOn: web", f"{FILE}:1: dependsOn: must be a list"),
        ("name: Web", f"{FILE}:1: name: may only hold"),
        ("a: 1\na: 2", f"{FILE}:2:1: the key `a` is there twice"),
        ("- 1", f"{FILE}:1: must be a mapping"),
        ("---\na: 1\n---\nb: 1", f"{FILE}: must hold one document"),
        ("#" * (64 * 1024 + 1), f"{FILE}: has 65537 bytes, more than the 64 KiB allowed"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(text)
    assert caught.value.located.startswith(problem)


@pytest.mark.parametrize(
    ("file", "problem"),
    [("apps/9web/app.yaml", "the folder's name must begin with a letter"), ("app.yaml", "name: is missing")],
)
def test_a_folder_that_is_no_name_needs_one(file: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        parsed("", file)
    assert parsed("name: web", file).name == "web"


def test_an_account_is_the_sources_or_one_that_it_allows_and_powers_are_its_own() -> None:
    source = replace(SOURCE, service_account="git", service_accounts=("git", "web"), powers=("hostPath",))
    said = {"": "git", "serviceAccountName: git": "git", "serviceAccountName: web": "web"}
    for text, account in said.items():
        app = parse_app_file(text.encode(), FILE, source)
        assert (app.service_account, app.account, app.powers) == (account, Account("shop", account), ("hostPath",))
    with pytest.raises(Invalid, match=r"serviceAccountName: .* \(allowed: git, web\)"):
        parse_app_file(b"serviceAccountName: admin", FILE, source)
    assert parsed("").account is None


def test_a_source_allows_its_own_namespace_unless_it_says_otherwise() -> None:
    source = "- {name: shop, url: /srv/x, apps: 'apps/*/app.yaml', namespace: web%s}"
    allowed = [
        parse_settings(f"sources:\n{source % more}\napps: []", "c").sources[0].namespaces
        for more in ("", ", allow: {namespaces: [a, b]}", ", allow: {namespaces: []}")
    ]
    assert allowed == [("web",), ("a", "b"), ()]


@pytest.mark.parametrize("pattern", ["", "/apps/*", "../*", "a//b", "a/**/b", "a*b*", "-a", "a/[b]", "a?", "./a"])
def test_patterns_that_are_refused(pattern: str) -> None:
    assert pattern_fault(pattern)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a", True),
        ("*", ".a", False),
        (".*", ".a", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*.yaml", "app.yaml", True),
        ("*.yaml", "app.yml", False),
        ("a", "ab", False),
    ],
)
def test_a_part_of_a_path_matches_as_in_a_shell(pattern: str, name: str, matches: bool) -> None:
    assert part_matches(pattern, name) is matches


async def test_a_file_that_did_not_change_is_not_read_again() -> None:
    class Counting(FakeRepository):
        reads = 0

        async def read(self, commit: str, path: str) -> bytes:
            self.reads += 1
            return await super().read(commit, path)

    repository = Counting()
    discovery = Discovery(SOURCE, repository)
    files = {f"apps/{name}/app.yaml": b"" for name in ("a", "b", "c")}
    await discovery.at(repository.commit(files))
    assert repository.reads == 3
    changed = await discovery.at(repository.commit({**files, "apps/b/app.yaml": b"suspend: true"}))
    assert repository.reads == 4
    assert [each.app.suspend for each in changed if each.app] == [False, True, False]


@pytest.mark.parametrize("folder", ["\x1b[31m", "\udcff", "\u202ebew"])
async def test_a_path_that_does_strange_things_to_a_terminal_is_a_fault_and_told_without(folder: str) -> None:
    repository = FakeRepository()
    files = {f"apps/{folder}/app.yaml": b"name: strange", "apps/web/app.yaml": b""}
    told = await Discovery(SOURCE, repository).at(repository.commit(files))
    (fault,) = (each for each in told if each.fault)
    assert "Rename the folder" in str(fault.fault and fault.fault.todo)
    assert fault.name.isprintable() and fault.file.isprintable()
    assert [each.name for each in told if each.app] == ["web"]


# --- which apps can be together ---


def mustered(*files: tuple[str, str], before: Roster | None = None, configured: tuple[App, ...] = ()) -> Roster:
    seen = Seen("c2", tuple(found(f"apps/{folder}/app.yaml", text) for folder, text in files))
    return roster(configured, {"git": seen}, before.heads if before else {})


def faults(made: Roster) -> list[tuple[str, str]]:
    return [(each.file, each.error.what) for each in made.faults]


CONFIGURED = App("web", "default", "other", Strategy("web"))


def test_one_broken_file_does_not_keep_the_others_out() -> None:
    made = mustered(("a", ""), ("b", "nonsense: 1"), ("c", ""))
    assert list(made.heads) == ["a", "c"]
    assert faults(made) == [("apps/b/app.yaml", "apps/b/app.yaml:1: nonsense: unknown key")]


def test_an_app_whose_file_breaks_stays_at_the_last_good_commit() -> None:
    first = mustered(("a", ""))
    later = roster((), {"git": Seen("c3", (found("apps/a/app.yaml", "nonsense: 1"),))}, first.heads)
    assert later.heads == first.heads
    assert later.heads["a"].commit == "c2"
    assert [each.commit for each in later.faults] == ["c3"]


@pytest.mark.parametrize("known", [False, True])
def test_the_configurations_app_keeps_its_name(known: bool) -> None:
    before = mustered(("web", "")) if known else None
    made = mustered(("web", ""), before=before, configured=(CONFIGURED,))
    assert made.heads == {"web": Head(CONFIGURED)}
    assert faults(made) == [("apps/web/app.yaml", "another app is called web: that of the configuration")]


def test_who_was_there_first_keeps_the_name_whatever_the_order_of_paths() -> None:
    first = mustered(("z", "name: web"))
    made = mustered(("a", "name: web"), ("z", "name: web"), before=first)
    assert made.heads["web"].app.path == "apps/z"
    assert faults(made) == [("apps/a/app.yaml", "another app is called web: that of apps/z/app.yaml in source git")]


def test_an_app_that_renames_itself_into_a_collision_keeps_its_old_name() -> None:
    first = mustered(("a", ""), ("b", ""))
    made = mustered(("a", "name: b"), ("b", ""), before=first)
    assert made.heads["a"] == first.heads["a"]
    assert made.heads["b"].app.path == "apps/b"
    assert len(made.faults) == 1


def test_two_apps_cannot_have_one_service() -> None:
    made = mustered(("a", "strategy: {activeService: www}"), ("b", "strategy: {activeService: www}"))
    assert list(made.heads) == ["a"]
    assert faults(made) == [("apps/b/app.yaml", "the Service shop/www is that of app a")]
    assert not mustered(
        ("a", "strategy: {activeService: www}"), ("b", "namespace: back\nstrategy: {activeService: www}")
    ).faults


def test_apps_that_wait_for_each_other_are_told_with_the_whole_circle() -> None:
    made = mustered(("a", "dependsOn: [b]"), ("b", "dependsOn: [c]"), ("c", "dependsOn: [a]"))
    assert list(made.heads) == ["a", "b"]
    assert faults(made) == [("apps/c/app.yaml", "each would wait for the other: c → a → b → c")]


def test_a_source_that_was_not_read_yet_leaves_its_apps_as_they_were() -> None:
    first = mustered(("a", ""))
    assert roster((), {"git": None}, first.heads) == Roster(first.heads)
    assert not list(removed(first.heads, roster((), {"git": None}, first.heads).heads))


def test_an_app_whose_file_is_gone_is_removed_and_one_whose_folder_moved_is_not() -> None:
    first = mustered(("a", ""), ("b", ""))
    made = mustered(("moved", "name: a"), before=first)
    assert [each.name for each in removed(first.heads, made.heads)] == ["b"]
    assert made.heads["a"].app.path == "apps/moved"


# --- who waits for whom ---


def test_the_shortest_circle_is_found_and_others_are_left_alone() -> None:
    wanted = {"a": ["b", "c"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["unknown"]}
    assert cycle("a", wanted) == ("a", "c", "a")
    assert cycle("d", wanted) == ()
    assert cycle("e", wanted) == ()


@pytest.mark.parametrize("seed", range(40))
def test_what_grows_app_by_app_finds_every_circle_and_makes_none(seed: int) -> None:
    """Held against the plain search, on dependencies at random."""
    chance = random.Random(seed)
    names = [f"a{n}" for n in range(chance.randint(2, 12))]
    waits, known = Waits(names), dict[str, list[str]]()
    for name in names:
        wanted = chance.sample([*names, "unknown"], chance.randint(0, 3))
        circle = waits.circle(name, wanted)
        assert bool(circle) == bool(cycle(name, {**known, name: wanted}))
        if not circle:
            waits.add(name, wanted)
            known[name] = wanted
            continue
        assert circle[0] == circle[-1] == name
        assert all(after in {**known, name: wanted}[before] for before, after in pairwise(circle))
        assert len(set(circle)) == len(circle) - 1


def test_thousands_of_apps_in_a_row_are_put_together_and_one_circle_of_all_is_told_in_short() -> None:
    files = {f"a{n}": f"dependsOn: [a{(n + 1) % 2000}]" for n in range(2000)}
    made = mustered(*files.items())
    assert len(made.heads) == 1999
    [(file, told)] = faults(made)
    assert file == "apps/a1999/app.yaml"
    assert told.startswith("each would wait for the other: a1999 → a0 → ") and "(1989 more)" in told


def test_a_circle_in_the_configuration_is_told_once_by_name() -> None:
    apps = "".join(
        f"- {{name: {name}, source: s, dependsOn: [{other}]}}\n" for name, other in ("ab", "bc", "ca", ("d", "x"))
    )
    with pytest.raises(Invalid) as caught:
        parse_settings(f"sources:\n- {{name: s, url: /srv/x}}\napps:\n{apps}", "c.yaml")
    assert str(caught.value).split("\n") == [
        "c.yaml:4: apps[0].dependsOn: each would wait for the other: a → b → c → a",
        "c.yaml:7: apps[3].dependsOn[0]: there is no app `x`",
    ]
