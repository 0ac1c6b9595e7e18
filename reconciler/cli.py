"""The command line: options in, `compose` called, results shown by `report`. No logic."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from reconciler import __version__, report, report_delivery
from reconciler.app.approve import Consent, Wish
from reconciler.app.approve import approve as give
from reconciler.app.oneshot import Sight
from reconciler.app.verdict import findings, verdicts
from reconciler.compose import Options, check_channels, checkbench, run_daemon, schemas, workbench
from reconciler.core.consent import wrong_name
from reconciler.core.delivery import parse_window
from reconciler.errors import Invalid, ReconcilerError

FAILED, INVALID = 1, 3

T = TypeVar("T")

cli = typer.Typer(
    name="reconciler",
    epilog="Exit status: 0 fine, 1 failed, 2 wrong usage, 3 something invalid in Git or in the configuration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="RECONCILER_CONFIG", help="Configuration file.", show_default=True)
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="RECONCILER_DATA_DIR",
        help="Where mirrors of the repositories are kept; nothing there is precious.  [default: the cache folder]",
    ),
]
Kubeconfig = Annotated[
    str | None, typer.Option(help="Kubeconfig file.  [default: $KUBECONFIG, the pod's own account, ~/.kube/config]")
]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.  [default: its current one]")]
Apps = Annotated[list[str] | None, typer.Argument(help="Names of apps.  [default: all]", show_default=False)]

_PIPE_WIDTH = 200


class Format(StrEnum):
    """What a command's output is for."""

    TEXT = "text"
    JSON = "json"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


DEFAULT_CONFIG = Path("reconciler.yaml")


@cli.callback()
def options_of_no_command(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Prints the version.")
    ] = False,
) -> None:
    """Blue/green releases on Kubernetes, driven by Git: commit a version to release, `git revert` to roll back."""


