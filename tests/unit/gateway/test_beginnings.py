from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.gateway.beginnings import beginnings
from quickthaw_platform.invocations.served import MOST_BEGINNINGS as MOST

SYSTEM = {"role": "system", "content": "You know all trains of the country, and when each of them leaves."}


def turn(number: int, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": f"turn {number}"}


def common(left: tuple[str, ...], right: tuple[str, ...]) -> list[str]:
    """Return the hashes that two calls have in common, longest beginning first."""
    return [each for each in left if each in right]


def test_the_next_turn_of_a_chat_has_all_hashes_of_the_turn_before_behind_its_own() -> None:
    first = beginnings("v1", {"messages": [SYSTEM, turn(1)]})
    second = beginnings("v1", {"messages": [SYSTEM, turn(1), turn(1, "assistant"), turn(2)]})
    third = beginnings(
        "v1", {"messages": [SYSTEM, turn(1), turn(1, "assistant"), turn(2), turn(2, "assistant"), turn(3), turn(4)]}
    )
    assert (len(first), len(second), len(third)) == (2, 3, 4)
    assert second[1:] == first
    assert third[1:] == second


def test_of_a_long_chat_its_first_message_and_its_last_turns_count() -> None:
    messages = [SYSTEM, *(turn(number, role) for number in range(20) for role in ("user", "assistant")), turn(20)]
    found = beginnings("v1", {"messages": messages})
    assert len(found) == MOST
    assert found[-1:] == beginnings("v1", {"messages": [SYSTEM]})
    for earlier in (1, 2):  # it may have been asked again since, or changed
        before = beginnings("v1", {"messages": messages[: -2 * earlier]})
        assert found[earlier] == before[0]


def test_the_results_of_tools_go_on_from_the_call_that_asked_for_them() -> None:
    asked = [SYSTEM, turn(1)]
    results = [{"role": "assistant", "tool_calls": ["a", "b"]}, turn(1, "tool"), turn(2, "tool")]
    assert beginnings("v1", {"messages": asked + results})[1:] == beginnings("v1", {"messages": asked})


def test_chats_that_differ_in_any_field_of_an_early_message_have_no_later_beginning_in_common() -> None:
    one = beginnings("v1", {"messages": [SYSTEM, turn(1), turn(2)]})
    for other in (turn(3), turn(1, "assistant"), turn(1) | {"name": "bob"}):
        assert common(one, beginnings("v1", {"messages": [SYSTEM, other, turn(2)]})) == list(one[-1:])


def test_what_is_in_one_message_is_not_taken_for_two() -> None:
    long = "x" * 80
    apart = beginnings("v1", {"messages": [long, long]})
    assert common(apart, beginnings("v1", {"messages": [long + long]})) == []


def test_of_a_text_the_lengths_that_are_told_apart_count() -> None:
    text = "".join(chr(97 + number % 26) for number in range(1100))
    found = beginnings("v1", {"prompt": text})
    assert len(found) == 2  # 1,024 and 256 characters
    assert beginnings("v1", {"prompt": text[:600] + "!"}) == found[1:]
    assert beginnings("v1", {"prompt": "!" + text}) != found
    assert len(beginnings("v1", {"prompt": "x" * 10**6})) == MOST


def test_of_token_ids_the_lengths_that_are_told_apart_count() -> None:
    found = beginnings("v1", {"prompt": list(range(300))})
    assert len(found) == 2  # 256 and 64 tokens
    assert beginnings("v1", {"prompt": [*range(200), 7]}) == found[1:]


@pytest.mark.parametrize(
    "sent",
    [
        {"messages": [{"role": "user", "content": "hi"}]},  # too short to be worth it
        {"messages": []},
        {"messages": "not a list"},
        {"prompt": "x" * 255},
        {"prompt": list(range(63))},
        {"input": "x" * 1000},  # to be embedded
        {"question": "x" * 1000},  # a handler's own
    ],
)
def test_what_is_short_or_no_prompt_has_none(sent: dict[str, object]) -> None:
    assert beginnings("v1", sent) == ()


def test_the_same_beginning_of_another_version_has_another_hash() -> None:
    sent = {"messages": [SYSTEM, turn(1)]}
    assert common(beginnings("v1", sent), beginnings("v2", sent)) == []


def test_half_a_character_of_a_pair_is_hashed_like_any_other() -> None:
    assert len(beginnings("v1", {"prompt": "\ud83d" * 256})) == 1


@given(st.text(min_size=256), st.integers(256, 2000))
def test_every_hash_has_the_width_that_the_scripts_expect(text: str, length: int) -> None:
    found = beginnings("v1", {"prompt": (text * 8)[:length]})
    assert found
    assert all(len(each) == 8 and each.isascii() for each in found)
