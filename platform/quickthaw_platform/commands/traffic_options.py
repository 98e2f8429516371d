"""Options by which commands are told what traffic to send: arrivals, tokens and prompts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from quickthaw.cli.ranges import FiniteRange
from quickthaw.types import parse_seconds
from quickthaw_platform.traffic.named import Traffic, traffic
from quickthaw_platform.traffic.planning import Sizes

F = TypeVar("F", bound=Callable[..., Any])


class DurationType(click.ParamType[float]):
    """Seconds, or a string such as "90s" or "5m"."""

    name = "duration"

    def __init__(self, *, may_be_zero: bool = False) -> None:
        self._may_be_zero = may_be_zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        try:
            seconds = parse_seconds(float(value) if isinstance(value, str) and _is_number(value) else value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        least = "at least" if self._may_be_zero else "more than"
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not self._may_be_zero):
            self.fail(f"{value} is no time of {least} 0 seconds", param, ctx)
        return seconds


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


DURATION = DurationType()
PLACE = DurationType(may_be_zero=True)
POSITIVE = FiniteRange(min=0, min_open=True)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class TrafficChoices(TypedDict):
    """What the options below give to a command."""

    arrivals: str
    trace_dir: Path | None
    rate: float | None
    speed: float | None
    offset: float | None
    cv: float | None
    on: float | None
    off: float | None
    period: float | None
    depth: float | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_scale: float
    most_in: int | None
    most_out: int | None
    corpus: Path | None
    shared_prefix: int


_OPTIONS = (
    click.option(
        "--arrivals", default="azure-code", show_default=True, metavar="NAME|KIND:FILE",
        help="When requests come: azure-code, azure-conv, constant, poisson, gamma, bursts, diurnal, or a trace file "
        "with its kind (azure, mooncake, burstgpt, csv, servegen).",
    ),
    click.option("--trace-dir", type=_FOLDER, help="Where the files of azure-code and azure-conv are."),
    click.option("--rate", type=POSITIVE, help="Mean requests per second; a trace is stretched or compressed."),
    click.option("--speed", type=POSITIVE, help="Seconds of the trace that pass in one."),
    click.option("--offset", type=PLACE, help="Where in the trace to begin; else its most typical part."),
    click.option("--cv", type=POSITIVE, help="Coefficient of variation of the gaps, for gamma (8)."),
    click.option("--on", type=DURATION, help="Mean length of a burst, for bursts (10s)."),
    click.option("--off", type=DURATION, help="Mean length of the silence between two bursts (30s)."),
    click.option("--period", type=DURATION, help="Of the wave, for diurnal (1d)."),
    click.option("--depth", type=FiniteRange(0, 1), help="Of the wave: 0 is flat, 1 goes down to nothing (0.8)."),
    click.option("--tokens-in", type=click.IntRange(1), help="Tokens of each prompt; else the trace's, or 512."),
    click.option("--tokens-out", type=click.IntRange(1), help="Tokens of each answer; else the trace's, or 128."),
    click.option(
        "--tokens-scale", type=POSITIVE, default=1.0, show_default=True, help="Multiply all numbers of tokens by this."
    ),
    click.option("--most-in", type=click.IntRange(1), help="Cut longer prompts to so many tokens."),
    click.option("--most-out", type=click.IntRange(1), help="Cut longer answers to so many tokens."),
    click.option("--corpus", type=_FILE, help="A text to make prompts of; else random words."),
    click.option(
        "--shared-prefix", type=click.IntRange(0), default=0, show_default=True,
        help="Let all prompts begin with the same text of so many tokens; else no two begin alike.",
    ),
)  # fmt: skip


def traffic_options(command: F) -> F:
    """Add them all."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_traffic(options: TrafficChoices) -> Traffic:
    """Return the traffic that the options name; SettingsInvalid says what does not fit."""
    return traffic(
        options["arrivals"], options["trace_dir"], options["tokens_in"], options["tokens_out"], rate=options["rate"],
        speed=options["speed"], offset=options["offset"], cv=options["cv"], on=options["on"], off=options["off"],
        period=options["period"], depth=options["depth"],
    )  # fmt: skip


def chosen_sizes(options: TrafficChoices) -> Sizes:
    """Return how numbers of tokens are changed."""
    return Sizes(options["tokens_scale"], options["most_in"], options["most_out"])
