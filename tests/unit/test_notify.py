"""Messages to real services on loopback: those that take them, refuse, hang, or are gone. No secret is ever shown."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.notify import Notifier, address_of, open_service
from reconciler.adapters.notify.outlet import TRIES, WAITING
from reconciler.adapters.notify.service import _Plugin
from reconciler.adapters.notify.threads import HANGING, Threads
from reconciler.adapters.telemetry import EventLog
from reconciler.app.backoff import BackOff
from reconciler.app.loop import keep_going
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.app.settings_source import SecretName
from reconciler.core.event import event
from reconciler.core.notice import Channel, Group, Tone
from reconciler.core.notice_text import Message
from reconciler.errors import Blocked, Invalid, Transient
from tests.fakes.services import MailService, WebService

SOON = 60.0
"""Seconds that something is awaited for; reaching them fails the test."""
SECRET = "hunter2-do-not-tell"
SLOW = 60.0
"""A limit that nothing here reaches."""


class Bench:
    """A notifier with channels whose addresses are in files, and everything that it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.out = io.StringIO()
        self.log = EventLog(self.clock.now, None, self.out)
        self.secrets: dict[str, Mapping[str, bytes]] = {}
        quick = lambda: BackOff(0.01, 0.02)  # noqa: E731
        self.notifier = Notifier(self.log, self.clock, self._spawn, lambda _: "main", self._read, open_service, quick)
        self.log.listeners.append(self.notifier.offer)

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(keep_going(name, work, self.log, self.clock), name=name)

    async def _read(self, channel: ChannelSettings) -> str:
        return await address_of(channel, self._secret)

    async def _secret(self, name: SecretName) -> Mapping[str, bytes]:
        if str(name) not in self.secrets:
            raise Blocked("is not there", where=f"Secret {name}")
        return self.secrets[str(name)]

    def channel(self, name: str, address: str, *, timeout: float = SLOW, **fields: Any) -> ChannelSettings:
        """A channel with all events, whose address is in a file called as it."""
        self.write(name, address)
        channel = Channel(name, frozenset(Group), **fields)
        return ChannelSettings(channel, url_file=str(self.folder / name), timeout=timeout)

    def write(self, name: str, address: str) -> None:
        (self.folder / name).write_text(f"{address}\n")

    def reject(self, *revisions: str) -> None:
        """Has one event for each, as the daemon would."""
        for each in revisions:
            self.log.emit(event("rejected", app=each, namespace="shop", version="v2", revision=each, commit="c" * 40))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each for each in map(json.loads, self.out.getvalue().splitlines()) if each["event"] == name]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                await asyncio.sleep(0.005)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.notifier.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not made.events("bug")


@pytest.fixture
def web() -> Iterator[WebService]:
    with WebService() as made:
        yield made


class Closed:
    """A service that takes no leave."""

    def close(self) -> None:
        pass


def title(app: str) -> str:
    return f"{app}: v2 is rejected"


def titles(*apps: str) -> list[str]:
    return [title(each) for each in apps]


# --- what arrives ---


async def test_an_event_arrives_as_a_message(bench: Bench, web: WebService) -> None:
    await bench.notifier.apply([bench.channel("team", web.address())])
    bench.reject("web")
    await bench.until(lambda: web.taken)
    (taken,) = web.taken
    assert (taken["title"], taken["type"]) == (title("web"), "failure")
    assert taken["message"].startswith(f"App shop/web, source main, version v2, revision web, commit {'c' * 12}, at ")


async def test_mail_arrives_with_the_title_as_its_subject_and_the_text_as_it_is() -> None:
    mail = MailService()
    address = (
        f"mailto://127.0.0.1:{mail.port}?from=reconciler@example.com&to=team@example.com&mode=insecure&format=text"
    )
    service = open_service(address)
    await asyncio.to_thread(service.send, Message("web: <v2> is rejected", "Why: so <b>it</b> is", Tone.FAILURE))
    mail.close()
    (taken,) = mail.taken
    head, _, _ = taken.partition("\r\n\r\n")
    assert "To: team@example.com" in head
    assert "Subject: web: <v2> is rejected" in head
    assert "so <b>it</b> is" in taken


async def test_messages_arrive_in_order_and_on_the_channels_that_want_them(bench: Bench, web: WebService) -> None:
    with WebService() as other:
        all_apps = bench.channel("all", web.address())
        await bench.notifier.apply([all_apps, bench.channel("some", other.address(), apps=("b*",))])
        bench.reject("a", "b", "c", "b2")
        await bench.until(lambda: len(web.taken) == 4 and len(other.taken) == 2)
        assert (web.titles(), other.titles()) == (titles("a", "b", "c", "b2"), titles("b", "b2"))


