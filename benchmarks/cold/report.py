"""Turns what was measured of cold starts into rows and goals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.demo.report import STAGES
from benchmarks.peers.llamacpp import AsleepLlamaCpp
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.report import Cell, Goal, Report
from benchmarks.stats import Summary, median

ENGINES = ("llamacpp", "transformers")
PLAIN, UNSEEN = "from zero", "from zero, a beginning never seen"
KILLED, DISK, S3, WARM = "template killed", "from disk", "from S3", "warm"
LLAMACPP, TRANSFORMERS = (f"{engine}, {PLAIN}" for engine in ENGINES)
LLAMACPP_UNSEEN, TRANSFORMERS_UNSEEN = (f"{engine}, {UNSEEN}" for engine in ENGINES)
LLAMACPP_WARM = f"{ENGINES[0]}, {WARM}"
FLOOR = "floor of transformers: prefill in a loaded process"
SERVE = TransformersServe.name
LLAMA = "llama.cpp"
ASLEEP = AsleepLlamaCpp.name
VLLM, VLLM_ASLEEP = f"vllm, {PLAIN}", "vllm, asleep"
SYSTEM_TOKENS = (200, 1000)

WARM_RATIO, WARM_ALLOWANCE_SECONDS = 1.3, 0.060
LLAMA_FACTOR, ASLEEP_FACTOR = 4.0, 3.0
SERVE_FACTORS = {LLAMACPP: 50.0, TRANSFORMERS: 25.0}
FLOOR_RATIO = 1.5
PRIMED_RATIO = 1.2
PRIMED_MB, SECOND_MB = 15.0, 30.0


class Memory(NamedTuple):
    """Private bytes of an instance of llamacpp: forked from a primed template, and one of two without."""

    primed: int
    second: int


def primed(tokens: int) -> str:
    """Return the name of the row with a system message of so many tokens."""
    return f"{ENGINES[0]}, {tokens:,} tokens primed"


def report(seconds: Mapping[str, Sequence[float]], memory: Memory, settings: Mapping[str, object]) -> Report:
    """Evaluate what was measured: seconds of each case, by its name."""
    middle = {name: median(values) for name, values in seconds.items()}
    rows = tuple(_row(name, values, middle[LLAMACPP]) for name, values in seconds.items())
    return Report("cold", rows, (*_goals(middle), *_memory_goals(memory)), settings)


def stage_report(stages: Mapping[str, Sequence[Mapping[str, float]]], settings: Mapping[str, object]) -> Report:
    """Put the median seconds of each stage side by side, a column for each engine and tier that weights came from."""
    names = dict.fromkeys((*STAGES, *(name for runs in stages.values() for run in runs for name in run)))
    rows: list[dict[str, Cell]] = [
        {"stage": name} | {column: median([run.get(name, 0.0) for run in runs]) for column, runs in stages.items()}
        for name in names
    ]
    rows.append({"stage": "all"} | {name: median([sum(run.values()) for run in runs]) for name, runs in stages.items()})
    return Report("cold-stages", tuple(rows), (), settings)


def _goals(middle: Mapping[str, float]) -> list[Goal]:
    ours, unseen = middle[LLAMACPP], middle[LLAMACPP_UNSEEN]
    over_warm = (unseen - WARM_ALLOWANCE_SECONDS) / middle[LLAMACPP_WARM]
    return [
        Goal(f"{LLAMACPP_UNSEEN}, less 60 ms, over its warm first token", over_warm, WARM_RATIO, "<="),
        Goal(f"llamacpp: times faster than {LLAMA} on demand", middle[LLAMA] / ours, LLAMA_FACTOR, ">="),
        Goal(f"llamacpp: times faster than {ASLEEP}", middle[ASLEEP] / ours, ASLEEP_FACTOR, ">="),
        *(
            Goal(f"{name}: times faster than {SERVE}", middle[SERVE] / middle[name], factor, ">=")
            for name, factor in SERVE_FACTORS.items()
        ),
        *(
            Goal(f"{primed(tokens)} over a beginning never seen", middle[primed(tokens)] / unseen, PRIMED_RATIO, "<=")
            for tokens in SYSTEM_TOKENS
        ),
        Goal(f"{TRANSFORMERS_UNSEEN}, over its floor", middle[TRANSFORMERS_UNSEEN] / middle[FLOOR], FLOOR_RATIO, "<="),
    ]


def _memory_goals(memory: Memory) -> list[Goal]:
    return [
        Goal(f"private MB of an instance with {SYSTEM_TOKENS[-1]:,} primed", memory.primed / 1e6, PRIMED_MB, "<="),
        Goal("private MB of a second instance", memory.second / 1e6, SECOND_MB, "<="),
    ]


def _row(name: str, seconds: Sequence[float], ours: float) -> dict[str, Cell]:
    summary = Summary.of(seconds)
    return {
        "way": name,
        "first token s (median)": summary.p50,
        "least": summary.least,
        "most": summary.most,
        "× llamacpp from zero": summary.p50 / ours,
        "runs": summary.count,
    }
