from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.errors import ContextLengthExceeded
from quickthaw.generation import Delta
from quickthaw_backends.engines.answer import Answer, answer_limit
from quickthaw_platform.contracts import Reading
from tests.unit.engines.tiny import request

EOS = frozenset({256})


def decode(tokens: Sequence[int]) -> str:
    return bytes(token for token in tokens if token < 256).decode("utf-8", errors="replace")


MARKS = {256: "<|end|>", 257: "<|user|>"}


def answer(prompt: Sequence[int] = (65,), limit: int = 50, generated: int = 0, **fields: Any) -> Answer:
    asked = request(prompt, generated=generated, **fields)
    named = {token: text for token, text in MARKS.items() if any(text in stop for stop in asked.sampling.stop)}
    return Answer(asked, decode, EOS, limit, marks=named)


def said(growing: Answer, tokens: Sequence[int]) -> tuple[str, str | None]:
    """Return the text of the tokens as far as the answer goes, and the stop string that ended it."""
    deltas = []
    for token in tokens:
        deltas.append(growing.push(token))
        if growing.finish_reason:
            break
    return "".join(map(str, deltas)), deltas[-1].stop


def test_eos_is_a_token_without_text() -> None:
    growing = answer()
    growing.push(72)
    delta = growing.push(256)
    assert (delta.tokens, delta.text, delta.finish_reason) == ((256,), "", "stop")


def test_ignored_eos_does_not_end() -> None:
    growing = answer(ignore_eos=True)
    assert growing.push(256).finish_reason is None


def test_held_text_comes_out_at_the_end_when_it_was_no_stop_string() -> None:
    growing = answer(limit=2, stop=["xyz"])
    assert growing.push(ord("x")).text == ""
    last = growing.push(ord("y"))
    assert (last.text, last.finish_reason) == ("xy", "length")


def test_a_stop_string_wins_over_the_limit() -> None:
    growing = answer(limit=2, stop=["xy"])
    growing.push(ord("x"))
    last = growing.push(ord("y"))
    assert (last.text, last.finish_reason) == ("", "stop")


@given(
    st.text(min_size=2, max_size=20), st.integers(1, 40), st.lists(st.text("abc", min_size=1, max_size=3), max_size=2)
)
def test_replayed_tokens_leave_the_same_state(text: str, cut: int, stop: list[str]) -> None:
    tokens = list(text.encode())
    cut = min(cut, len(tokens) - 1)
    whole = answer(limit=len(tokens), stop=stop)
    deltas = []
    for token in tokens:
        deltas.append(whole.push(token))
        if whole.finish_reason:
            break
    if len(deltas) <= cut:
        return
    resumed = Answer(request([65, *tokens[:cut]], generated=cut, stop=stop), decode, EOS, len(tokens))
    rest = [resumed.push(token) for token in tokens[cut : len(deltas)]]
    assert [delta.text for delta in rest] == [delta.text for delta in deltas[cut:]]
    assert resumed.finish_reason == whole.finish_reason


def test_an_answer_that_had_ended_is_not_continued() -> None:
    assert Answer(request([65, 66, 67], generated=2), decode, EOS, 2).finish_reason == "length"
    assert Answer(request([65, 66, 256], generated=2), decode, EOS, 9).finish_reason == "stop"


@pytest.mark.parametrize(
    ("prompt", "generated", "max_tokens", "limit"),
    [
        (10, 0, 5, 5),  # fits
        (10, 0, None, 90),  # as many as the context holds
        (10, 4, 5, 5),  # what was generated before counts as answer
        (100, 0, 0, 0),  # nothing to generate
    ],
)
def test_limits(prompt: int, generated: int, max_tokens: int | None, limit: int) -> None:
    tokens = [65] * (prompt + generated)
    assert answer_limit(request(tokens, generated=generated, max_tokens=max_tokens), 100) == limit


def test_the_error_names_the_numbers_in_the_words_that_clients_know_and_what_bounds_the_context() -> None:
    said = r"^This model's maximum context length is 5000 tokens, .*: 4990 in the prompt and 20 for the answer.*memory"
    with pytest.raises(ContextLengthExceeded, match=said) as raised:
        answer_limit(request([65] * 4990, max_tokens=20), 5000)
    assert raised.value.param == "max_tokens"


