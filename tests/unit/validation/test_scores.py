"""What scores come to, and how sure that is."""

from __future__ import annotations

import math

import pytest

from quickthaw_platform.validation.planning import Document, Plan
from quickthaw_platform.validation.protocols import Window
from quickthaw_platform.validation.result import ProtocolName
from quickthaw_platform.validation.scores import WindowScore, values


def plan(protocol: ProtocolName, counts: list[int], documents: list[int] | None = None, *, whole: bool = True) -> Plan:
    of = documents or [0] * len(counts)
    windows = tuple(Window(tuple(range(n + 1)), 1, n, place) for n, place in zip(counts, of, strict=True))
    texts = tuple(Document(words=10 * (n + 1), bytes=100 * (n + 1)) for n in range(max(of) + 1))
    return Plan(protocol, windows, texts, 8, None, None, bos="none", whole=whole)


def scores(nll: list[float], tokens: list[int]) -> list[WindowScore]:
    return [WindowScore(number, *pair) for number, pair in enumerate(zip(nll, tokens, strict=True))]


def test_sums_and_values_of_documents_are_per_word_and_per_byte() -> None:
    found = values(plan("lm-eval", [4, 2, 4], [0, 0, 1]), scores([8.0, 2.0, 20.0], [4, 2, 4]))
    assert (found.sums.nll, found.sums.tokens, found.sums.words, found.sums.bytes) == (30.0, 10, 30, 300)
    assert found.perplexity.value == pytest.approx(math.exp(3.0))
    assert found.word_perplexity is not None
    assert found.byte_perplexity is not None
    assert found.bits_per_byte is not None
    assert found.word_perplexity.value == pytest.approx(math.exp(1.0))
    assert found.byte_perplexity.value == pytest.approx(math.exp(0.1))
    assert found.bits_per_byte.value == pytest.approx(0.1 / math.log(2))


def test_a_protocol_that_scores_a_part_of_the_text_says_nothing_per_word() -> None:
    found = values(plan("llamacpp", [4, 4], whole=False), scores([4.0, 8.0], [4, 4]))
    assert found.perplexity.value == pytest.approx(math.exp(1.5))
    assert found.word_perplexity is found.byte_perplexity is found.bits_per_byte is None
    assert found.sums.words is None


def test_the_order_in_which_answers_came_changes_nothing() -> None:
    given = scores([1.0, 2.5, 7.0, 3.0], [4, 2, 4, 3])
    made = plan("gptq", [4, 2, 4, 3], whole=False)
    assert values(made, given) == values(made, given[::-1])


def test_an_interval_holds_the_value_and_is_the_same_each_time() -> None:
    nll = [4.0 + (number * 7 % 5) for number in range(60)]
    made = plan("gptq", [4] * 60, whole=False)
    found = values(made, scores(nll, [4] * 60)).perplexity
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert found == values(made, scores(nll, [4] * 60)).perplexity


def test_windows_that_depend_on_their_neighbours_make_an_interval_wider_than_shuffled_ones() -> None:
    runs = [2.0] * 32 + [8.0] * 32
    mixed = [2.0, 8.0] * 32
    made = plan("gptq", [4] * 64, whole=False)
    wide, narrow = (values(made, scores(nll, [4] * 64)).perplexity.interval for nll in (runs, mixed))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_windows_have_no_interval(count: int) -> None:
    assert (
        values(plan("gptq", [4] * count, whole=False), scores([4.0] * count, [4] * count)).perplexity.interval is None
    )
