"""`quickthaw models`: the imported checkpoints. `import` comes with the platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import click

from quickthaw.cli import output
from quickthaw.cli.root import PluggedGroup, State, pass_state
from quickthaw.resources import CheckpointCopy, CheckpointInfo
from quickthaw.results import CheckpointResult, Measured

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
    nodes = ", ".join(found.nodes) or "(remote)"
    return found.name, found.id, found.task, output.size(found.bytes), found.context_tokens, found.license, nodes


@models.command("show")
@click.argument("name")
@output.json_option
@pass_state
def show(state: State, name: str, as_json: bool) -> None:
    """Show one checkpoint: what it is, and where."""
    found, results = state.client.checkpoint(name), state.client.results(name)
    if as_json:
        output.print_json({**output.plain(found), "results": output.plain(results)})
        return
    quantised = f", {found.quantization}" if found.quantization else ""
    stored = f"{found.quantization}, GGUF" if found.weights_format == "gguf" else f"{found.dtype}{quantised}"
    output.fields(
        [
            ("checkpoint", found.name),
            ("id", found.id),
            ("architecture", found.architecture),
            ("task", found.task),
            ("weights", f"{output.size(found.bytes)} of {stored}"),
            ("tensors", f"{found.tensors:,} in {found.partitions} file(s)"),
            ("context", f"{found.context_tokens:,} tokens"),
            ("licence", found.license),
            ("source", found.source),
            ("imported", output.when(found.created_at)),
            ("signed by", found.signer),
            ("where", "; ".join(f"{copy.node}: {', '.join(copy.tiers)}" for copy in found.copies)),
        ]
    )
    if results:
        click.echo()
        columns = ("METRIC", "VALUE", "95% INTERVAL", "ENGINE", "MEASURED", "")
        output.table(columns, (row for result in results for row in _figures(result)), "")


def _figures(result: CheckpointResult) -> Iterator[tuple[object, ...]]:
    """Yield a line for each figure of a result, named as a bar names it."""
    with_what = "".join(f", {key}={value}" for key, value in sorted(result.options.items()))
    adapter = f" + {result.adapter}" if result.adapter else ""
    engine = f"{result.engine}{with_what}{adapter}"
    for metric, figure in result.metrics.items():
        name = f"{metric}[{result.title}]"
        note = "" if result.whole else "a part of the text"
        yield name, f"{figure.value:.6g}", _interval(figure), engine, output.when(result.measured_at), note


def _interval(figure: Measured) -> str | None:
    return None if figure.low is None else f"{figure.low:.6g} to {figure.high:.6g}"


@models.command("where")
@click.argument("name")
@output.json_option
@pass_state
def where(state: State, name: str, as_json: bool) -> None:
    """Show on which nodes and tiers a checkpoint is."""
    found = state.client.checkpoint(name)
    if as_json:
        output.print_json(found)
        return
    columns = ("NODE", "MEMORY", "DISK", "REMOTE")
    output.table(columns, map(_copy, found.copies), f"No node has {name}, and none can fetch it.")
    for copy in found.copies:
        if copy.push_error is not None:
            click.echo(f"{copy.node} cannot push it to the remote tier, and tries again: {copy.push_error}", err=True)


def _copy(copy: CheckpointCopy) -> tuple[object, ...]:
    memory = "yes" if "dram" in copy.tiers else ""
    if copy.arriving_bytes is not None:
        memory = f"{output.size(copy.arriving_bytes)} to come"
    return copy.node, memory, "yes" if "disk" in copy.tiers else "", "yes" if "remote" in copy.tiers else ""


@models.command("pull")
@click.argument("name")
@click.argument("node")
@output.json_option
@pass_state
def pull(state: State, name: str, node: str, as_json: bool) -> None:
    """Bring a checkpoint into a node's memory and onto its disk."""
    found = state.client.pull_checkpoint(name, node)
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{node} fetches {name}; `quickthaw models where {name}` shows how far it is")


@models.command("evict")
@click.argument("name")
@click.argument("node")
@click.option("--tier", type=click.Choice(("dram", "disk")), default="dram", show_default=True, help="How far.")
@output.json_option
@pass_state
def evict(state: State, name: str, node: str, tier: Literal["dram", "disk"], as_json: bool) -> None:
    """Drop a checkpoint from a node's memory, or (`--tier disk`) from memory and disk.

    The only copy is never evicted, nor what is in use; `quickthaw models rm` deletes everywhere.
    """
    found = state.client.evict_checkpoint(name, node, tier)
    if as_json:
        output.print_json(found)
        return
    where = "memory" if tier == "dram" else "memory and disk"
    click.echo(f"{node} is to drop {name} from its {where}; the only copy stays, and so does what is in use")


@models.command("move")
@click.argument("name")
@click.argument("key")
@output.json_option
@pass_state
def move(state: State, name: str, key: str, as_json: bool) -> None:
    """Give a checkpoint's name to another importer, named by its public KEY.

    A name belongs to who imported a checkpoint under it first. `quickthaw models import` prints its own key.
    """
    found = state.client.move_checkpoint(name, key)
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{name} belongs to {key}; what that importer has under the name is used from now on")


@models.command("rm")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_state
def rm(state: State, name: str, yes: bool) -> None:
    """Remove a checkpoint from every node and from the remote tier."""
    if not yes:
        click.confirm(f"Remove {name} from every node and from the remote tier?", abort=True)
    state.client.delete_checkpoint(name)
    click.echo(f"removed {name}")
