"""The nouns of the core: what is wanted, and what is there. Frozen values, nothing more.

The words are those of ARCHITECTURE.md: an *app* has at most one *active* revision (the one that its
Service's selector points to) and one *preview* (the desired revision while it is being proved).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.core.account import Account
from reconciler.core.check import PostPromotion, PrePromotion
from reconciler.core.strictyaml import Passage
from reconciler.core.window import Window

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON data. Treated as immutable everywhere: copy before you change one."""

PREFIX = "bluegreen.reconciler/"
LABEL_APP = PREFIX + "app"
LABEL_REVISION = PREFIX + "revision"
LABEL_COLOUR = PREFIX + "colour"
ANNOTATION_VERSION = PREFIX + "version"
ANNOTATION_COMMIT = PREFIX + "commit"
ANNOTATION_COMPONENT = PREFIX + "component"
"""Which object of another revision this one corresponds to: its name, with what depends on the revision left out."""
SOLE = "*"
"""The component of an object that is called `{{ name }}`; not written down."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "reconciler"
ADOPTED = "adopted-"
"""How the revision of an adopted Deployment begins; its pods carry none."""
ANNOTATION_RENDERING = PREFIX + "rendering"
"""`NAME@HASH` of an object as it was last rendered and applied. By the hash, a change that Git asks for is told from a
drift; by the name, an object of ours from a copy that somebody made of it."""
WORKLOADS = ("Deployment", "StatefulSet")
"""The kinds whose pods are released."""
ANNOTATION_NAMESPACE = PREFIX + "namespace"
"""The app's namespace, on every object of a further kind: cluster-scoped ones have none of their own."""


