"""`quickthaw keys`."""

from __future__ import annotations

from typing import Any

import click

from quickthaw import calls
from quickthaw.cli import output
from quickthaw.cli.ranges import FiniteRange
from quickthaw.cli.root import PluggedGroup, State, pass_state
from quickthaw.resources import KeyInfo, Quotas, Scope

SCOPES = click.Choice([scope.value for scope in Scope])


class Keys(PluggedGroup):
    """The group that `keys-…` plugins join."""

    prefix = "keys"


@click.group(cls=Keys)
def keys() -> None:
    """API keys: who may call, deploy and administer, and how much."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=SCOPES, help="What it may do, repeatable (default: invoke).")
@click.option("--requests", metavar="RATE", help='Most requests, for example "40 per 3 hours".')
@click.option("--tokens-per-minute", type=click.IntRange(min=1), metavar="N", help="Most tokens a minute.")
@click.option("--store-bytes", metavar="SIZE", help="Most that its calls and answers take of the platform's store.")
@click.option("--max-memory", "memory", metavar="SIZE", help="Most memory of an instance that it deploys.")
@click.option(
    "--max-weight",
    type=FiniteRange(min=0, min_open=True),
    metavar="W",
    help="Most weight of a function that it deploys.",
)
@click.option("--max-keep-alive", "keep_alive", metavar="DURATION", help="Longest keep_alive that it deploys.")
@click.option("--max-instances", type=click.IntRange(min=1), metavar="N", help="Most instances that it deploys.")
@click.option(
    "--weight", type=FiniteRange(0.001, 1000), default=1.0, metavar="W", help="Share of a queue among keys (1)."
)
@output.json_option
@pass_state
def create(
    state: State,
    /,
    name: str,
    scopes: tuple[str, ...],
    max_weight: float | None,
    weight: float,
    as_json: bool,
    **most: Any,
) -> None:
    """Make an API key. It is shown this once."""
    quotas = calls.request(Quotas, weight=max_weight, **most)
    made = state.client.create_key(name, scopes or (Scope.INVOKE,), quotas, weight)
    if as_json:
        output.print_json(made)
        return
    click.echo(made.key)
    click.echo(f"key {made.id} ({made.name}); keep it, it is not shown again", err=True)


@keys.command("ls")
@output.json_option
@pass_state
def ls(state: State, as_json: bool) -> None:
    """List the API keys."""
    found = state.client.keys()
    if as_json:
        output.print_json(found)
        return
    columns = ("ID", "NAME", "SCOPES", "REQUESTS", "TOKENS/MIN", "WEIGHT", "CREATED")
    output.table(columns, map(_row, found), "No keys. Make one: quickthaw keys create NAME")


def _row(key: KeyInfo) -> tuple[object, ...]:
    scopes = ", ".join(key.scopes)
    most = key.quotas.requests, key.quotas.tokens_per_minute
    return key.id, key.name, scopes, *most, f"{key.weight:g}", output.when(key.created_at)


@keys.command("revoke")
@click.argument("id")
@pass_state
def revoke(state: State, id: str) -> None:
    """Revoke an API key at once."""
    state.client.revoke_key(id)
    click.echo(f"revoked {id}")
