"""What all commands share: the client, one-line errors, and commands that other packages add."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from quickthaw.cli.visible import visible
from quickthaw.client import Client
from quickthaw.errors import QuickthawError

PLUGINS = "quickthaw.commands"

_ASKED = "quickthaw.asked"


class State:
    """The global options, and the client that they lead to, made when a command first needs it."""

    def __init__(self, url: str | None, api_key: str | None, debug: bool) -> None:
        self._url = url
        self._api_key = api_key
        self._client: Client | None = None
        self.debug = debug

    @property
    def client(self) -> Client:
        """The client of this run."""
        if self._client is None:
            self._client = Client(self._url, self._api_key)
        return self._client

    def close(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None:
            self._client.close()


pass_state = click.make_pass_decorator(State)


class PluggedGroup(click.Group):
    """A group that other packages add commands to, by entry point; one that does not load is named and skipped.

    The entry point `NAME` adds a command to the root, `GROUP-NAME` adds NAME to the group GROUP.
    """

    prefix = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our own commands and those of plugins."""
        return sorted({*super().list_commands(ctx), *self._points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. One that does not load stops the run if it was asked for, else it leaves a line."""
        own = super().get_command(ctx, cmd_name)
        point = self._points().get(cmd_name)
        if own is not None or point is None:
            return own
        try:
            return _load(point)
        except PluginFailed as error:
            if cmd_name in ctx.meta.get(_ASKED, ()) and not ctx.resilient_parsing:
                raise
            click.echo(f"skipped: {error.message}", err=True)
            return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Remember which command was asked for (a listing asks for all of them)."""
        ctx.meta.setdefault(_ASKED, set()).add(args[0])
        return super().resolve_command(ctx, args)

    def _points(self) -> dict[str, EntryPoint]:
        points = {}
        for point in entry_points(group=PLUGINS):
            group, _, name = point.name.rpartition("-")
            if group == self.prefix:
                points[name] = point
        return points


class PluginFailed(click.ClickException):
    """A command that another package provides cannot be loaded."""


def _load(point: EntryPoint) -> click.Command:
    name = point.name.replace("-", " ")
    try:
        found = point.load()
    except ImportError as error:
        raise PluginFailed(f"`quickthaw {name}` needs more: {error}; pip install 'quickthaw[platform]'") from error
    except Exception as error:
        raise PluginFailed(f"`quickthaw {name}` does not load ({point.value}): {error}") from error
    if not isinstance(found, click.Command):
        raise PluginFailed(f"`quickthaw {name}` is not a command ({point.value})")
    return found


class Root(PluggedGroup):
    """The top: turns the errors of every command into one line and an exit status of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # the last is what is left of `quickthaw … | head`: click ends the run without a word
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    if isinstance(error, QuickthawError):
        return visible(error.message)
    if isinstance(error, OSError) and error.strerror:
        return visible(": ".join(filter(None, (str(error.filename or ""), error.strerror))))
    return visible(f"{type(error).__name__}: {error} (`quickthaw --debug …` shows where)")
