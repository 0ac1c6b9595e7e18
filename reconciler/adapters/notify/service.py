"""Messages to a service that apprise knows. Everything here blocks: it is called in threads.

apprise is imported at the first use, as it and its services take a second and 12 MiB. What it logs may hold addresses
with their passwords, so it is kept from every log; of its words only what kind of failure it was is used.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from reconciler.core.notice_text import Message
from reconciler.errors import Invalid, Transient

if TYPE_CHECKING:
    from apprise import AppriseAsset

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,31})://", re.IGNORECASE)
_STATUS = re.compile(r"\berror[=:]\s?([1-5][0-9]{2})\b")
_NETWORK = re.compile(r"connection error|timed? ?out", re.IGNORECASE)
_LINES, _LINE = 20, 500
_CHATTY = ("urllib3", "requests", "requests_oauthlib", "oauthlib", "MARKDOWN")
_LOADING = threading.Lock()

_PHRASES = {each.value: each.phrase for each in HTTPStatus}
_ADVICE = {
    401: "Renew the token or password in its address",
    403: "Renew the token or password in its address",
    404: "Check its address: there is nothing",
    410: "Check its address: there is nothing any more",
    429: "Send less: see `burst` and `per`",
}


class Service(Protocol):
    """An open way to somebody."""

    def send(self, message: Message) -> None:
        """Returns when the service has it. Raises `Transient` if it did not take it, or nobody knows."""
        ...

    def close(self) -> None:
        """Takes leave, which may block; nothing is sent afterwards."""
        ...


def open_service(address: str) -> Service:
    """The service at `address`; nothing is sent yet.

    Raises:
        Invalid: apprise does not know such an address. Nothing of it is shown but the name of a service.
    """
    apprise, asset = _loaded()
    with _listening():
        plugin = apprise.Apprise.instantiate(address, asset=asset)
    if plugin is None:
        raise Invalid(
            f"the address of the service cannot be used: {_fault(apprise, address)}",
            todo="Write it as apprise's manual of that service says; special characters in it must be percent-encoded",
        )
    return _Plugin(plugin, "overflow=" in address)


@dataclass(slots=True)
class _Plugin:
    """`cuts`: the address itself says what is to become of a text that is too long.

    Nobody else may refer to the plugin: some log out, over the network, when the last reference goes.
    """

    plugin: Any
    cuts: bool

    def send(self, message: Message) -> None:
        apprise, _ = _loaded()
        more = {} if self.cuts else {"overflow": apprise.common.OverflowMode.TRUNCATE}
        with _listening() as heard:
            taken = self.plugin.notify(
                body=message.body,
                title=message.title,
                notify_type=apprise.NotifyType(message.tone.value),
                body_format=apprise.NotifyFormat.TEXT,
                **more,
            )
        if not taken:
            raise _failure(heard)

    def close(self) -> None:
        """See `Service`."""
        with _listening():
            self.plugin = None


def _failure(heard: list[str]) -> Transient:
    said = "\n".join(heard)
    if found := _STATUS.search(said):
        code = int(found[1])
        return Transient(f"the service answered {code} {_PHRASES.get(code, '')}".strip(), todo=_ADVICE.get(code, ""))
    if _NETWORK.search(said):
        return Transient("the service cannot be reached, or does not answer", todo="Check its address and the network")
    return Transient("the service did not take it", todo="Check its address")


def _fault(apprise: Any, address: str) -> str:
    found = _SCHEME.match(address)
    if not found:
        return "it has no `SERVICE://` at its beginning"
    scheme = found[1].lower()
    return f"`{scheme}://` needs more or other parts" if scheme in _schemes(apprise) else "there is no such service"


def _schemes(apprise: Any) -> frozenset[str]:
    return frozenset(apprise.manager_plugins.NotificationManager().schemas())


@cache
def _loaded_once() -> tuple[Any, AppriseAsset]:
    _silence()
    import apprise

    asset = apprise.AppriseAsset(
        app_id="reconciler", app_desc="reconciler", async_mode=False, pgp_autogen=False, pem_autogen=False
    )
    apprise.Apprise.instantiate("json://localhost", asset=asset)  # has it load all services
    return apprise, asset


def _loaded() -> tuple[Any, AppriseAsset]:
    with _LOADING:  # apprise takes a half-loaded list of services for a whole one
        return _loaded_once()


class _Ear(logging.Handler):
    """Keeps what is logged while somebody in the same thread listens."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        heard: list[str] | None = getattr(self.local, "heard", None)
        if heard is not None and len(heard) < _LINES:
            heard.append(record.getMessage()[:_LINE])


_EAR = _Ear()


@contextmanager
def _listening() -> Iterator[list[str]]:
    heard: list[str] = []
    _EAR.local.heard = heard
    try:
        yield heard
    finally:
        _EAR.local.heard = None


def _silence() -> None:
    for name in ("apprise", *_CHATTY):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_EAR], False
    logging.getLogger("apprise").setLevel(logging.WARNING)  # below it whole addresses are logged
