"""HTTP checks: the requests to each target, and their answers as values for `core.answer`.

Nothing of an answer is trusted: one MiB of a body is read, headers are bounded by aiohttp (8 KiB each), no redirect is
followed, nothing is decompressed, and all of it ends with the check's time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from reconciler.adapters.gates.client import limits, read, session, why
from reconciler.adapters.secretfile import read_secret
from reconciler.core.account import Account
from reconciler.core.answer import BODY_LIMIT, Answer, Judgement, Silence, combined, judged
from reconciler.core.check import Check, Measurement, Outcome
from reconciler.core.probe import HttpProbe
from reconciler.core.target import Asked, Unmeasurable, asked, header_fault, proxied_header_fault
from reconciler.errors import Invalid
from reconciler.ports import Subject

_AT_ONCE = 50
"""Targets that are asked at the same time."""
_UNREACHED = "error trying to reach service"
"""How the API server's proxy begins when it has no answer (apimachinery, `util/proxy`)."""
_REFUSED = "connection refused"


class Proxy(Protocol):
    """Sends a request through the API server's proxy (`adapters.cluster.requests.open_proxied`)."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: aiohttp.ClientTimeout,
        account: Account | None = None,
    ) -> aiohttp.ClientResponse:
        """The raw response. Raises what aiohttp raises."""
        ...


@dataclass(frozen=True, slots=True)
class HttpProber:
    """Measures `HttpProbe`s; `proxy` None: there is no API server to go through."""

    proxy: Proxy | None = None

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """As `ports.Prober.measure`."""
        probe = check.probe
        assert isinstance(probe, HttpProbe)
        try:
            targets = asked(probe, subject.desired, subject.pods)
            headers, secrets = _headers(probe, subject)
            async with session(probe.ca_file, proxies=bool(probe.url)) as connections:
                run = _Run(probe, check.timeout, headers, connections, self.proxy, subject.desired.app.account)
                judgements = await run.all(targets)
        except (Unmeasurable, Invalid) as error:
            reason = error.located if isinstance(error, Invalid) else str(error)
            return Measurement(Outcome.INCONCLUSIVE, "not measured", reason)
        return _without(secrets, combined(judgements))


@dataclass(slots=True)
class _Run:
    """One measurement under way."""

    probe: HttpProbe
    seconds: float
    headers: Mapping[str, str]
    connections: aiohttp.ClientSession
    proxy: Proxy | None
    account: Account | None

    async def all(self, targets: Sequence[Asked]) -> Mapping[str, Judgement]:
        """What each target comes to, by its name."""
        deadline, free = _now() + self.seconds, asyncio.Semaphore(_AT_ONCE)

        async def one(target: Asked) -> Judgement:
            async with free:
                return judged(self.probe, await self._answers(target, deadline), self.seconds)

        async with asyncio.TaskGroup() as group:
            tasks = {target.name: group.create_task(one(target)) for target in targets}
        return {name: task.result() for name, task in tasks.items()}

    async def _answers(self, target: Asked, deadline: float) -> list[Answer | Silence]:
        """One after the other, so that latency is not that of a crowd. Whoever cannot be reached is not asked again."""
        answers: list[Answer | Silence] = []
        while len(answers) < self.probe.requests and (not answers or _now() < deadline):
            answer = await self._answer(target, deadline)
            answers.append(answer)
            if isinstance(answer, Silence) and not answer.reached:
                break
        return answers

    async def _answer(self, target: Asked, deadline: float) -> Answer | Silence:
        began = _now()
        left = max(deadline - began, 0.001)
        try:
            async with asyncio.timeout(left):
                async with await self._open(target, left) as response:
                    body, complete = await read(response, BODY_LIMIT)
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    answer = Answer(response.status, headers, body, _now() - began, complete)
        except aiohttp.ConnectionTimeoutError as error:
            return Silence(why(error)[0], reached=False)
        except TimeoutError:
            return Silence(f"no whole answer within {self.seconds:g}s", reached=self._is_ours)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason, reached = why(error)
            return Silence(reason, reached and self._is_ours and not target.proxied)
        return _of_proxy(answer) if target.proxied else answer

    @property
    def _is_ours(self) -> bool:
        """Whether no answer is the app's failure. Behind an URL may be anybody."""
        return not self.probe.url

    async def _open(self, target: Asked, left: float) -> aiohttp.ClientResponse:
        method, limit = self.probe.method, limits(left)
        body = self.probe.body.encode() if self.probe.body else None
        if not target.proxied:
            url = URL(target.url, encoded=True)
            return await self.connections.request(
                method, url, headers=self.headers, data=body, timeout=limit, allow_redirects=False
            )
        if self.proxy is None:
            raise Unmeasurable("there is no API server to go through")
        sent = {"Accept-Encoding": "identity", **self.headers}
        return await self.proxy(method, target.url, headers=sent, body=body, limit=limit, account=self.account)


def _of_proxy(answer: Answer) -> Answer | Silence:
    """The API server's own word about a request that it did not get through, told from the pod's."""
    if answer.status < 400 or not answer.complete:
        return answer
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return answer
    if not isinstance(found, dict) or (found.get("kind"), found.get("apiVersion")) != ("Status", "v1"):
        return answer
    message = str(found.get("message"))[:300]
    reached = message.startswith(_UNREACHED) and _REFUSED in message
    return Silence(f"the API server says: {message}", reached)


def _headers(probe: HttpProbe, subject: Subject) -> tuple[Mapping[str, str], list[str]]:
    """What is sent, and what of it is secret. Raises `Unmeasurable`, and `Invalid` for a file that is none."""
    # Checked here, too: what is in force may have been read by an older configuration.
    if subject.desired.app.file and (probe.secret_headers or probe.ca_file):
        raise Unmeasurable("an app.yaml cannot have files of the daemon read")
    read_now = {name: read_secret(Path(file)).decode("utf-8", errors="replace") for name, file in probe.secret_headers}
    headers = dict(probe.headers) | read_now
    for name, value in headers.items():
        if fault := header_fault(name, value) or (proxied_header_fault(name) if probe.via_api_server else ""):
            raise Unmeasurable(f"the header {name} {fault}")
    return headers, [each for each in read_now.values() if each]


def _without(secrets: Sequence[str], measurement: Measurement) -> Measurement:
    """An answer may repeat what it was sent."""
    measured, reason = measurement.measured, measurement.reason
    for each in secrets:
        measured, reason = measured.replace(each, "…"), reason.replace(each, "…")
    return Measurement(measurement.outcome, measured, reason, measurement.final)


def _now() -> float:
    return asyncio.get_running_loop().time()
