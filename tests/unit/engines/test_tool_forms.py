"""Answers taken apart: what each family writes, cut anywhere, gives the same text, thoughts and calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.tool_forms import Piece, reader
from quickthaw_backends.engines.tool_forms.json_scanner import JsonScanner, Step
from quickthaw_platform.contracts import Reading
from tests.unit.engines.tool_examples import EXAMPLES, TOOLS

Said = tuple[str, str, tuple[tuple[str, str], ...]]
HERMES = Reading("hermes", TOOLS)


def pieces(reading: Reading, texts: Iterable[str]) -> list[Piece]:
    parts = reader(reading, lambda index: f"call_{index}")
    return [*map(parts.push, texts), parts.flush()]


def said(reading: Reading, texts: Iterable[str]) -> Said:
    """Return text, reasoning, and the name and arguments of each call."""
    found = pieces(reading, texts)
    calls: dict[int, list[str]] = {}
    for delta in (delta for piece in found for delta in piece.tool_calls):
        assert (delta.index in calls) != bool(delta.name), "a call begins with its name, once"
        assert delta.id == (f"call_{delta.index}" if delta.name else "")
        call = calls.setdefault(delta.index, ["", ""])
        call[0] += delta.name
        call[1] += delta.arguments
    assert list(calls) == list(range(len(calls)))
    texts = ("".join(piece.text for piece in found), "".join(piece.reasoning for piece in found))
    return *texts, tuple((name, arguments) for name, arguments in calls.values())


def cut(text: str, places: Sequence[int]) -> list[str]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@pytest.mark.parametrize(("form", "text", "plain", "calls"), EXAMPLES)
def test_what_a_family_writes_is_understood(
    form: str, text: str, plain: str, calls: tuple[tuple[str, str], ...]
) -> None:
    assert said(Reading(form, TOOLS), [text]) == (plain, "", calls)


@pytest.mark.parametrize(("form", "text", "plain", "calls"), EXAMPLES)
def test_cuts_change_nothing(form: str, text: str, plain: str, calls: tuple[tuple[str, str], ...]) -> None:
    reading = Reading(form, TOOLS)
    assert said(reading, text) == (plain, "", calls)
    for place in range(len(text)):
        assert said(reading, [text[:place], text[place:]]) == (plain, "", calls)


@given(
    st.sampled_from(EXAMPLES),
    st.lists(st.integers(0, 400), max_size=6),
    st.integers(0, 400),
    st.integers(0, 4),
    st.sampled_from(["", "<", "[", "{", "}", '"', "x", "\n", " ", "\\", ",", "</think>", "<tool_call>"]),
    st.booleans(),
)
def test_cuts_change_nothing_in_damaged_answers_either(
    example: tuple[str, str, str, tuple[tuple[str, str], ...]],
    places: list[int],
    begin: int,
    removed: int,
    put: str,
    thinking: bool,
) -> None:
    form, text, _, _ = example
    begin %= len(text)
    damaged = text[:begin] + put + text[begin + removed :]
    for reading in (Reading(form, TOOLS), Reading(form, TOOLS, thoughts="think", thinking=thinking)):
        assert said(reading, cut(damaged, places)) == said(reading, [damaged])


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<tool_call>\n{"name": "f"', ()),
        ('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"na', (("f", "{}"),)),
    ],
)
def test_where_calls_are_a_must_the_beginning_of_one_that_is_cut_off_is_no_text(
    text: str, calls: tuple[tuple[str, str], ...]
) -> None:
    assert said(Reading("hermes", TOOLS, must_call=True), text) == ("", "", calls)
    assert said(HERMES, text)[0] != ""


@given(st.sampled_from(sorted({form for form, *_ in EXAMPLES})), st.text(st.sampled_from('<>[]{}()/",:=fxtool_cal \n')))
def test_nothing_is_lost_of_a_text_that_calls_nothing(form: str, text: str) -> None:
    tools = ({"type": "function", "function": {"name": "zzz"}},)
    assert said(Reading(form, tools), text) == (text, "", ())


@pytest.mark.parametrize(
    ("text", "plain", "calls"),
    [
        # a tool that does not exist
        ('<tool_call>{"name": "h", "arguments": {}}</tool_call>', None, ()),
        ("<tool_call>weather in Rome</tool_call>", None, ()),  # no JSON
        ('<tool_call>{"name": "f"', None, ()),  # cut off before it was certain
        ('<tool_call>{"name": 7, "arguments": {}}', None, ()),
        ('<tool_call>{"name": "f", "arguments": [1]}', None, ()),  # arguments are an object
        ('<tool_call>{"name": "f", "arguments": "no JSON"}', None, ()),
        ("a < b <tool", None, ()),
        # arguments that break off stay as far as they went, and the rest is text
        ('<tool_call>{"name": "f", "arguments": {"a": x}} y', "x}} y", (("f", '{"a": '),)),
        ('<tool_call>{"name": "f", "arguments": {"a": 1', "", (("f", '{"a": 1'),)),
        # after a call that fails the next is still found
        (
            '<tool_call>no</tool_call> <tool_call>{"name": "g"}</tool_call>',
            "<tool_call>no</tool_call>",
            (("g", "{}"),),
        ),
    ],
)
def test_what_is_no_call_is_text(text: str, plain: str | None, calls: tuple[tuple[str, str], ...]) -> None:
    assert said(HERMES, text) == (text if plain is None else plain, "", calls)


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": [1, -2.5e3, {"b": null}], "c": "}\\"{"}', None),
        ('{"text": "\\u00e9\\n"}', None),
        ('{"a": "two\nlines"}', '{"a": "two\\nlines"}'),  # a model's raw line break is escaped
        ('"{\\"a\\": 1}"', '{"a": 1}'),  # JSON within a string
        ("null", "{}"),
        ('""', "{}"),
    ],
)
def test_arguments_are_given_as_the_json_text_of_an_object(arguments: str, read: str | None) -> None:
    for text in (f'{{"name": "f", "arguments": {arguments}}}', f'{{"parameters": {arguments}, "x": [1], "name": "f"}}'):
        assert said(HERMES, f"<tool_call>{text}</tool_call>") == ("", "", (("f", read or arguments),))


def test_the_name_comes_before_the_arguments_are_complete() -> None:
    parts = reader(HERMES, str)
    assert parts.push('<tool_call>\n{"name": "f", "arguments": {').tool_calls[0].name == "f"
    assert parts.push('"a": 1').tool_calls[0].arguments == '"a": 1'
    assert parts.flush() == Piece()


def test_half_a_marker_is_held_back() -> None:
    parts = reader(HERMES, str)
    assert [parts.push(text).text for text in ("So <", "tool", "s>", " <tool_ca")] == ["So", "", " <tools>", ""]
    assert parts.flush().text == " <tool_ca"


def test_where_calls_are_not_parallel_a_second_is_text() -> None:
    call = '<tool_call>{"name": "g"}</tool_call>'
    assert said(Reading("hermes", TOOLS, parallel=False), call * 2) == (call, "", (("g", "{}"),))
    assert said(Reading("pythonic", TOOLS, parallel=False), "[g(), g()]") == (", g()]", "", (("g", "{}"),))


@pytest.mark.parametrize(
    ("thinking", "text", "answer", "reasoning"),
    [
        (False, "<think>\nHm.\n\nYes.\n</think>\n\nRome", "Rome", "Hm.\n\nYes."),
        (False, " \n<think>a < b</think>Rome", "Rome", "a < b"),
        (False, "Rome, <think>not this</think>", "Rome, <think>not this</think>", ""),
        (False, "<thin", "<thin", ""),
        (False, "<think></think>\n\nRome", "Rome", ""),
        (True, "Hm.\n</think>\n\nRome", "Rome", "Hm."),
        (True, "never done </thi", "", "never done </thi"),
        (True, '<tool_call>{"name": "g"}</think> x', "x", '<tool_call>{"name": "g"}'),  # no call within thoughts
    ],
)
def test_thoughts_are_apart_from_the_answer(thinking: bool, text: str, answer: str, reasoning: str) -> None:
    for reading in (
        Reading(thoughts="think", thinking=thinking),
        Reading("hermes", TOOLS, False, True, "think", thinking),
    ):
        assert said(reading, text) == said(reading, [text]) == (answer, reasoning, ())


def test_gpt_oss_thinks_in_a_channel() -> None:
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Rome"
    reading = Reading("harmony", thoughts="harmony")
    assert said(reading, text) == said(reading, [text]) == ("Rome", "Hm.", ())


def test_mistral_marks_thoughts_otherwise() -> None:
    assert said(Reading(thoughts="mistral"), "[THINK]Hm.[/THINK]Rome") == ("Rome", "Hm.", ())


def scanned(text: str) -> tuple[int, Step]:
    """Return where the scanner stops, and why."""
    scanner = JsonScanner()
    steps = ((index, scanner.push(character)) for index, character in enumerate(text))
    return next(((index, step) for index, step in steps if step is not Step.MORE), (len(text), Step.MORE))


@pytest.mark.parametrize(
    "text", ["0", "-1.5e+3", '"a\\u00e9"', "[1, {}]", '{"a": [], "b": {"c": null}}', " true", "[0]"]
)
def test_the_scanner_takes_a_whole_value_and_stops(text: str) -> None:
    assert scanned(f"{text},") in ((len(text) - 1, Step.DONE), (len(text), Step.PAST))


@pytest.mark.parametrize(
    "text",
    [
        "01,",
        "1.,",
        "-,",
        "1e,",
        "+1",
        "tru,",
        "[1,]",
        "{,",
        '{"a" 1',
        "{a",
        "[}",
        "]",
        '"\\x"',
        '"\\u00g0',
        "[1 2",
        "{]",
    ],
)
def test_the_scanner_refuses_what_is_no_json(text: str) -> None:
    assert scanned(text)[1] is Step.WRONG
