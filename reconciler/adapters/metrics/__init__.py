"""Metrics for Prometheus: what is counted, and how it is shown."""

from reconciler.adapters.metrics.recorder import Metrics as Metrics
