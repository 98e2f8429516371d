"""`quickthaw migrate`, and the picture of where an invocation has been."""

from __future__ import annotations

import re
import time

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.errors import Conflict
from quickthaw.resources import FailedMove, InvocationLife, LifeStep
from quickthaw.types import InvocationInfo

POLL_SECONDS = 0.2

_INVOCATION = re.compile(r"[0-9a-f]{32}")


@click.command()
@click.argument("invocation")
@click.argument("node", required=False)
@click.option("--no-wait", is_flag=True, help="Do not wait until it runs there.")
@output.json_option
@pass_state
def migrate(state: State, invocation: str, node: str | None, no_wait: bool, as_json: bool) -> None:
    """Move a running invocation to NODE, or to wherever it can go on soonest; who follows it notices nothing."""
    known = () if no_wait else state.client.life(invocation).failed_moves
    before = state.client.migrate(invocation, node)
    life = None if no_wait else _settled(state, before, known)
    after = before if life is None else life.invocation
    if as_json:
        output.print_json(after)
    elif after.epoch == before.epoch:
        click.echo(f"{invocation} is {after.state} on node {after.node}" + ("; it moves" if no_wait else ""))
    else:
        click.echo(f"{invocation} moved from node {before.node} to {after.node}")
    if life is not None and after.epoch == before.epoch and not after.state.ended:
        raise Conflict(f"invocation {invocation} did not move: {life.failed_moves[-1].reason}")


def _settled(state: State, before: InvocationInfo, known: tuple[FailedMove, ...]) -> InvocationLife:
    """Wait until an invocation has moved or ended, or a move has failed that was not known."""
    while True:
        life = state.client.life(before.id)
        after = life.invocation
        if after.epoch != before.epoch or after.state.ended or life.failed_moves[-1:] != known[-1:]:
            return life
        time.sleep(POLL_SECONDS)


def is_invocation(name: str) -> bool:
    """Whether a name is an invocation's id."""
    return _INVOCATION.fullmatch(name) is not None


def draw(life: InvocationLife) -> None:
    """Print an invocation's life: a line a step, with what its followers did not see in between."""
    info = life.invocation
    output.fields(
        [
            ("invocation", info.id),
            ("function", f"{info.function}, version {info.version}"),
            ("state", info.state.value),
            ("epochs", info.epoch),
            ("moves", life.moves),
            ("longest gap", f"{max(life.gaps.values()) * 1000:.0f} ms" if life.gaps else None),
            ("error", None if info.error is None else info.error.get("message")),
        ]
    )
    click.echo()
    for failed in life.failed_moves:
        to = f" to {failed.node}" if failed.node else ""
        click.echo(f"did not move{to} at {_since(failed.at, info.created_at)}: {failed.reason}")
    epoch, rows = 1, []
    for number, step in enumerate(life.steps):
        lost = step.state == "queued" and number > 0
        epoch = step.epoch or epoch
        gap = (
            f"{life.gaps[epoch] * 1000:.0f} ms without output" if step.state == "running" and epoch in life.gaps else ""
        )
        rows.append((_since(step.at, info.created_at), epoch, _what(step, lost=lost), step.node, step.instance, gap))
    if info.ended_at is not None:
        rows.append((_since(info.ended_at, info.created_at), info.epoch, info.state.value, info.node, None, ""))
    output.table(("TIME", "EPOCH", "WHAT", "NODE", "INSTANCE", "GAP"), rows, "Nothing is known of it.")


def _since(at: float, begin: float) -> str:
    return f"+{max(0.0, at - begin):.3f} s"  # two clocks of one moment may differ by a rounding error


def _what(step: LifeStep, *, lost: bool) -> str:
    if step.moved_from is not None:
        return f"moved from {step.moved_from}"
    return f"lost: {step.reason}" if lost and step.reason else step.state.value
