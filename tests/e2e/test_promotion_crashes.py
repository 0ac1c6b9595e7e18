"""`crash-anywhere` for a promotion with everything: checks, approval, preview, analysis, the way back, revert in Git.

A daemon is killed at each of its steps, under load, and the next one has to come to the same end, with nothing done
twice. Which steps were tried is printed, and kept as the test's property `tried`.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.evidence import EVIDENCE, EVIDENCE_MANAGER
from reconciler.core.model import PREFIX
from reconciler.core.observed import SWITCH_MANAGER
from rig.cluster import Manifest
from rig.daemon import Daemon
from rig.proxy import Call, Cut, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run
from tests.e2e.harness.votes import Votes, voting
from tests.servers import HttpsServer, https_server, make_authority, missing

LONG = 300.0
"""Seconds for one step of a daemon that dies at every write."""
PRE, POST = ("smoke", "load"), "watch"
AUTHOR = "reconciler"

Record = Callable[[str, object], None]


@pytest.fixture
def votes() -> Iterator[Votes]:
    with voting() as made:
        yield made


class Origin:
    """The repository that everybody pushes to: bare, on this machine."""

    def __init__(self, scene: Scene) -> None:
        self._repository = scene.repository
        self.path = scene.folder / "served" / "origin.git"
        self.path.parent.mkdir()
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.path)], check=True)

    def publish(self) -> None:
        self._git("-C", str(self._repository.path), "push", "--quiet", str(self.path), "main")

    @property
    def version(self) -> str:
        """What the branch's tip says."""
        return self._git("-C", str(self.path), "show", "main:version")

    def reverts(self) -> list[str]:
        """The commits on the branch that the daemon made."""
        return self._git("-C", str(self.path), "log", "--format=%H", f"--author={AUTHOR} <", "main").split()

    @property
    def tip(self) -> str:
        return self._git("-C", str(self.path), "rev-parse", "main")

    def _git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _strategy(votes: Votes, **more: Any) -> dict[str, Any]:
    checks = [{"name": name, "http": {"url": votes.url(name)}, "timeout": "60s"} for name in PRE]
    watch = {"name": POST, "http": {"url": votes.url(POST)}, "timeout": "60s", "interval": "500ms"}
    return {
        "scaleDownDelay": "1s",
        "abortScaleDownDelay": "1s",
        "autoPromotionEnabled": False,
        "previewService": "my-app-preview",
        "prePromotionAnalysis": {"checks": checks},
        "postPromotionAnalysis": {"window": "2s", "checks": [watch]},
        **more,
    }


def _released(scene: Scene, origin: Origin, strategy: Mapping[str, Any], **source: Any) -> None:
    """v1.0.0 is active and has load, and no daemon runs. The next one finds the strategy."""
    sources = [scene.source(url=str(origin.path))]
    scene.configure(sources=sources)
    commit = scene.release("v1.0.0")
    origin.publish()
    scene.daemon.start()
    scene.load.start()
    scene.settle(commit)
    scene.load.wait_for("v1.0.0")
    scene.daemon.stop()
    scene.configure(sources=[{**sources[0], "interval": "1s", **source}], strategy=strategy)


class Reaper:
    """The proxy's hook: ends a daemon at each write that none before it has come to, in each stage of the story.

    Every write has a name by what it makes of things, so that the same one of a later life is known again.
    """

    def __init__(self, daemon: Daemon, *when: str) -> None:
        self.stage = ""
        self.tried: list[str] = []
        self._daemon = daemon
        self._when = when
        self._dead = 0

    def __call__(self, call: Call, answered: bool) -> None:
        if not call.write:
            return
        if self._dead == self._daemon.lives:
            raise Cut
        when = "after" if answered else "before"
        point = f"{self.stage}: {when} {_named(call)}"
        if when in self._when and point not in self.tried:
            self.tried.append(point)
            self._dead = self._daemon.lives
            self._daemon.signal(signal.SIGKILL)
            raise Cut


def _named(call: Call) -> str:
    body: Manifest = json.loads(call.body or b"{}")
    notes = body.get("metadata", {}).get("annotations") or {}
    if call.manager == EVIDENCE_MANAGER:
        evidence = json.loads(notes[EVIDENCE])
        shown = [*(key.partition("@")[0] for key in evidence["passed"]), *["awaiting"] * bool(evidence["awaiting"])]
        return f"evidence ({', '.join(shown) or 'ready'})"
    if call.manager == SWITCH_MANAGER and PREFIX + "active-revision" in notes:
        said = [each for each in ("on-trial", "confirmed-at", "rejected", "doomed") if notes.get(PREFIX + each)]
        return f"Service ({', '.join([notes[PREFIX + 'active-version'], *said])})"
    replicas = body.get("spec", {}).get("replicas")
    size = "" if replicas is None else f" ({replicas} replicas)"
    return f"{call.method} {call.resource} by {call.manager or 'nobody'}{size}"


def _live_until(holds: Callable[[], bool], what: str, daemon: Daemon) -> None:
    def found() -> bool:
        daemon.revive()
        return holds()

    until(found, f"{what}, over many deaths", LONG, poll=0.05)


