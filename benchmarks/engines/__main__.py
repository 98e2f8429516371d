"""`python -m benchmarks.engines`: the engines through the platform, beside the servers and loops that others use.

One interleaved run. The platform stays up with a function for each engine on the same weights; whatever else is
measured is started for it and ended after it. The slow peers run in the first round only, unless all is wanted.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.assets import DENSE
from benchmarks.engines.measures import Figures, Plan
from benchmarks.engines.models import OTHERS, SMALL, Model
from benchmarks.engines.report import BATCH, CONTINUOUS, GENERATE, LLAMACPP, MIXED, TRANSFORMERS, goals, rows
from benchmarks.engines.subjects import Batches, LlamaServer, Platform, Subject, TransformersServer
from benchmarks.peers.generate_batch import GenerateBatch
from benchmarks.peers.static_batch import StaticBatch
from benchmarks.processes import end_on_sigterm
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.served import Import, Served
from quickthaw_backends.engines.transformers_engine.linear import native_bf16

DTYPES = ("bfloat16", "float32")
DENSE_SUFFIX = "-dense"
KEEP_ALIVE_SECONDS = 3600.0
FAST: Mapping[str, Any] = {"compute": "mixed", "exact": False}
QUICK = Plan(prefills=(32,), streams=(1, BATCH))
FULL = Plan(streams=(1, 4, 8, 16))


class Bench:
    """One run over one model."""

    def __init__(self, model: Model, logs: Path, plan: Plan, screen: Console) -> None:
        self._model = model
        self._logs = logs
        self._plan = plan
        self._screen = screen
        self._seeds: Iterator[int] = itertools.count()

    def run(self, rounds: int, slow_rounds: int) -> dict[str, list[Figures]]:
        """Measure all subjects; the slow ones in so many of the rounds."""
        model, gguf = self._model, str(self._model.gguf())
        imports = (Import(model.name, gguf), Import(f"{model.name}{DENSE_SUFFIX}", gguf, DENSE))
        with Served(imports) as served:
            quick, slow = self._platform(served), [*self._mixed(served), *self._slow(self._model.hugging_face())]
            quick.append(LlamaServer(model.gguf(), self._logs / "llama.log"))
            found = self._interleaved([*quick, *slow], min(rounds, slow_rounds))
            for name, more in self._interleaved(quick, rounds - slow_rounds).items():
                found[name] += more
        return found

    def _platform(self, served: Served) -> list[Subject]:
        dense = f"{self._model.name}{DENSE_SUFFIX}"
        self._deploy(served, "llamacpp", model=self._model.name, engine="llamacpp")
        self._deploy(served, "transformers", model=dense, engine="transformers")
        return [Platform(served, "llamacpp", LLAMACPP), Platform(served, "transformers", TRANSFORMERS)]

    def _mixed(self, served: Served) -> list[Subject]:
        if not native_bf16():
            return []
        dense = f"{self._model.name}{DENSE_SUFFIX}"
        self._deploy(served, "mixed", model=dense, engine="transformers", options=FAST)
        return [Platform(served, "mixed", MIXED)]

    def _deploy(self, served: Served, name: str, **spec: Any) -> None:
        served.deploy(name, concurrency=max(self._plan.streams), keep_alive=KEEP_ALIVE_SECONDS, **spec)

    def _slow(self, folder: Path) -> list[Subject]:
        log = self._logs / "batches.log"
        loops = [Batches(StaticBatch(folder, dtype, log), f"{GENERATE}, {dtype}", (1, BATCH)) for dtype in DTYPES]
        loops.append(Batches(GenerateBatch(folder, DTYPES[0], log), f"{CONTINUOUS}, {DTYPES[0]}", (BATCH,)))
        return [TransformersServer(folder, self._logs / "serve.log", DTYPES[1]), *loops]

    def _interleaved(self, subjects: Sequence[Subject], rounds: int) -> dict[str, list[Figures]]:
        cases: dict[str, Callable[[], Figures]] = {
            one.name: partial(one.measure, self._plan, self._seeds) for one in subjects
        }
        return interleave(cases, rounds, self._screen)


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--full", is_flag=True, help="All models, 16 streams, and the slow peers in all rounds: hours.")
@click.option("--quick", is_flag=True, help="One round of the shortest prompts, without the slow peers: a smoke test.")
def main(rounds: int, full: bool, quick: bool) -> None:
    """Measure the engines side by side; print a table and write benchmarks/results/bench-engines.json."""
    end_on_sigterm()
    screen = console()
    plan = FULL if full else QUICK if quick else Plan()
    rounds, slow_rounds = (1, 0) if quick else (rounds, rounds if full else 1)
    table: list[dict[str, Cell]] = []
    bounds: list[Goal] = []
    for model in (SMALL, *OTHERS) if full else (SMALL,):
        with tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs:
            found = Bench(model, Path(logs), plan, screen).run(rounds, slow_rounds)
        table += rows(_label(model), found, plan)
        bounds += goals(_label(model), found)
    settings = {"rounds": rounds, "slow_rounds": slow_rounds, "full": full, "quick": quick}
    publish(Report("engines", tuple(table), tuple(bounds), settings), screen)


def _label(model: Model) -> str:
    return f"{'1B-shaped' if model.shape else 'SmolLM2-135M'} {model.kind}"


if __name__ == "__main__":
    main()
