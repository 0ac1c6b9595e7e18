"""For the whole suite: how long Hypothesis walks."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("quick", _COMMON, max_examples=15, stateful_step_count=30, derandomize=True)
settings.register_profile("thorough", _COMMON, max_examples=20, stateful_step_count=40, derandomize=True)
# Another walk every time: for whoever changes the planner, before the change is pushed.
settings.register_profile("deep", _COMMON, max_examples=1500, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
