"""All tests in one run, on one sandbox: what `make test` does after its checks.

The sandbox is brought up after the unit tests (both want all of the machine), and taken down at the end unless it was
there before. The tests of the image build it. That needs the package registries, so it is done outside of the sandbox's
network. Of a part that fails, the sandbox's logs and the failed tests' folders are kept, and it is said where. The last
line sums up every part.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from sandbox import Sandbox, build
from sandbox.supervision import last_lines

ROOT = Path(__file__).resolve().parent.parent
_TOLD_LOGS = ("kube-proxy", "controller-manager")
"""The components whose lateness tests fail by, and whose last words are shown."""


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
    """Runs every part; returns 0 if all passed, more than none did, and nothing is left of the sandbox."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    workers = ("-n", str(parser.parse_args().workers))
    sandbox = Sandbox()
    found_up = sandbox.running
    build.ensure((build.HELM,), sandbox.control.progress)  # for the tests of the chart, which skip without it
    results = [run(Part("unit", ("tests/unit", "-q", *workers, "--dist=worksteal")), sandbox)]
    left: list[str] = []
    try:
        sandbox.up()
        results.append(run(Part("image", ("tests/image", "-q")), sandbox))
        results.append(run(Part("contract", ("tests/contract", "-q"), inside=True), sandbox))
        # By groups: see tests/e2e/incluster/conftest.py.
        results.append(run(Part("end-to-end", ("tests/e2e", *workers, "--dist=loadgroup"), inside=True), sandbox))
    finally:
        if not found_up:
            left = sandbox.down()
    for line in left:
        print(f"left behind: {line}")
    return summary(results) or bool(left)


def run(part: Part, sandbox: Sandbox) -> Result:
    """Runs one part, its output passed through, its counts read from pytest's own report."""
    prefix = sandbox.exec_prefix() if part.inside else []
    environment = os.environ | {"HYPOTHESIS_PROFILE": os.environ.get("HYPOTHESIS_PROFILE", "thorough")}
    folder = Path(tempfile.mkdtemp(prefix=f"reconciler-{part.name}-"))
    report = folder / "report.xml"
    began = time.monotonic()
    command = [*prefix, sys.executable, "-m", "pytest", *part.arguments, f"--junit-xml={report}"]
    command += [f"--basetemp={folder / 'tests'}", "-o", "tmp_path_retention_policy=failed"]
    print(f"\n=== {part.name} tests", flush=True)
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    result = counted(part.name, code, report, time.monotonic() - began)
    if code and part.inside:
        keep(folder, sandbox)
    else:
        shutil.rmtree(folder)
    return result


def keep(folder: Path, sandbox: Sandbox) -> None:
    """Adds the sandbox's logs, which go with it, to what is left of the failed tests, and says where all that is."""
    logs = sandbox.audit_log.parent
    shutil.copytree(logs, folder / "logs", dirs_exist_ok=True)
    for component in _TOLD_LOGS:
        print(f"--- the end of {component}'s log\n{last_lines(logs / f'{component}.log')}")
    print(f"--- the failed tests' folders and all logs: {folder}", flush=True)


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
