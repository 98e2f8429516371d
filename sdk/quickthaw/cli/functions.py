"""`quickthaw ls`, `describe`, `versions`, `rollback`, `rm`."""

from __future__ import annotations

import click

from quickthaw.cli import migration, output
from quickthaw.cli.root import State, pass_state
from quickthaw.resources import DEFAULT_ALIAS
from quickthaw.types import FunctionInfo

NO_FUNCTIONS = "No functions yet. Deploy one: quickthaw deploy function.py"


@click.command()
@output.json_option
@pass_state
def ls(state: State, as_json: bool) -> None:
    """List the functions."""
    found = state.client.functions()
    if as_json:
        output.print_json(found)
        return
    columns = ("FUNCTION", "MODEL", "ENGINE", "VERSIONS", "LIVE", "INSTANCES", "RUNNING", "WAITING")
    output.table(columns, (_row(function) for function in found), NO_FUNCTIONS)


def _row(function: FunctionInfo) -> tuple[object, ...]:
    return (
        function.name,
        function.model,
        function.engine,
        function.versions,
        output.weights(function.aliases.get(DEFAULT_ALIAS, {"-": 1.0})),
        function.instances,
        function.running,
        function.waiting,
    )


@click.command()
@click.argument("name")
@output.json_option
@pass_state
def describe(state: State, name: str, as_json: bool) -> None:
    """Show a function: its model, aliases and what it does now. Or an invocation: where it has been, and when."""
    if migration.is_invocation(name):
        life = state.client.life(name)
        if as_json:
            output.print_json(life)
        else:
            migration.draw(life)
        return
    function = state.client.function(name)
    if as_json:
        output.print_json(function)
        return
    url = state.client.endpoint.url
    output.fields(
        [
            ("function", function.name),
            ("model", function.model),
            *((("adapter", function.adapter),) if function.adapter is not None else ()),
            *((("network", function.network.value),) if function.network is not None else ()),
            *((("egress", ", ".join(function.egress)),) if function.egress else ()),
            ("task", function.task),
            ("engine", function.engine),
            ("versions", function.versions),
            *((f"alias {alias}", output.weights(found)) for alias, found in function.aliases.items()),
            ("instances", function.instances),
            ("running", function.running),
            ("waiting", function.waiting),
            ("created", output.when(function.created_at)),
            ("invoke", f"POST {url}/v1/functions/{function.name}/invoke"),
            ("trigger", f"POST {url}/t/{function.name}"),
            ("OpenAI", f"{url}/v1 as base URL, {function.name} as model"),
        ]
    )


@click.command()
@click.argument("name")
@output.json_option
@pass_state
def versions(state: State, name: str, as_json: bool) -> None:
    """List a function's versions, newest last."""
    found = state.client.versions(name)
    if as_json:
        output.print_json(found)
        return
    live: dict[str, list[str]] = {}
    for alias in state.client.aliases(name):
        for version in alias.weights:
            live.setdefault(version, []).append(alias.name)
    rows = ((v.number, v.id, v.spec.model, output.when(v.created_at), ", ".join(live.get(v.id, ()))) for v in found)
    output.table(("NUMBER", "VERSION", "MODEL", "DEPLOYED", "ALIASES"), rows, f"{name} has no versions.")


@click.command()
@click.argument("name")
@click.option("--alias", default=DEFAULT_ALIAS, show_default=True, help="Alias to point back.")
@click.option("--to", "version", metavar="VERSION", help="Version to go to, by id or number (else the one before).")
@output.json_option
@pass_state
def rollback(state: State, name: str, alias: str, version: str | None, as_json: bool) -> None:
    """Point a function's alias back to the version before, or to --to."""
    found = state.client.rollback(name, alias, version)
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{name}: {found.name} → {output.weights(found.weights)}")


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_state
def rm(state: State, name: str, yes: bool) -> None:
    """Delete a function with all its versions, aliases and secrets."""
    if not yes:
        click.confirm(f"Delete {name} with all its versions, aliases and secrets?", abort=True)
    state.client.delete_function(name)
    click.echo(f"deleted {name}")
