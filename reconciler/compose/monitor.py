"""How a daemon is, put together: what its tasks owe, what is counted, and who may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from aiohttp import TraceConfig

from reconciler import __version__
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster.metered import metered
from reconciler.adapters.cluster.watch import Monitor as WatchMonitor
from reconciler.adapters.metrics import Metrics
from reconciler.app.supervised import SupervisedCluster
from reconciler.app.vitals import Check, Hung, Vitals
from reconciler.core.event import event
from reconciler.core.state import State
from reconciler.ports import Cluster, Telemetry
from reconciler.web.monitoring import Monitoring


@dataclass(slots=True)
class Readiness:
    """Whether the daemon can do its work: once it could, only its end changes that. `synced(namespace)` says whether
    what the cluster holds there was ever known, `joined()` whether it has its share of the apps."""

    namespaces: Callable[[], Set[str]]
    synced: Callable[[str], bool]
    joined: Callable[[], bool] = lambda: True
    configured: bool = False
    stopping: bool = False
    _synced: bool = False
    _joined: bool = False

    def checks(self) -> Mapping[str, bool]:
        """What `/readyz` shows."""
        self._synced = self._synced or (self.configured and all(map(self.synced, self.namespaces())))
        self._joined = self._joined or self.joined()
        checks = {"configuration": self.configured, "caches": self._synced, "membership": self._joined}
        return checks | {"running": not self.stopping}


@dataclass(slots=True)
class Monitor:
    """What a daemon tells of itself. `state` gives what gauges show."""

    clock: SystemClock
    state: Callable[[], State]
    readiness: Readiness
    vitals: Vitals = field(init=False)
    metrics: Metrics = field(init=False)
    _told: set[tuple[Check, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.vitals = Vitals(self.clock.monotonic)
        self.metrics = Metrics(__version__, self.state)

    @property
    def of_requests(self) -> TraceConfig:
        """For the connections to the API server."""
        return metered(self.metrics, self.clock.monotonic)

    def poster(self, cluster: Cluster) -> Cluster:
        """`cluster`, for the task that writes Kubernetes Events."""
        return SupervisedCluster(cluster, self.vitals.pulse(Check.EVENTS, "events"))

    @property
    def of_watches(self) -> WatchMonitor:
        """For the cluster's watches."""
        return WatchMonitor(lambda task: self.vitals.pulse(Check.WATCHES, task), self.metrics.watch_restarted)

    def answers(self, telemetry: Telemetry) -> Monitoring:
        """The port where it can be asked."""

        def live() -> Mapping[str, bool]:
            hung = self.vitals.hung()
            self._tell(hung, telemetry)
            failed = {each.check for each in hung}
            return {check.value: check not in failed for check in Check}

        return Monitoring(live, self.readiness.checks, self.metrics.exposition, telemetry, self.clock)

    def _tell(self, hung: list[Hung], telemetry: Telemetry) -> None:
        """Each once, for as long as it hangs: the answer itself names nobody."""
        for each in hung:
            if (each.check, each.task) not in self._told:
                reason = f"it should have been heard of {each.seconds:.0f} s ago"
                telemetry.emit(event("task_hung", task=each.task, reason=reason, **_HUNG))
        self._told = {(each.check, each.task) for each in hung}


_HUNG = {
    "untouched": "Other tasks go on; /livez fails, so that the kubelet restarts the daemon",
    "todo": "Please report it, with the daemon's log",
}
