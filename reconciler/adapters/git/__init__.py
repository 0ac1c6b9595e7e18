"""Git as a source: branches read as objects out of a shallow bare mirror. Nothing is ever checked out.

`address` decides what may be asked for, `process` runs git so that it can always be ended, `mirror` keeps the
copy on disk, `objects` reads from it, `repository` ties them to the event loop.
"""

from __future__ import annotations

from reconciler.adapters.git.address import local_git_dir
from reconciler.adapters.git.local import LocalRepository
from reconciler.adapters.git.objects import Limits
from reconciler.adapters.git.repository import GitRepository, Mirrors

__all__ = ["GitRepository", "Limits", "LocalRepository", "Mirrors", "local_git_dir"]
