"""All tests in one run, on one sandbox: what `make test` does after its checks.

The sandbox is brought up while the unit tests run, and taken down at the end unless it was there before. The last
line sums up every part.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """One run of pytest: its name, where its tests are, and whether it runs inside the sandbox."""

    name: str
    arguments: tuple[str, ...]
    inside: bool = False


@dataclass(frozen=True)
class Result:
    """What a part came to."""

    name: str
    code: int
    passed: int
    failed: int
    skipped: int
    seconds: float


def main() -> int:
    """Runs every part; returns 0 if all passed, and more than none did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    workers = ("-n", str(parser.parse_args().workers))
    sandbox = Sandbox()
    found_up = sandbox.running
    results = [run(Part("unit", ("tests/unit", "-q", *workers)), sandbox)]
    try:
        sandbox.up()
        results.append(run(Part("contract", ("tests/contract", "-q"), inside=True), sandbox))
        results.append(run(Part("end-to-end", ("tests/e2e", *workers), inside=True), sandbox))
    finally:
        if not found_up:
            sandbox.down()
    return summary(results)


def run(part: Part, sandbox: Sandbox) -> Result:
    """Runs one part, its output passed through, its counts read from pytest's own report."""
    prefix = sandbox.exec_prefix() if part.inside else []
    environment = os.environ | {"HYPOTHESIS_PROFILE": os.environ.get("HYPOTHESIS_PROFILE", "thorough")}
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        command = [*prefix, sys.executable, "-m", "pytest", *part.arguments, f"--junit-xml={report}"]
        print(f"\n=== {part.name} tests", flush=True)
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return counted(part.name, code, report, time.monotonic() - began)


def counted(name: str, code: int, report: Path, seconds: float) -> Result:
    """The counts in a JUnit report; a part without one counts as one failure."""
    if not report.exists():
        return Result(name, code or 1, 0, 1, 0, seconds)
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own pytest wrote it
    total, bad, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return Result(name, code, total - bad - skipped, bad, skipped, seconds)


def summary(results: list[Result]) -> int:
    """Prints a line for each part, and the sum as the last line."""
    print()
    for each in results:
        verdict = "ok" if each.code == 0 else f"exit {each.code}"
        print(f"{each.name:12} {each.passed:4} passed {each.failed:3} failed {each.skipped:3} skipped "
              f"{each.seconds:6.0f} s  {verdict}")  # fmt: skip
    passed, failed, skipped = (sum(getattr(r, key) for r in results) for key in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and all(each.code == 0 for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
