"""Time goes forward only, and waits are varied so that many daemons do not ask at once."""

from __future__ import annotations

from reconciler.adapters.clock import SystemClock


def test_a_wait_is_varied_by_up_to_a_tenth() -> None:
    clock = SystemClock()
    waits = [clock.jitter(30.0) for _ in range(1000)]
    assert all(27.0 <= each <= 33.0 for each in waits)
    assert max(waits) - min(waits) > 3.0, "of a thousand, some are far apart"


def test_time_never_goes_back() -> None:
    clock = SystemClock()
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)
