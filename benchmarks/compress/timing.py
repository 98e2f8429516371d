"""From which length on a shorter prompt saves time, the compressor's own time included."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from benchmarks.compress.asking import Asker
from benchmarks.compress.safety import paragraphs
from benchmarks.compress.ways import ours
from benchmarks.report import Cell
from benchmarks.stats import median
from quickthaw.compression import about_tokens

NEVER = "none up to"


def time_rows(
    engine: str, asker: Asker, scoring: Asker, lengths: Sequence[int], repetitions: int, ratio: float
) -> list[Mapping[str, Cell]]:
    """Return a row for each length: seconds to the first token, of the prompt as it is and of the shorter one.

    "kept" is the same prompt once more, whose beginning the engine has kept. By information, `scoring` reads the whole
    prompt first. All ways take turns, each with a prompt of its own.
    """
    return [_row(engine, asker, scoring, length, repetitions, ratio) for length in lengths]


def break_even(rows: Sequence[Mapping[str, Cell]]) -> dict[str, str]:
    """Return for each engine and state of its cache the least length from which on compressing by frequency pays."""
    found: dict[str, str] = {}
    for engine in dict.fromkeys(str(row["engine"]) for row in rows):
        mine = [row for row in rows if row["engine"] == engine]
        for state, plain, shorter in (("new", "as it is, s", "frequency, s"), ("kept", "kept, s", "frequency kept, s")):
            saves = [int(row["tokens"] or 0) for row in mine if float(row[shorter] or 0) < float(row[plain] or 0)]
            loses = [int(row["tokens"] or 0) for row in mine if float(row[shorter] or 0) >= float(row[plain] or 0)]
            least = [tokens for tokens in saves if tokens > max(loses, default=0)]
            found[f"{engine}, prefix {state}"] = str(min(least)) if least else f"{NEVER} {mine[-1]['tokens']}"
    return found


def _row(engine: str, asker: Asker, scoring: Asker, length: int, repetitions: int, ratio: float) -> Mapping[str, Cell]:
    taken: dict[str, list[float]] = {}
    asker.seconds("Hello")  # an instance is there
    for turn in range(repetitions):
        prompts = [_prompt(length, 3 * turn + which, engine) for which in range(3)]
        taken.setdefault("as it is, s", []).append(asker.seconds(prompts[0]))
        taken.setdefault("kept, s", []).append(asker.seconds(prompts[0]))
        taken.setdefault("frequency, s", []).append(_compressed_seconds(prompts[1], asker, None, ratio))
        taken.setdefault("frequency kept, s", []).append(_compressed_seconds(prompts[1], asker, None, ratio))
        taken.setdefault("information, s", []).append(_compressed_seconds(prompts[2], asker, scoring, ratio))
    tokens = asker.count(prompts[0])
    return {"engine": engine, "tokens": tokens, **{name: round(median(each), 3) for name, each in taken.items()}}


def _compressed_seconds(prompt: str, asker: Asker, scoring: Asker | None, ratio: float) -> float:
    began = time.perf_counter()
    shorter = ours(prompt, ratio, about_tokens, None if scoring is None else scoring.scores, drop=False).text
    return time.perf_counter() - began + asker.seconds(shorter)


def _prompt(length: int, number: int, engine: str) -> str:
    """Return about so many tokens of WikiText and a question; no two begin alike, so that no prefix is kept."""
    texts = paragraphs()
    pieces, place = [f"{number} {engine} {length}"], number * 37 % len(texts)
    while sum(map(about_tokens, pieces)) < length:
        pieces.append(texts[place % len(texts)])
        place += 1
    return "\n".join(pieces) + "\n\nWhat is this about?"