class Colour(StrEnum):
    """The slot that a revision holds. The two alternate from release to release."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Colour:
        """The slot that the next revision takes."""
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


@dataclass(frozen=True, slots=True)
class Strategy:
    """How an app is promoted. Durations are seconds; names follow Argo Rollouts' blueGreen fields.

    `active_service` is what is switched, or with `active_ingress` that Ingress. `preview_replica_count`: with how many
    pods each workload of a new revision starts, before it gets its full size; None: with all.
    `revision_history_limit`: how many former revisions are kept with no pods after their retention.

    Between "every pod is ready" and the switch stand, in this order, `pre_promotion`, an approval unless
    `auto_promotion` (with `auto_promotion_after`: until so many seconds have passed without one), and the release
    windows. After the switch, `post_promotion` watches it; if that fails, traffic goes back, and `revert_in_git` makes
    Git say so, too.
    `approval_file`, relative to the app's folder, holds revisions that are approved by a commit; '': there is none.

    `preview_service` leads to a new revision while that is proved ('': there is none). It stays where it is afterwards,
    or with `preview_idles_on_active` goes to the active revision.
    """

    active_service: str
    active_ingress: str = ""
    scale_down_delay: float = 600.0
    abort_scale_down_delay: float = 30.0
    progress_deadline: float = 600.0
    preview_replica_count: int | None = None
    auto_promotion: bool = True
    auto_promotion_after: float | None = None
    pre_promotion: PrePromotion = field(default_factory=PrePromotion)
    post_promotion: PostPromotion | None = None
    revert_in_git: bool = False
    release_windows: tuple[Window, ...] = ()
    approval_file: str = ""
    revision_history_limit: int = 0
    preview_service: str = ""
    preview_idles_on_active: bool = False

    @property
    def has_gates(self) -> bool:
        """Whether a ready revision may have to wait for its traffic, or not get it at all."""
        proved = bool(self.pre_promotion.checks or self.pre_promotion.soak)
        asked = not self.auto_promotion or self.auto_promotion_after is not None
        return proved or asked or bool(self.release_windows)

    @property
    def front(self) -> tuple[str, str]:
        """Kind and name of what is switched, and holds the memory."""
        return ("Ingress", self.active_ingress) if self.active_ingress else ("Service", self.active_service)


class DeletionPolicy(StrEnum):
    """What becomes of an app's objects when Git, or the configuration, no longer has the app."""

    ORPHAN = "orphan"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Fields of every object of a kind that are left as they are: JSON Pointers (RFC 6901), split into their parts."""

    kind: str
    paths: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class App:
    """One unit that is released together, as the configuration describes it.

    `path` is a folder of the repository; `version_file`, `templates` and `values_files` are relative to it.
    `templates` None means the built-in ones. `values` are the configuration's; those of files in Git
    are merged over them. `written` is where they stand in the configuration, if that is known. `adopt`: a Service of
    its active Service's name that was made by hand is taken over, with the Deployment that it leads to. `ignored`:
    fields that are left as they are. `file` is the app.yaml that it was discovered in; '' for an app of the
    configuration. `service_account`: the one of its namespace as which everything is done for it; '': the daemon's
    own. `powers` are those that its templates may ask for (`core.powers`), `kinds` what it may have beside the kinds
    that every app may (`core.policy`). `origin` stands for the repository and ref that its source follows.
    `check_hosts` are those that its checks may ask beside its own pods (`core.target`).
    """

    name: str
    namespace: str
    source: str
    strategy: Strategy
    path: str = "."
    version_file: str = "version"
    templates: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    values_files: tuple[str, ...] = ()
    adopt: bool = False
    ignored: tuple[Ignored, ...] = ()
    depends_on: tuple[str, ...] = ()
    suspend: bool = False
    file: str = ""
    service_account: str = ""
    powers: tuple[str, ...] = ()
    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    origin: str = ""
    kinds: tuple[str, ...] = ()
    check_hosts: tuple[str, ...] = ()
    written: Passage | None = field(default=None, compare=False, repr=False)

    @property
    def account(self) -> Account | None:
        """As whom everything is done for it; None: as the daemon itself."""
        return Account(self.namespace, self.service_account) if self.service_account else None


@dataclass(frozen=True, slots=True)
class Template:
    """One template file: `name` as errors shall show it (its path), and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """A Job that a check runs. It is rendered when it is run: what it is about are the pods that are ready then.

    `variables` are those which do not depend on that. `digest` stands for the text, and for what it renders to.
    """

    template: Template
    digest: str
    variables: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Release:
    """Everything that Git and the configuration say about an app at one commit, before rendering.

    Two releases with equal fields other than `commit`, `approved` and `jobs` render to the same revision. `written`
    says where the values stand, those that go over the others first. `approved` are the revisions in the approval file,
    `jobs` the templates of the Jobs that checks run, by their paths in the app's folder.
    """

    commit: str
    version: str
    values: Mapping[str, Any]
    templates: tuple[Template, ...]
    written: tuple[Passage, ...] = field(default=(), compare=False, repr=False)
    approved: frozenset[str] = frozenset()
    jobs: Mapping[str, Template] = field(default_factory=dict)

    def place_of(self, *keys: str) -> str:
        """`file:line` of the value at `keys`, or of the values themselves; '' if that is not known."""
        holder = next((each for each in self.written if each.holds(*keys)), None)
        return (holder or self.written[-1]).at(*keys) if self.written else ""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a revision lives: its colour, and the commit that first asked for it.

    Both may be used in templates, so they are fixed when a revision is first applied and read back
    from the cluster afterwards: re-rendering at a later commit must not change a running pod template.
    """

    colour: Colour
    commit: str


@dataclass(frozen=True, slots=True)
class Component:
    """One workload of a revision as the templates want it: a Deployment or StatefulSet, without `spec.replicas`.

    `name` tells which workload of another revision it corresponds to; `replicas` is the count that the template asks
    for.
    """

    name: str
    replicas: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Desired:
    """One revision of an app, rendered: what the branch's tip asks for.

    `front` is the active Service or Ingress with its route leading to this revision, `services` are further Services
    that move with it. `configs` are what else belongs to the colour, `extras` the objects of further kinds
    (`core.further`). All carry this daemon's labels and are named and namespaced. `preview` is the preview Service, if
    the app has one, leading to this revision; it is no front, since no client's traffic depends on it. `approved` are
    the revisions that the approval file names; `same_as` is an earlier commit that was found to say just the same of
    the app, or ''. `committed`: when (epoch seconds) the commit was made that first asked for it; None if that is not
    known, or of no use any more. `jobs`: the Jobs that checks run, by the paths of their templates in the app's folder;
    they are no part of what makes the revision.
    """

    app: App
    commit: str
    version: str
    revision: str
    slot: Slot
    components: tuple[Component, ...]
    front: Manifest
    services: tuple[Manifest, ...] = ()
    configs: tuple[Manifest, ...] = ()
    extras: tuple[Manifest, ...] = ()
    approved: frozenset[str] = frozenset()
    same_as: str = ""
    committed: float | None = None
    jobs: Mapping[str, JobTemplate] = field(default_factory=dict)
    preview: Manifest | None = None

    @property
    def fronts(self) -> tuple[Manifest, ...]:
        """All that is switched; the one with the memory last, since its switch is what counts."""
        return (*self.services, self.front)

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """The colour's own objects, in the order in which they must be applied."""
        return (*self.configs, *(each.manifest for each in self.components))
