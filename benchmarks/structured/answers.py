"""What became of an answer that was held to a schema. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jsonschema import Draft202012Validator

from benchmarks.sse import Stream
from benchmarks.structured.cases import Case, Schema

Verdict = Literal["valid", "invalid", "cut", "refused", "broken"]
"""Cut: ended by `max_tokens`, so that nothing can be said of it. Refused: answered 4xx. Broken: no whole answer."""

FORMATS = Draft202012Validator.FORMAT_CHECKER
"""Formats as this draft means them: a `time` has an offset; the checker of all drafts takes draft 3, without one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A case, what was said, and the verdict on it."""

    case: Case
    verdict: Verdict
    said: str

    @classmethod
    def of(cls, case: Case, stream: Stream) -> Answer:
        """Judge what a stream brought."""
        verdict = judge(case.schema, stream)
        return cls(case, verdict, stream.text if stream.error is None else stream.error)


def judge(schema: Schema, stream: Stream) -> Verdict:
    """Return what became of one answer."""
    if stream.error is not None:
        return "refused" if stream.error.startswith("Refused: 4") else "broken"
    if not stream.complete or stream.finish_reason is None:
        return "broken"
    if stream.finish_reason == "length":
        return "cut"
    return "valid" if fits(schema, stream.text) else "invalid"


def fits(schema: Schema, text: str) -> bool:
    """Return whether a text is JSON that the schema allows; `format` counts where jsonschema can check it."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return bool(Draft202012Validator(dict(schema), format_checker=FORMATS).is_valid(value))


def tally(answers: Sequence[Answer]) -> dict[Verdict, int]:
    """Return how many answers have each verdict."""
    found = Counter(answer.verdict for answer in answers)
    return {verdict: found[verdict] for verdict in get_args(Verdict)}
