"""What the app layer needs from the outside, as protocols. Adapters and the tests' fakes implement them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.account import Account
from reconciler.core.action import Ref
from reconciler.core.check import Check, Result, Series
from reconciler.core.check import Measurement as Measurement  # what probers give
from reconciler.core.event import Event
from reconciler.core.membership import Lease
from reconciler.core.model import Desired, Manifest
from reconciler.core.revert import Revert
from reconciler.core.strictyaml import Key

CALL_SECONDS = 20.0
"""Within which every call of `Cluster` that asks the API server ends, one way or the other: two requests at most, of
10 s each. (`synced` and `follow` wait for watches, and may wait for ever.)"""


class Repository(Protocol):
    """One ref of one Git repository, read as objects; nothing is ever checked out.

    Every method raises `Transient` when the repository cannot be reached, is locked, or takes longer than
    its time-out, and `Invalid` when it answers but what was asked for is missing or over a limit.
    """

    @property
    def tag(self) -> str:
        """The tag that the last tip was found by; '' if it was none."""
        ...

    async def tip(self) -> str:
        """The full commit id that the ref leads to now, fetched and ready to be read."""
        ...

    async def follows(self, commit: str, earlier: str) -> bool:
        """Whether `commit`, the last tip, came after `earlier`. False: history was written anew, or the way between
        them is longer than is looked at."""
        ...

    async def accepted(self) -> str | None:
        """The commit that `accept` noted last, also before a restart; None if that is not known (any more)."""
        ...

    async def accept(self, commit: str) -> None:
        """Notes a tip as in force, and keeps it readable whatever the ref points to later."""
        ...

    async def revert(self, revert: Revert) -> str:
        """Commits that one file is changed back, and pushes it to the branch; returns the full id of the commit.

        Nothing is forced: `Conflict` if the branch's tip is not, or no longer, the commit that it answers. Somebody
        else's commit stays then, and nothing is pushed. `Blocked` if the ref is no branch, the push is refused or
        forbidden, the file holds that already, or the signing key cannot be used. After `Transient` the branch may have
        the commit.
        """
        ...

    async def read(self, commit: str, path: str) -> bytes:
        """The file at `path` (relative to the repository's root, '/'-separated) in `commit`."""
        ...

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        """Every regular file directly in the folder `path`: name → content, sorted by name."""
        ...

    async def identities(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        """For each of `paths` what stands for all that is there in `commit`, file or folder; '' if there is nothing.

        Where two commits have the same, a read gives the same. It costs look-ups of folders; no file is read.
        """
        ...

    async def committed_at(self, commit: str) -> float:
        """When (epoch seconds) `commit` was made, by its committer's clock. Nothing is fetched for it: `Invalid` if it
        is not at hand."""
        ...

    async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
        """The files in `commit` that match `pattern` (see `core.glob`): path → an id of its content, sorted by path.

        Symbolic links are among them (to `read` one is refused); what is below a linked folder is not.
        """
        ...

    async def close(self) -> None:
        """Ends any Git process still running; the object is not used afterwards."""
        ...


class Cluster(Protocol):
    """The API server: a watched view of this daemon's own objects, and conditional writes.

    Every method that writes raises `Transient` when the API server cannot be reached or is overloaded, `Conflict`
    when a precondition failed, `Blocked` when something foreign is in the way or permission is missing, and
    `Invalid` when the API server refuses the object. A write's result is in the view when the call returns.
    """

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        """Live objects labelled with `app`, of every watched kind. No request: it reads the watch caches."""
        ...

    def apps(self, namespace: str) -> Sequence[str]:
        """Names of the apps that `view` has objects of. No request either."""
        ...

    async def synced(self, namespace: str) -> None:
        """Returns once the caches of `namespace` hold all that is there; starts watching it if need be."""
        ...

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        """Sees to it that the view of `app` shows these kinds, too, which are watched on demand: further ones, and
        Secrets. Returns once it holds all that is there.

        They are resources (`core.policy`). `Blocked` if the API server has no such kind among the `wanted`, or refuses
        to show one; of those that are only `known`, of an earlier version, one that is gone is passed over. What an
        earlier call named and nobody names any more is not watched any longer.
        """
        ...

    def recovered_at(self, namespace: str) -> float | None:
        """When (epoch seconds) the API server was last back after it could not be watched; None: never away."""
        ...

    def acting_as(self, account: Account | None) -> Cluster:
        """The same view, but every write, `check`, `find` and `require_free` is made as `account`, with its permissions
        and no others; None: as the daemon itself."""
        ...

    def guarded(self, permit: Callable[[], float]) -> Cluster:
        """The same, but `permit` is asked right before each write is sent: it gives the seconds within which the write
        must have been answered, or raises `Conflict`, and nothing is sent."""
        ...

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        """Server-side apply under `manager`, taking over contested fields; returns the stored object.

        With `live`, only if that very object is still at its resourceVersion. Without, only if there is none of that
        name: `Conflict` if it is ours, `Blocked` if it is not.
        """
        ...

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        """Raises what `apply` would, by a dry run: the API server validates, admits and forgets. Changes nothing."""
        ...

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        """Objects of a kind as the API server has them now, whoever made them: the one called `name`, or all of them
        (500 at most; more are `Blocked`)."""
        ...

    async def require_free(self, manifest: Manifest) -> None:
        """Raises `Blocked` when an object of this name exists that is not ours. Changes nothing."""
        ...

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        """Creates an object; `Blocked` when one of that name exists and is not ours, `Conflict` when it is ours."""
        ...

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        """Writes the fields below `spec` and the annotations of `manifest` over those of `live`, each as a whole,
        whoever owned them; on the condition of `live`'s version. `manager` owns them by update afterwards."""
        ...

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        """Forgets what `manager` owns by create or update (not by apply); on the condition of `live`'s version."""
        ...

    async def delete(self, namespace: str, ref: Ref) -> bool:
        """Deletes in the background, if it is still that very object at that version. False: it was gone already."""
        ...

    async def user(self) -> str:
        """As whom the API server knows whoever asks; '' if it does not say."""
        ...

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, whosever it is, as it is now: one request. `Blocked` if it is not there or may not be
        read."""
        ...

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        """Writes a Kubernetes Event about a live object, for `kubectl describe`."""
        ...


class Leases(Protocol):
    """The Leases of a group of daemons. Every method raises `Transient` and `Blocked` as `Cluster` does."""

    async def list(self) -> Sequence[Lease]:
        """All there are, as they are now, and not as some cache has them."""
        ...

    async def put(self, lease: Lease) -> Lease:
        """Writes it, which renews it; returns it at its new version. `Conflict` if it is not at `lease.version` any
        more; with '', if there is one."""
        ...

    async def delete(self, lease: Lease) -> None:
        """Deletes it, unless it is gone already. `Conflict` if it is not at `lease.version` any more."""
        ...

    async def find(self, name: str) -> Lease | None:
        """The one of that name, as `list`, but also if it was taken out of the group; None if there is none. Raises
        `Blocked` if it is no daemon's."""
        ...

    async def follow(self, seen: Callable[[Lease], None], gone: Callable[[Lease], None]) -> None:
        """Calls `seen` with every Lease that is new or changed, for ever, and `gone` with one that was deleted or taken
        out of the group, at the version of that."""
        ...
        ...


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """What is wrong with the field at `path` of an object; never shows its value."""

    path: tuple[Key, ...]
    what: str


class Schemas(Protocol):
    """What one version of Kubernetes knows of objects' fields."""

    def faults(self, manifest: Manifest) -> Sequence[SchemaFault]:
        """Everything in `manifest` that this version does not have or take."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is about: a revision as it was rendered, and the addresses (IP) of its ready pods by their names.

    `since` (epoch seconds) tells one analysis from an earlier of the same revision, as that of `core.check.Series`.
    """

    desired: Desired
    pods: Mapping[str, str]
    since: float = 0.0


class Prober(Protocol):
    """Makes the measurements that checks ask for."""

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """One measurement, within `check.timeout` seconds; what cannot be measured is inconclusive. Raises nothing of
        its own: whatever the other side does is a measurement. Cancelled, it leaves nothing behind."""
        ...


class Analysis(Protocol):
    """The checks of one app that are under way."""

    def keep(self, wanted: frozenset[Series], subjects: Mapping[str, Subject], about: Manifest | None) -> None:
        """Starts those of `wanted` that are new, and ends those that are not wanted any more, with their results.
        `subjects` by their revisions; every series has one."""
        ...

    def results(self) -> Mapping[Series, Result]:
        """What came of those that are over."""
        ...

    async def close(self) -> None:
        """Ends all of them; the object is not used afterwards."""
        ...


class Telemetry(Protocol):
    """Where events go: standard output, and (for the important ones) the cluster."""

    def emit(self, event: Event, about: Manifest | None = None) -> None:
        """Never blocks, never raises. `about` is the live Service, where there is one."""
        ...


class Clock(Protocol):
    """Time and chance, as arguments of everything that needs them."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, unmoved by corrections of the clock: for durations within this process alone."""
        ...

    def jitter(self, seconds: float) -> float:
        """`seconds`, varied at random by up to a tenth either way."""
        ...


class Pulse(Protocol):
    """Where one long-lived task says by when it will have got on. What says nothing any more, hangs: see `/livez`."""

    def due_within(self, seconds: float) -> None:
        """It will be heard of again in that time; what it said before does not count any more."""
        ...

    def at_rest(self) -> None:
        """It waits for something that may never come, or has ended: it owes nothing."""
        ...


class Meter(Protocol):
    """What is counted and timed besides events. Every method returns at once and raises nothing; times are seconds.

    Names that come from Git, from the cluster or from the network are no labels here: `resource` and `verb` are of
    fixed tables, a `source` is of the configuration.
    """

    def turned(self, seconds: float, ok: bool) -> None:
        """An app's turn took so long; not `ok`: it ended by an error."""
        ...

    def waited(self, seconds: float) -> None:
        """Between an app's wake-up and the beginning of its turn."""
        ...

    def source_failed(self, source: str) -> None:
        """A look at a source failed: each, also those that are told once."""
        ...

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request to the API server was answered (or, `code` being `error`, was not)."""
        ...

    def watch_restarted(self, resource: str) -> None:
        """A watch has to be begun anew by a list, after it ended by an error."""
        ...
