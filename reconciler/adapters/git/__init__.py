"""Git as a source: refs read as objects out of a shallow bare mirror. Nothing is ever checked out.

`address` decides what may be asked for, `keys` looks up credentials and `access` hands them to git, `process` runs
git so that it can always be ended, `mirror` keeps the copy on disk, `history` tells whether a branch was rewritten,
`objects` reads from the mirror, `verify` checks
signatures, `revert` commits and pushes, `repository` ties them to the event loop.
"""

from __future__ import annotations

from reconciler.adapters.git.access import Keys, no_keys
from reconciler.adapters.git.address import local_git_dir
from reconciler.adapters.git.keys import keys_of_folder, keys_of_secret
from reconciler.adapters.git.local import LocalRepository
from reconciler.adapters.git.objects import Limits
from reconciler.adapters.git.repository import GitRepository, Mirrors
from reconciler.adapters.git.revert import Author
from reconciler.adapters.git.signers import AllowedSigners, Keyring
from reconciler.adapters.git.verify import Policy

__all__ = [
    "AllowedSigners",
    "Author",
    "GitRepository",
    "Keyring",
    "Keys",
    "Limits",
    "LocalRepository",
    "Mirrors",
    "Policy",
    "keys_of_folder",
    "keys_of_secret",
    "local_git_dir",
    "no_keys",
]
