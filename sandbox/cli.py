"""The commands: `python -m sandbox up | down | status | kubeconfig | kubectl | helm | exec | restart | image`."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand

from . import project
from .api import Sandbox
from .cluster import SIMULATION_LIMITS
from .errors import SandboxError
from .isolation import enter_network, in_network
from .paths import cache_dir

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HELM_FOLDERS = ("CACHE", "CONFIG", "DATA")
_COLUMNS = ("component", "state", "pid", "address", "log")

app = typer.Typer(
    help="A real Kubernetes cluster on this machine, in namespaces of its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class PassThrough(TyperCommand):
    """A command whose words are all another program's, `--` and `--help` too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words as they are."""
        ctx.args = list(args)
        return []


Name = Annotated[str | None, typer.Option("--name", help="Which sandbox; default: $SANDBOX_NAME, else bluegreen.")]


@app.callback()
def choose(context: typer.Context, name: Name = None) -> None:
    """Remember the name for the command that follows."""
    context.obj = name


def _sandbox(context: typer.Context, name: str | None = None) -> Sandbox:
    """Its name may stand before the command or after it; the first that says one, from the inside out, counts."""
    return Sandbox(name or context.obj)


@app.command()
def up(
    context: typer.Context,
    simulated: Annotated[
        bool | None, typer.Option("--simulated/--real", help="Default: real where this machine allows it.")
    ] = None,
    name: Name = None,
) -> None:
    """Start the sandbox, or what of it does not run."""
    sandbox = _sandbox(context, name)
    began = time.monotonic()
    sandbox.up(simulated)
    layout = sandbox.control.require()
    print(f"sandbox {sandbox.name} is up ({time.monotonic() - began:.1f} s): {layout.server}")
    if layout.simulated:
        print(SIMULATION_LIMITS)
    print("try: python -m sandbox kubectl get nodes")


@app.command()
def down(context: typer.Context, name: Name = None) -> None:
    """Remove the sandbox and everything of it, also one that was cut short."""
    sandbox = _sandbox(context, name)
    began = time.monotonic()
    left = sandbox.down()
    if left:
        raise SandboxError(f"sandbox {sandbox.name} is down, but this is left:\n  " + "\n  ".join(left))
    print(f"sandbox {sandbox.name} is down, nothing is left ({time.monotonic() - began:.1f} s)")


@app.command()
def status(context: typer.Context, name: Name = None) -> None:
    """Show each component; exit 1 when something is not well."""
    sandbox = _sandbox(context, name)
    control = sandbox.control
    layout = control.require()
    table = Table(*_COLUMNS, title=f"sandbox {sandbox.name}", title_justify="left")
    running, well = control.supervision.components(), True
    for component in control.cluster(layout).components():
        known = running.get(component.name)
        pid = str(known.pid) if known and known.status is None else "-"
        if known is None:
            state = "[red]not started"
        elif known.status is not None:
            state = f"[red]ended with {known.status}"
        else:
            problem = control.check(component)
            state = f"[red]{problem}" if problem else "[green]ready"
        well = well and state == "[green]ready"
        table.add_row(component.name, state, pid, component.address, str(control.paths.log(component.name)))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    if layout.simulated:
        print(SIMULATION_LIMITS)
    if not well:
        raise typer.Exit(1)


@app.command()
def kubeconfig(context: typer.Context, name: Name = None) -> None:
    """Print the path of the kubeconfig."""
    sandbox = _sandbox(context, name)
    sandbox.control.require()
    print(sandbox.kubeconfig)


@app.command()
def restart(context: typer.Context, component: str, name: Name = None) -> None:
    """Stop one component, start it again and wait until it works."""
    _sandbox(context, name).restart(component)


@app.command()
def image(
    context: typer.Context,
    twice: Annotated[
        bool, typer.Option("--twice", help="Build it once more with nothing cached, and compare the layers.")
    ] = False,
    name: Name = None,
) -> None:
    """Build the project's own image if it is older than the sources, and import it where a sandbox runs."""
    sandbox = _sandbox(context, name)
    progress = sandbox.control.progress
    built = project.ensure(progress)
    print(f"{built.name}\n{built.digest}\n{built.compressed / 1e6:.1f} MB, unpacked {built.unpacked / 1e6:.1f} MB")
    if twice:
        again = project.rebuilt(progress)
        if again.layers != built.layers:
            both = "\n  ".join(["first:", *built.layers, "again:", *again.layers])
            raise SandboxError(f"another build gave other layers; {both}")
        same = "the same" if again.digest == built.digest else "another"
        print(f"built again: the same layers, {same} digest")
    if sandbox.running and not sandbox.simulated:
        sandbox.project_image()
        print(f"imported into sandbox {sandbox.name}: {built.name}, also as {project.PROJECT_IMAGE}:latest")


@app.command(cls=PassThrough)
def kubectl(context: typer.Context) -> None:
    """Run kubectl as the administrator of the sandbox."""
    sandbox = _sandbox(context)
    sandbox.control.require()
    _become(sandbox, [str(sandbox.kubectl), *context.args])


@app.command(cls=PassThrough)
def helm(context: typer.Context) -> None:
    """Run Helm as the administrator of the sandbox; `helm template` and the like work without one, too."""
    sandbox = _sandbox(context)
    command = [str(sandbox.helm), *context.args]
    # What the person who runs this has set up for Helm is not the sandbox's business.
    os.environ.update({f"HELM_{kind}_HOME": str(cache_dir() / "helm" / kind.lower()) for kind in _HELM_FOLDERS})
    if not sandbox.running:
        os.execv(command[0], command)  # noqa: S606 -- our own build, the words are the user's
    _become(sandbox, command)


@app.command("exec", cls=PassThrough)
def execute(context: typer.Context) -> None:
    """Run a command inside the sandbox's network, with KUBECONFIG set: exec -- CMD…"""
    if context.args[:1] == ["--help"]:
        print(context.get_help())
        return
    arguments = context.args[1:] if context.args[:1] == ["--"] else context.args
    if not arguments:
        raise SandboxError("exec what? python -m sandbox exec -- CMD…")
    _become(_sandbox(context), arguments)


def _become(sandbox: Sandbox, command: list[str]) -> NoReturn:
    """Turn into the command, so that signals and its exit status need no passing on."""
    network = sandbox.netns
    if network is not None and not in_network(network):
        enter_network(network)
    os.environ.update(sandbox.environment())
    # Python ignores this one, and the command would inherit that; handlers, like our own, it would not.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- the command is the user's own, word by word
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


class Interrupted(Exception):
    """A signal asked us to end: raised wherever we are, so that a compiler we wait for is ended too."""


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise Interrupted(number)


def main() -> None:
    """Run a command; failures that a person can act on are shown without a traceback."""
    for number in _INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    try:
        app()
    except SandboxError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        if error.log:
            console.print(error.log, style="dim", markup=False)
        console.print(f"sandbox: {error.message}", style="red", markup=False)
        sys.exit(1)
    except Interrupted as error:
        print("interrupted; `up` goes on from here, `down` removes what there is", file=sys.stderr)
        sys.exit(128 + error.args[0])
