"""`python -m benchmarks.exactness`: how often a resumed answer differs from the undisturbed one, and the price.

The engine alone, in this process, once for each way to compute. An answer is cut off and resumed in the same engine
with what it had, as after a kill or a migration, and the tokens that follow are compared. Answers that were computed
beside others are compared with the same ones computed alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.assets import DENSE, MODEL, SOURCE
from benchmarks.exactness.report import (
    BESIDE,
    EXACT,
    NEXT,
    RESUMED,
    Case,
    Comparison,
    Speed,
    compare,
    compare_next,
    report,
    speed_report,
)
from benchmarks.full import full
from benchmarks.processes import end_on_sigterm
from benchmarks.prompts import conversations
from benchmarks.report import console, publish
from benchmarks.rounds import announce, interleave, progress_bar
from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling, TokenLogprob
from quickthaw_platform import plugins, settings
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Engine, GenerationRequest
from quickthaw_platform.worker.zygote_client import WAITING

WAYS: Mapping[str, Mapping[str, Any]] = {
    EXACT: {},
    "mixed": {"compute": "mixed", "exact": False},
    "native bf16": {"compute": "native"},
    "float32": {"dtype": "float32", "exact": False},
}
SAMPLINGS: Mapping[str, Sampling] = {
    "greedy": Sampling(temperature=0, ignore_eos=True, logprobs=20),
    "sampled": Sampling(temperature=1, top_p=0.95, ignore_eos=True, logprobs=20),
}
SAMPLED_SHARE, RESUMED_SHARE = 0.2, 0.3
"""Of the prompts, how many are answered a second time, with sampling; and how many greedy answers are resumed."""

CUTS = (4, 12, 20)
"""After so many tokens of the answer it is cut off."""

AFTER_TOKENS = 32
WHOLE_TOKENS = CUTS[-1] + AFTER_TOKENS
STREAMS = 4
SPEED_TOKENS = 48
KV_BYTES = 256 << 20

Tokens = tuple[int, ...]


@dataclass
class Heard:
    """One answer: its tokens, and when they came (monotonic seconds)."""

    entries: list[TokenLogprob] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    error: QuickthawError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, outcome: Delta | QuickthawError) -> None:
        """Be the request's sink."""
        if isinstance(outcome, QuickthawError):
            self.error = outcome
        else:
            self.arrivals.append(time.monotonic())
            self.entries += outcome.logprobs
            self.tokens += outcome.tokens
        if self.error or (isinstance(outcome, Delta) and outcome.finish_reason):
            self.over.set()


def generate(engine: Engine, requests: Sequence[GenerationRequest]) -> list[Heard]:
    """Run all requests at once and wait for their ends."""
    heard = [Heard() for _ in requests]
    for request, sink in zip(requests, heard, strict=True):
        engine.submit(request, sink)
    for sink in heard:
        sink.over.wait()
        if sink.error is not None:
            raise sink.error
    return heard


def asked(prompt: Tokens, sampling: Sampling, seed: int, said: Sequence[int] = (), most: int = 0) -> GenerationRequest:
    """Return a request for `most` tokens (0: of whole length), of which those in `said` are known."""
    wanted = sampling.model_copy(update={"seed": seed, "max_tokens": most or WHOLE_TOKENS})
    return GenerationRequest(f"r{seed}", (*prompt, *said), wanted, generated=len(said))


def resumed(engine: Engine, prompt: Tokens, sampling: Sampling, seed: int, whole: Heard) -> Iterator[Comparison]:
    """Cut an answer off at each of the cuts, and compare what a resumed one says."""
    for cut in CUTS:
        request = asked(prompt, sampling, seed, whole.tokens[:cut], cut + AFTER_TOKENS)
        (found,) = generate(engine, [request])
        yield compare(whole.entries[cut : cut + AFTER_TOKENS], found.entries)


def next_tokens(engine: Engine, prompt: Tokens, sampling: Sampling, whole: Heard) -> Iterator[Comparison]:
    """Compute prompt and answer anew in one pass: which token would come after each cut?"""
    echoing = sampling.model_copy(update={"echo": True, "max_tokens": 0, "seed": 0})
    (found,) = generate(engine, [GenerationRequest("echo", (*prompt, *whole.tokens), echoing)])
    for expected, recomputed in zip(whole.entries, found.entries[len(prompt) :], strict=True):
        yield compare_next(expected, recomputed)


def beside(engine: Engine, prompts: Sequence[Tokens], sampling: Sampling, wholes: Sequence[Heard]) -> list[Comparison]:
    """Compute answers `STREAMS` at a time and compare them with those computed alone."""
    found: list[Heard] = []
    for begin in range(0, len(prompts), STREAMS):
        seeds = range(begin, min(begin + STREAMS, len(prompts)))
        found += generate(engine, [asked(prompts[seed], sampling, seed) for seed in seeds])
    return [compare(whole.entries, one.entries) for whole, one in zip(wholes, found, strict=True)]


