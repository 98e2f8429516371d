"""`quickthaw invocations`: calls by their id."""

from __future__ import annotations

import contextlib

import click

from quickthaw.cli import output, progress
from quickthaw.cli.invoke import print_result
from quickthaw.cli.root import State, pass_state
from quickthaw.outputs import failure
from quickthaw.types import EventType, InvocationInfo, Usage


@click.group()
def invocations() -> None:
    """Look at calls by their id: those of `invoke --async`, and any other."""


@invocations.command("show")
@click.argument("id")
@output.json_option
@pass_state
def show(state: State, id: str, as_json: bool) -> None:
    """Show an invocation: its state, times and result."""
    _print(state.client.status(id), as_json)


@invocations.command("follow")
@click.argument("id")
@output.json_option
@pass_state
def follow(state: State, id: str, as_json: bool) -> None:
    """Wait for an invocation's end and print its result. Ctrl-C leaves it running."""
    with contextlib.closing(state.client.events(id)) as events:
        for event in progress.shown(events):
            if event.type is EventType.ERROR:
                raise failure(event)
            if event.type is EventType.RESULT:
                print_result(event.data, as_json)


@invocations.command("cancel")
@click.argument("id")
@output.json_option
@pass_state
def cancel(state: State, id: str, as_json: bool) -> None:
    """Cancel an invocation; one that has ended stays as it is."""
    _print(state.client.cancel(id), as_json)


def _print(info: InvocationInfo, as_json: bool) -> None:
    if as_json:
        output.print_json(info)
        return
    output.fields(
        [
            ("invocation", info.id),
            ("function", f"{info.function}, version {info.version}"),
            ("state", info.state.value),
            ("waits for", info.reason),
            ("position", info.position),
            ("estimate", None if info.estimate_seconds is None else f"{info.estimate_seconds:.1f} s"),
            ("node", info.node),
            ("created", output.when(info.created_at)),
            ("first output", output.when(info.first_output_at)),
            ("ended", output.when(info.ended_at)),
            ("start from", info.tier),
            *((f"stage {name}", f"{seconds:.3f} s") for name, seconds in info.stages.items()),
            ("prompt tokens", None if info.usage is None else _prompt_tokens(info.usage)),
            ("error", None if info.error is None else info.error.get("message")),
            ("result", info.result),
        ]
    )


def _prompt_tokens(usage: Usage) -> str:
    """Say how long the prompt was, and how much of it was there already: a small prefill is no miracle."""
    cached = f", of which {usage.cached_tokens:,} were read before" if usage.cached_tokens else ""
    original = f"; {usage.original_tokens:,} before compression" if usage.saved_tokens else ""
    return f"{usage.prompt_tokens:,}{cached}{original}"