@cli.command()
def run(
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Runs the daemon: follows Git, releases what it says, until SIGTERM. SIGHUP or a changed file reloads CONFIG."""
    _finish(run_daemon(_options(config, data_dir, kubeconfig, context)))


@cli.command()
def once(
    apps: Apps = None,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Brings every app to what Git says now, waits until it is there, and ends. An old colour still warm is left."""
    options = _options(config, data_dir, kubeconfig, context)

    async def work() -> list[Sight]:
        async with workbench(options) as bench:
            return await bench.settle(_known(bench.apps, apps, options.config))

    sights = _finish(work())
    report.failures(sights, _errors())
    raise typer.Exit(_status_of(sights, strict=True))


@cli.command()
def plan(
    apps: Apps = None,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Shows what would be done now, and why. Changes nothing."""
    sights = _looked(apps, _options(config, data_dir, kubeconfig, context))
    report.plans(sights, _output())
    report.failures(sights, _errors())
    report.notes(sights, _errors())
    raise typer.Exit(_status_of(sights))


@cli.command()
def status(
    apps: Apps = None,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Shows where every app stands: what Git wants, what is active, what is warm, what was rejected and why."""
    sights = _looked(apps, _options(config, data_dir, kubeconfig, context))
    report.statuses(sights, _output())
    report.failures(sights, _errors())
    report.notes(sights, _errors())
    raise typer.Exit(_status_of(sights, strict=True))


@cli.command()
def delivery(
    apps: Apps = None,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far to look back, as in 12h or 30d.")] = "30d",
    output: Annotated[Format, typer.Option("--output", "-o", help="For people or for programs.")] = Format.TEXT,
) -> None:
    """Shows how every app is delivered: lead time, deployment frequency, change failure rate, time to restore."""
    options, window = _options(config, data_dir, kubeconfig, context), _window(since)

    async def work() -> list[Sight]:
        async with workbench(options) as bench:
            return await bench.remembered(_known(bench.apps, apps, options.config))

    sights = _finish(work(), output)
    if output is Format.JSON:
        report_delivery.as_json(sights, window, sys.stdout)
    else:
        report_delivery.table(sights, window, _output())
    report.failures(sights, _errors())
    raise typer.Exit(_status_of(sights))


@cli.command()
def approve(
    app: Annotated[str, typer.Argument(help="Name of the app.", metavar="APP")],
    by: Annotated[
        str, typer.Option(metavar="NAME", help="Who approves; else whom the API server knows.", show_default=False)
    ] = "",
    revision: Annotated[
        str, typer.Option(metavar="HASH", help="Approve this revision, or none.", show_default=False)
    ] = "",
    commit: Annotated[
        str, typer.Option(metavar="ID", help="Approve what this commit asks for, or nothing.", show_default=False)
    ] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an approval back.")] = False,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Approves the revision of APP that waits: for that revision and Git's present commit, and for no other."""
    if by and (fault := wrong_name(by)):
        raise typer.BadParameter(fault, param_hint="--by")
    options = _options(config, data_dir, kubeconfig, context)
    wish = Wish(app, by, _os_user(), revision, commit, withdraw)

    async def work() -> Consent:
        async with workbench(options) as bench:
            _known(bench.apps, [app], options.config)
            return await give(bench, wish)

    report.consent(_finish(work()), _output())


@cli.command()
def render(apps: Apps = None, config: Config = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Prints the objects that Git's tip renders to, as YAML. Needs no cluster."""
    sights = _rendered(apps, _options(config, data_dir))
    report.manifests(sights, sys.stdout)
    report.failures(sights, _errors())
    raise typer.Exit(_status_of(sights))


@cli.command()
def validate(
    apps: Apps = None,
    config: Config = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    repository: Annotated[
        Path | None, typer.Option(help="Check this local repository by itself, and no configuration.")
    ] = None,
    ref: Annotated[str, typer.Option(help="With --repository: the commit to check.")] = "HEAD",
    pattern: Annotated[
        str, typer.Option("--apps", metavar="GLOB", help="With --repository: the files that describe apps.")
    ] = "apps/*/app.yaml",
    allow_power: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --repository: a power that its templates may ask for. Repeatable."),
    ] = None,
    kubernetes_version: Annotated[
        str | None,
        typer.Option(metavar="X.Y", help="Also check every field of the objects against this version's schemas."),
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="For people or for programs.")] = Format.TEXT,
) -> None:
    """Checks the configuration or a repository, and that every app renders. Needs no cluster."""
    found = workbench(_options(config, data_dir), with_cluster=False)
    if repository:
        found = checkbench(repository, ref, pattern, allow_power or [])

    async def work() -> list[Sight]:
        known = schemas(kubernetes_version) if kubernetes_version else None
        if not repository:
            check_channels(config)
        async with found as bench:
            return await bench.render(_known(bench.apps, apps, repository or config), known)

    sights = _finish(work(), output)
    if output is Format.JSON:
        report.as_json(verdicts(sights), sys.stdout)
    else:
        report.verdicts(sights, _output())
        report.failures(sights, _errors())
    raise typer.Exit(_status_of(sights))


@cli.command()
def version() -> None:
    """Prints the version."""
    _print_version(True)


def main() -> None:
    """The console script."""
    cli()


def _looked(apps: list[str] | None, options: Options) -> list[Sight]:
    async def work() -> list[Sight]:
        async with workbench(options) as bench:
            return await bench.look(_known(bench.apps, apps, options.config))

    return _finish(work())


def _rendered(apps: list[str] | None, options: Options) -> list[Sight]:
    async def work() -> list[Sight]:
        async with workbench(options, with_cluster=False) as bench:
            return await bench.render(_known(bench.apps, apps, options.config))

    return _finish(work())


def _options(config: Path, data_dir: Path | None, kubeconfig: str | None = None, context: str | None = None) -> Options:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Options(config, data_dir or cache / "reconciler", kubeconfig, context)


def _window(text: str) -> float:
    try:
        return parse_window(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def _known(find: Any, names: list[str] | None, config: Path) -> list[str]:
    try:
        find(names or [])
    except KeyError as error:
        raise typer.BadParameter(f"no app {error} in {config}", param_hint="APPS") from None
    return names or []


def _finish(work: Coroutine[Any, Any, T], output: Format = Format.TEXT) -> T:
    """Runs to the end; an error that concerns the whole command ends it with its message and exit status."""
    try:
        return asyncio.run(work)
    except ReconcilerError as error:
        if output is Format.JSON:
            report.as_json(findings("", None, error), sys.stdout)
        else:
            report.problem(error, _errors())
        raise typer.Exit(INVALID if isinstance(error, Invalid) else FAILED) from None


def _os_user() -> str:
    """Who is logged in here; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _output() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _errors() -> Console:
    return Console(stderr=True)


def _status_of(sights: list[Sight], *, strict: bool = False) -> int:
    """3 if anything is invalid, else 1 if anything failed (`strict`: or is in trouble), else 0."""
    errors = [each.error for each in sights if each.error]
    if any(isinstance(each, Invalid) for each in errors):
        return INVALID
    return FAILED if errors or (strict and any(report.is_in_trouble(each) for each in sights)) else 0
