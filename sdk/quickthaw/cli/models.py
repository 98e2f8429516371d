"""`quickthaw models`: the imported checkpoints. `import` comes with the platform."""

from __future__ import annotations

import click

from quickthaw.cli import output
from quickthaw.cli.root import PluggedGroup, State, pass_state
from quickthaw.resources import CheckpointInfo

NO_CHECKPOINTS = "No checkpoints yet. Import one: quickthaw models import SOURCE"


class Models(PluggedGroup):
    """The group that `models-…` plugins join."""

    prefix = "models"


@click.group(cls=Models)
def models() -> None:
    """The checkpoints that functions can run on."""


@models.command("ls")
@output.json_option
@pass_state
def ls(state: State, as_json: bool) -> None:
    """List the imported checkpoints."""
    found = state.client.checkpoints()
    if as_json:
        output.print_json(found)
        return
    columns = ("CHECKPOINT", "ID", "TASK", "SIZE", "CONTEXT", "LICENSE", "NODES")
    output.table(columns, map(_row, found), NO_CHECKPOINTS)


def _row(found: CheckpointInfo) -> tuple[object, ...]:
    nodes = ", ".join(found.nodes)
    return found.name, found.id, found.task, output.size(found.bytes), found.context_tokens, found.license, nodes


@models.command("rm")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_state
def rm(state: State, name: str, yes: bool) -> None:
    """Remove a checkpoint from every node's disk."""
    if not yes:
        click.confirm(f"Remove {name} from every node's disk?", abort=True)
    state.client.delete_checkpoint(name)
    click.echo(f"removed {name}")
