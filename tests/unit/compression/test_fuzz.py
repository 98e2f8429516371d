"""Whatever the text: what comes back is shorter by deletion alone, has lost nothing protected, or is the original."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compress.fuzzed import prompt
from quickthaw.compression import Compressed, FrequencyScorer, Reason, compress
from quickthaw.compression.segments import segments
from quickthaw.compression.spans import protected
from quickthaw.compression.verifier import fault

RATIOS = st.sampled_from((0.9, 0.5, 0.2, 0.01))
REFUSALS = {
    Reason.EMPTY, Reason.NOT_A_SUBSEQUENCE, Reason.LOST_SPAN, Reason.INVALID_JSON, Reason.UNBALANCED, Reason.NO_SCORES
}  # fmt: skip


def count(text: str) -> int:
    return (len(text) + 3) // 4


def check(text: str, done: Compressed) -> None:
    assert "".join(text[start:end] for start, end in done.kept) == done.text
    assert done.tokens == count(done.text) <= done.original_tokens == count(text)
    if done.reason not in (Reason.COMPRESSED, Reason.PARTLY):
        assert done.text == text
    if text.strip():
        assert done.text.strip()
        assert fault(text, done.text, protected(text, segments(text))) is None


@given(st.text(), RATIOS)
def test_any_text_stays_true(text: str, ratio: float) -> None:
    check(text, compress(text, ratio=ratio, scorer=FrequencyScorer(), count_tokens=count))


@given(st.integers(0, 2**32), RATIOS)
def test_prompts_of_all_kinds_stay_true(seed: int, ratio: float) -> None:
    text = prompt(random.Random(seed))
    check(text, compress(text, ratio=ratio, scorer=FrequencyScorer(), count_tokens=count))


@given(st.integers(0, 2**32), RATIOS)
def test_a_prompt_that_loses_examples_is_made_of_the_original_and_never_empty(seed: int, ratio: float) -> None:
    text = prompt(random.Random(seed))
    done = compress(text, ratio=ratio, scorer=FrequencyScorer(), count_tokens=count, drop_examples=True)
    assert "".join(text[start:end] for start, end in done.kept) == done.text
    assert done.text.strip() or not text.strip()


@pytest.mark.parametrize("block", range(4))
def test_the_verifier_hardly_ever_has_to_refuse(block: int) -> None:
    """It is the last resort: deletion itself keeps what must stay."""
    texts = [prompt(random.Random(f"{block} {index}")) for index in range(100)]
    found = [compress(text, ratio=0.5, scorer=FrequencyScorer(), count_tokens=count).reason for text in texts]
    assert sum(reason in REFUSALS for reason in found) <= 2
    assert sum(reason in (Reason.COMPRESSED, Reason.PARTLY) for reason in found) > 50