def _workload(scene: Scene, version: str) -> Manifest | None:
    every = scene.deployments().values()
    return next((each for each in every if each["metadata"]["labels"]["version"] == version), None)


def _waits(scene: Scene, version: str) -> bool:
    """Whether every check is on record as passed, and an approval alone is awaited."""
    live = _workload(scene, version)
    noted = json.loads((live or {"metadata": {}})["metadata"].get("annotations", {}).get(EVIDENCE) or "{}")
    return bool(noted.get("awaiting")) and {key.partition("@")[0] for key in noted["passed"]} == set(PRE)


def _rests(scene: Scene, version: str, warm: set[str], idle: set[str]) -> bool:
    """Whether a version is active for good, and which others are there besides."""
    service = scene.cluster.service(APP)
    notes = {key.removeprefix(PREFIX): value for key, value in service["metadata"]["annotations"].items()}
    known = {each["metadata"]["labels"]["version"]: each["spec"]["replicas"] for each in scene.deployments().values()}
    selected = service["spec"]["selector"]["version"] == notes["active-version"] == version
    over = notes["confirmed-at"] and not (notes["on-trial"] or notes["rejected"])
    sizes = {**dict.fromkeys({version} | warm, 2), **dict.fromkeys(idle, 0)}
    pods = {each["metadata"]["name"] for each in scene.cluster.pods(scene.cluster.active_revision(APP))}
    return bool(selected and over and known == sizes and pods and scene.cluster.endpoints(APP) == pods)


def _approve(scene: Scene) -> None:
    done = run(scene, "approve", APP, "--by", "jane")
    assert done.status == 0, done


def _one_more_life(daemon: Daemon) -> None:
    """The last death may have come with the last write of all: another daemon looks at what there is."""
    if daemon.running:
        daemon.kill()
    since = daemon.mark()
    daemon.revive()
    daemon.wait_for("phase_changed", since=since, phase="stable")


def _tell(tried: list[str], record: Record) -> None:
    record("tried", "; ".join(tried))
    print("\n".join(tried))


@pytest.mark.timeout(6 * LONG)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_write_of_a_promotion(
    scene: Scene, votes: Votes, tmp_path: Path, record_property: Record, when: str
) -> None:
    """v2.0.0 stays, and v1.0.0 is kept without pods; v3.0.0 fails its analysis, is led back from, and reverted."""
    origin = Origin(scene)
    _released(scene, origin, _strategy(votes, onRollback="revert", revisionHistoryLimit=1))
    with Proxy(scene.sandbox.kubeconfig, tmp_path) as proxy:
        daemon = scene.another_daemon("mortal", proxy.kubeconfig)
        proxy.hook = reaper = Reaper(daemon, when)
        for version, before in (("v2.0.0", "v1.0.0"), ("v3.0.0", "v2.0.0")):
            reaper.stage = version
            votes.answers[POST] = 500 if version == "v3.0.0" else 200
            scene.release(version)
            origin.publish()
            _live_until(lambda at=version: _waits(scene, at), f"{version} waits", daemon)  # type: ignore[misc]
            asked = [votes.asked(name) for name in PRE]
            assert scene.selected() == before
            _approve(scene)
            _live_until(lambda: _rests(scene, "v2.0.0", set(), {"v1.0.0"}), "v2.0.0 at rest", daemon)
            assert [votes.asked(name) for name in PRE] == asked, "what is on record as passed was asked for again"
        _one_more_life(daemon)
    _tell(reaper.tried, record_property)
    no_request_failed(scene.load)
    assert daemon.lives > len(reaper.tried) > 15, reaper.tried
    assert origin.reverts() == [origin.tip] and origin.version == "v2.0.0"
    assert len(scene.audit.created("deployments")) == 3 and len(scene.audit.deleted("deployments")) == 1
    assert set(scene.load.versions()) == {"v1.0.0", "v2.0.0", "v3.0.0"}
    moved(scene, 3)


@pytest.mark.timeout(6 * LONG)
def test_killed_at_every_write_while_a_bad_version_is_held_off(
    scene: Scene, votes: Votes, tmp_path: Path, record_property: Record
) -> None:
    """`onRollback: hold`: v2.0.0 fails its analysis, and its pods go; a person reverts it, and then it goes."""
    origin = Origin(scene)
    _released(scene, origin, _strategy(votes, autoPromotionEnabled=True))
    votes.answers[POST] = 500
    with Proxy(scene.sandbox.kubeconfig, tmp_path) as proxy:
        daemon = scene.another_daemon("mortal", proxy.kubeconfig)
        proxy.hook = reaper = Reaper(daemon, "before", "after")
        reaper.stage = "v2.0.0"
        scene.release("v2.0.0")
        origin.publish()
        _live_until(lambda: _held_off(scene), "v2.0.0 held off", daemon)
        reaper.stage = "reverted"
        scene.repository.revert()
        origin.publish()
        _live_until(lambda: _rests(scene, "v1.0.0", set(), set()), "v1.0.0 at rest", daemon)
        _one_more_life(daemon)
    _tell(reaper.tried, record_property)
    no_request_failed(scene.load)
    assert daemon.lives > len(reaper.tried) > 15, reaper.tried
    assert origin.reverts() == []
    assert len(scene.audit.created("deployments")) == 2 and len(scene.audit.deleted("deployments")) == 1
    moved(scene, 2)


