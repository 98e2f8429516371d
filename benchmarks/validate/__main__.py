"""`python -m benchmarks.validate`: documents of WikiText-2 scored by `quickthaw validate` and by lm-eval itself.

Both start anew each time, from a command to its result: the same bf16 weights, pages, windows and processors, in
interleaved rounds. lm-eval runs as its own defaults have it (batches of one). Ours pays for the command, a function's
cold start and its removal. Both compute in float32, where their results are the same, and in bfloat16 where the
processor can.
CPU seconds are those of the command and of the platform; threads that spin while they wait count too. Beside them the
engine's own rate: the same windows as prompts without log-probabilities.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import httpx

from benchmarks.assets import CHILDREN, MODEL, hugging_face_folder
from benchmarks.processes import OFFLINE, end_on_sigterm
from benchmarks.report import Goal, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.served import Served, program
from benchmarks.written import write
from quickthaw_backends.engines.transformers_engine.linear import native_bf16

LM_EVAL = Path(sys.prefix) / "lm-eval"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
PAGES = DATA / "wikitext2_test_pages62.jsonl.gz"
TASK = DATA / "lm_eval_wikitext_local.yaml"
DOCUMENT = Path(__file__).parents[2] / "docs" / "validation.md"
WINDOW = 1023
"""Tokens that lm-eval's windows see; each predicts one more, so that prompts have 1,024."""

OURS, PEER, PREFILL = "quickthaw validate", "lm-eval, in float32", "the engine's prefill"
MIXED, PEER_MIXED = "quickthaw validate, in bfloat16", "lm-eval, in bfloat16"
IN_BFLOAT16 = ("--option", "compute=mixed", "--option", "exact=false")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pages are scored, and how often."""

    pages: int = 3
    rounds: int = 3


FULL = Plan(pages=62, rounds=3)
QUICK = Plan(pages=1, rounds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: how long it took, the tokens a second where they are known, and what it found."""

    seconds: float
    rate: float | None
    word_perplexity: float | None
    cpu_seconds: float | None = None


class Runs:
    """What is run, in a folder of its own."""

    def __init__(self, served: Served, folder: Path, plan: Plan) -> None:
        self._served = served
        self._folder = folder
        self.pages = folder / "pages.jsonl"
        self.pages.write_text("".join(gzip.decompress(PAGES.read_bytes()).decode().splitlines(True)[: plan.pages]))
        text = TASK.read_text().replace(PAGES.name.removesuffix(".gz"), str(self.pages))
        (folder / "wikitext_local.yaml").write_text(text)
        rules = LM_EVAL / "lm_eval" / "tasks" / "wikitext" / "preprocess_wikitext.py"
        (folder / rules.name).write_text(rules.read_text())

    def ours(self, *options: str) -> Run:
        """Run the command on the checkpoint, which has no function yet."""
        own = {"QUICKTHAW_DATA_DIR": str(self._served.data_dir), "QUICKTHAW_URL": self._served.url}
        given = [MODEL, "--text", self.pages, "--protocol", "lm-eval", "--window", WINDOW, "--json", *options]
        before = self._served.cpu_seconds(with_ended=True)
        seconds, cpu_seconds, printed = _timed([program("quickthaw"), "validate", *map(str, given)], own)
        cpu_seconds += self._served.cpu_seconds(with_ended=True) - before
        found = json.loads(printed)
        return Run(seconds, found["tokens_per_second"], found["word_perplexity"]["value"], cpu_seconds)

    def peer(self, dtype: str) -> Run:
        """Run lm-eval on the same weights, computing in `dtype`."""
        script = CHILDREN / "lm_eval_run.py"
        given = [sys.executable, script, hugging_face_folder(), self._folder, WINDOW, dtype]
        seconds, cpu_seconds, printed = _timed(list(map(str, given)), {**OFFLINE, "PYTHONPATH": str(LM_EVAL)})
        return Run(seconds, None, json.loads(printed.splitlines()[-1])["word_perplexity,none"], cpu_seconds)

    def prefill(self, windows: int) -> Run:
        """Have the engine read prompts of as many tokens, without log-probabilities."""
        target = self._served.target("/v1/completions")
        began = time.monotonic()
        for number in range(windows):
            prompt = [(number * 7919 + place * 31) % 40_000 + 100 for place in range(WINDOW + 1)]
            body = {"model": "prefill", "prompt": prompt, "max_tokens": 1}
            httpx.post(
                f"{target.url}{target.path}", json=body, headers=dict(target.headers), timeout=600
            ).raise_for_status()
        seconds = time.monotonic() - began
        return Run(seconds, windows * (WINDOW + 1) / seconds, None)