async def test_a_rollback_is_one_message_for_those_who_want_both(bench: Bench, web: WebService) -> None:
    await bench.notifier.apply([bench.channel("team", web.address())])
    who = {"app": "web", "namespace": "shop", "version": "v1", "revision": "r", "commit": "c"}
    bench.log.emit(event("switched", **who))
    bench.log.emit(event("rolled_back", **who))
    bench.reject("last")
    await bench.until(lambda: len(web.taken) == 2)
    assert web.titles() == ["web: rolled back to v1", title("last")]


async def test_the_address_is_read_anew_for_each_message(bench: Bench, web: WebService) -> None:
    await bench.notifier.apply([bench.channel("team", web.address())])
    bench.reject("a")
    await bench.until(lambda: web.taken)
    with WebService() as other:
        bench.write("team", other.address())
        bench.reject("b")
        await bench.until(lambda: other.taken)
        assert (web.titles(), other.titles()) == (titles("a"), titles("b"))


async def test_an_address_in_a_secret_is_used_and_one_that_is_missing_is_told(bench: Bench, web: WebService) -> None:
    bench.secrets["ops/chat"] = {"token": web.address().encode() + b"\n"}
    there = ChannelSettings(Channel("a", frozenset(Group)), secret=SecretName("ops", "chat"), key="token")
    keyless = ChannelSettings(Channel("b", frozenset(Group)), secret=SecretName("ops", "chat"), key="url")
    nowhere = ChannelSettings(Channel("c", frozenset(Group)), secret=SecretName("ops", "no-such"))
    await bench.notifier.apply([there, keyless, nowhere])
    bench.reject("web")
    await bench.until(lambda: web.taken and len(bench.events("notification_failed")) == 2)
    reasons = {each["channel"]: each["reason"] for each in bench.events("notification_failed")}
    assert reasons == {"b": "Secret ops/chat: has no key url", "c": "Secret ops/no-such: is not there"}


# --- what does not ---


async def test_a_service_that_hangs_holds_up_nobody_else(bench: Bench, web: WebService) -> None:
    with WebService(status=None) as hanging:
        hangs = bench.channel("hangs", hanging.address(rto="300"), timeout=0.1)
        await bench.notifier.apply([hangs, bench.channel("works", web.address())])
        bench.reject("a", "b", "c")
        await bench.until(lambda: len(web.taken) == 3 and bench.events("notification_failed"))
        (failed,) = bench.events("notification_failed")
        assert (failed["channel"], failed["reason"]) == ("hangs", "took longer than 0.1 s")
        await bench.until(lambda: hanging.asked == HANGING)
        bench.reject("d")
        await bench.until(lambda: len(web.taken) == 4)
        assert hanging.asked == HANGING, "no more threads than that are left behind"


async def test_an_outage_is_told_once_and_so_is_its_end_and_nothing_is_lost(bench: Bench, web: WebService) -> None:
    web.status = 503
    await bench.notifier.apply([bench.channel("team", web.address(SECRET))])
    bench.reject("a", "b")
    await bench.until(lambda: web.asked >= 3)
    web.status = 200
    await bench.until(lambda: bench.events("notification_recovered"))
    await bench.until(lambda: len(web.taken) == 2)
    assert web.titles() == titles("a", "b")
    (failed,) = bench.events("notification_failed")
    assert failed["reason"] == "the service answered 503 Service Unavailable"
    (recovered,) = bench.events("notification_recovered")
    assert (recovered["channel"], recovered["count"]) == ("team", 0)


async def test_a_message_is_not_tried_for_ever_and_that_it_was_lost_is_told(bench: Bench, web: WebService) -> None:
    web.status = 500
    await bench.notifier.apply([bench.channel("team", web.address())])
    bench.reject("a")
    await bench.until(lambda: web.asked == TRIES)
    outlet = bench.notifier._outlets["team"][0]
    await bench.until(lambda: outlet._current is None and outlet._service is not None)
    assert not bench.events("notification_recovered"), "that the address is good proves nothing of the service"
    web.status = 200
    bench.reject("b")
    await bench.until(lambda: bench.events("notification_recovered"))
    assert bench.events("notification_recovered")[0]["count"] == 1
    assert web.titles() == titles("b")


