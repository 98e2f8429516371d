"""`python -m benchmarks.engines`: the engines through the platform, beside the servers and loops that others use.

The platform is up all the while with a function for each engine on the same weights, and in each round so is
llama.cpp's server: what is compared most closely is asked in turn, wave by wave. Whatever else is measured is started
for it and ended after it; the slow peers run in the first round only, unless all is wanted.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.assets import DENSE
from benchmarks.engines.measures import Figures, Plan, in_turn
from benchmarks.engines.models import MODELS, SMALL, Model
from benchmarks.engines.report import BATCH, CONTINUOUS, GENERATE, LLAMACPP, MIXED, TRANSFORMERS, VLLM, goals, rows
from benchmarks.engines.subjects import (
    KEEP_ALIVE_SECONDS,
    Batches,
    LlamaServer,
    OtherPlatform,
    Platform,
    Server,
    TransformersServer,
    VllmServer,
)
from benchmarks.peers.generate_batch import GenerateBatch
from benchmarks.peers.static_batch import StaticBatch
from benchmarks.processes import end_on_sigterm
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.served import Import, Served
from quickthaw_backends.engines.transformers_engine.linear import native_bf16

DTYPES = ("bfloat16", "float32")
DENSE_SUFFIX = "-dense"
FAST: Mapping[str, Any] = {"compute": "mixed", "exact": False}
QUICK = Plan(prefills=(32,), streams=(1, BATCH), waves=1)
FULL = Plan(streams=(1, 4, 8, 16), waves=1)


Case = Callable[[], Mapping[str, Figures]]


class Bench:
    """One run over one model."""

    def __init__(self, model: Model, logs: Path, plan: Plan, vllm: Path | None, screen: Console) -> None:
        """`vllm`: the Python that has it."""
        self._model = model
        self._logs = logs
        self._plan = plan
        self._streams = max(plan.streams)
        self._vllm = vllm
        self._screen = screen
        self._seeds: Iterator[int] = itertools.count(1)
        self._rounds: Iterator[int] = itertools.count()

    def run(self, rounds: int, slow_rounds: int) -> dict[str, list[Figures]]:
        """Measure all; the slow ones in so many of the rounds."""
        gguf = self._model.gguf()
        with Served((Import(self._model.name, str(gguf)), self._dense(gguf))) as served:
            side_by_side = [*self._platform(served), LlamaServer(gguf, self._logs / "llama.log", self._streams)]
            slow = self._slow(served, self._model.hugging_face())
            quick = {", ".join(server.name for server in side_by_side): self._measuring(side_by_side, self._plan)}
            slow_rounds = min(rounds, slow_rounds)
            measured = self._interleaved(quick | slow, slow_rounds) + self._interleaved(quick, rounds - slow_rounds)
        found: dict[str, list[Figures]] = {}
        for figures in measured:
            for name, one in figures.items():
                found.setdefault(name, []).append(one)
        return found

    def _dense(self, gguf: Path) -> Import:
        return Import(f"{self._model.name}{DENSE_SUFFIX}", str(gguf), DENSE)

    def _platform(self, served: Served) -> list[Server]:
        self._deploy(served, "llamacpp", model=self._model.name, engine="llamacpp")
        self._deploy(served, "transformers", model=f"{self._model.name}{DENSE_SUFFIX}", engine="transformers")
        return [Platform(served, "llamacpp", LLAMACPP), Platform(served, "transformers", TRANSFORMERS)]

    def _deploy(self, served: Served, name: str, **spec: Any) -> None:
        served.deploy(name, concurrency=self._streams, keep_alive=KEEP_ALIVE_SECONDS, **spec)

    def _slow(self, served: Served, folder: Path) -> dict[str, Case]:
        """Return those that are measured alone."""
        servers: list[Server] = [TransformersServer(folder, self._logs / "serve.log", DTYPES[1])]
        if native_bf16():
            dense = f"{self._model.name}{DENSE_SUFFIX}"
            self._deploy(served, "mixed", model=dense, engine="transformers", options=FAST)
            servers.append(Platform(served, "mixed", MIXED))
        if self._vllm is not None:
            servers.append(OtherPlatform(self._vllm, self._dense(self._model.gguf()), self._streams, VLLM))
            servers.append(VllmServer(self._vllm, folder, self._logs / "vllm.log", self._streams))
        log = self._logs / "batches.log"
        loops = [Batches(StaticBatch(folder, dtype, log), f"{GENERATE}, {dtype}", (1, BATCH)) for dtype in DTYPES]
        loops.append(Batches(GenerateBatch(folder, DTYPES[0], log), f"{CONTINUOUS}, {DTYPES[0]}", (BATCH,)))
        once = replace(self._plan, waves=1)
        cases = {server.name: self._measuring([server], once) for server in servers}
        return cases | {loop.name: partial(self._alone, loop) for loop in loops}

    def _measuring(self, servers: Sequence[Server], plan: Plan) -> Case:
        def measure() -> Mapping[str, Figures]:
            with ExitStack() as stack:
                running = {server.name: stack.enter_context(server.running()) for server in servers}
                return in_turn(running, plan, self._seeds, next(self._rounds))

        return measure

    def _alone(self, loop: Batches) -> Mapping[str, Figures]:
        return {loop.name: loop.measure(self._plan, self._seeds)}

    def _interleaved(self, cases: Mapping[str, Case], rounds: int) -> list[Mapping[str, Figures]]:
        return [figures for those in interleave(cases, rounds, self._screen).values() for figures in those]


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option(
    "--full",
    is_flag=True,
    help="All models, 16 streams, slow peers in all rounds: hours.",
)
@click.option("--quick", is_flag=True, help="One round of the shortest prompts, without the slow peers: a smoke test.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice([model.name for model in MODELS]),
    help="Measure this one, or these; default: the first, with --full all.",
)
@click.option(
    "--vllm",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python that has the platform and vLLM: both are measured there too (see docs/engines.md).",
)
def main(rounds: int, full: bool, quick: bool, models: Sequence[str], vllm: Path | None) -> None:
    """Measure the engines side by side; print a table and write benchmarks/results/bench-engines.json."""
    end_on_sigterm()
    screen = console()
    plan = FULL if full else QUICK if quick else Plan()
    rounds, slow_rounds = (1, 0) if quick else (rounds, rounds if full else 1)
    table: list[dict[str, Cell]] = []
    bounds: list[Goal] = []
    for model in _chosen(models, full=full):
        with tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs:
            found = Bench(model, Path(logs), plan, vllm, screen).run(rounds, slow_rounds)
        table += rows(_label(model), found, plan)
        bounds += goals(_label(model), found)
    settings = {"rounds": rounds, "slow_rounds": slow_rounds, "full": full, "quick": quick, "vllm": vllm is not None}
    publish(Report("engines", tuple(table), tuple(bounds), settings), screen)


def _chosen(names: Sequence[str], *, full: bool) -> list[Model]:
    if names:
        return [model for model in MODELS if model.name in names]
    return list(MODELS) if full else [SMALL]


def _label(model: Model) -> str:
    return f"{'1B-shaped' if model.shape else 'SmolLM2-135M'} {model.kind}"


if __name__ == "__main__":
    main()