def test_the_last_delta_names_the_stop_string_that_ended_the_answer() -> None:
    growing = answer(stop=["CD", "X"])
    deltas = [growing.push(token) for token in b"ABCD"]
    assert [delta.stop for delta in deltas] == [None, None, None, "CD"]
    assert answer(stop=["X"]).push(256).stop is None


TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def read(text: str, reading: Reading, limit: int = 200, **fields: Any) -> list[Delta]:
    growing = Answer(replace(request([65], **fields), reading=reading), decode, EOS, limit)
    return [growing.push(token) for token in [*text.encode(), 256] if growing.finish_reason is None]


def test_an_answer_that_made_calls_ends_because_of_them() -> None:
    deltas = read(f"Wait. {CALL}", Reading(calls="hermes", tools=(TOOL,)))
    calls = [call for delta in deltas for call in delta.tool_calls]
    assert "".join(map(str, deltas)) == "Wait."
    assert [call.name for call in calls if call.name] == ["now"]
    assert "".join(call.arguments for call in calls) == "{}"
    assert deltas[-1].finish_reason == "tool_calls"


def test_an_answer_that_is_cut_off_after_a_call_ends_because_of_its_length() -> None:
    assert read(CALL, Reading(calls="hermes", tools=(TOOL,)), limit=len(CALL))[-1].finish_reason == "length"


def test_an_answer_without_calls_ends_as_any_other() -> None:
    assert read("No.", Reading(calls="hermes", tools=(TOOL,)))[-1].finish_reason == "stop"


def test_thoughts_are_no_part_of_the_text() -> None:
    deltas = read("<think>hm</think>\n\nYes.", Reading(thoughts="think"))
    assert "".join(delta.reasoning for delta in deltas) == "hm"
    assert "".join(map(str, deltas)) == "Yes."


@given(
    st.integers(0, 90), st.sampled_from([f"So <think> {CALL} and on", f"<think>hm</think>{CALL}", "Just <tool_ text"])
)
def test_replayed_tokens_leave_the_reader_in_the_same_state(cut: int, text: str) -> None:
    reading = Reading(calls="hermes", tools=(TOOL,), thoughts="think")
    whole, tokens = read(text, reading), [*text.encode(), 256]
    cut = min(cut, len(tokens) - 1)
    resumed = Answer(replace(request([65, *tokens[:cut]], generated=cut), reading=reading), decode, EOS, 200)
    rest = [resumed.push(token) for token in tokens[cut:]]
    assert [(d.text, d.reasoning, d.tool_calls, d.finish_reason) for d in rest[1:]] == [
        (d.text, d.reasoning, d.tool_calls, d.finish_reason) for d in whole[cut + 1 :]
    ]


