"""What every engine shows of tokens that are no plain text: special ones, and parts of characters."""

from __future__ import annotations

import queue
from itertools import pairwise
from typing import Any, cast

import pytest

from quickthaw.generation import TokenLogprob
from quickthaw_backends.engines.texts import Texts
from quickthaw_platform.contracts import Engine
from tests.unit.engines.tiny import Collector, generate, request

TOKENS = 40


@pytest.fixture
def texts(engine: Engine) -> Texts:
    return cast("Texts", engine.tokenizer)


@pytest.fixture
def mark(texts: Texts) -> tuple[int, str]:
    """A special token and its text."""
    return next(
        (token, text) for name in ("<|end|>", "</s>") for token, text in texts.marks_in(name).items() if text == name
    )


@pytest.fixture
def often(engine: Engine, prompt: list[int], mark: tuple[int, str]) -> tuple[list[int], dict[str, Any]]:
    """A prompt, and a request that makes special tokens stand among others in the answer."""
    asked: dict[str, Any] = {"ignore_eos": True, "max_tokens": TOKENS, "seed": 3}
    if "<|user|>" in cast("Texts", engine.tokenizer).marks_in("<|user|>").values():  # echo: it says what it is asked
        user, other = (next(iter(cast("Texts", engine.tokenizer).marks_in(name))) for name in ("<|user|>", "<|other|>"))
        return [user, *b"ab", other, *b"cd", other, other, *b"e"], asked
    return prompt, {**asked, "logit_bias": {mark[0]: 6.0}}


def test_a_stop_string_that_is_a_special_tokens_text_ends_the_answer(
    engine: Engine, prompt: list[int], mark: tuple[int, str]
) -> None:
    token, text = mark
    asked: dict[str, Any] = {"ignore_eos": True, "stop": [text], "logit_bias": {token: 100.0}, "min_tokens": 4}
    answer = generate(engine, prompt, **asked)
    assert (len(answer.tokens), answer.tokens[-1]) == (5, token)
    assert (answer.deltas[-1].finish_reason, answer.deltas[-1].stop) == ("stop", text)
    assert text not in answer.text
    shown = generate(engine, prompt, include_stop=True, **asked)
    assert shown.tokens == answer.tokens
    assert shown.text == answer.text + text


def test_a_special_token_that_is_a_stop_string_may_end_a_structure(
    engine: Engine, prompt: list[int], mark: tuple[int, str]
) -> None:
    token, text = mark
    asked: dict[str, Any] = {"ignore_eos": True, "stop": [text], "logit_bias": {token: 100.0}}
    answer = generate(engine, prompt, structure={"regex": "a+"}, **asked)
    assert (answer.text, answer.tokens[-1], answer.deltas[-1].stop) == ("a", token, text)


def around_a_mark(texts: Texts, tokens: list[int]) -> list[str]:
    """Return texts of three tokens each that follow each other, one of them a special one."""
    found = []
    for first in range(2, len(tokens) - 2):
        some = tokens[first : first + 3]
        parts = [texts.text_of(token) for token in some]
        if any(not texts.bytes_of(token) for token in some) and all(parts):
            found.append("".join(parts))
    return [text for text in found if "\N{REPLACEMENT CHARACTER}" not in text]


def test_a_stop_string_of_a_special_token_and_text_ends_the_answer_and_a_resumed_and_a_moved_one(
    engine: Engine, texts: Texts, often: tuple[list[int], dict[str, Any]]
) -> None:
    prompt, asked = often
    whole = generate(engine, prompt, **asked)
    stop = around_a_mark(texts, whole.tokens)[-1]
    answer = generate(engine, prompt, stop=[stop], **asked)
    assert (answer.deltas[-1].finish_reason, answer.deltas[-1].stop) == ("stop", stop)
    assert answer.tokens == whole.tokens[: len(answer.tokens)]
    assert "".join(map(texts.text_of, answer.tokens)).endswith(stop)
    assert whole.text.startswith(answer.text)
    for cut in (1, len(answer.tokens) - 2, len(answer.tokens) - 1):
        rest = generate(engine, prompt + answer.tokens[:cut], generated=cut, stop=[stop], **asked)
        assert rest.tokens == answer.tokens[cut:]
        assert "".join(map(str, answer.deltas[:cut])) + rest.text == answer.text
    cut, moved, held = len(answer.tokens) - 2, Collector(), queue.SimpleQueue[int]()
    engine.hold(request(prompt, "moved", stop=[stop], **asked), moved, on_held=held.put)
    assert held.get(timeout=30) == len(prompt)
    engine.extend("moved", answer.tokens[:cut])
    engine.release("moved")
    assert moved.wait().tokens == answer.tokens[cut:]
    assert "".join(map(str, answer.deltas[:cut])) + moved.text == answer.text


def test_special_tokens_stay_hidden_where_a_stop_string_names_them_and_is_not_complete(
    engine: Engine, often: tuple[list[int], dict[str, Any]], mark: tuple[int, str]
) -> None:
    prompt, asked = often
    stop = [f"{mark[1]}never", "<|other|>never"]
    assert generate(engine, prompt, stop=stop, **asked).text == generate(engine, prompt, **asked).text


def entries_of(answer: Collector) -> list[TokenLogprob]:
    return [entry for delta in answer.deltas for entry in delta.logprobs]


def added(entry: TokenLogprob) -> bytes:
    return entry.text.encode() if entry.own_bytes is None else entry.own_bytes


def test_the_bytes_of_all_tokens_are_the_text(engine: Engine, often: tuple[list[int], dict[str, Any]]) -> None:
    prompt, asked = often
    marks = 0
    for seed in range(5):
        answer = generate(engine, prompt, **{**asked, "seed": seed, "logprobs": 3})
        data = b"".join(map(added, entries_of(answer)))
        assert data.decode(errors="replace") == answer.text
        marks += sum(entry.own_bytes == b"" for entry in entries_of(answer))
    assert marks  # a special token adds nothing


def test_a_part_of_a_character_has_its_own_bytes(engine: Engine, prompt: list[int]) -> None:
    answer = generate(engine, prompt, max_tokens=0, echo=True, logprobs=3)
    entries = entries_of(answer)
    assert b"".join(map(added, entries)) == answer.text.encode()
    assert any(first.own_bytes and second.own_bytes for first, second in pairwise(entries))


def test_the_likeliest_tokens_are_told_apart_by_ids_and_bytes(engine: Engine, texts: Texts, prompt: list[int]) -> None:
    for entry in entries_of(generate(engine, prompt, max_tokens=6, logprobs=20, ignore_eos=True)):
        assert len(set(entry.top_tokens)) == len(entry.top)
        own = entry.top_bytes or [None] * len(entry.top)
        data = [text.encode() if found is None else found for (text, _), found in zip(entry.top, own, strict=True)]
        assert data == [texts.bytes_of(token) for token in entry.top_tokens]
        assert TokenLogprob.from_json(entry.to_json()) == entry
