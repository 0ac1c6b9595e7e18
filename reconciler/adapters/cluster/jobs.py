"""Jobs of one account's making, their pods and what these print. Nothing of it is watched: see `kinds.JOB`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kubernetes.aio import client

from reconciler.adapters.cluster.kinds import JOB, KINDS
from reconciler.adapters.cluster.requests import read_text, send
from reconciler.core.account import Account
from reconciler.core.jobend import LOG_BYTES, LOG_LINES, owned
from reconciler.core.model import Manifest
from reconciler.core.observed import APPLY_MANAGER
from reconciler.errors import Blocked, Conflict, Transient

_NOT_FOUND = 404
_PODS = 50
"""Of one Job; more are not looked at."""


@dataclass(frozen=True, slots=True)
class KubernetesJobs:
    """Every method is one request, made as `account` (None: as the daemon itself), and raises what `requests.send`
    does. `permit` is asked before each that changes something (`ports.Cluster.guarded`)."""

    api: client.ApiClient
    account: Account | None = None
    permit: Callable[[], float] | None = None

    async def get(self, namespace: str, name: str) -> Manifest | None:
        """The Job of that name; None if there is none. Needs `get` on jobs."""
        try:
            found = await send(self.api, "GET", JOB.path(namespace, name), account=self.account)
        except Blocked as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return found

    async def create(self, job: Manifest) -> Manifest:
        """Makes it; `Conflict` if one of its name exists, `Invalid` if it has a field that Jobs have not, which would
        be left out quietly otherwise. Needs `create` on jobs."""
        path = JOB.path(job["metadata"]["namespace"])
        query = {"fieldManager": APPLY_MANAGER, "fieldValidation": "Strict"}
        return await send(self.api, "POST", path, query=query, body=job, account=self.account, within=self._within())

    async def delete(self, job: Manifest) -> None:
        """Deletes it with its pods, in the background, if that very one is still there. Needs `delete` on jobs."""
        meta = job["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": meta["uid"]}}
        path = JOB.path(meta["namespace"], meta["name"])
        try:
            await send(self.api, "DELETE", path, body=options, account=self.account, within=self._within())
        except Conflict:
            return  # another one by now

    async def pods(self, job: Manifest) -> Sequence[Manifest]:
        """The pods that it made. Needs `list` on pods."""
        meta = job["metadata"]
        query = {"labelSelector": f"batch.kubernetes.io/job-name={meta['name']}", "limit": str(_PODS)}
        found = await send(self.api, "GET", KINDS["Pod"].path(meta["namespace"]), query=query, account=self.account)
        return owned(found["items"], meta["uid"])

    async def log(self, namespace: str, pod: str, container: str) -> str:
        """The end of what a container printed. Needs `get` on pods/log."""
        path = f"{KINDS['Pod'].path(namespace, pod)}/log"
        query = {"container": container, "tailLines": str(LOG_LINES), "limitBytes": str(LOG_BYTES)}
        return await read_text(self.api, path, query=query, limit=LOG_BYTES, account=self.account)

    def _within(self) -> float | None:
        """Raises `Transient` if nothing may be written now: `Conflict` would say that the Job is there."""
        try:
            return self.permit() if self.permit else None
        except Conflict as error:
            raise Transient(error.what, where=error.where, untouched=error.untouched) from None
