"""The API server: requests (`requests`), watches (`watch`), what they hold (`store`), and the port (`cluster`)."""

from reconciler.adapters.cluster.cluster import KubernetesCluster
from reconciler.adapters.cluster.requests import connect

__all__ = ["KubernetesCluster", "connect"]
