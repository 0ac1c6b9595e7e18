"""A real Kubernetes cluster on one machine, for demo, tests and benchmarks. See docs/sandbox.md."""

from .api import Sandbox
from .errors import SandboxError

__all__ = ["Sandbox", "SandboxError"]
