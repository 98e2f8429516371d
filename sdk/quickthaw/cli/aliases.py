"""`quickthaw alias`."""

from __future__ import annotations

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state


@click.group()
def alias() -> None:
    """Names for versions: point them to one, or to several with weights (canary)."""


@alias.command("ls")
@click.argument("function")
@output.json_option
@pass_state
def ls(state: State, function: str, as_json: bool) -> None:
    """List a function's aliases."""
    found = state.client.aliases(function)
    if as_json:
        output.print_json(found)
        return
    rows = ((entry.name, output.weights(entry.weights)) for entry in found)
    output.table(("ALIAS", "VERSIONS"), rows, f"{function} has no aliases.")


@alias.command("set")
@click.argument("function")
@click.argument("name")
@click.argument("versions", nargs=-1, required=True, metavar="VERSION[=WEIGHT]...")
@output.json_option
@pass_state
def set_(state: State, function: str, name: str, versions: tuple[str, ...], as_json: bool) -> None:
    """Point alias NAME to versions, by id or number: `alias set chat live 3=0.9 4=0.1`."""
    found = state.client.set_alias(function, name, dict(_weight(word) for word in versions))
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{function}: {found.name} → {output.weights(found.weights)}")


@alias.command("rm")
@click.argument("function")
@click.argument("name")
@pass_state
def rm(state: State, function: str, name: str) -> None:
    """Forget alias NAME; its versions stay."""
    state.client.delete_alias(function, name)
    click.echo(f"removed {name}")


def _weight(word: str) -> tuple[str, float]:
    version, equals, weight = word.partition("=")
    try:
        return version, float(weight) if equals else 1.0
    except ValueError as error:
        raise click.UsageError(f"{word!r}: the weight is not a number; write VERSION or VERSION=WEIGHT") from error
