"""Grammars: what a structure's text is, how guides are made and kept, and what they say."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Structure
from quickthaw_backends.engines.echo_tokenizer import END, VOCABULARY, EchoTokenizer
from quickthaw_backends.engines.echo_voice import echo_guides
from quickthaw_backends.engines.structure import guides as guides_module
from quickthaw_backends.engines.structure.grammar import structure_grammar
from quickthaw_backends.engines.structure.guide import Guide
from quickthaw_backends.engines.structure.guides import Guides


@pytest.fixture(scope="module")
def guides() -> Guides:
    return echo_guides(EchoTokenizer())


def guide(guides: Guides, **structure: Any) -> Guide:
    return guides.guide(structure_grammar(Structure(**structure)))


def allowed(found: Guide) -> set[int]:
    return set(np.flatnonzero(found.mask()).tolist())


def says(found: Guide, text: str) -> bool:
    """Whether a text may be said, and is then complete."""
    for token in text.encode():
        if token not in allowed(found):
            return False
        found.advance(token)
    return found.accepting


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), min_size=1, max_size=4, unique=True))
def test_each_choice_may_be_said_and_nothing_else(texts: list[str]) -> None:
    guides = echo_guides(EchoTokenizer())
    for text in texts:
        assert says(guide(guides, choice=texts), text)
    assert says(guide(guides, choice=texts), texts[0] + "x") is (texts[0] + "x" in texts)


def test_json_is_written_with_one_space_after_commas_and_colons(guides: Guides) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    assert says(guide(guides, json_schema=schema), '{"a": [1, 2]}')
    for text in ('{"a":[1]}', '{ "a": [1]}', '{"a": [1,2]}', '{"a":\n[1]}'):
        assert not says(guide(guides, json_schema=schema), text)


def test_a_schema_may_be_true(guides: Guides) -> None:
    assert says(guide(guides, json_schema=True), '{"any": [1, "thing"]}')


def test_a_schema_cannot_have_its_own_keywords_ignored(guides: Guides) -> None:
    schema = {"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True, "whitespace_flexible": True}}
    with pytest.raises(InvalidRequest, match="uniqueItems"):
        guide(guides, json_schema=schema)


@pytest.mark.parametrize("depth", [150, 100_000])
def test_a_schema_that_nests_too_deeply_is_refused(depth: int) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    structure = Structure.model_construct(json_schema=schema, regex=None, choice=None, grammar=None)
    with pytest.raises(InvalidRequest, match="nests deeper") as refused:
        structure_grammar(structure)
    assert refused.value.param == "structure"


def test_where_only_one_text_is_left_its_tokens_are_known(guides: Guides) -> None:
    found = guide(guides, regex="abcd[0-9]")
    assert bytes(found.forced()) == b"abcd"
    for token in b"abcd":
        found.advance(token)
    assert found.forced() == []


def test_a_guide_says_how_many_tokens_fit(guides: Guides) -> None:
    assert guide(guides, regex="ab[0-9]+").fitting(list(b"ab12x")) == 4


def test_a_complete_text_is_told_from_one_that_may_go_on(guides: Guides) -> None:
    found = guide(guides, regex="ab?")
    found.advance(ord("a"))
    assert (found.accepting, found.stopped, allowed(found)) == (True, False, {ord("b"), END})
    found.advance(ord("b"))
    assert (found.accepting, found.stopped) == (True, True)


def test_a_token_that_may_not_come_is_an_error_of_the_next_mask_and_no_end(guides: Guides) -> None:
    found = guide(guides, regex="ab")
    found.advance(ord("z"))
    assert not found.stopped
    assert not found.accepting
    assert found.forced() == []
    with pytest.raises(InvalidRequest) as failed:
        found.mask()
    assert failed.value.param == "structure"


def test_guides_of_one_grammar_go_their_own_ways(guides: Guides) -> None:
    first, second = guide(guides, regex="[ab]{2}"), guide(guides, regex="[ab]{2}")
    first.advance(ord("a"))
    first.advance(ord("b"))
    assert first.stopped
    assert allowed(second) == set(b"ab")


def test_a_mask_covers_tokens_that_the_model_scores_and_the_tokenizer_lacks() -> None:
    padded = Guides(echo_guides(EchoTokenizer()).tokenizer, VOCABULARY + 61)
    mask = padded.guide(structure_grammar(Structure(regex="a"))).mask()
    assert len(mask) == VOCABULARY + 61
    assert not mask[VOCABULARY:].any()


class Counting:
    """Stands for LLMatcher and counts what is compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compiled: list[str] = []
        self._lock = threading.Lock()
        self._real = LLMatcher
        monkeypatch.setattr(guides_module, "LLMatcher", self)

    def __call__(self, tokenizer: Any, grammar: str, **more: Any) -> Any:
        with self._lock:
            self.compiled.append(grammar)
        return self._real(tokenizer, grammar, **more)


def test_a_grammar_is_compiled_once_however_many_threads_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    guides, counting = echo_guides(EchoTokenizer()), Counting(monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        masks = list(threads.map(lambda _: allowed(guide(guides, regex="[ab]+")), range(40)))
    assert masks == [set(b"ab")] * 40
    assert len(counting.compiled) == 1


def test_grammars_that_were_not_used_for_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    guides, counting = echo_guides(EchoTokenizer()), Counting(monkeypatch)
    monkeypatch.setattr(guides_module, "_MOST_GRAMMARS", 2)
    for letter in "abacab":  # b is dropped for c, then c for b
        guide(guides, regex=letter)
    assert [_regex(grammar) for grammar in counting.compiled] == ["a", "b", "c", "b"]


def test_what_cannot_be_compiled_is_refused_each_time(guides: Guides) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="unclosed"):
            guide(guides, regex="a(")


def test_a_grammar_that_cannot_end_reaches_a_limit_and_is_an_error(guides: Guides) -> None:
    found = guide(guides, grammar='start: x\nx: "a" x')
    found.advance(ord("a"))
    with pytest.raises(InvalidRequest, match="limit"):
        found.mask()


def _regex(grammar: str) -> str:
    text: str = json.loads(grammar)["grammars"][0]["lark_grammar"]
    return text.split("/")[1]