def _timed(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Return the seconds that a command took, those of processors, and what it printed."""
    began, used = time.monotonic(), _children_seconds()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr[-2000:]}")
    return time.monotonic() - began, _children_seconds() - used, done.stdout


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(found: dict[str, list[Run]], plan: Plan) -> Report:
    """Return a row for each way; goals are ratios of medians, and that the results are the same."""
    rows = tuple(
        {
            "": name,
            "seconds": _median([run.seconds for run in runs]),
            "tokens/s": None if runs[0].rate is None else _median([run.rate or 0.0 for run in runs]),
            "CPU seconds": None if runs[0].cpu_seconds is None else _median([run.cpu_seconds or 0.0 for run in runs]),
            "word perplexity": runs[0].word_perplexity,
        }
        for name, runs in found.items()
    )
    rates = {name: _median([run.rate or 0.0 for run in found[name]]) for name in (OURS, PREFILL)}
    goals = [Goal("of the engine's prefill rate", rates[OURS] / rates[PREFILL], 0.8, ">=")]
    for ours, theirs, apart in ((OURS, PEER, 0.0001), (MIXED, PEER_MIXED, 0.005)):
        if ours in found:
            goals += _compared(ours, found[ours], found[theirs], apart)
    return Report("validate", rows, tuple(goals), {"pages": plan.pages, "rounds": plan.rounds, "window": WINDOW})


def _compared(name: str, ours: list[Run], theirs: list[Run], apart: float) -> list[Goal]:
    """Return the goals of one precision; word perplexities may be so far `apart`, as a part of lm-eval's."""
    times = _median([run.seconds for run in theirs]) / _median([run.seconds for run in ours])
    difference = abs((ours[0].word_perplexity or 0.0) / (theirs[0].word_perplexity or 1.0) - 1)
    return [
        Goal(f"times faster than lm-eval: {name}", times, 3.0, ">="),
        Goal(f"relative difference of word perplexities: {name}", difference, apart, "<="),
    ]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


@click.command()
@click.option("--full", is_flag=True, help="The whole test set: hours.")
@click.option("--quick", is_flag=True, help="One page and one round: a smoke test.")
@click.option("--pages", type=click.IntRange(1), help="So many pages, in place of the plan's.")
@click.option("--write", "into_document", is_flag=True, help="Write the table into docs/validation.md.")
def main(full: bool, quick: bool, pages: int | None, into_document: bool) -> None:
    """Score pages with both; print a table and write benchmarks/results/bench-validate.json."""
    end_on_sigterm()
    if not PAGES.exists() or not LM_EVAL.exists():
        raise click.ClickException(f"needs {PAGES} and {LM_EVAL}; `make bench-validate` installs the latter")
    plan = FULL if full else QUICK if quick else Plan()
    plan = plan if pages is None else Plan(pages, plan.rounds)
    screen = console()
    with Served() as served, tempfile.TemporaryDirectory(prefix="quickthaw-bench-validate-") as folder:
        served.deploy("prefill", min_instances=1)
        runs = Runs(served, Path(folder), plan)
        cases: dict[str, Callable[[], Run]] = {
            OURS: runs.ours,
            PEER: partial(runs.peer, "float32"),
            PREFILL: partial(runs.prefill, 2 * plan.pages),
        }
        if native_bf16():
            cases |= {MIXED: partial(runs.ours, *IN_BFLOAT16), PEER_MIXED: partial(runs.peer, "bfloat16")}
        found = interleave(cases, plan.rounds, screen)
    made = report(found, plan)
    publish(made, screen)
    if into_document:
        write([made], DOCUMENT, "bench-validate")


if __name__ == "__main__":
    main()
