"""`quickthaw router`: why a call ran where it did, and how well the router guesses."""

from __future__ import annotations

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.resources import DecisionInfo, EstimateError, Explanation, OptionInfo

NO_STARTS = "No start has had an estimate yet."
NO_DECISIONS = "No decision about it is kept: it waited for another call to end, or this is over an hour ago."


@click.group()
def router() -> None:
    """Ask what the router thought."""


@router.command("explain")
@click.argument("invocation")
@output.json_option
@pass_state
def explain(state: State, invocation: str, as_json: bool) -> None:
    """Show why a call ran where and when it did: what was decided while it waited, and between what."""
    found = state.client.explain(invocation)
    if as_json:
        output.print_json(found)
        return
    click.echo(sentence(found))
    if not found.warm and not found.decisions:
        click.echo(NO_DECISIONS)
    for decision in found.decisions:
        click.echo(f"\n{output.when(decision.t)}  {_decided(decision)}")
        if decision.considered:
            columns = ("NODE", "WAY", "QUEUE", "LOAD", "INIT", "ROOM", "TOTAL", "VERDICT")
            output.table(columns, map(_option, decision.considered), "")


@router.command("accuracy")
@output.json_option
@pass_state
def accuracy(state: State, as_json: bool) -> None:
    """Show how far off the router's estimates of the last starts were."""
    found = state.client.router_accuracy()
    if as_json:
        output.print_json(found)
        return
    rows = [("all", found.overall), *found.by_way.items()] if found.overall else []
    columns = ("WAY", "STARTS", "ERROR P50", "P90", "P99", "MEDIAN, SIGNED")
    output.table(columns, (_error(way, error) for way, error in rows if error), NO_STARTS)


def sentence(found: Explanation) -> str:
    """Say in one sentence what happened."""
    who = f"{found.id} of {found.function} ({found.version})"
    if found.warm:
        return f"{who} got a slot of {found.instance} on node {found.node} at once: an instance was ready."
    if found.node is None:
        return f"{who} is {found.state} and has had no slot in {found.waited_seconds:.3f} s."
    where = f"{who} waited {found.waited_seconds:.3f} s for a slot of {found.instance} on node {found.node}"
    start = found.start
    if start is None:
        return f"{where}, which was not started for it."
    guess = "no estimate" if start.predicted_seconds is None else f"an estimated {start.predicted_seconds:.3f} s"
    took = "" if start.actual_seconds is None else f", and it took {start.actual_seconds:.3f} s"
    return f"{where}, which was started meanwhile from {start.way or 'somewhere'} in {guess}{took}."


def _decided(decision: DecisionInfo) -> str:
    estimate = "" if decision.estimate_seconds is None else f" in c. {decision.estimate_seconds:.3f} s"
    if decision.kind == "start":
        retired = f"; {', '.join(decision.retire)} made room" if decision.retire else ""
        return f"start on node {decision.node}{estimate}{retired}"
    if decision.kind == "refuse":
        return f"refuse: {decision.reason}"
    drained = f"; {', '.join(decision.drain)} gives way" if decision.drain else ""
    moved = "".join(f"; {move.invocation} moves to {move.to_node}" for move in decision.moves)
    return f"wait{estimate}: {decision.reason}{drained}{moved}"


def _option(option: OptionInfo) -> tuple[object, ...]:
    parts = (option.queue_seconds, option.load_seconds, option.init_seconds, option.room_seconds, option.seconds)
    return option.node, option.way, *(f"{seconds:.3f} s" for seconds in parts), option.verdict


def _error(way: str, error: EstimateError) -> tuple[object, ...]:
    return way, error.starts, f"{error.p50:.1%}", f"{error.p90:.1%}", f"{error.p99:.1%}", f"{error.median_signed:+.1%}"
