"""Measures continuation quality: paragraphs are continued by calls, and compared beside the floors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quickthaw_platform.errors import UnusableAnswer
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.quality.answers import answers, key_of
from quickthaw_platform.validation.quality.floors import floors
from quickthaw_platform.validation.quality.metrics import quality
from quickthaw_platform.validation.quality.passages import Passage, Split, cut, sample
from quickthaw_platform.validation.quality.result import QualityResult
from quickthaw_platform.validation.quality.writer import Writer
from quickthaw_platform.validation.result import Subject
from quickthaw_platform.validation.running import Listening, Wish
from quickthaw_platform.validation.subjects import Served

COUNT = 200
SEED = 15


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be continued: `count` passages (0: all) of a text, split as `split` says, drawn by `seed`."""

    count: int = COUNT
    split: Split = field(default_factory=Split)
    seed: int = SEED


def measure_quality(
    writer: Writer, subject: Subject, corpus: Corpus, wanted: Wanted, folder: Path, *, resume: bool
) -> QualityResult:
    """Continue passages and compare them; what a stopped run has is kept in `folder` until a run ends.

    Raises InvalidRequest for a text without long enough paragraphs, and UnusableAnswer where all answers are empty.
    """
    there = wanted.split.passages(corpus)
    passages = sample(there, wanted.count, wanted.seed)
    # the address belongs to it: two servers may have a function of one name
    model = f"{writer.target.address} {writer.target.model} {subject.version} {subject.digest}"
    with answers(folder, key_of(passages, model, wanted.seed), resume=resume) as kept:
        seconds = asyncio.run(writer.run(passages, kept))
        written = [kept.texts[number] for number in range(len(passages))]
    return compared(passages, len(there), written, subject, corpus, wanted, seconds)


def continued(
    served: Served, corpus: Corpus, wanted: Wanted, folder: Path, listening: Listening, wish: Wish
) -> QualityResult:
    """Measure the continuations of what is served, as `listening` hears and `wish` says (parallel, resume)."""
    heard = listening.progress
    writer = Writer(
        served.target, wanted.seed, wish.parallel or served.parallel,
        progress=(lambda done: None) if heard is None else (lambda done: heard(done, 0)),  # noqa: ARG005
    )  # fmt: skip
    return measure_quality(writer, served.subject, corpus, wanted, folder, resume=wish.resume)


def compared(
    passages: Sequence[Passage], there: int, written: Sequence[str], subject: Subject, corpus: Corpus, wanted: Wanted,
    seconds: float,
) -> QualityResult:  # fmt: skip
    """Return the figures of continuations that were written, and of the floors."""
    texts = [cut(text, wanted.split.reference) for text in written]
    if not any(texts):
        raise UnusableAnswer(f"{subject.model} continued none of {len(texts)} paragraphs by a single word")
    references = [passage.reference for passage in passages]
    found = quality(texts, references)
    below = floors(passages, wanted.seed)
    return QualityResult(
        subject=subject,
        text=corpus.described(),
        passages=len(passages),
        of_passages=there,
        prompt_words=wanted.split.prompt,
        reference_words=wanted.split.reference,
        seed=wanted.seed,
        figures=dict(found.figures),
        floors={name: dict(quality(floor, references).figures) for name, floor in sorted(below.items())},
        signatures=dict(found.signatures),
        empty=sum(not text for text in texts),
        short=sum(len(text.split()) < wanted.split.reference for text in texts),
        seconds=seconds,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
