"""The only place where adapters are wired to the app: a daemon that runs, and a workbench for the one-shot commands."""

from __future__ import annotations

from reconciler.compose.bench import check_channels, checkbench, schemas, workbench
from reconciler.compose.service import run_daemon
from reconciler.compose.wiring import Options

__all__ = ["Options", "check_channels", "checkbench", "run_daemon", "schemas", "workbench"]