def _held_off(scene: Scene) -> bool:
    """Whether v2.0.0 is rejected, traffic is back for good, and the pods that failed have been sent away."""
    notes = scene.cluster.service(APP)["metadata"]["annotations"]
    back = scene.selected() == "v1.0.0" and bool(notes[PREFIX + "rejected"] and notes[PREFIX + "confirmed-at"])
    bad = _workload(scene, "v2.0.0")
    return back and bad is not None and bad["spec"]["replicas"] == 0


@pytest.fixture
def server(scene: Scene) -> Iterator[HttpsServer]:
    """Serves the origin, and can be stopped at each step of a push."""
    authority = make_authority(scene.folder / "authority")
    credentials = scene.folder / "credentials"
    credentials.mkdir()
    (credentials / "bearerToken").write_text("t0ken")
    (credentials / "ca.crt").write_bytes(authority.ca.read_bytes())
    with https_server(scene.folder / "served", authority) as made:
        yield made


class Pushes:
    """Ends the daemon at each step of its pushes: one step in each of its lives, and then none any more."""

    STEPS = (
        "before the push is begun",
        "during the push, which never arrives",
        "during the push, which arrives",
    )
    _ASKS, _SENDS = "service=git-receive-pack", "/git-receive-pack"

    def __init__(self, server: HttpsServer, daemon: Daemon) -> None:
        self._left = list(self.STEPS)
        self._daemon = daemon
        server.before, server.after = self._before, self._after

    @property
    def tried(self) -> list[str]:
        return [each for each in self.STEPS if each not in self._left]

    def _before(self, path: str) -> None:
        if self._ASKS in path:
            self._die(self.STEPS[0])
        if path.endswith(self._SENDS):
            self._die(self.STEPS[1])

    def _after(self, path: str) -> None:
        if path.endswith(self._SENDS):
            self._die(self.STEPS[2])

    def _die(self, step: str) -> None:
        """At the step that is next, by an error: so the request, too, comes to nothing from here on."""
        if self._left and self._left[0] == step:
            self._left.pop(0)
            self._daemon.signal(signal.SIGKILL)
            raise ConnectionAbortedError(step)


@pytest.mark.timeout(6 * LONG)
@pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")
def test_killed_while_it_waits_for_others(
    scene: Scene, votes: Votes, server: HttpsServer, record_property: Record
) -> None:
    """While a check is asked for, while an approval is awaited, in the analysis, and in each step of the push."""
    origin = Origin(scene)
    url, credentials = server.url("origin.git"), str(scene.folder / "credentials")
    _released(scene, origin, _strategy(votes, onRollback="revert"), url=url, credentials=credentials)
    daemon, tried = scene.daemon, []

    def dies(step: str) -> None:
        tried.append(step)
        daemon.kill()

    votes.hold(*PRE)
    scene.release("v2.0.0")
    origin.publish()
    daemon.start()
    votes.wait_for("load", 1)
    dies("while both checks are under way")
    daemon.start()
    votes.wait_for("load", 2)
    votes.release("smoke")
    until(lambda: _shown(scene, "v2.0.0") == {"smoke"}, "one check on record")
    dies("while one check is under way, and the other passed")
    asked = votes.asked("smoke")
    daemon.start()
    votes.wait_for("load", 3)
    votes.release("load")
    until(lambda: _waits(scene, "v2.0.0"), "an approval is awaited")
    dies("while an approval is awaited")
    _approve(scene)
    tried.append("approved while no daemon ran")
    assert (votes.asked("smoke"), scene.selected()) == (asked, "v1.0.0")
    votes.hold(POST)
    daemon.start()
    votes.wait_for(POST, 1)
    dies("during the analysis, whose check is under way")
    assert scene.selected() == "v2.0.0"
    votes.answers[POST] = 500
    daemon.start()
    votes.wait_for(POST, 2)
    pushes = Pushes(server, daemon)
    votes.release(POST)
    _live_until(lambda: _rests(scene, "v1.0.0", set(), set()), "v1.0.0 at rest", daemon)
    _one_more_life(daemon)
    assert pushes.tried == list(Pushes.STEPS)
    _tell(tried + pushes.tried, record_property)
    no_request_failed(scene.load)
    assert votes.asked("smoke") == asked
    assert origin.reverts() == [origin.tip] and origin.version == "v1.0.0"
    assert len(scene.audit.created("deployments")) == 2 and len(scene.audit.deleted("deployments")) == 1
    moved(scene, 2)


def _shown(scene: Scene, version: str) -> set[str]:
    """The checks that a version has on record as passed."""
    live = _workload(scene, version)
    noted = json.loads((live or {"metadata": {}})["metadata"].get("annotations", {}).get(EVIDENCE) or "{}")
    return {key.partition("@")[0] for key in noted.get("passed", ())}
