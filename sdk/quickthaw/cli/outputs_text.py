"""What a function puts out, as people read it while it comes."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from quickthaw.cli.visible import for_stream
from quickthaw.generation import Delta, ToolCallDelta


class OutputsText:
    """Prints text as it comes, a call of a tool on a line of its own, and any other value as JSON on one.

    What a model thinks first goes to standard error, so that standard output has the answer alone.
    """

    def __init__(self) -> None:
        self._open_line = False  # on standard output
        self._open_call = False
        self._open_thoughts = False  # a line on standard error

    def show(self, item: Any) -> None:
        """Print an output."""
        if isinstance(item, Delta):
            self._delta(item)
        elif isinstance(item, str):
            self._text(item)
        else:
            self.end()
            click.echo(json.dumps(item, ensure_ascii=False))

    def end(self) -> None:
        """End the line that is open."""
        self._end_thoughts()
        if self._open_call:
            click.echo(")", nl=False)
        if self._open_line:
            click.echo()
        self._open_line = self._open_call = False

    def _delta(self, delta: Delta) -> None:
        if delta.reasoning:
            click.echo(click.style(for_stream(delta.reasoning, sys.stderr), dim=True), nl=False, err=True)
            self._open_thoughts = not delta.reasoning.endswith("\n")
        self._text(delta.text)
        for piece in delta.tool_calls:
            self._call(piece)

    def _text(self, text: str) -> None:
        if text:
            self._end_thoughts()
            if self._open_call:
                self.end()
            click.echo(for_stream(text, sys.stdout), nl=False)
            self._open_line = not text.endswith("\n")

    def _call(self, piece: ToolCallDelta) -> None:
        if piece.name:
            self.end()
            click.echo(for_stream(f"call {piece.name}(", sys.stdout), nl=False)
            self._open_line = self._open_call = True
        click.echo(for_stream(piece.arguments, sys.stdout), nl=False)

    def _end_thoughts(self) -> None:
        if self._open_thoughts:
            click.echo(err=True)
        self._open_thoughts = False
