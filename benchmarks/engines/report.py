"""Turns what the rounds measured into rows and goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.engines.measures import CHAT_TOKENS, LOADED_STREAMS, Figures, Plan
from benchmarks.report import Cell, Goal
from benchmarks.stats import median

LLAMACPP, TRANSFORMERS = "quickthaw, llamacpp", "quickthaw, transformers"
MIXED = f"{TRANSFORMERS}, compute=mixed, exact=false"
VLLM = "quickthaw, vllm"
SERVER = "llama.cpp's server"
GENERATE, CONTINUOUS = "generate", "generate_batch"

SERVER_FACTOR = 0.95
ONE_STREAM_FACTOR = 1.4
STATIC_FACTOR = 1.0
CONTINUOUS_FACTOR = 3.0
SECOND_TURN_RATIO = 0.3
BATCH = 8

Rounds = Mapping[str, Sequence[Figures]]
"""Of one model: what each subject's rounds measured, by its name; the first rounds of all were the same ones."""


def rows(model: str, found: Rounds, plan: Plan) -> list[dict[str, Cell]]:
    """Return a row for each subject: medians over its rounds."""
    return [_row(model, name, figures, plan) for name, figures in found.items() if figures]


def goals(model: str, found: Rounds) -> list[Goal]:
    """Return the goals of one model, as far as both sides of each were measured."""
    made = [_rates(model, found, LLAMACPP, SERVER, count, SERVER_FACTOR) for count in (1, BATCH)]
    made += [
        _rates(model, found, TRANSFORMERS, GENERATE, 1, ONE_STREAM_FACTOR),
        _rates(model, found, TRANSFORMERS, GENERATE, BATCH, STATIC_FACTOR),
        _rates(model, found, TRANSFORMERS, CONTINUOUS, BATCH, CONTINUOUS_FACTOR),
    ]
    made += [_second_turn(model, found, name) for name in (LLAMACPP, TRANSFORMERS)]
    return [goal for goal in made if goal is not None]


def _rates(model: str, found: Rounds, ours: str, peer: str, count: int, bound: float) -> Goal | None:
    """Compare tokens/s round by round; of a peer in several dtypes the faster one of each round counts."""
    peers = [figures for name, figures in found.items() if name.partition(", ")[0] == peer]
    best = [max(one.rates[count] for one in those if count in one.rates) for those in zip(*peers, strict=False)]
    pairs = zip(found.get(ours, ()), best, strict=False)
    ratios = [mine.rates[count] / theirs for mine, theirs in pairs if count in mine.rates]
    streams = "one stream" if count == 1 else f"{count} streams"
    return Goal(f"{model}: {ours} over {peer}, {streams}", median(ratios), bound, ">=") if ratios else None


def _second_turn(model: str, found: Rounds, name: str) -> Goal | None:
    ratio = _median(one.second_turn for one in found.get(name, ()))
    label = f"{model}: {name}, first token of the second turn of {CHAT_TOKENS:,} tokens over the first's"
    return None if ratio is None else Goal(label, ratio, SECOND_TURN_RATIO, "<=")


def _row(model: str, name: str, figures: Sequence[Figures], plan: Plan) -> dict[str, Cell]:
    prefill = {f"prefill {n:,} s": _median(one.prefill_seconds.get(n) for one in figures) for n in plan.prefills}
    rates = {f"tokens/s, {n}": _median(one.rates.get(n) for one in figures) for n in plan.streams}
    return {
        "model": model,
        "way": name,
        **prefill,
        **rates,
        f"first of {LOADED_STREAMS} s": _median(one.loaded_first_seconds for one in figures),
        "second turn ×": _median(one.second_turn for one in figures),
        "idle CPU": _median(one.idle_cores for one in figures),
        "rounds": len(figures),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