def test_special_tokens_that_a_reading_knows_are_shown_to_it_and_others_stay_hidden() -> None:
    marks = {"<tool_call>": 300, "</tool_call>": 301}
    growing = Answer(
        replace(request([65]), reading=Reading(calls="hermes", tools=(TOOL,), specials=marks)), decode, EOS, 99
    )
    inner = [*b'{"name": "now", "arguments": {}}']
    deltas = [growing.push(token) for token in [300, *inner, 302, 301, 256]]
    assert "".join(map(str, deltas)) == ""
    assert deltas[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_token_has_text_only_where_that_is_asked_for(include: bool) -> None:
    growing = answer(stop_token_ids=[ord("!")], include_stop=include)
    growing.push(ord("a"))
    delta = growing.push(ord("!"))
    assert (delta.text, delta.finish_reason) == ("!" if include else "", "stop")


@pytest.mark.parametrize(
    ("stop", "tokens", "text", "matched"),
    [
        ("<|user|>", [72, 257, 73], "H", "<|user|>"),  # a special token
        ("<|end|>", [72, 256, 73], "H", "<|end|>"),  # the model's own end, though it is ignored
        ("<|end|>\n", [72, 256, 10], "H", "<|end|>\n"),  # with text after it
        ("H<|end|><|user|>", [65, 72, 256, 257], "A", "H<|end|><|user|>"),  # with text before it, and another
        ("<|user|>x", [72, 257, 73], "HI", None),  # it goes on otherwise: the token stays hidden
        ("<", [72, 257, 73], "HI", None),  # a part of the token's text is not said by it
        ("<|user|>", [*b"a<|user|>b"], "a", "<|user|>"),  # said letter by letter
    ],
)
def test_stop_strings_find_special_tokens_though_texts_hide_them(
    stop: str, tokens: list[int], text: str, matched: str | None
) -> None:
    assert said(answer(stop=[stop], ignore_eos=True, limit=len(tokens)), tokens) == (text, matched)


@pytest.mark.parametrize("stop", ["<|user|>", "I<|user|>", "<|user|>J"])
def test_a_stop_string_with_a_special_token_is_part_of_the_text_where_that_is_asked_for(stop: str) -> None:
    text, matched = said(answer(stop=[stop], include_stop=True), [72, 73, 257, 74])
    assert (text, matched) == ("HI<|user|>J"[: "HI<|user|>J".index(stop) + len(stop)], stop)


def test_the_end_that_is_a_stop_string_as_well_is_named_as_one() -> None:
    assert said(answer(stop=["<|end|>"]), [72, 256]) == ("H", "<|end|>")
    assert said(answer(stop=["<|end|>"], include_stop=True), [72, 256]) == ("H<|end|>", "<|end|>")


def test_half_a_character_before_a_special_token_that_ends_the_answer_is_shown_as_at_any_other_end() -> None:
    assert said(answer(stop=["<|end|>"]), [72, 0xE2, 256])[0] == said(answer(), [72, 0xE2, 256])[0] == "H\ufffd"


def test_half_a_character_between_special_tokens_keeps_them_apart_for_a_stop_string() -> None:
    tokens = [257, 0xE2, 257, 257, 257]
    assert said(answer(stop=["<|user|><|user|><|user|>"]), tokens[:-1])[1] is None
    assert said(answer(stop=["<|user|><|user|><|user|>"]), tokens)[1] == "<|user|><|user|><|user|>"


def test_a_special_token_ends_nothing_before_the_least_number_of_tokens() -> None:
    growing = answer(stop=["<|user|>"], min_tokens=2, ignore_eos=True)
    assert said(growing, [72, 257, 73, 257]) == ("HI", "<|user|>")
    assert not any(growing.constraint.allowed(1, 258)[[256, 257]])  # type: ignore[index]


@given(st.lists(st.sampled_from([65, 66, 256, 257]), min_size=1, max_size=12), st.integers(0, 11), st.booleans())
def test_replayed_special_tokens_leave_the_same_state(tokens: list[int], cut: int, include: bool) -> None:
    fields: dict[str, Any] = {
        "stop": ["AB<|end|>", "<|user|>A", "<|end|><|user|>"], "ignore_eos": True, "include_stop": include
    }  # fmt: skip
    whole, deltas = answer(limit=12, **fields), []
    for token in tokens:
        deltas.append(whole.push(token))
        if whole.finish_reason:
            break
    cut = min(cut, len(deltas) - 1)
    resumed = answer([65, *tokens[:cut]], 12, cut, **fields)
    assert [str(resumed.push(token)) for token in tokens[cut : len(deltas)]] == [str(delta) for delta in deltas[cut:]]
    assert resumed.finish_reason == whole.finish_reason


def test_a_special_token_that_answers_show_is_found_and_shown() -> None:
    reading = Reading(calls="hermes", tools=(TOOL,), specials={"<|user|>": 257})
    asked = replace(request([65], stop=["<|user|>B"], ignore_eos=True), reading=reading)
    for tokens, text, matched in (([65, 257, 67], "A<|user|>C", None), ([65, 257, 66], "A", "<|user|>B")):
        assert said(Answer(asked, decode, EOS, 3, marks={257: "<|user|>"}), tokens) == (text, matched)