async def test_a_service_that_is_gone_is_told_and_found_again_when_it_is_back(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await bench.notifier.apply([bench.channel("team", f"json://127.0.0.1:{port}/")])
    bench.reject("a")
    await bench.until(lambda: bench.events("notification_failed"))
    assert bench.events("notification_failed")[0]["reason"] == "the service cannot be reached, or does not answer"
    with WebService(port=port) as back:
        bench.reject("b")
        await bench.until(lambda: back.taken and back.taken[-1]["title"] == title("b"))
        assert bench.events("notification_recovered")


async def test_the_oldest_go_when_too_much_waits_and_are_counted(bench: Bench, web: WebService) -> None:
    bench.write("team", "")
    settings = ChannelSettings(Channel("team", frozenset(Group), burst=1000), url_file=str(bench.folder / "team"))
    await bench.notifier.apply([settings])
    await bench.until(lambda: bench.events("notification_failed"))
    assert bench.events("notification_failed")[0]["reason"] == f"{bench.folder}/team: is empty"
    bench.reject(*map(str, range(WAITING + 5)))
    bench.write("team", web.address())
    await bench.until(lambda: len(web.taken) == WAITING)
    assert web.titles() == titles(*map(str, range(5, WAITING + 5)))
    bench.reject("last")
    await bench.until(lambda: len(web.taken) == WAITING + 1)
    assert "And 1 more" in web.taken[-1]["message"], "each tells of what was lost before it was queued"
    assert bench.events("notification_recovered")[0]["count"] == 5


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"slak://{SECRET}/a/b", "there is no such service"),
        (f"slack://{SECRET}", "`slack://` needs more or other parts"),
        (SECRET, "it has no `SERVICE://` at its beginning"),
        (f"mailto://{SECRET}", "`mailto://` needs more or other parts"),
    ],
)
async def test_a_wrong_address_is_told_before_it_is_needed(bench: Bench, address: str, reason: str) -> None:
    await bench.notifier.apply([bench.channel("team", address)])
    await bench.until(lambda: bench.events("notification_failed"))
    assert bench.events("notification_failed")[0]["reason"].endswith(reason)
    assert SECRET not in bench.out.getvalue()


async def test_what_a_service_raises_is_told_by_its_kind_alone(bench: Bench) -> None:
    class Broken(Closed):
        def send(self, _: Message) -> None:
            raise KeyError(SECRET)

    bench.notifier.open_service = lambda _: Broken()
    await bench.notifier.apply([bench.channel("team", SECRET)])
    bench.reject("a")
    await bench.until(lambda: bench.events("notification_failed"))
    assert bench.events("notification_failed")[0]["reason"] == "fails with KeyError"
    assert SECRET not in bench.out.getvalue()


