"""Forms of a model against the first of them: the same windows, one form after the other."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw.resources import CheckpointInfo
from quickthaw_platform.errors import InvalidRequest, NotServable
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation import forms
from quickthaw_platform.validation.asking import Position
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.forms import Candidate, compare_forms
from quickthaw_platform.validation.forms_table import COLUMNS, notes, row, stored_as
from quickthaw_platform.validation.protocols import Window
from quickthaw_platform.validation.result import Measure, ScoredText, Subject, Sums, ValidationResult
from quickthaw_platform.validation.running import Listening, Wish
from quickthaw_platform.validation.subjects import Served
from quickthaw_platform.validation.tokenizers import TextTokenizer

CORPUS = Corpus("t", "text", ("some text",))
WINDOW = Window((1, 2, 3), 1, 2)
TOP = {"base": {"a": 0.8, "b": 0.1}, "int8": {"a": 0.7, "b": 0.2}, "q4": {"b": 0.6, "a": 0.3}, "mute": {}}
asked: list[tuple[str, Wish, int]] = []


def fake_validate(
    served: Served, _corpus: Corpus, tokenizer: TextTokenizer, wish: Wish, _folder: Path, listening: Listening
) -> ValidationResult:
    """Stand for a run: tells what the form says of five windows, the last first."""
    name = served.subject.model
    asked.append((name, wish, listening.top))
    assert listening.observer is not None
    top = {token: math.log(part) for token, part in TOP[name].items()}
    for number in (4, 0, 1, 2, 3):
        listening.observer(number, WINDOW, [Position(-1.0, top)] * 2)
    return ValidationResult(
        protocol="hf", subject=served.subject, text=ScoredText(name="t", digest="0", bytes=9, documents=1, form="text"),
        tokenizer=tokenizer.name, bos="none", window=64, stride=32, windows=5, sums=Sums(nll=10.0, tokens=10),
        perplexity=Measure(value=math.e), seconds=1.0, tokens_per_second=15.0, date="2026-11-29T00:00:00Z",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "validate", fake_validate)
    asked.clear()


def candidate(name: str, first_token: int = 1) -> Candidate:
    @contextlib.contextmanager
    def serve() -> Iterator[Served]:
        subject = Subject(checkpoint=name, digest=f"{name}-id", engine="transformers", model=name)
        yield Served(Target("http://gateway", name, "/v1/completions"), subject, 128, 4)

    def tokenizer(served: Served) -> TextTokenizer:
        return TextTokenizer(f"{served.subject.model}'s", lambda text: [first_token, len(text)], (), None, None)

    def checkpoint(served: Served) -> CheckpointInfo:
        about: dict[str, Any] = {"task": "generate", "bytes": 50 if name == "q4" else 100, "context_tokens": 128}
        return CheckpointInfo(id=str(served.subject.digest), name=name, dtype="bfloat16", **about)

    return Candidate(name, serve, tokenizer, checkpoint)


def test_each_form_is_compared_with_the_first_on_the_same_windows(tmp_path: Path) -> None:
    base, int8, q4 = compare_forms([candidate(n) for n in ("base", "int8", "q4")], CORPUS, Wish(limit=5), tmp_path)
    assert base.losses is None
    assert int8.losses is not None
    assert q4.losses is not None
    assert (int8.losses.positions, int8.losses.agreement.value, q4.losses.agreement.value) == (10, 100.0, 0.0)
    assert int8.losses.ratio.value == pytest.approx(1.0)
    expected = 0.8 * math.log(8 / 7) + 0.1 * math.log(1 / 2)
    assert int8.losses.divergence.value == pytest.approx(expected)
    assert [(name, wish.window, wish.stride, wish.limit, top) for name, wish, top in asked] == [
        ("base", None, None, 5, 20), ("int8", 64, 32, 5, 20), ("q4", 64, 32, 5, 20),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_no_form_is_resumed_halfway(tmp_path: Path) -> None:
    compare_forms([candidate("base"), candidate("q4")], CORPUS, Wish(resume=True), tmp_path)
    assert {wish.resume for _, wish, _ in asked} == {False}


def test_a_model_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="q4 tokenises the text otherwise than base"):
        compare_forms([candidate("base"), candidate("q4", first_token=2)], CORPUS, Wish(), tmp_path)
    assert [name for name, _, _ in asked] == ["base"]


@pytest.mark.parametrize("names", [("mute", "base"), ("base", "mute")], ids=["base", "form"])
def test_a_server_that_does_not_name_the_likeliest_tokens_is_told(names: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(NotServable, match="does not name the likeliest tokens"):
        compare_forms([candidate(name) for name in names], CORPUS, Wish(), tmp_path)


def test_the_table_says_what_was_lost_and_that_the_divergence_is_a_bound(tmp_path: Path) -> None:
    base, q4 = compare_forms([candidate("base"), candidate("q4")], CORPUS, Wish(), tmp_path)
    first, second = row(base, base), row(q4, base)
    assert len(first) == len(second) == len(COLUMNS)
    assert first[:4] == ("base", "transformers", "bfloat16", "100 B")
    assert first[6:9] == (None, None, None)
    assert (second[3], second[6], second[8]) == ("50 B (50%)", "1.0000", "0.00%")
    assert "a lower bound" in next(notes([base, q4]))


@pytest.mark.parametrize(
    ("fields", "written"),
    [({"quantization": "int8", "dtype": "bfloat16"}, "int8"), ({"dtype": "bfloat16"}, "bfloat16"), ({}, "safetensors")],
    ids=["quantised", "dense", "unknown"],
)
def test_a_format_goes_by_its_quantisation_first(fields: dict[str, str], written: str) -> None:
    about: dict[str, Any] = {"id": "c", "name": "n", "task": "generate", "bytes": 1, "context_tokens": 8, **fields}
    assert stored_as(CheckpointInfo(**about)) == written
