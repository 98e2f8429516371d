"""The option --full, of benchmarks that by default do what ten minutes allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def full(text: str, **defaults: object) -> Callable[[Command], Command]:
    """Return the decorator of a command that adds the option: with it, other options have these values by default."""

    def choose(context: click.Context, _parameter: click.Parameter, chosen: bool) -> None:
        if chosen:
            context.default_map = {**(context.default_map or {}), **defaults}

    return click.option("--full", is_flag=True, is_eager=True, expose_value=False, callback=choose, help=text)
