"""From a text and a tokenizer to what is scored: beginning tokens, windows, limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.planning import Document, make_plan, most_window, usual_window
from quickthaw_platform.validation.result import ProtocolName
from quickthaw_platform.validation.tokenizers import TextTokenizer

TEXT = Corpus("a.txt", "text", ("one two three", "four", "five six"))


def tokenizer(
    *,
    bos: int | None = None,
    eos: int | None = None,
    puts: bool = False,
    encode: Callable[[str], list[int]] | None = None,
) -> TextTokenizer:
    """One token a word."""
    words: dict[str, int] = {}
    plain = encode or (lambda text: [words.setdefault(word, 100 + len(words)) for word in text.split()])
    beginning = (bos,) if puts and bos is not None else ()
    return TextTokenizer("words", lambda text: [*beginning, *plain(text)], beginning, bos, eos)


def test_a_model_without_a_beginning_token_has_texts_as_they_are() -> None:
    found = make_plan(TEXT, tokenizer(), "gptq", window=3)
    assert [window.tokens for window in found.windows] == [(100, 101, 102), (103, 104, 105)]
    assert found.bos == "none: the tokenizer puts none before a text"


def test_a_beginning_token_stands_once_before_a_joined_text() -> None:
    found = make_plan(TEXT, tokenizer(bos=1, puts=True), "hf", window=4)
    assert found.windows[0].tokens == (1, 100, 101, 102)
    assert found.windows[1].tokens == (103, 104, 105)
    assert found.bos == "once, before the whole text (token 1)"


def test_llamacpp_puts_the_beginning_token_into_each_window_only_where_the_model_wants_it() -> None:
    wants = make_plan(TEXT, tokenizer(bos=1, puts=True), "llamacpp", window=3)
    assert [window.tokens for window in wants.windows] == [(1, 100, 101), (1, 103, 104)]
    assert "in the place of each window's first token" in wants.bos
    has = make_plan(TEXT, tokenizer(bos=1), "llamacpp", window=3)
    assert [window.tokens for window in has.windows] == [(100, 101, 102), (103, 104, 105)]


def test_lm_eval_begins_each_document_with_the_beginning_or_else_the_end_of_a_text() -> None:
    by_bos = make_plan(TEXT, tokenizer(bos=1, eos=2), "lm-eval", window=8)
    assert [window.tokens for window in by_bos.windows] == [(1, 100, 101, 102), (1, 103), (1, 104, 105)]
    assert by_bos.bos == "the beginning of a text (token 1) before each document"
    by_eos = make_plan(TEXT, tokenizer(eos=2), "lm-eval", window=8)
    assert by_eos.windows[1].tokens == (2, 103)
    assert "the end of a text, as there is no beginning, (token 2)" in by_eos.bos
    doubled = make_plan(TEXT, tokenizer(bos=1, puts=True), "lm-eval", window=8)
    assert doubled.windows[1].tokens == (1, 1, 103)
    assert "then the tokenizer's own, which is scored" in doubled.bos


def test_lm_eval_needs_one_of_them_and_says_so() -> None:
    with pytest.raises(InvalidRequest, match="no token that begins or ends a text"):
        make_plan(TEXT, tokenizer(), "lm-eval", window=8)


def test_a_tokenizer_that_adds_spaces_sees_each_text_once_and_whole() -> None:
    """Nothing is decoded and tokenised again, so what it puts before a text stands there once."""
    seen: list[str] = []

    def spaced(text: str) -> list[int]:
        seen.append(text)
        return [7, *map(ord, text)]  # 7: the space that it adds

    joined = make_plan(Corpus("a", "text", ("abcdefgh",)), tokenizer(encode=spaced), "hf", window=4, stride=2)
    assert joined.windows[0].tokens == (7, *map(ord, "abc"))
    assert sum(window.tokens.count(7) for window in joined.windows) == 1
    assert seen == ["abcdefgh"]


def test_words_and_bytes_are_those_of_the_text() -> None:
    found = make_plan(TEXT, tokenizer(eos=2), "lm-eval", window=8)
    assert found.documents == (Document(3, 13), Document(1, 4), Document(2, 8))
    assert found.whole
    assert Document.of(" a b ") == Document(words=4, bytes=5)  # as lm-eval counts


def test_a_limit_takes_windows_or_documents_and_is_told() -> None:
    some = make_plan(TEXT, tokenizer(), "gptq", window=2, limit=2)
    assert (len(some.windows), some.limit, some.whole) == (2, 2, False)
    pages = make_plan(TEXT, tokenizer(eos=2), "lm-eval", window=8, limit=2)
    assert (len(pages.documents), pages.limit, pages.whole) == (2, 2, True)
    assert make_plan(TEXT, tokenizer(), "hf", window=4, limit=99).limit is None
    assert make_plan(TEXT, tokenizer(), "hf", window=4, limit=99).whole


@pytest.mark.parametrize(
    ("protocol", "text", "said"),
    [
        ("hf", "one", "the text has 1 token"),
        ("gptq", "one two", "one whole window of 4"),
        ("llamacpp", "one two three four five", "two windows of 4"),
        ("lm-eval", "", "the text has no tokens"),
    ],
)
def test_texts_that_are_too_short_are_refused(protocol: ProtocolName, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        make_plan(Corpus("a", "text", (text,)), tokenizer(eos=2), protocol, window=4)


def test_lm_eval_scores_a_single_token() -> None:
    found = make_plan(Corpus("a", "text", ("one",)), tokenizer(eos=2), "lm-eval", window=4)
    assert [(window.tokens, window.scored) for window in found.windows] == [((2, 100), 1)]


def test_a_text_longer_than_the_context_is_scored_in_windows_that_fit() -> None:
    text = Corpus("a", "text", (" ".join(map(str, range(1000))),))
    for protocol in ("hf", "gptq", "lm-eval", "llamacpp"):
        window = usual_window(protocol, 64)
        found = make_plan(text, tokenizer(eos=2), protocol, window=window)
        assert max(len(one.tokens) for one in found.windows) == 64
    assert most_window("lm-eval", 64) == 63  # it scores the token behind a window too


def test_strides_and_windows_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="gptq has no stride"):
        make_plan(TEXT, tokenizer(), "gptq", window=4, stride=2)
    with pytest.raises(InvalidRequest, match="a window of 1 predicts nothing"):
        make_plan(TEXT, tokenizer(), "hf", window=1)


def test_digests_tell_plans_apart() -> None:
    plans = [make_plan(TEXT, tokenizer(), "hf", window=4, stride=stride) for stride in (1, 2, 2)]
    assert plans[0].digest != plans[1].digest == plans[2].digest
