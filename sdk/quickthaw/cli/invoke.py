"""`quickthaw invoke`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import click

from quickthaw.calls import CallOptions
from quickthaw.cli import arguments, output, progress
from quickthaw.cli.outputs_text import OutputsText
from quickthaw.cli.root import State, pass_state
from quickthaw.cli.visible import for_stream
from quickthaw.client import Invocation
from quickthaw.errors import InvalidRequest
from quickthaw.outputs import Outputs, failure
from quickthaw.types import Event, EventType


@click.command()
@click.argument("name")
@click.argument("argument", nargs=-1)
@click.option("--stream", "streamed", is_flag=True, help="Print outputs as they come.")
@click.option("--async", "detached", is_flag=True, help="Do not wait: print the invocation's id.")
@click.option("--alias", help="Alias to call (else live).")
@click.option("-s", "--sampling", multiple=True, metavar="KEY=VALUE", help="Sampling, for example temperature=0.")
@click.option("-c", "--chat", multiple=True, metavar="KEY=VALUE", help="Chat options, for example tool_choice=none.")
@click.option("--compress", metavar="PART", help="Part of long texts that is kept, JSON, or false: none is shortened.")
@output.json_option
@pass_state
def invoke(
    state: State,
    name: str,
    argument: tuple[str, ...],
    streamed: bool,
    detached: bool,
    alias: str | None,
    sampling: tuple[str, ...],
    chat: tuple[str, ...],
    compress: str | None,
    as_json: bool,
) -> None:
    """Call function NAME with ARGUMENT: a JSON object, `-` for one on standard input, or key=value pairs.

    NAME:ALIAS calls another alias than live. A value of a pair that is JSON counts as that, and as text where the
    function takes text.

    Ctrl-C cancels the call, except with --async. --stream --json prints one event a line.
    """
    if streamed and detached:
        raise click.UsageError("--stream waits and --async does not; choose one")
    function, named = _function_and_alias(name, alias)
    input = arguments.handler_input(argument)
    options: CallOptions = {
        "alias": named,
        "sampling": arguments.pairs(sampling) or None,
        "chat": arguments.pairs(chat) or None,
        "compress": None if compress is None else arguments.compression(compress),
    }
    call = _Call(state, function, input, arguments.words_of(argument), options)
    if detached:
        _detach(call, as_json)
        return
    with contextlib.closing(call.events()) as events:
        if streamed:
            (_event_lines if as_json else _text)(events)
        else:
            _result(events, as_json)


def _function_and_alias(name: str, alias: str | None) -> tuple[str, str | None]:
    function, colon, named = name.partition(":")
    if colon and alias is not None:
        raise click.UsageError(f"{name} names an alias, and so does --alias; choose one")
    return function, named if colon else alias


@dataclass(frozen=True, slots=True)
class _Call:
    """A call whose arguments are sent as they look, and again as text where the function refuses that."""

    state: State
    name: str
    input: dict[str, Any]
    written: dict[str, str]  # the values of key=value pairs
    options: CallOptions

    def events(self) -> Generator[Event, None, None]:
        """Yield the call's events."""
        try:
            yield from self.state.client.stream_events(self.name, self.input, **self.options)
        except InvalidRequest as refused:
            yield from self._as_text(refused).events()

    def spawn(self) -> Invocation:
        """Call without waiting."""
        try:
            return self.state.client.spawn(self.name, self.input, **self.options)
        except InvalidRequest as refused:
            return self._as_text(refused).spawn()

    def _as_text(self, refused: InvalidRequest) -> _Call:
        other = arguments.as_text(self.input, self.written, refused)
        if other is None:
            raise refused
        return replace(self, input=other)


def _detach(call: _Call, as_json: bool) -> None:
    invocation = call.spawn()
    if as_json:
        output.print_json(invocation.status())
        return
    click.echo(invocation.id)
    click.echo(f"`quickthaw invocations follow {invocation.id}` waits for it", err=True)


def _event_lines(events: Generator[Event, None, None]) -> None:
    for event in events:
        click.echo(event.model_dump_json())
        if event.type is EventType.ERROR:
            raise failure(event)


def _text(events: Generator[Event, None, None]) -> None:
    reader, text = Outputs(), OutputsText()
    try:
        for event in progress.shown(events):
            for item in reader.take(event):
                text.show(item)
    finally:
        text.end()


def _result(events: Generator[Event, None, None], as_json: bool) -> None:
    for event in progress.shown(events):
        if event.type is EventType.ERROR:
            raise failure(event)
        if event.type is EventType.RESULT:
            print_result(event.data, as_json)


def print_result(data: dict[str, Any], as_json: bool) -> None:
    """Print what a call returned: text as it is, anything else as JSON; with `as_json` also its usage."""
    value = data.get("value")
    if as_json:
        output.print_json(data)
    elif isinstance(value, str):
        click.echo(for_stream(value, sys.stdout))
    else:
        output.print_json(value)
