"""The documents say what the code does: generated parts, links, and every name that can be checked by a program."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from docs import generate
from reconciler.app.discovery import parse_app_file
from reconciler.app.settings import parse_settings, schema
from reconciler.app.settings_source import SourceSettings
from reconciler.core import builtin_values, phase
from reconciler.core.event import EVENTS
from reconciler.core.gitref import branch
from reconciler.core.memory import Active, Claim, Doom, Memory, Rejection, write_claim, write_memory
from reconciler.core.model import Colour

ROOT = generate.ROOT
_MANUALS = ("docs", "helm", "manifests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(each for folder in _MANUALS for each in (ROOT / folder).rglob("*.md"))])

_FOLDERS = (
    "adapters",
    "app",
    "config",
    "core",
    "dashboards",
    "demo",
    "docs",
    "helm",
    "image",
    "manifests",
    "rig",
    "sandbox",
    "tests",
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_generated_documents_are_up_to_date() -> None:
    assert generate.stale() == [], "run `make docs`"


def test_the_check_names_a_stale_file_and_only_writing_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in generate.generated():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(_read(name), encoding="utf-8")
    (tmp_path / "docs/events.md").write_text("other", encoding="utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    assert "docs/events.md is stale" in capsys.readouterr().err
    assert (tmp_path / "docs/events.md").read_text(encoding="utf-8") == "other"
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0


def test_the_diagrams_labels_hold_nothing_that_mermaid_would_end_them_at() -> None:
    labels = [line.partition(": ")[2] for line in phase.diagram().splitlines() if "-->" in line]
    assert labels
    assert not [each for each in labels if ";" in each or ":" in each]


@pytest.mark.parametrize("text", ["", "<!-- x:begin -->", "<!-- x:begin --><!-- x:end --><!-- x:end -->"])
def test_missing_or_doubled_markers_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        generate.between_markers(text, "", "x")


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids)
def test_links_lead_somewhere(document: Path) -> None:
    text = _FENCED.sub("", document.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in _anchors(found), f"{target}: no such heading"


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    text = _FENCED.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_that_is_named_exists() -> None:
    """In backticks, from the repository's root or from the package's."""
    named = {
        (document.name, path)
        for document in DOCUMENTS
        for path in re.findall(r"`([a-z]+/[\w./-]*)`", document.read_text(encoding="utf-8"))
        if path.split("/")[0] in _FOLDERS
    }
    assert named
    assert [each for each in sorted(named) if not _there(each[1])] == []


def _there(path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / "reconciler" / path).exists()


def test_every_event_that_the_readme_names_exists() -> None:
    """In prose, a name with an underscore in backticks is an event; that is what a reader would look up."""
    prose = _FENCED.sub("", _read("README.md"))
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", prose))
    assert "switch_confirmed" in named
    assert named <= set(EVENTS), f"no such event: {named - set(EVENTS)}"


def test_every_event_has_its_advice_and_nothing_else_has() -> None:
    headings = re.findall(r"^### `(\w+)`$", _read("docs/troubleshooting.md"), re.MULTILINE)
    assert sorted(headings) == sorted(EVENTS)


def test_every_annotation_of_the_memory_is_described() -> None:
    active = Active("r", "v1", Colour.BLUE, "c", 1.0, 2.0)
    memory = Memory(active, 1.0, Rejection("r", "v1", "c", "reason", 1.0), (active,), frozenset({Doom("r", "1")}))
    written = write_memory(memory) | write_claim(Claim("c", 1.0))
    text = _read("ARCHITECTURE.md")
    assert [key for key in written if f"| `{key}` |" not in text] == []


def test_every_test_that_is_named_exists() -> None:
    tests = "\n".join(each.read_text(encoding="utf-8") for each in (ROOT / "tests").rglob("*.py"))
    text = "\n".join(each.read_text(encoding="utf-8") for each in DOCUMENTS)
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert [each for each in sorted(named) if f"def {each}(" not in tests] == []


def test_every_field_of_the_configuration_is_described() -> None:
    text = _read("docs/configuration.md") + _read("docs/checks.md")
    definitions = yaml.safe_load(schema())
    models = [definitions, *definitions["$defs"].values()]
    fields = {field for model in models for field in model.get("properties", {})}
    missing = [each for each in sorted(fields) if not re.search(rf"`(\w+\.)?{each}(\.\w+)?`", text)]
    assert missing == []


def _yaml_in_readme(about: str) -> str:
    blocks = re.findall(r"```yaml\n(.*?)```", _read("README.md"), re.DOTALL)
    return next(str(each) for each in blocks if about in each)


def test_the_configuration_in_the_readme_is_valid() -> None:
    text = _yaml_in_readme("sources:")
    settings = parse_settings(text, "README.md")
    builtin_values.check(settings.apps[0].values, lambda *_: "README.md")
    assert len(text.splitlines()) <= 14, "the README promises a short one"


def test_the_webhook_in_its_manual_is_valid() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", _read("docs/webhook.md"), re.DOTALL)
    settings = parse_settings(f"sources: [{{name: shop, url: .}}]\napps: []\n{block}", "webhook.md")
    assert settings.webhook and settings.webhook.receivers[0].name == "shop"


def test_the_checks_in_their_manual_are_valid() -> None:
    first, *blocks = re.findall(r"```yaml\n(.*?)```", _read("docs/checks.md"), re.DOTALL)
    examples = [each for each in blocks if each.startswith("- name:")]
    assert len(examples) == 3
    for each in examples:
        stage = "postPromotionAnalysis" if "failureLimit" in each else "prePromotionAnalysis"
        first += f"---\nstrategy:\n  {stage}:\n    checks:\n" + textwrap.indent(each, "      ")
    source = SourceSettings("shop", ".", branch("main"), 30.0, 60.0, check_hosts=("votes.example.com",))
    for each in first.split("---\n"):
        parse_app_file(each.encode(), "shop/app.yaml", source)
    [server] = [each for each in blocks if each.startswith("prometheus:")]
    assert parse_settings(f"sources: [{{name: shop, url: .}}]\napps: []\n{server}", "checks.md").prometheus
