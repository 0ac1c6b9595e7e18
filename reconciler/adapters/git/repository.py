"""`GitRepository`: the port, on the event loop, over blocking Git work in threads.

Every repository URL has two threads of its own, so that one that hangs holds up nobody else: one for the network
(which also serialises all writing to the mirror; that is its lock), and one for reading what is already here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from reconciler.adapters.git.access import Access, Keys, explained, no_keys, opened, ssh_without_keys
from reconciler.adapters.git.address import Place, address_of, check_ref, mirror_name, split_path
from reconciler.adapters.git.mirror import FETCH_LIMIT, MANY_PACKS, Mirror
from reconciler.adapters.git.objects import CommitAbsent, Damaged, Limits, Objects
from reconciler.adapters.git.process import GitFailed, GitTimedOut, Runner, environment
from reconciler.adapters.git.revert import Author, Reverter
from reconciler.adapters.git.verify import Policy, Verifier
from reconciler.core.credentials import Credentials
from reconciler.core.gitref import GitRef, branch
from reconciler.core.glob import pattern_fault
from reconciler.core.revert import Revert
from reconciler.errors import Transient

T = TypeVar("T")


class _Unreadable(Exception):
    """A read missed something; `damaged` is the generation of the mirror if that is at fault."""

    def __init__(self, what: str, damaged: int | None) -> None:
        super().__init__(what)
        self.damaged = damaged


class _Shared:
    """What all refs of one URL have in common: the mirror, its reader and their two threads."""

    def __init__(self, mirror: Mirror, ssh_command: str, name: str) -> None:
        self.users = 0
        self.mirror = mirror
        self.name = name
        self.env = environment(mirror.config, ssh_without_keys(ssh_command))
        self.network = ThreadPoolExecutor(1, f"git-network-{name}")
        self.reading = ThreadPoolExecutor(1, f"git-reading-{name}")
        self._objects: Objects | None = None
        self._opened = -1
        self._read: object = None
        self._lock = threading.Lock()

    def objects(self) -> Objects:
        """The reader of the mirror as it is now. For the reading thread."""
        if self._objects is None or self._opened != self.mirror.generation:
            self.forget()
            self._opened = self.mirror.generation
            self._objects = Objects(self.mirror.path, self.env)
        return self._objects

    def forget(self) -> None:
        """Ends the reader; the next read opens a new one. For the reading thread."""
        if self._objects is not None:
            self._objects.close()
        self._objects = None

    @contextlib.contextmanager
    def reads(self, read: object) -> Iterator[None]:
        """For as long as the `with` lasts, `read` is the one that `interrupt` can end. For the reading thread."""
        with self._lock:
            self._read = read
        try:
            yield
        finally:
            with self._lock:
                self._read = None

    def interrupt(self, read: object) -> None:
        """Makes that very read fail if it is under way, and no other. From any thread."""
        with self._lock:
            if self._read is read and self._objects is not None:
                self._objects.interrupt()

    def stop(self) -> None:
        """Ends both threads; blocks for the moment that this takes."""
        self.interrupt(self._read)
        self.reading.submit(self.forget)
        self.reading.shutdown(wait=True)
        self.network.shutdown(wait=True, cancel_futures=True)


class Mirrors:
    """The mirrors below one data directory, one per repository URL, shared by all its refs and apps.

    Args:
        root: the directory; made when it is first needed. Losing it costs one fetch per repository.
        ssh_command: how git calls ssh for a repository without credentials of its own; strict options are added.
        many_packs: fetches (each leaves a pack) after which a mirror is tidied.
        fetch_limit: bytes that one fetch may bring.
    """

    def __init__(
        self, root: Path, *, ssh_command: str = "ssh", many_packs: int = MANY_PACKS, fetch_limit: int = FETCH_LIMIT
    ) -> None:
        self._root = root.absolute()
        self._ssh_command = ssh_command
        self._many_packs = many_packs
        self._fetch_limit = fetch_limit
        self._shared: dict[str, _Shared] = {}

    def _take(self, url: str) -> _Shared:
        name = mirror_name(url)
        if name not in self._shared:
            mirror = Mirror(self._root / name, many_packs=self._many_packs, fetch_limit=self._fetch_limit)
            self._shared[name] = _Shared(mirror, self._ssh_command, name)
        shared = self._shared[name]
        shared.users += 1
        return shared

    async def _give_back(self, shared: _Shared) -> None:
        shared.users -= 1
        if shared.users == 0:
            del self._shared[shared.name]
            await asyncio.to_thread(shared.stop)


class GitRepository:
    """One ref of one Git repository, as `ports.Repository` describes it.

    Args:
        url: a path, or a URL of file, http(s) or ssh (also scp-like, `git@host:path`).
        ref: what to follow; a text is the short name of a branch, `main`.
        mirrors: where the copies live; give the same object to every repository.
        timeout: seconds that one call may spend on Git; at its end the processes are killed.
        limits: the most that is read.
        keys: looked up before every operation on the network.
        keeper: whose note `accept` keeps.
        policy: whose signature a commit needs before it is returned; None: nobody's.
        author: in whose name `revert` commits.

    Raises:
        Invalid: for an address or a ref that git must not be given.
    """

    def __init__(
        self,
        url: str,
        ref: GitRef | str,
        mirrors: Mirrors,
        *,
        timeout: float = 60.0,
        limits: Limits | None = None,
        keys: Keys = no_keys,
        keeper: str = "",
        policy: Policy | None = None,
        author: Author | None = None,
    ) -> None:
        address_of(url)
        self._place = Place(url, check_ref(branch(ref) if isinstance(ref, str) else ref, url))
        self._keys = keys
        self._keeper = sha256(f"{keeper}\0{self._place.ref}".encode()).hexdigest()[:16]
        self.tag = ""
        """The tag that the last tip was found by; '' if it was none."""
        self._timeout = timeout
        self._limits = limits or Limits()
        self._mirrors = mirrors
        self._shared = mirrors._take(url)
        self._git = Runner(self._shared.env)
        self._verifier = Verifier(policy, self._shared.mirror, self._git, str(self._place.ref)) if policy else None
        self._author = author or Author()
        self._closed = False

    async def tip(self) -> str:
        """The full commit id that the ref leads to now, fetched and ready to be read.

        Raises:
            Transient: the repository cannot be reached, refuses us, or takes too long.
            Invalid: there is no such ref; the error names some that there are. Or it sends too much.
            Unverified: the policy refuses that commit; the error has the one that stays in force.
        """
        return await self._fetching(self._place, self._tip)

    async def follows(self, commit: str, earlier: str) -> bool:
        """Whether `commit`, the last tip, came after `earlier`: False if history was written anew. Raises Transient."""
        mirror = self._shared.mirror
        return await self._fetching(
            self._place, lambda deadline: mirror.follows(self._git, self._place, commit, earlier, deadline)
        )

    async def accepted(self) -> str | None:
        """The commit that `accept` noted last, if the data directory still has that note."""
        self._check_open(self._place)
        return await asyncio.to_thread(self._shared.mirror.accepted, self._keeper)

    async def accept(self, commit: str) -> None:
        """Notes `commit` as in force, for after a restart, and keeps it readable. Raises Transient."""
        mirror, keeper = self._shared.mirror, self._keeper
        await self._offline(
            self._place, lambda deadline: mirror.accept(self._git, self._place, keeper, commit, deadline)
        )

    async def revert(self, revert: Revert) -> str:
        """Commits `revert` and pushes it, as `ports.Repository` says; returns the full id of the commit.

        Raises:
            Conflict: the tip is not the commit that it answers. Somebody else's commit stays.
            Blocked: the ref is no branch, the push is refused, or the signing key cannot be used.
            Invalid: there is no such branch or file.
            Transient: the repository cannot be reached or takes too long; it may have got the commit then.
        """
        reverter = Reverter(self._place, self._shared.mirror, self._git, self._author, self._verifier)
        place = replace(self._place, commit=revert.onto, path=revert.path)
        return await self._on_network(place, lambda keys, deadline: reverter.run(revert, keys, deadline))

    async def read(self, commit: str, path: str) -> bytes:
        """The file at `path` (from the repository's root, '/'-separated) in `commit` (full id).

        Raises:
            Transient: the commit has to be fetched again and cannot be.
            Invalid: no such file or commit, not a regular file, too large, or a hostile path.
        """
        place = replace(self._place, commit=commit, path=path)
        parts = split_path(path, place)
        return await self._reading(place, lambda objects: objects.file(commit, parts, place, self._limits))

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        """Every regular file directly in the folder `path`: name → content, sorted by name; errors as `read`."""
        place = replace(self._place, commit=commit, path=path)
        parts = split_path(path, place)
        return await self._reading(place, lambda objects: objects.folder(commit, parts, place, self._limits))

    async def identities(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        """What stands for the content of each of `paths`, as `ports.Repository` says; errors as `read`."""
        place = replace(self._place, commit=commit)
        wanted = [split_path(path, replace(place, path=path)) for path in paths]
        return await self._reading(
            place, lambda objects: tuple(objects.identity(commit, parts, place) for parts in wanted)
        )

    async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
        """The files in `commit` that match: path → id of the content, see `ports.Repository`.

        Raises:
            Transient: as `read`.
            Invalid: no such commit, too many matches, or no pattern that `core.glob` knows.
        """
        place = replace(self._place, commit=commit, path=pattern)
        if fault := pattern_fault(pattern):
            raise place.invalid(f"the pattern {fault}", "Correct `apps` of the source")
        parts = tuple(pattern.split("/"))
        return await self._reading(place, lambda objects: objects.find(commit, parts, place, self._limits))

    async def close(self) -> None:
        """Kills this repository's Git processes; a call still waiting for one gets Transient."""
        if not self._closed:
            self._closed = True
            self._git.kill()
            await self._mirrors._give_back(self._shared)

    def _tip(self, deadline: float) -> str:
        mirror = self._shared.mirror
        found = mirror.tip(self._git, self._place, deadline)
        self.tag = found.tag
        if mirror.maintenance_due:
            # After the answer, as it may take longer than a release should wait. Not when the thread is ending.
            with contextlib.suppress(RuntimeError):
                self._shared.network.submit(lambda: mirror.maintain(self._git, time.monotonic() + self._timeout))
        if self._verifier:
            self._verifier.accept(self._place, found.commit, deadline)
        return found.commit

    async def _fetching(self, place: Place, job: Callable[[float], T]) -> T:
        """`job` on the network thread, with the credentials as they are now."""
        return await self._on_network(place, lambda _, deadline: job(deadline))

    async def _on_network(self, place: Place, job: Callable[[Credentials | None, float], T]) -> T:
        """As `_fetching`; the job also learns which credentials these are."""
        self._check_open(place)
        keys = await self._keys()

        def with_keys(deadline: float) -> T:
            self._shared.mirror.prepare(place)
            with opened(keys, self._shared.env, self._shared.mirror.config) as access:
                return self._with_access(access, place, keys, lambda: job(keys, deadline))

        return await self._offline(place, with_keys)

    def _with_access(self, access: Access, place: Place, keys: Credentials | None, job: Callable[[], T]) -> T:
        try:
            with self._git.using(access.env, access.masked):
                return job()
        except GitFailed as failure:
            what, todo = explained(str(failure), keys)
            raise place.transient(f"git failed: {what}", todo) from None

    async def _offline(self, place: Place, job: Callable[[float], T]) -> T:
        """`job` on the network thread, which serialises all writing."""
        self._check_open(place)

        def timed() -> T:  # the clock starts when the thread is free, not while another ref is fetched
            return job(time.monotonic() + self._timeout)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._shared.network, timed)
        except GitTimedOut:
            raise place.transient(f"git did not finish within {self._timeout:g} s and was ended") from None
        except (GitFailed, OSError) as error:
            # `from None`: the cause's text may hold credentials, and the message says it all.
            raise place.transient(f"git failed: {error}") from None

    async def _reading(self, place: Place, job: Callable[[Objects], T]) -> T:
        self._check_open(place)
        if not _is_full_id(place.commit):
            raise place.invalid("this is not a full commit id", "Report it: a defect of the reconciler")
        try:
            return await self._read_once(place, job)
        except _Unreadable as error:
            damaged, mirror = error.damaged, self._shared.mirror
            await self._fetching(place, lambda end: mirror.restore(self._git, place, end, damaged=damaged))
        try:
            return await self._read_once(place, job)
        except _Unreadable as error:
            raise place.transient(f"the mirror cannot be read: {error}", "Check the data directory's disk") from None

    async def _read_once(self, place: Place, job: Callable[[Objects], T]) -> T:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def look() -> T:
            loop.call_soon_threadsafe(begun.set)
            with self._shared.reads(begun):
                return self._look(job)

        future = loop.run_in_executor(self._shared.reading, look)
        try:
            await begun.wait()  # the clock starts when the thread is free, not while others read
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise place.transient(f"reading took longer than {self._timeout:g} s") from None
        finally:
            # Whoever no longer waits for it (time out, cancelled) ends it: it may hang. Its failure is nobody's then.
            future.cancel()
            self._shared.interrupt(begun)

    def _look(self, job: Callable[[Objects], T]) -> T:
        """One read, on the reading thread."""
        generation = self._shared.mirror.generation
        try:
            return job(self._shared.objects())
        except CommitAbsent as error:
            raise _Unreadable(str(error), None) from error
        except Damaged as error:
            self._shared.forget()
            raise _Unreadable(str(error), generation) from error

    def _check_open(self, place: Place) -> None:
        if self._closed:
            raise Transient("the repository was closed", where=str(place))


def _is_full_id(commit: str) -> bool:
    return len(commit) == 40 and all(digit in "0123456789abcdef" for digit in commit)