async def test_no_secret_shows_in_events_logs_and_outputs(
    bench: Bench, web: WebService, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of services that refuse, cannot be reached, hang, and do not exist."""
    everything = io.StringIO()
    handler = logging.StreamHandler(everything)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        web.status = 401
        await bench.notifier.apply(
            [
                bench.channel("refused", web.address(SECRET)),
                bench.channel("gone", f"json://bot:{SECRET}@127.0.0.1:1/{SECRET}"),
                bench.channel("gone-mail", f"mailto://bot:{SECRET}@127.0.0.1:1?to=a@example.com&from=b@example.com"),
                bench.channel("unknown", f"nothing://{SECRET}"),
                bench.channel("slow", web.address(SECRET, rto="0.01"), timeout=0.001),
            ]
        )
        bench.reject("a")
        await bench.until(lambda: len(bench.events("notification_failed")) == 5)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    reasons = {each["channel"]: each["reason"] for each in bench.events("notification_failed")}
    assert reasons["refused"] == "the service answered 401 Unauthorized"
    assert reasons["gone"] == reasons["gone-mail"] == "the service cannot be reached, or does not answer"
    captured = capfd.readouterr()
    for said in (bench.out.getvalue(), everything.getvalue(), captured.out, captured.err):
        assert SECRET not in said
    assert not captured.err


# --- changes, and the end ---


async def test_a_reload_leaves_alone_what_did_not_change_and_hands_on_what_waits(bench: Bench, web: WebService) -> None:
    with WebService(status=500) as broken:
        kept, changed = bench.channel("kept", web.address()), bench.channel("changed", broken.address())
        assert await bench.notifier.apply([kept, changed])
        outlet = bench.notifier._outlets["kept"][0]
        bench.reject("a", "b")
        await bench.until(lambda: broken.asked and len(web.taken) == 2)
        assert not await bench.notifier.apply([kept, changed])
        assert await bench.notifier.apply([kept, bench.channel("changed", web.address(), title="{{ app }}")])
        assert bench.notifier._outlets["kept"][0] is outlet
        await bench.until(lambda: len(web.taken) == 4)
        assert web.titles() == [*titles("a", "b"), "a", "b"]
        assert await bench.notifier.apply([])
        bench.reject("c")
        assert len(asyncio.all_tasks()) == 1


async def test_what_waits_is_sent_before_the_end(bench: Bench, web: WebService) -> None:
    await bench.notifier.apply([bench.channel("team", web.address())])
    bench.reject("first")
    await bench.until(lambda: web.taken)
    bench.reject("a", "b", "c")
    await bench.notifier.close(SOON)
    assert web.titles() == titles("first", "a", "b", "c")


async def test_what_waited_during_an_outage_is_sent_before_the_end_too(bench: Bench, web: WebService) -> None:
    bench.write("team", "")
    settings = ChannelSettings(Channel("team", frozenset(Group)), url_file=str(bench.folder / "team"))
    await bench.notifier.apply([settings])
    bench.reject(*"abcdefgh")
    await bench.until(lambda: bench.events("notification_failed"))
    bench.write("team", web.address())
    await bench.until(lambda: bench.events("notification_recovered"))
    await bench.notifier.close(SOON)
    assert web.titles() == titles(*"abcdefgh")


async def test_the_end_does_not_wait_for_a_channel_that_is_out_of_order(bench: Bench, tmp_path: Path) -> None:
    await bench.notifier.apply([bench.channel("team", "")])
    bench.reject("a")
    await bench.until(lambda: bench.events("notification_failed"))
    await asyncio.wait_for(bench.notifier._outlets["team"][0].settled(), SOON)


def test_a_process_ends_though_a_service_hangs(tmp_path: Path) -> None:
    """With a thread that nobody can end: it must not hold up the exit."""
    program = (
        "import asyncio, threading\n"
        "from reconciler.adapters.notify.threads import Threads\n"
        "from reconciler.errors import Transient\n"
        "async def main():\n"
        "    try:\n"
        "        await Threads('x').run(threading.Event().wait, 0.01)\n"
        "    except Transient as error:\n"
        "        print(error.what)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SOON)
    assert (done.returncode, done.stdout, done.stderr) == (0, "took longer than 0.01 s\n", "")


async def test_threads_that_came_back_make_room_for_others() -> None:
    threads, gate = Threads("x"), threading.Event()
    for _ in range(HANGING):
        with pytest.raises(Transient, match="longer"):
            await threads.run(gate.wait, 0.01)
    with pytest.raises(Transient, match="hang still"):
        await threads.run(lambda: None, SLOW)
    gate.set()
    async with asyncio.timeout(SOON):
        while threads._hanging:
            await asyncio.sleep(0.005)
    assert await threads.run(lambda: 7, SLOW) == 7


async def test_the_event_loop_goes_on_while_a_service_is_slow(bench: Bench) -> None:
    """What blocks is in another thread than the loop's."""
    seen: list[int] = []

    class Slow(Closed):
        def send(self, _: Message) -> None:
            seen.append(threading.get_ident())

        def close(self) -> None:
            seen.append(threading.get_ident())

    def opened(_: str) -> Slow:
        seen.append(threading.get_ident())
        return Slow()

    bench.notifier.open_service = opened
    await bench.notifier.apply([bench.channel("team", "any")])
    bench.reject("a")
    await bench.until(lambda: len(seen) == 2)
    await bench.notifier.close(SOON)
    await bench.until(lambda: len(seen) == 3)
    assert threading.get_ident() not in seen


def test_apprise_is_not_imported_unless_it_is_needed() -> None:
    program = "import sys, reconciler.cli; print('apprise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_address_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"json://{SECRET}\njson://b\n")
    settings = ChannelSettings(Channel("a", frozenset(Group)), url_file=str(tmp_path / "a"))

    async def nothing(_: SecretName) -> Mapping[str, bytes]:
        return {}

    with pytest.raises(Invalid, match="more than one line") as caught:
        asyncio.run(address_of(settings, nothing))
    assert SECRET not in str(caught.value)


def test_what_a_plugin_does_at_its_end_is_done_where_it_is_closed() -> None:
    """Some log out, over the network, when nobody refers to them any more: not on the event loop, please."""
    ended: list[int] = []

    class Plugin:
        def __del__(self) -> None:
            ended.append(threading.get_ident())

    service = _Plugin(Plugin(), cuts=False)
    thread = threading.Thread(target=service.close)
    thread.start()
    thread.join(SOON)
    assert ended and threading.get_ident() not in ended


async def test_a_failure_that_nobody_waits_for_any_more_is_no_complaint(bench: Bench) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    gate, threads = threading.Event(), Threads("x")

    def fail() -> None:
        gate.wait()
        raise Transient("too late")

    task = asyncio.create_task(threads.run(fail, SLOW))
    await bench.until(lambda: any(each.name == "x" for each in threading.enumerate()))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gate.set()
    await bench.until(lambda: not any(each.name == "x" for each in threading.enumerate()))
    await asyncio.sleep(0)  # what the thread left on the loop
    del task
    gc.collect()
    assert complaints == []
