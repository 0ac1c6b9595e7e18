"""Prometheus checks: an instant query, and its answer as values for `core.promql`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from reconciler.adapters.gates.client import limits, read, session, why
from reconciler.adapters.secretfile import read_secret
from reconciler.core.check import Check, Measurement, Outcome
from reconciler.core.probe import PrometheusProbe, PrometheusServer
from reconciler.core.promql import Unusable, judged, query_of, samples_of
from reconciler.core.target import Unmeasurable, header_fault, may_ask, url_fault
from reconciler.errors import Invalid
from reconciler.ports import Subject

BODY_LIMIT = 1 << 20
"""Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class PrometheusProber:
    """Measures `PrometheusProbe`s; `server` gives the one of the configuration, as it is now, or None."""

    server: Callable[[], PrometheusServer | None]

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """As `ports.Prober.measure`."""
        probe = check.probe
        assert isinstance(probe, PrometheusProbe)
        try:
            server = self._server(probe, subject)
            query = query_of(probe, subject.desired)
            body, status = await _asked(server, query, check.timeout)
            samples, warnings = samples_of(body, status)
        except Invalid as error:
            return _inconclusive(error.located)
        except (Unmeasurable, Unusable) as error:
            return _inconclusive(str(error))
        return judged(probe, samples, warnings)

    def _server(self, probe: PrometheusProbe, subject: Subject) -> PrometheusServer:
        """The token is the configuration's server's: no other ever gets it."""
        if probe.address:
            if url_fault(probe.address) or not may_ask(probe.address, subject.desired.app.check_hosts):
                source = subject.desired.app.source
                raise Unmeasurable(f"the configuration does not allow checks of source {source} this host")
            return PrometheusServer(probe.address)
        if (server := self.server()) is None:
            raise Unmeasurable("the configuration has no `prometheus`, and the check no `address`")
        return server


async def _asked(server: PrometheusServer, query: str, seconds: float) -> tuple[bytes, int]:
    """Body and status of the answer. Raises `Unmeasurable`, and `Invalid` for files that cannot be used."""
    url = URL(server.url.rstrip("/") + "/api/v1/query", encoded=True)
    form, headers = {"query": query, "timeout": f"{seconds:g}s"}, _authorization(server)
    try:
        async with (
            session(server.ca_file, proxies=True) as connections,
            asyncio.timeout(seconds),
            connections.post(
                url, data=form, headers=headers, timeout=limits(seconds), allow_redirects=False
            ) as response,
        ):
            body, complete = await read(response, BODY_LIMIT)
            status = response.status
    except aiohttp.ConnectionTimeoutError as error:
        raise Unmeasurable(f"Prometheus cannot be reached: {why(error)[0]}") from None
    except TimeoutError:
        raise Unmeasurable(f"Prometheus does not answer within {seconds:g}s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unmeasurable(f"Prometheus cannot be reached: {why(error)[0]}") from None
    if not complete:
        raise Unmeasurable(f"Prometheus' answer is larger than {BODY_LIMIT >> 20} MiB: let the query aggregate")
    if 300 <= status < 400:
        raise Unmeasurable(f"Prometheus answers {status}, and redirects are not followed: correct its url")
    return body, status


def _authorization(server: PrometheusServer) -> dict[str, str]:
    if not server.token_file:
        return {}
    headers = {"Authorization": f"Bearer {read_secret(Path(server.token_file)).decode('utf-8', errors='replace')}"}
    if fault := header_fault("Authorization", headers["Authorization"]):
        raise Unmeasurable(f"the token in {server.token_file} {fault}")
    return headers


def _inconclusive(reason: str) -> Measurement:
    return Measurement(Outcome.INCONCLUSIVE, "not measured", reason)
