"""A validation from its beginning to its result."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quickthaw.errors import InvalidRequest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import CheckpointNotFound
from quickthaw_platform.validation.asking import Asker
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.driving import Driver, Observer
from quickthaw_platform.validation.journal import journal
from quickthaw_platform.validation.planning import USUAL_WINDOWS, Plan, make_plan, most_window, usual_window
from quickthaw_platform.validation.result import ProtocolName, ValidationResult
from quickthaw_platform.validation.scores import WindowScore, values
from quickthaw_platform.validation.subjects import Served
from quickthaw_platform.validation.tokenizers import TextTokenizer, tokenizer_at, tokenizer_of


@dataclass(frozen=True, slots=True)
class Wish:
    """How a text is to be scored. None: as the protocol usually is."""

    protocol: ProtocolName = "hf"
    window: int | None = None
    stride: int | None = None
    limit: int | None = None
    parallel: int | None = None
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Listening:
    """Who hears of a validation while it runs."""

    planned: Callable[[Plan], None] | None = None  # hears the plan before anything is scored
    progress: Callable[[int, int], None] | None = None  # hears how many windows and tokens are done
    observer: Observer | None = None  # hears each window's positions
    top: int = 0  # so many of the likeliest tokens are in each position


def find_tokenizer(served: Served, checkpoints: Path, given: Path | None) -> TextTokenizer:
    """Return the tokenizer of what is served: the one in a `given` folder, else that of the checkpoint on this disk.

    Raises InvalidRequest where it is not here.
    """
    if given is not None:
        return tokenizer_at(given)
    if served.subject.digest is None:
        raise InvalidRequest(
            "another server does not tell how it tokenises; name its tokenizer's folder with --tokenizer",
            param="tokenizer",
        )
    try:
        found = DiskStore(checkpoints).find(served.subject.digest)
    except CheckpointNotFound as error:
        raise InvalidRequest(
            f"the checkpoint {served.subject.checkpoint} is not on this machine's disk ({checkpoints}), and its "
            "tokenizer is needed here; name a folder that has it with --tokenizer, or run this on a node",
            param="tokenizer",
        ) from error
    return tokenizer_of(found, served.subject.engine)


def plan_for(corpus: Corpus, tokenizer: TextTokenizer, served: Served, wish: Wish) -> Plan:
    """Return what is to be scored. Raises InvalidRequest for a window that the model's context has no room for."""
    context, window = served.context_tokens, wish.window
    if context is not None:
        most = most_window(wish.protocol, context)
        window = window or usual_window(wish.protocol, context)
        if window > most:
            raise InvalidRequest(
                f"a window of {window} does not fit into the model's context of {context}; at most {most}",
                param="window",
            )
    window = window or USUAL_WINDOWS[wish.protocol]
    return make_plan(corpus, tokenizer, wish.protocol, window=window, stride=wish.stride, limit=wish.limit)


def validate(
    served: Served,
    corpus: Corpus,
    tokenizer: TextTokenizer,
    wish: Wish,
    folder: Path,
    listening: Listening | None = None,
) -> ValidationResult:
    """Score a text and return the result; `folder` keeps the journal while it runs.

    Raises NotServable, before anything is scored, where the model's server returns no log-probabilities of prompts;
    Conflict where the same is being scored already; and what the server's errors say. What was scored before an error
    or Ctrl-C is kept for a run with `resume`.
    """
    listening = listening or Listening()
    plan = plan_for(corpus, tokenizer, served, wish)
    if listening.planned is not None:
        listening.planned(plan)
    key = hashlib.sha256(f"{served.identity} {plan.digest}".encode()).hexdigest()
    with journal(folder, key, resume=wish.resume) as found:

        async def run() -> float:
            async with Asker(served.target, listening.top) as asker:
                driver = Driver(asker, wish.parallel or served.parallel, listening.progress, listening.observer)
                if len(found.scores) < len(plan.windows):
                    await driver.check(plan)
                return await driver.run(plan, found)

        seconds = asyncio.run(run())
        return _result(served, corpus, tokenizer, plan, seconds, list(found.scores.values()))


def _result(
    served: Served, corpus: Corpus, tokenizer: TextTokenizer, plan: Plan, seconds: float, scores: list[WindowScore]
) -> ValidationResult:
    found = values(plan, scores)
    return ValidationResult(
        protocol=plan.protocol, subject=served.subject, text=corpus.described(), tokenizer=tokenizer.name,
        bos=plan.bos, window=plan.window, stride=plan.stride, limit=plan.limit, windows=len(plan.windows),
        sums=found.sums, perplexity=found.perplexity, word_perplexity=found.word_perplexity,
        byte_perplexity=found.byte_perplexity, bits_per_byte=found.bits_per_byte, seconds=seconds,
        tokens_per_second=plan.tokens / max(seconds, 1e-9), date=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip
