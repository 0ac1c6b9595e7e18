"""reconciler: blue/green releases on Kubernetes, driven by Git alone."""

__version__ = "0.1.0"
