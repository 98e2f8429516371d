"""What is protected in a text, kind by kind."""

from __future__ import annotations

import pytest

from quickthaw.compression.segments import segments
from quickthaw.compression.spans import Kind, protected


def spans(text: str, question: str | None = None) -> set[tuple[Kind, str]]:
    return {(span.kind, text[span.start : span.end]) for span in protected(text, segments(text), question)}


@pytest.mark.parametrize(
    ("text", "kind", "span"),
    [
        ("it weighs 3.5 kg in all", Kind.NUMBER, "3.5"),
        ("it weighs 3.5 kg in all", Kind.UNIT, "kg"),
        ("about 1e-7 of it", Kind.NUMBER, "1e-7"),
        ("about 0.10 of it", Kind.NUMBER, "0.10"),
        ("half of twenty-five", Kind.NUMBER, "twenty-five"),
        ("he has ٣ of them", Kind.NUMBER, "٣"),
        ("it is a float here", Kind.TYPE, "float"),
        ("return null then", Kind.TYPE, "null"),
        ("see https://example.org/a now", Kind.URL, "https://example.org/a"),
        ("write me@example.org soon", Kind.URL, "me@example.org"),
        ("the variable snake_case is", Kind.SYMBOL, "snake_case"),
        ("the class HttpServer is", Kind.SYMBOL, "HttpServer"),
        ("fill {user name} in", Kind.SLOT, "{user name}"),
        ("fill <the name> in", Kind.SLOT, "<the name>"),
        ('he said "come here" then', Kind.QUOTE, '"come here"'),
        ("il dit «viens ici» et", Kind.QUOTE, "«viens ici»"),
        ("she did not go there", Kind.NEGATION, "not"),
        ("she did not go there", Kind.NEGATED, "go there"),
        ("we don’t know it", Kind.NEGATION, "don’t"),
        ("das ist kein Haus", Kind.NEGATION, "kein"),
        ("我没有看到那只猫。", Kind.NEGATION, "我没有看到那只猫。"),  # without spaces a phrase is one word
        ("the city of Paris is", Kind.NAME, "Paris"),
        ("Janet sells eggs", Kind.NAME, "Janet"),  # at the beginning too
        ("call `f(x)` first", Kind.CODE, "`f(x)`"),
        ("so:\n    return x / 2.0\nand", Kind.CODE, "    return x / 2.0"),
        (">>> add(1, 2)\n3\n", Kind.CODE, "3"),  # what the example prints
        ('take {"a b": 1} of it', Kind.JSON, '{"a b": 1}'),
        ("Question: what is it\nAnswer: a thing", Kind.LABEL, "Question:"),
        ("A first one. What is it?", Kind.QUESTION, "What is it?"),
        ("Some context here.\n\nWhat is it?\nAnswer:", Kind.QUESTION, "What is it?\nAnswer:"),
        ("Some long text stands here. Sum it up.", Kind.QUESTION, "Sum it up."),
    ],
)
def test_it_is_protected(text: str, kind: Kind, span: str) -> None:
    assert (kind, span) in spans(text)


@pytest.mark.parametrize("word", ["The", "However,", "quickly", "house.", "I'm", "It's"])
def test_a_common_word_is_not(word: str) -> None:
    assert spans(f"{word} and much more of it stands here, so that this is long. And this is at the end.") == {
        (Kind.QUESTION, "And this is at the end.")
    }


def test_a_word_that_also_stands_in_lower_case_is_no_name_at_a_beginning() -> None:
    text = "Houses are old. Old houses are warm, and some of those that we have seen are so."
    assert not {span for kind, span in spans(text) if kind is Kind.NAME}


def test_the_inside_of_a_long_json_string_is_free() -> None:
    prose = "some quite long text that has so very many words in it that it is prose"
    assert spans(f'{{"t": "{prose}", "n": 0.10}}') >= {(Kind.JSON, '{"t": "'), (Kind.JSON, '", "n": 0.10}')}


def test_a_named_question_is_protected_and_must_be_there() -> None:
    text = "Tell me of it. It is a long story that nobody wants to hear."
    assert (Kind.QUESTION, "Tell me of it.") in spans(text, "Tell me of it.")
    with pytest.raises(ValueError, match="does not hold the question"):
        spans(text, "another")