def comparisons(engine: Engine, way: str, counts: Mapping[str, int]) -> dict[Case, list[Comparison]]:
    """Compare for greedy and sampled answers to so many prompts; of the greedy ones, resume so many."""
    found: dict[Case, list[Comparison]] = {}
    for name, sampling in SAMPLINGS.items():
        prompts = [tuple(engine.tokenizer.chat(one).tokens) for one in conversations(0, counts[name])]
        wholes = [generate(engine, [asked(prompt, sampling, seed)])[0] for seed, prompt in enumerate(prompts)]
        both = list(zip(prompts, wholes, strict=True))
        cut = both[: counts["resumed"]] if name == "greedy" else both
        found[Case(way, RESUMED, name)] = [
            one for seed, (prompt, whole) in enumerate(cut) for one in resumed(engine, prompt, sampling, seed, whole)
        ]
        if name == "greedy":
            found[Case(way, NEXT, name)] = [
                one for prompt, whole in both for one in next_tokens(engine, prompt, sampling, whole)
            ]
        found[Case(way, BESIDE, name)] = beside(engine, prompts, sampling, wholes)
    return found


def speed(engine: Engine) -> Speed:
    """Measure how fast tokens come, prefills not counted."""
    return Speed(_tokens_per_second(engine, 1), _tokens_per_second(engine, STREAMS))


def _tokens_per_second(engine: Engine, streams: int) -> float:
    sampling = Sampling(temperature=0, ignore_eos=True)
    prompts = [tuple(engine.tokenizer.chat(one).tokens) for one in conversations(0, streams)]
    requests = [asked(prompt, sampling, seed, most=SPEED_TOKENS) for seed, prompt in enumerate(prompts)]
    heard = generate(engine, requests)
    first = max(one.arrivals[0] for one in heard)
    last = min(one.arrivals[-1] for one in heard)
    return sum(first < at <= last for one in heard for at in one.arrivals) / (last - first)


@contextmanager
def started(store: DiskStore, options: Mapping[str, Any]) -> Iterator[Engine]:
    """Run an engine as an instance does, to the end of the `with` block."""
    engine = plugins.engine_class("transformers")()
    engine.prepare(store.find(MODEL), options, lambda _stage, _seconds: None)
    engine.start("cpu", settings.load().threads, KV_BYTES)
    with closing(engine):
        yield engine


def _imported(data_dir: Path) -> DiskStore:
    command = [str(Path(sys.executable).with_name("quickthaw")), "models", "import", SOURCE, "--name", MODEL]
    subprocess.run([*command, *DENSE], env={"QUICKTHAW_DATA_DIR": str(data_dir)}, check=True)
    return DiskStore(data_dir / "checkpoints")


def _compared(
    engines: Mapping[str, Engine], counts: Mapping[str, int], screen: Console
) -> dict[Case, list[Comparison]]:
    found: dict[Case, list[Comparison]] = {}
    with progress_bar(screen) as progress:
        task = progress.add_task("", total=len(engines))
        for way, engine in engines.items():
            announce(progress, task, f"comparing answers: {way}")
            found |= comparisons(engine, way, counts)
            progress.advance(task)
    return found


@click.command()
@click.option(
    "--rounds", default=2, show_default=True, type=click.IntRange(1), help="Interleaved rounds of the speeds."
)
@click.option("--prompts", default=4, show_default=True, type=click.IntRange(2), help="How many are answered.")
@full("Twenty conversations and three rounds.", prompts=20, rounds=3)
@click.option("--quick", is_flag=True, help="Two prompts and one round: a smoke test.")
def main(rounds: int, prompts: int, quick: bool) -> None:
    """Compare resumed answers with undisturbed ones; write benchmarks/results/bench-exactness.json, and -speed.json."""
    end_on_sigterm()
    os.environ.update(WAITING)  # before torch is imported
    screen = console()
    rounds, prompts = (1, 2) if quick else (rounds, prompts)
    counts = {
        "greedy": prompts,
        "resumed": max(1, round(prompts * RESUMED_SHARE)),
        "sampled": max(1, round(prompts * SAMPLED_SHARE)),
    }
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder, ExitStack() as stack:
        store = _imported(Path(folder))
        engines = {way: stack.enter_context(started(store, options)) for way, options in WAYS.items()}
        for engine in engines.values():
            speed(engine)  # the first one pays for what a process does once
        speeds = interleave({way: partial(speed, engine) for way, engine in engines.items()}, rounds, screen)
        found = _compared(engines, counts, screen)
    how = {"quick": quick, "prompts": counts, "cuts": CUTS, "tokens_compared": AFTER_TOKENS}
    publish(report(found, how), screen)
    publish(speed_report(speeds, STREAMS, {"rounds": rounds, "quick": quick, "tokens": SPEED_TOKENS}), screen)


if __name__ == "__main__":
    main()
