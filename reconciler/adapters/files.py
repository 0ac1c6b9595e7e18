"""Noticing at once that a local repository's branch, its tags, or a configuration file has changed.

A callback only means "look again": it may come once too often, and polling must stay the safety net, because not
every file system reports changes (NFS does not). There is no debounce. Git, kubelet and editors make their change
visible with one rename, and that rename is what is reacted to; the lock file's life before it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from reconciler.core.gitref import GitRef, RefKind, branch
from reconciler.errors import Transient

_KINDS: list[type[FileSystemEvent]] = [
    *(FileMovedEvent, FileCreatedEvent, FileDeletedEvent, FileClosedEvent),
    *(DirMovedEvent, DirCreatedEvent, DirDeletedEvent),
]
"""What is asked of the kernel. Not opening and reading: our own git reads these very files at every poll."""
if sys.platform != "linux":
    _KINDS.append(FileModifiedEvent)  # nobody else reports the end of a write

Callback = Callable[[], None]


class Watch:
    """One interest in some files. Made by `FileWatcher`.

    Watches single folders, never whole trees: watchdog's recursion tells of a new folder's content late and with
    warnings, and a repository may have thousands of branches that do not concern us.
    """

    def __init__(
        self,
        owner: FileWatcher,
        needed: AbstractSet[Path],
        passing: Sequence[Path],
        files: AbstractSet[Path],
        changed: Callback,
        inside: Path | None = None,
    ) -> None:
        """Events about `files` count, and about any file `inside` a folder but git's locks. `needed` folders must
        exist; `passing` ones may come and go, in that order."""
        self._inside = inside
        self._owner = owner
        self._needed = needed
        self._passing = passing
        self._concerns = {*files, *passing}
        self._on_change = changed
        self._watches: dict[Path, ObservedWatch] = {}
        self._handler = _Handler(self)
        self.alive = True
        """False after `close`, and once a needed folder has vanished: nothing more will be reported."""

    def close(self) -> None:
        """Ends it; no callback comes afterwards. On the loop's thread, as often as you like."""
        self.alive = False
        while self._watches:
            self._owner._unschedule(self._handler, self._watches.popitem()[1])

    def _open(self) -> None:
        for folder in self._needed:
            self._watches[folder] = self._owner._schedule(self._handler, folder)
        self._follow()

    def _follow(self) -> None:
        for folder in self._passing:
            if folder not in self._watches:
                try:
                    self._watches[folder] = self._owner._schedule(self._handler, folder)
                except OSError:  # not there (yet): the folder above will tell
                    return

    def _judge(self, event: FileSystemEvent) -> None:
        """Runs on watchdog's thread, and must not raise there: that would end it for everybody."""
        source, target = (Path(os.fsdecode(path)) for path in (event.src_path, event.dest_path or event.src_path))
        if isinstance(event, DirDeletedEvent) and source in (*self._needed, *self._passing):
            self._owner._deliver(partial(self._gone, source))
        elif self._matters(event, source, target):
            self._owner._deliver(self._changed)

    def _matters(self, event: FileSystemEvent, source: Path, target: Path) -> bool:
        if isinstance(event, FileCreatedEvent) and not _complete(target):
            return False  # just opened for writing: its closing is reported too
        return any(path in self._concerns or self._is_inside(path) for path in (source, target))

    def _is_inside(self, path: Path) -> bool:
        return path.parent == self._inside and path.suffix != ".lock"

    def _changed(self) -> None:
        if self.alive:
            # First watch what is new, then let the reader look: nothing falls in between.
            self._follow()
            self._on_change()

    def _gone(self, folder: Path) -> None:
        # A passing folder's end is told twice, by itself and by the folder above.
        watch = self._watches.pop(folder, None)
        if self.alive and watch is not None:
            self._owner._unschedule(self._handler, watch)
            if folder in self._needed:
                self.close()
                self._on_change()
            else:
                self._changed()


