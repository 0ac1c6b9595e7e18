"""Apps that a repository describes itself: which files there are, and what each says.

What Git says is hostile until parsed, and what it may ask for is the configuration's to say: see `SourceSettings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from reconciler.app.settings_analysis import not_allowed
from reconciler.app.settings_app import AppFileModel, discovered_app_of
from reconciler.app.settings_checks import IS_ACTIVE, Problem, described, report, unfit_name
from reconciler.app.settings_source import ANY_ACCOUNT, ANY_NAMESPACE, SourceSettings
from reconciler.core import strictyaml
from reconciler.core.model import App
from reconciler.core.naming import wrong_dns_label
from reconciler.core.strictyaml import Document, Passage
from reconciler.core.text import decode
from reconciler.errors import Invalid, printable
from reconciler.ports import Repository

SIZE_LIMIT = 64 * 1024
_KEPT = "The app goes on as its last good file says, or was not begun"


@dataclass(frozen=True, slots=True)
class Found:
    """One file that describes an app: the `app`, or the `fault` for which there is none."""

    file: str
    app: App | None = None
    fault: Invalid | None = None

    @property
    def name(self) -> str:
        """What to call it: the app's name, or the folder's as long as that cannot be read."""
        return self.app.name if self.app else folder_name(self.file)


@dataclass(slots=True)
class Discovery:
    """The files of one source. A file is read again only if its content changed."""

    settings: SourceSettings
    repository: Repository
    _known: dict[str, tuple[str, Found]] = field(default_factory=dict)

    async def at(self, commit: str) -> tuple[Found, ...]:
        """Every file that matches in `commit`, by path. Raises what `ports.Repository.find` raises, and `Transient`."""
        if not self.settings.apps:
            return ()
        files = await self.repository.find(commit, self.settings.apps)
        known = {file: await self._read(commit, file, identity) for file, identity in files.items()}
        self._known = known
        return tuple(found for _, found in known.values())

    async def _read(self, commit: str, file: str, identity: str) -> tuple[str, Found]:
        if file in self._known and self._known[file][0] == identity:
            return self._known[file]
        try:
            if not file.isprintable():
                todo = "Rename the folder"
                raise Invalid("the path holds control characters, or is not UTF-8", where=file, todo=todo)
            data = await self.repository.read(commit, file)
            return identity, Found(file, parse_app_file(data, file, self.settings))
        except Invalid as error:
            fault = Invalid(error.what, where=error.where, untouched=_KEPT, todo=error.todo)
            # The path goes into events, terminals and what programs read.
            return identity, Found(printable(file), fault=fault)


def folder_name(file: str) -> str:
    """The name of the folder that `file` is in; '' at the repository's root."""
    return file.rpartition("/")[0].rpartition("/")[2]


def parse_app_file(data: bytes, file: str, source: SourceSettings) -> App:
    """The app that `data` describes. Its defaults, and what it may ask for, are the source's.

    Raises:
        Invalid: with all problems, one a line.
    """
    document = _document(data, file)
    problems: list[Problem] = []
    try:
        model = AppFileModel.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise report((described(each, AppFileModel) for each in found), document) from None
    name, namespace = model.name or folder_name(file), model.namespace or source.namespace
    problems += _unfit(model, name, namespace, source)
    if problems:
        raise report(problems, document)
    return discovered_app_of(model, name, namespace, source, file, Passage(document, ("values",)))


def _document(data: bytes, file: str) -> Document:
    documents = strictyaml.load(decode(data, file, SIZE_LIMIT), file, limit=SIZE_LIMIT)
    if len(documents) > 1:
        raise Invalid(f"must hold one document, but holds {len(documents)}", where=file)
    # An empty file says that everything is as usual.
    return documents[0] if documents else Document({}, file, (1, 1))


def _unfit(model: AppFileModel, name: str, namespace: str, source: SourceSettings) -> Iterator[Problem]:
    wrong = wrong_dns_label(name) if model.strategy.active_service else unfit_name(name)
    if not name:
        yield Problem(("name",), "is missing: there is no folder to take it from")
    elif wrong:
        yield Problem(("name",), f"the folder's name {wrong}: give another" if model.name is None else wrong)
    strategy = model.strategy
    if strategy.preview_service == (strategy.active_service or name) and not strategy.active_ingress:
        yield Problem(("strategy", "previewService"), IS_ACTIVE)
    if namespace not in source.namespaces and source.namespaces != ANY_NAMESPACE:
        allowed = ", ".join(source.namespaces) or "none"
        what = f"source {source.name} does not allow this namespace to its apps (allowed: {allowed})"
        yield Problem(("namespace",), what)
    account = model.service_account_name
    if account and account not in source.service_accounts and source.service_accounts != ANY_ACCOUNT:
        allowed = ", ".join(source.service_accounts) or "none"
        what = f"source {source.name} does not allow this ServiceAccount to its apps (allowed: {allowed})"
        yield Problem(("serviceAccountName",), what)
    analyses = (model.strategy.pre_promotion_analysis, model.strategy.post_promotion_analysis)
    yield from not_allowed(analyses, source.name, source.check_hosts)
    if name in model.depends_on:
        yield Problem(("dependsOn",), "an app cannot wait for itself")
