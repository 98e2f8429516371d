"""A model against other forms of it, such as quantised ones: the same windows scored by each, one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from quickthaw.resources import CheckpointInfo
from quickthaw_platform.errors import InvalidRequest, NotServable
from quickthaw_platform.validation.asking import Position
from quickthaw_platform.validation.base_positions import BasePositions
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.losses import Losses, WindowLoss, losses, window_loss
from quickthaw_platform.validation.protocols import Window
from quickthaw_platform.validation.result import ValidationResult
from quickthaw_platform.validation.running import Listening, Wish, validate
from quickthaw_platform.validation.subjects import Served
from quickthaw_platform.validation.tokenizers import TextTokenizer

TOP = 20
"""As many of the likeliest tokens as an API tells of a position."""

SAMPLE_CHARACTERS = 20_000
"""Of the text, so much is tokenised by each form's own tokenizer, to find out whether they agree."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a model: what it is, what was measured, and what it loses; None: it is the base."""

    checkpoint: CheckpointInfo | None
    result: ValidationResult
    losses: Losses | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A form that is to be measured. `serve` has it served while the block runs."""

    name: str
    serve: Callable[[], AbstractContextManager[Served]]
    tokenizer: Callable[[Served], TextTokenizer]
    checkpoint: Callable[[Served], CheckpointInfo | None]


def compare_forms(
    candidates: Sequence[Candidate], corpus: Corpus, wish: Wish, folder: Path,
    listening: Callable[[str], Listening] = lambda name: Listening(),  # noqa: ARG005  (hears which form it is)
) -> list[Form]:  # fmt: skip
    """Measure forms of a model, the first of which is what the others are compared with.

    All are given the first one's token ids. Raises InvalidRequest where the tokenizers disagree, and NotServable where
    a server does not name the likeliest tokens.
    """
    base, *others = candidates
    with tempfile.TemporaryDirectory(dir=_made(folder)) as scratch, BasePositions(Path(scratch) / "base") as kept:
        with base.serve() as served:
            tokenizer = base.tokenizer(served)
            first = _scored(served, corpus, tokenizer, wish, folder, listening(base.name), _Keeping(kept))
            found = [Form(base.checkpoint(served), first, None)]
        same = replace(wish, window=first.window, stride=first.stride)
        for other in others:
            with other.serve() as served:
                _check_tokenizers(base.name, tokenizer, other.name, other.tokenizer(served), corpus)
                against = _Against(kept)
                result = _scored(served, corpus, tokenizer, same, folder, listening(other.name), against)
                found.append(Form(other.checkpoint(served), result, losses(against.in_order())))
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _scored(
    served: Served, corpus: Corpus, tokenizer: TextTokenizer, wish: Wish, folder: Path, listening: Listening,
    observer: _Keeping | _Against,
) -> ValidationResult:  # fmt: skip
    # without resume: each form is asked for every window, or the comparison would lack some
    heard = replace(listening, observer=observer.hear, top=TOP)
    return validate(served, corpus, tokenizer, replace(wish, resume=False), folder, heard)


class _Keeping:
    """Keeps what the base says."""

    def __init__(self, kept: BasePositions) -> None:
        self._kept = kept

    def hear(self, number: int, _window: Window, positions: Sequence[Position]) -> None:
        _check_named(positions)
        self._kept.keep(number, positions)


class _Against:
    """Compares what a form says with what the base has said of the same window."""

    def __init__(self, kept: BasePositions) -> None:
        self._kept = kept
        self._windows: dict[int, WindowLoss] = {}

    def hear(self, number: int, _window: Window, positions: Sequence[Position]) -> None:
        _check_named(positions)
        self._windows[number] = window_loss(self._kept.of(number), positions)

    def in_order(self) -> list[WindowLoss]:
        """Return the windows in the text's order: an interval draws neighbours."""
        return [self._windows[number] for number in sorted(self._windows)]


def _check_named(positions: Sequence[Position]) -> None:
    if not all(position.top for position in positions):
        raise NotServable("the server does not name the likeliest tokens (`logprobs`), which a comparison needs")


def _check_tokenizers(base: str, ours: TextTokenizer, form: str, theirs: TextTokenizer, corpus: Corpus) -> None:
    sample = corpus.joined()[:SAMPLE_CHARACTERS]
    if ours.encode(sample) != theirs.encode(sample):
        raise InvalidRequest(
            f"{form} tokenises the text otherwise than {base}: they are no forms of one model, and positions do not "
            "compare",
            param="form",
        )
