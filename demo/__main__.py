"""`python -m demo`: brings the sandbox up, plays the story inside its network, leaves everything as it was found."""

from __future__ import annotations

import os
import sys

from rig.outside import run_inside

if __name__ == "__main__":
    sys.exit(run_inside("demo.story", sys.argv[1:], keep=os.environ.get("KEEP", "") not in ("", "0")))
