"""Hostile repositories as data: what somebody commits or serves, and what must come of it.

`python -m tests.hostile` prints them as the table that `docs/git-hostile.md` holds.
"""

from tests.hostile.approvals import APPROVALS
from tests.hostile.apps import APPS
from tests.hostile.case import Case
from tests.hostile.documents import DOCUMENTS
from tests.hostile.files import FILES
from tests.hostile.powers import POWERS
from tests.hostile.served import SERVED
from tests.hostile.templates import TEMPLATES

SECTIONS: dict[str, tuple[Case, ...]] = {
    "Files, folders and links": FILES,
    "Texts and YAML": DOCUMENTS,
    "Templates": TEMPLATES,
    "Powers": POWERS,
    "Apps that the repository describes": APPS,
    "The approval file": APPROVALS,
    "What is served": SERVED,
}
CASES = tuple(case for section in SECTIONS.values() for case in section)


def table() -> str:
    """All cases in Markdown, a section each."""
    lines: list[str] = []
    for heading, cases in SECTIONS.items():
        lines += [f"## {heading}", "", "| what | comes to | it says |", "| --- | --- | --- |"]
        lines += [f"| {each.name} | {each.error or 'as without it'} | {_cell(each.message)} |" for each in cases]
        lines.append("")
    return "\n".join(lines)


def _cell(message: str) -> str:
    return message.replace("|", "\\|")
