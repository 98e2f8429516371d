"""`quickthaw alias` and `quickthaw promote`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from quickthaw.cli import arguments, output
from quickthaw.cli.root import State, pass_state
from quickthaw.errors import Conflict
from quickthaw.resources import DEFAULT_ALIAS


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
    found = state.client.set_alias(function, name, _weights(versions))
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


@click.command()
@click.argument("function")
@click.option("--alias", default=DEFAULT_ALIAS, show_default=True, help="Alias that is to have one version again.")
@click.option("--to", "version", metavar="VERSION", help="Version to promote, by id or number (else the canary).")
@click.option("--require", multiple=True, metavar="BAR", help="Only if it clears: perplexity[hf,wikitext-2]<=20.")
@output.json_option
@pass_state
def promote(
    state: State, function: str, alias: str, version: str | None, require: tuple[str, ...], as_json: bool
) -> None:
    """Give a canary all calls of an alias: the newest of the versions that the alias weighs, or --to.

    With --require only where the checkpoint of that version clears every bar; else nothing changes.
    """
    chosen = version or _canary(state, function, alias)
    found = state.client.set_alias(function, alias, {chosen: 1.0}, require)
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{function}: {found.name} → {output.weights(found.weights)}")


def _canary(state: State, function: str, alias: str) -> str:
    weighed = {entry.name: entry.weights for entry in state.client.aliases(function)}.get(alias, {})
    if len(weighed) < 2:
        raise Conflict(f"alias {alias!r} of {function!r} weighs no canary; name the version to promote with --to")
    return next(v.id for v in reversed(state.client.versions(function)) if v.id in weighed)


def _weights(words: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        version, weight = _weight(word)
        arguments.refuse_again(version, weights)
        weights[version] = weight
    return weights


def _weight(word: str) -> tuple[str, float]:
    version, equals, weight = word.partition("=")
    try:
        return version, float(weight) if equals else 1.0
    except ValueError as error:
        raise click.UsageError(f"{word!r}: the weight is not a number; write VERSION or VERSION=WEIGHT") from error
