"""The `quickthaw` command: global options, and every command by name."""

from __future__ import annotations

import os
import signal
import sys

import click

from quickthaw.cli import (
    aliases,
    compress,
    deploy,
    functions,
    invocations,
    invoke,
    keys,
    logs,
    migration,
    models,
    nodes,
    router,
    secrets,
    usage,
)
from quickthaw.cli.root import Root, State
from quickthaw.version import VERSION


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--url", metavar="URL", help="Gateway to talk to (else QUICKTHAW_URL, else what `quickthaw up` wrote).")
@click.option("--api-key", metavar="KEY", help="API key to send (else QUICKTHAW_API_KEY, else as above).")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(VERSION, prog_name="quickthaw")
@click.pass_context
def main(context: click.Context, url: str | None, api_key: str | None, debug: bool) -> None:
    """Deploy and call model functions that cost nothing while nobody calls them."""
    _open_streams()
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a parent that blocks signals would make this one deaf
    context.obj = State(url, api_key, debug)
    context.call_on_close(context.obj.close)


def _open_streams() -> None:
    """Give a command that was started without standard streams (`2>&-`, some schedulers) ones that lead nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


for command in (
    deploy.deploy,
    functions.ls,
    functions.describe,
    functions.versions,
    functions.rollback,
    functions.rm,
    aliases.alias,
    aliases.promote,
    invoke.invoke,
    compress.compress,
    invocations.invocations,
    logs.logs,
    nodes.ps,
    nodes.drain,
    nodes.stop,
    migration.migrate,
    models.models,
    router.router,
    keys.keys,
    secrets.secrets,
    usage.usage,
):
    main.add_command(command)
