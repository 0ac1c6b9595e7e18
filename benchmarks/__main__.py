"""`python -m benchmarks [--rounds N]`: runs them inside the sandbox's network, writes docs/benchmarks*.md."""

from __future__ import annotations

import sys

from rig.outside import run_inside

if __name__ == "__main__":
    sys.exit(run_inside("benchmarks.run", sys.argv[1:]) or run_inside("benchmarks.incluster", []))
