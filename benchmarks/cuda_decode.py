"""`python -m benchmarks.cuda_decode`: tokens a second on a GPU, the engine beside transformers' own `generate`.

A Llama with random weights in bfloat16. Both get the same prompts, all at once, and answer greedily; the engine may
compute all prompts in one step, as `generate` does.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from benchmarks import random_llama
from benchmarks.load_weights.shapes import SHAPES, TINY
from benchmarks.report import Cell, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.stats import median
from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.contracts import Checkpoint, GenerationRequest

PROMPT_TOKENS = 128
KV_BYTES = 8 << 30
OPTIONS = {"step_tokens": 4096, "prefill_tokens": 4096}


class Speed(NamedTuple):
    """Seconds until every stream has its first token, and tokens a second from then until one has its last."""

    first_seconds: float
    tokens_per_second: float


@dataclass
class Heard:
    """One stream: when its tokens came."""

    arrivals: list[float] = field(default_factory=list)
    error: QuickthawError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, outcome: Delta | QuickthawError) -> None:
        """Be the request's sink."""
        self.arrivals.append(time.perf_counter())
        if isinstance(outcome, QuickthawError):
            self.error = outcome
        if self.error or (isinstance(outcome, Delta) and outcome.finish_reason):
            self.over.set()


def speed(began: float, streams: Sequence[Sequence[float]]) -> Speed:
    """Evaluate when the tokens of each stream came."""
    first, last = max(arrivals[0] for arrivals in streams), min(arrivals[-1] for arrivals in streams)
    count = sum(first < instant <= last for arrivals in streams for instant in arrivals)
    return Speed(first - began, count / (last - first))


def prompts(count: int) -> list[list[int]]:
    """Return prompts that differ from the first token on."""
    return [[(stream * 7 + position) % 250 for position in range(PROMPT_TOKENS)] for stream in range(count)]


def by_engine(engine: TransformersEngine, streams: int, tokens: int) -> Speed:
    """Generate so many streams at once with the engine."""
    heard = [Heard() for _ in range(streams)]
    sampling = Sampling(temperature=0, max_tokens=tokens, ignore_eos=True, seed=1)
    began = time.perf_counter()
    for index, (prompt, sink) in enumerate(zip(prompts(streams), heard, strict=True)):
        engine.submit(GenerationRequest(f"r{index}", tuple(prompt), sampling), sink)
    for sink in heard:
        sink.over.wait()
        if sink.error is not None:
            raise sink.error
    return speed(began, [sink.arrivals for sink in heard])


def by_generate(model: Any, streams: int, tokens: int) -> Speed:
    """Generate so many streams as one static batch with transformers."""
    batch = torch.tensor(prompts(streams), device=model.device)
    generate = partial(model.generate, batch, attention_mask=torch.ones_like(batch), do_sample=False)
    seconds = [_seconds(partial(generate, min_new_tokens=count, max_new_tokens=count)) for count in (1, tokens)]
    return Speed(seconds[0], streams * (tokens - 1) / (seconds[1] - seconds[0]))


def report(speeds: Mapping[str, Sequence[Speed]], settings: Mapping[str, object]) -> Report:
    """Evaluate what was measured, by the name of each case."""
    rows: list[dict[str, Cell]] = [
        {
            "case": name,
            "first token s": median([run.first_seconds for run in runs]),
            "tokens/s": median([run.tokens_per_second for run in runs]),
            "runs": len(runs),
        }
        for name, runs in speeds.items()
    ]
    return Report("cuda-decode", tuple(rows), (), settings)


def started(checkpoint: Checkpoint, device: str) -> TransformersEngine:
    """Start the engine as an instance does."""
    engine = TransformersEngine()
    engine.prepare(checkpoint, OPTIONS, lambda _stage, _seconds: None)
    engine.start(device, 2, KV_BYTES)
    return engine


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _peer(source: Path, device: str) -> Any:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, trust_remote_code=False)
    return model.to(device).eval()


@click.command()
@click.option("--shape", default="1b", show_default=True, type=click.Choice([*SHAPES, TINY.name]), help="The model.")
@click.option("--device", default="cuda:0", show_default=True, help="Where to compute.")
@click.option("--streams", default=(1, 32), show_default=True, multiple=True, help="Streams at once; repeatable.")
@click.option("--tokens", default=128, show_default=True, type=click.IntRange(2), help="Tokens of each answer.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
def main(shape: str, device: str, streams: tuple[int, ...], tokens: int, rounds: int) -> None:
    """Measure decoding; print a table and write benchmarks/results/bench-cuda-decode.json."""
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder:
        checkpoint = random_llama.make({**SHAPES, TINY.name: TINY}[shape], Path(folder), device)
        engine, peer = started(checkpoint, device), _peer(Path(folder) / "source", device)
        cases: dict[str, Callable[[], Speed]] = {}
        for count in streams:
            cases[f"quickthaw, {count}"] = partial(by_engine, engine, count, tokens)
            cases[f"generate, {count}"] = partial(by_generate, peer, count, tokens)
        for case in cases.values():
            case()  # the first one pays for what a process does once
        speeds = interleave(cases, rounds, console(), 0.0)
        engine.close()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    settings = {"gpu": gpu, "shape": shape, "tokens": tokens, "prompt": PROMPT_TOKENS, "options": OPTIONS}
    publish(report(speeds, settings), console())


if __name__ == "__main__":
    main()
