"""`quickthaw secrets`."""

from __future__ import annotations

import sys

import click

from quickthaw.cli import arguments, output
from quickthaw.cli.root import PluggedGroup, State, pass_state


class Secrets(PluggedGroup):
    """The group that `secrets-…` plugins join."""

    prefix = "secrets"


@click.group(cls=Secrets)
def secrets() -> None:
    """A function's secrets: environment variables of its instances, never shown again."""


@secrets.command("set")
@click.argument("function")
@click.argument("name")
@click.argument("value", required=False)
@pass_state
def set_(state: State, function: str, name: str, value: str | None) -> None:
    """Set secret NAME. VALUE `-` reads standard input; without VALUE a terminal asks for it, unseen."""
    if value is None and sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, err=True)
    elif value is None or value == "-":
        value = arguments.standard_input().rstrip("\n")
        if not value:
            raise click.UsageError(f"standard input has no value for {name}; an empty one is set by ''")
    state.client.set_secret(function, name, arguments.whole(value))
    click.echo(f"set {name}; instances that start from now on see it")


@secrets.command("ls")
@click.argument("function")
@output.json_option
@pass_state
def ls(state: State, function: str, as_json: bool) -> None:
    """List the names of a function's secrets."""
    found = state.client.secrets(function)
    if as_json:
        output.print_json(found)
        return
    empty = f"No secrets. Set one: quickthaw secrets set {function} NAME"
    output.table(("SECRET",), ((secret.name,) for secret in found), empty)


@secrets.command("rm")
@click.argument("function")
@click.argument("name")
@pass_state
def rm(state: State, function: str, name: str) -> None:
    """Forget a secret."""
    state.client.delete_secret(function, name)
    click.echo(f"removed {name}")
