"""`python -m benchmarks.cold`: request → first token from zero, by engine, against other ways to start.

All in one run, interleaved: the platform with its functions scaled to zero (the node's template there, or killed; the
weights on disk or in S3; the beginning of the prompt read or not), the floor (a prompt's prefill in a process where
all is loaded), and the peers, each started or woken for the request.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from benchmarks.assets import DENSE, MODEL, gguf_file, hugging_face_folder
from benchmarks.cold import report as names
from benchmarks.cold.from_zero import QUESTION_TOKENS, FromZero, Primed
from benchmarks.cold.memory import of_second_instance
from benchmarks.cold.on_vllm import OnVllm
from benchmarks.cold.report import ENGINES, SYSTEM_TOKENS, Memory, primed, report, stage_report
from benchmarks.full import full
from benchmarks.peers import ColdPeer
from benchmarks.peers.from_pretrained import FromPretrained
from benchmarks.peers.llamacpp import AsleepLlamaCpp, LlamaCpp
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.processes import end_on_sigterm
from benchmarks.prompts import sized
from benchmarks.reference import Reference
from benchmarks.report import console, publish
from benchmarks.rounds import interleave
from benchmarks.served import Import, Served
from quickthaw.resources import Tier

GGUF = "smollm2-135m-gguf"
MODELS = dict(zip(ENGINES, (GGUF, MODEL), strict=True))
IMPORTS = (Import(GGUF), Import(MODEL, options=DENSE))
TIERS: dict[Tier, str] = {"dram": names.KILLED, "disk": names.DISK, "remote": names.S3}
MOST_STAGE_ROUNDS = 3

Case = Callable[[], float]


class Measured(NamedTuple):
    """Seconds of each case by its name, memory, and seconds of the stages of starts by engine and tier."""

    seconds: dict[str, list[float]]
    memory: Memory
    stages: dict[str, list[dict[str, float]]]


def measure(rounds: int, vllm: Path | None, screen: Console) -> Measured:
    """Run all cases. `vllm`: the Python that has it."""
    seeds = itertools.count()
    with (
        tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs,
        Served(IMPORTS, up_options=["--with-s3"]) as served,
        Reference(served.checkpoints, Path(logs) / "engine.log", options={}) as reference,
    ):
        functions = {engine: FromZero(served, engine, model, engine, seeds) for engine, model in MODELS.items()}
        known = {tokens: Primed(served, f"primed-{tokens}", GGUF, ENGINES[0], tokens) for tokens in SYSTEM_TOKENS}
        floor = partial(_prefill, reference, seeds)
        floor()  # the first one pays for what a process does once
        cases = {name: case for engine, function in functions.items() for name, case in _cases(engine, function)}
        cases |= {primed(tokens): one.first_token_seconds for tokens, one in known.items()}
        cases |= {names.FLOOR: floor, **{peer.name: peer.first_token_seconds for peer in _peers(Path(logs))}}
        if vllm is not None:
            on_vllm = OnVllm(vllm, seeds)
            cases |= {names.VLLM: on_vllm.from_zero, names.VLLM_ASLEEP: on_vllm.asleep}
        seconds = interleave(cases, rounds, screen)
        stages = {
            f"{engine}, {tier}": [function.stages(tier) for _ in range(min(rounds, MOST_STAGE_ROUNDS))]
            for engine, function in functions.items()
            for tier in TIERS
        }
        second = of_second_instance(served, "second", GGUF, ENGINES[0])
        memory = Memory(known[SYSTEM_TOKENS[-1]].private_bytes(), second)
        return Measured(seconds, memory, stages)


def _cases(engine: str, function: FromZero) -> Iterator[tuple[str, Case]]:
    yield f"{engine}, {names.PLAIN}", function.plain
    yield f"{engine}, {names.UNSEEN}", function.unseen
    for tier, name in TIERS.items():
        yield f"{engine}, {name}", partial(function.from_tier, tier)
    yield f"{engine}, {names.WARM}", function.warm


def _prefill(reference: Reference, seeds: Iterator[int]) -> float:
    return reference.prefill_seconds(sized(QUESTION_TOKENS, next(seeds)))


def _peers(logs: Path) -> list[ColdPeer]:
    folder, gguf = hugging_face_folder(), gguf_file()
    return [
        TransformersServe(folder, logs / "serve.log"),
        FromPretrained(folder, logs / "from_pretrained.log"),
        LlamaCpp(gguf, logs / "llama.log"),
        LlamaCpp(gguf, logs / "llama-tuned.log", tuned=True),
        AsleepLlamaCpp(gguf, logs / "llama-asleep.log"),
    ]


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@full("Five rounds.", rounds=5)
@click.option("--quick", is_flag=True, help="One round: a smoke test.")
@click.option(
    "--vllm",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python that has the platform and vLLM, which is measured there too (see docs/engines.md).",
)
def main(rounds: int, quick: bool, vllm: Path | None) -> None:
    """Measure cold starts; print a table and write benchmarks/results/bench-cold.json."""
    end_on_sigterm()
    screen = console()
    rounds = 1 if quick else rounds
    measured = measure(rounds, vllm, screen)
    settings = {"rounds": rounds, "quick": quick, "vllm": vllm is not None}
    publish(report(measured.seconds, measured.memory, settings), screen)
    publish(stage_report(measured.stages, settings), screen)


if __name__ == "__main__":
    main()
