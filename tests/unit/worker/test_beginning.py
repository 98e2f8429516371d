from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from quickthaw.types import FunctionSpec
from quickthaw_backends.engines.echo_tokenizer import END, OTHER, USER, EchoTokenizer
from quickthaw_platform.worker.beginning import PLAIN_CHAT, Beginning, common_prefix, file_digest

BYTES = EchoTokenizer()


class Merging(EchoTokenizer):
    """Makes one token of each run of letters, and of a blank with the letters behind it."""

    def encode(self, text: str) -> list[int]:
        tokens: list[int] = []
        for part in text.replace(" ", "\0 ").split("\0"):
            tokens.append(hash(part) % 1000 + 1000)
        return tokens


def spec(**fields: Any) -> FunctionSpec:
    return FunctionSpec(name="f", model="m", **fields)


def test_a_function_that_names_nothing_has_none() -> None:
    assert Beginning.of(spec()) is None


def test_a_text_begins_with_what_all_its_continuations_share() -> None:
    beginning = Beginning.of(spec(prefix="Once upon"))
    assert beginning is not None
    assert beginning.tokens_by(BYTES) == tuple(b"Once upon")
    merging = Merging()
    assert beginning.tokens_by(merging) == tuple(merging.encode("Once"))  # "upon" may go on: "upons"


def test_a_chat_begins_with_its_system_message_and_all_up_to_what_the_user_says() -> None:
    beginning = Beginning.of(spec(system="Hi"))
    assert beginning is not None
    assert beginning.tokens_by(BYTES) == (OTHER, *b"Hi", END, USER)


def test_tools_are_part_of_a_chats_beginning_with_or_without_a_system_message() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    [only, both] = [Beginning.of(spec(**given)) for given in ({"tools": [tool]}, {"tools": [tool], "system": "Hi"})]
    assert only is not None
    assert both is not None
    assert BYTES.decode(only.tokens_by(BYTES)) == '{"function": {"name": "look"}, "type": "function"}'
    assert len(both.tokens_by(BYTES)) == len(only.tokens_by(BYTES)) + 4
    assert len({only.digest, both.digest}) == 2


def test_a_plain_chat_begins_with_what_the_chat_template_puts_before_the_users_words() -> None:
    assert PLAIN_CHAT.tokens_by(BYTES) == (USER,)
    assert [b.plain for b in (PLAIN_CHAT, Beginning(system="s"), Beginning(tokens=(1,)))] == [True, False, False]


def test_what_was_learnt_is_tokens_already() -> None:
    assert Beginning(tokens=(1, 2)).tokens_by(BYTES) == (1, 2)
    assert [b.learnt for b in (Beginning(tokens=(1, 2)), Beginning(prefix="x"))] == [True, False]


@pytest.mark.parametrize(
    "beginning",
    [
        *(PLAIN_CHAT, Beginning(system="s"), Beginning(prefix="p")),
        *(Beginning(tokens=(1, 2)), Beginning(tools=({"a": {"b": 1}},))),
    ],
)
def test_it_arrives_at_a_template_as_it_was(beginning: Beginning) -> None:
    assert Beginning.from_frame(beginning.frame()) == beginning


@pytest.mark.parametrize(
    ("sequences", "common"),
    [([], ()), ([[1, 2]], (1, 2)), ([[1, 2], [1, 3]], (1,)), ([[1, 2], [1]], (1,)), ([[2], [1]], ()), ([[], [1]], ())],
)
def test_the_common_prefix(sequences: Sequence[Sequence[int]], common: tuple[int, ...]) -> None:
    assert common_prefix(sequences) == common


def test_files_differ_by_all_that_keys_and_values_depend_on() -> None:
    base: tuple[Any, ...] = ("echo", {"a": 1}, "b1", "x86 avx2", (1, 2))
    others = [("other", *base[1:]), (base[0], {"a": 2}, *base[2:]), (*base[:2], "b2", *base[3:])]
    others += [(*base[:3], "x86", base[4]), (*base[:4], (1, 2, 3))]
    assert len({file_digest(*each) for each in (base, *others)}) == 6
    assert file_digest(*base) == file_digest("echo", {"a": 1}, "b1", "x86 avx2", [1, 2])