class FileWatcher:
    """All watches of the process, on one watchdog observer. For the event loop that it is made on.

    Call `close` at the end: it stops the observer's threads.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._observer: BaseObserver = Observer()
        self._observer.daemon = True
        self._users: dict[ObservedWatch, set[FileSystemEventHandler]] = {}
        self._closed = False
        self._observer.start()

    def watch_refs(self, git_dir: Path, ref: GitRef | str, on_change: Callback) -> Watch:
        """Calls `on_change` on the loop's thread whenever `ref` of a local repository may have moved.

        `git_dir` is what `local_git_dir` returns; a text is the name of a branch. Covers loose refs (git renames
        `<branch>.lock`), packed-refs and reftable (gitrepository-layout(5)). A range of versions concerns every tag
        without a slash. HEAD is left out: the ref is named, whatever is checked out.

        Raises:
            Transient: the folder does not exist or the system refuses to watch it (inotify limits). Poll instead.
        """
        git_dir, ref = git_dir.resolve(), branch(ref) if isinstance(ref, str) else ref
        top = git_dir / ("refs/heads" if ref.kind is RefKind.BRANCH else "refs/tags")
        reftable = git_dir / "reftable"
        loose = top / ref.text
        passing = [folder for folder in reversed(loose.parents) if top in folder.parents]
        needed = {git_dir, *(folder for folder in (top, reftable) if folder.is_dir())}
        files = {git_dir / "packed-refs", reftable / "tables.list"}
        if ref.kind is RefKind.SEMVER:
            return self._watch(needed, (), files, on_change, inside=top)
        return self._watch(needed, passing, {*files, loose}, on_change)

    def watch_file(self, path: Path, on_change: Callback) -> Watch:
        """Calls `on_change` on the loop's thread whenever the file may have changed: edited, replaced, removed.

        Its folder must exist, the file itself need not. Also covers files mounted from a ConfigMap, which kubelet
        changes by renaming the folder's `..data` link, and files that are links to another folder.

        Raises:
            Transient: the folder does not exist or the system refuses to watch it (inotify limits). Poll instead.
        """
        folder = path.parent.resolve()
        files = {folder / path.name, folder / "..data"}
        target = path.resolve()
        if target.parent != folder and not (folder / "..data").is_symlink():
            files.add(target)
        return self._watch({each.parent for each in files}, (), files, on_change)

    def close(self) -> None:
        """Ends every watch and the observer's threads."""
        self._closed = True
        self._observer.stop()
        self._observer.join()

    def _watch(
        self,
        needed: AbstractSet[Path],
        passing: Sequence[Path],
        files: AbstractSet[Path],
        on_change: Callback,
        inside: Path | None = None,
    ) -> Watch:
        watch = Watch(self, needed, passing, files, on_change, inside)
        try:
            watch._open()
        except OSError as error:
            watch.close()
            what = f"cannot watch {error.filename or 'the folder'}: {error.strerror or error}"
            untouched = "Changes are still found by polling"
            todo = "Create the folder, or raise fs.inotify.max_user_watches and max_user_instances"
            raise Transient(what, untouched=untouched, todo=todo) from error
        return watch

    def _schedule(self, handler: FileSystemEventHandler, folder: Path) -> ObservedWatch:
        # inotify_add_watch(2) needs read permission; watchdog passes over its absence in silence.
        if not os.access(folder, os.R_OK | os.X_OK):
            raise OSError(0, "it does not exist or may not be read", str(folder))
        self._remove_dead(str(folder))
        watch = self._observer.schedule(handler, str(folder), event_filter=_KINDS)
        self._users.setdefault(watch, set()).add(handler)
        return watch

    def _unschedule(self, handler: FileSystemEventHandler, watch: ObservedWatch) -> None:
        users = self._users.get(watch, set())
        if self._closed or handler not in users:
            return
        users.remove(handler)
        if users:
            self._observer.remove_handler_for_watch(handler, watch)
        else:
            del self._users[watch]
            self._observer.unschedule(watch)

    def _remove_dead(self, folder: str) -> None:
        # watchdog would hand out the watch of a folder that was deleted for the new one of the same name.
        for emitter in list(self._observer.emitters):
            if emitter.watch.path == folder and not emitter.should_keep_running():
                self._users.pop(emitter.watch, None)
                self._observer.unschedule(emitter.watch)

    def _deliver(self, callback: Callback) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(partial(self._unless_closed, callback))

    def _unless_closed(self, callback: Callback) -> None:
        if not self._closed:
            callback()


class _Handler(FileSystemEventHandler):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._watch._judge(event)


def _complete(path: Path) -> bool:
    """Whether a file that has just appeared has its content already: a link, or renamed from elsewhere."""
    try:
        return path.is_symlink() or path.stat().st_size > 0
    except OSError:
        return True  # gone again: let the reader find out
