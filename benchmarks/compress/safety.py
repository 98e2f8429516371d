"""Counts what must never happen, over real and fuzzed prompts."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.compress.fuzzed import prompt
from benchmarks.report import Cell
from quickthaw.compression import FrequencyScorer, Reason, about_tokens, compress
from quickthaw.compression.segments import segments
from quickthaw.compression.spans import protected
from quickthaw.compression.verifier import fault

DATA = Path(__file__).parents[3] / "shared" / "data"
LEAST_PARAGRAPH = 200
"""Characters of a paragraph of WikiText that is taken."""

BAD = (Reason.EMPTY, Reason.NOT_A_SUBSEQUENCE, Reason.LOST_SPAN, Reason.INVALID_JSON, Reason.UNBALANCED)


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a data set."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def paragraphs() -> list[str]:
    """Return the longer paragraphs of WikiText-2's test set."""
    text = gzip.decompress((DATA / "wiki.test.raw.gz").read_bytes()).decode()
    return [line.strip() for line in text.split("\n") if len(line) >= LEAST_PARAGRAPH]


def corpora(fuzzed: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each kind of prompts, by name."""
    yield "GSM8K", [f"{row['question']}\n{row['answer']}" for row in rows("gsm8k_test")]
    yield "HumanEval", [row["prompt"] for row in rows("HumanEval")]
    yield "WikiText", paragraphs()
    yield "fuzzed", [prompt(random.Random(seed)) for seed in range(fuzzed)]


def safety_row(name: str, texts: list[str], ratio: float) -> Mapping[str, Cell]:
    """Compress all texts, and check each result against its original once more, as if nothing had been checked."""
    found: Counter[str] = Counter()
    before = after = 0
    for text in texts:
        done = compress(text, ratio=ratio, scorer=FrequencyScorer(), count_tokens=about_tokens)
        wrong = fault(text, done.text, protected(text, segments(text))) if text.strip() else None
        found["refused"] += done.reason in BAD
        found["shorter"] += done.text != text
        if wrong is not None:
            found[wrong] += 1
        before, after = before + done.original_tokens, after + done.tokens
    return {
        "prompts": name,
        "number": len(texts),
        "shorter": found["shorter"],
        "tokens left": f"{after / max(before, 1):.0%}",
        "refused by the verifier": found["refused"],
        **{str(reason): found[reason] for reason in BAD},
    }
