"""The webhook's receivers: a request that proves to know the secret wakes its sources, and can do nothing else.

The checks go from the cheap to the dear, and nothing is made of a body but its HMAC: it is never parsed. What is woken
looks at Git for itself, so a forged, repeated or lost request is worth one look, or one `interval`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from reconciler.app.settings_webhook import ReceiverSettings, WebhookSettings
from reconciler.core.event import event
from reconciler.core.webhook import SIGNED_BY, identity, is_ping, is_signed, verify, wrong_secret
from reconciler.errors import Invalid, ReconcilerError
from reconciler.ports import Clock, Telemetry
from reconciler.web.bounds import Bucket, Seen, Tally
from reconciler.web.listener import Door, Limits, Listener, Refused, answer, body_of, require_small

PATH = "/hook/"

_RATE, _BURST = 10.0, 20.0
"""Requests a second for one receiver, and for all paths together that are none."""
_REMEMBERED, _REMEMBERED_SECONDS = 1000, 600.0
_TOLD_EVERY = 60.0

ReadSecret = Callable[[Path], bytes]


def _bucket() -> Bucket:
    return Bucket(_RATE, _BURST)


@dataclass(slots=True)
class _Receiver:
    """One receiver, with what it remembers."""

    settings: ReceiverSettings
    bucket: Bucket = field(default_factory=_bucket)
    seen: Seen = field(default_factory=lambda: Seen(_REMEMBERED, _REMEMBERED_SECONDS))


@dataclass(slots=True)
class Webhooks:
    """The receivers of the configuration in force. `wake` is given the name of a source, and returns at once."""

    wake: Callable[[str], None]
    telemetry: Telemetry
    clock: Clock
    read_secret: ReadSecret
    limits: Limits = field(default_factory=Limits)
    settings: WebhookSettings | None = None
    _door: Door = field(init=False)
    _receivers: dict[str, _Receiver] = field(default_factory=dict)
    _strays: Bucket = field(default_factory=_bucket)
    _tally: Tally = field(default_factory=lambda: Tally(_TOLD_EVERY))

    def __post_init__(self) -> None:
        self._door = Door(self._listener, lambda at: self.telemetry.emit(event("webhook_opened", address=at)))

    def _listener(self) -> Listener:
        return Listener(self._answer, self._unreadable, self.limits, "webhook.address")

    @property
    def address(self) -> str:
        """HOST:PORT that is listened on, or ''."""
        return self._door.address

    async def apply(self, settings: WebhookSettings | None) -> bool:
        """Brings what is listened to in line with `settings`. Receivers that did not change forget nothing.

        Returns whether there was any difference. Raises `Invalid` for a secret that cannot be used and what
        `Listener.open` raises, with all as it was before.
        """
        if settings == self.settings:
            return False
        for each in settings.receivers if settings else ():
            self._secret(each)
        await self._door.move((settings.host, settings.port) if settings else None)
        former, self.settings = self._receivers, settings
        self._receivers = _renewed(former, settings.receivers if settings else ())
        return True

    async def close(self) -> None:
        """Ends it; tells what was counted and not told."""
        await self._door.close()
        for (receiver, reason), count in self._tally.rest().items():
            self._tell_refused(receiver, reason, count)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        name = ""
        try:
            if request.path == "/" and request.method in ("GET", "HEAD"):
                self._require_rate(self._strays)  # load balancers ask for it before they send anybody here
                return answer(200)
            receiver = self._addressed(request)
            name = receiver.settings.name if receiver else ""
            return answer(await self._received(receiver, request))
        except Refused as refusal:
            self._refused(name, refusal.reason)
            return answer(refusal.status)

    def _require_rate(self, bucket: Bucket) -> None:
        if not bucket.take(self.clock.now()):
            raise Refused(429, "there are too many requests")

    def _addressed(self, request: web.BaseRequest) -> _Receiver | None:
        if request.method != "POST":
            return None
        name = request.path.removeprefix(PATH)
        return self._receivers.get(name) if request.path.startswith(PATH) else None

    async def _received(self, receiver: _Receiver | None, request: web.BaseRequest) -> int:
        """The status of the answer; raises `Refused` for all that is not honest and new."""
        require_small(request, self.limits)
        self._require_rate(receiver.bucket if receiver else self._strays)
        if receiver is None:
            raise Refused(404, "there is no such receiver, or the method is not POST")
        body = await body_of(request, self.limits)
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        settings = receiver.settings
        self._check(settings, headers, body)
        if is_ping(settings.kind, headers):
            return 200
        if receiver.seen.again(identity(settings.kind, headers, body), self.clock.now()):
            return 200
        self._wake(settings)
        return 202

    def _check(self, settings: ReceiverSettings, headers: dict[str, str], body: bytes) -> None:
        if not is_signed(settings.kind, headers):
            raise Refused(401, f"there is no header {' or '.join(SIGNED_BY[settings.kind])}")
        try:
            secret = self._secret(settings)
        except ReconcilerError as error:
            raise Refused(401, str(error)) from None
        if not verify(settings.kind, secret, headers, body):
            raise Refused(401, "the signature is wrong")

    def _secret(self, settings: ReceiverSettings) -> bytes:
        """Read anew each time, so that there is no old one: a mounted Secret changes without a word."""
        secret = self.read_secret(Path(settings.secret_file))
        if wrong := wrong_secret(secret):
            todo = "Make one: openssl rand -hex 32"
            raise Invalid(f"the secret of receiver {settings.name} {wrong}", where=settings.secret_file, todo=todo)
        return secret

    def _wake(self, settings: ReceiverSettings) -> None:
        for source in settings.sources:
            self.telemetry.emit(event("webhook_received", receiver=settings.name, source=source))
            self.wake(source)

    def _unreadable(self, reason: str, bug: str) -> None:
        if bug:
            self.telemetry.emit(event("bug", task="webhook", retry_in=0, reason=bug))
        else:
            self._refused("", reason)

    def _refused(self, receiver: str, reason: str) -> None:
        if count := self._tally.count((receiver, reason), self.clock.now()):
            self._tell_refused(receiver, reason, count)

    def _tell_refused(self, receiver: str, reason: str, count: int) -> None:
        self.telemetry.emit(event("webhook_refused", receiver=receiver, count=count, reason=reason))


def _renewed(former: dict[str, _Receiver], wanted: Sequence[ReceiverSettings]) -> dict[str, _Receiver]:
    kept = {name: each for name, each in former.items() if each.settings in wanted}
    return {each.name: kept.get(each.name) or _Receiver(each) for each in wanted}
