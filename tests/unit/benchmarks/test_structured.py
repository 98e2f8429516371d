"""The benchmark of structured answers: its schemas, its verdicts, and what becomes of given measurements."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from jsonschema import Draft202012Validator
from llguidance import LLMatcher

from benchmarks.sse import Arrival, Stream
from benchmarks.structured.answers import Answer, fits, judge, tally
from benchmarks.structured.cases import Case, record, text, whole
from benchmarks.structured.keywords import FORMATS, MAKERS, UNSUPPORTED, generated
from benchmarks.structured.report import OURS, PEER, Speed, speed, validity
from benchmarks.structured.tools import FRESH_BYTES, HAND_MADE, LARGE, endless, fresh, hand_made

CASES = [*generated(500, 1), *hand_made()]
AGE = record({"age": whole(0, 120)})


def grammar_error(schema: object) -> str:
    """Return what llguidance finds wrong with a schema; empty: nothing."""
    return LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(json.dumps(schema)))


def test_the_schemas_are_enough_valid_and_each_has_a_grammar() -> None:
    assert len(CASES) >= 500
    for case in CASES:
        Draft202012Validator.check_schema(case.schema)
        assert grammar_error(case.schema) == "", case.schema


def test_every_keyword_has_its_share_and_a_seed_gives_the_same_schemas_again() -> None:
    counts = Counter(case.group for case in generated(500, 1))
    assert counts.keys() == MAKERS.keys()
    assert min(counts.values()) >= 500 // len(MAKERS)
    assert generated(40, 1) == generated(40, 1) != generated(40, 2)


@pytest.mark.parametrize("keyword", UNSUPPORTED)
def test_no_grammar_is_made_of_an_unsupported_keyword(keyword: str) -> None:
    Draft202012Validator.check_schema(UNSUPPORTED[keyword])
    assert keyword in grammar_error(UNSUPPORTED[keyword])


def test_hand_made_schemas_have_the_sizes_of_tools() -> None:
    sizes: dict[str, list[int]] = {case.group: [] for case in hand_made()}
    for case in hand_made():
        sizes[case.group].append(len(json.dumps(case.schema)))
    assert all(15_000 < size < 30_000 for size in sizes.pop(LARGE))
    assert all(size <= 2048 for some in sizes.values() for size in some)


def test_a_fresh_schema_is_like_no_other_and_of_two_kilobytes() -> None:
    assert fresh(1) != fresh(2)
    assert FRESH_BYTES <= len(json.dumps(fresh(7))) < FRESH_BYTES + 200
    assert grammar_error(fresh(7)) == ""


@pytest.mark.parametrize("name", HAND_MADE)
def test_an_endless_schema_wants_more_values_than_are_asked_for(name: str) -> None:
    assert endless(HAND_MADE[name])["minItems"] > 100


def answered(said: str, reason: str | None = "stop", error: str | None = None) -> Stream:
    return Stream(0.0, 1.0, (Arrival(0.5, said),), done=True, error=error, finish_reason=reason)


@pytest.mark.parametrize(
    ("stream", "verdict"),
    [
        (answered('{"age": 3}'), "valid"),
        (answered('{"age": 300}'), "invalid"),
        (answered('{"age": 3'), "invalid"),  # it ended by itself and is no JSON
        (answered('{"age": 3', "length"), "cut"),
        (answered("", None, "Refused: 400: no"), "refused"),
        (answered("", None, "Refused: 500: oh"), "broken"),
        (answered('{"age": 3}', None), "broken"),  # nobody said why it ended
    ],
)
def test_an_answer_is_judged_by_how_it_ended_and_what_it_says(stream: Stream, verdict: str) -> None:
    assert judge(AGE, stream) == verdict


def test_formats_count() -> None:
    assert fits({"type": "string", "format": "ipv4"}, '"10.0.0.1"')
    assert not fits({"type": "string", "format": "ipv4"}, '"10.0.0.999"')
    assert not fits(text(3), '"long"')


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date-time", "2026-11-29T12:30:00Z", "2026-11-29 12:30"),
        ("date", "2026-11-29", "2026-11-31"),
        ("time", "12:30:00.125-03:30", "12:30:00"),
        ("duration", "P1DT2H", "1 day"),
        ("ipv4", "10.0.0.1", "10.0.0.999"),
        ("ipv6", "::1", "::g"),
        ("uuid", "0a6b1f6e-0000-4000-8000-000000000000", "0a6b"),
    ],
    ids=FORMATS,
)
def test_every_format_is_checked_as_this_draft_means_it(name: str, right: str, wrong: str) -> None:
    assert fits({"type": "string", "format": name}, json.dumps(right))
    assert not fits({"type": "string", "format": name}, json.dumps(wrong))


CUT = Answer(Case("enum", AGE), "cut", "")
VALID = Answer(Case("type", AGE), "valid", "")
INVALID = Answer(Case("type", AGE), "invalid", "")


def test_validity_is_a_share_of_what_finished() -> None:
    found = validity({OURS: [VALID, VALID, INVALID, CUT], PEER: [CUT]}, 0.5, {})
    rows = {(row["way"], row["schemas about"]): row for row in found.rows}
    assert (rows[OURS, "all"]["finished"], rows[OURS, "all"]["cut"]) == (3, 1)
    assert rows[OURS, "type"]["valid %"] == pytest.approx(200 / 3)
    assert rows[PEER, "all"]["valid %"] is None
    goals = {goal.name: goal for goal in found.goals}
    assert goals["finished answers that are valid"].value == pytest.approx(2 / 3)
    assert not goals["finished answers that are valid"].held
    assert goals["schemas refused or broken"].held
    assert not goals["unsupported keywords refused by name"].held
    assert tally([CUT])["cut"] == 1


def test_speeds_are_compared_round_by_round() -> None:
    ours = Speed({1: [90.0, 50.0]}, {1: [100.0, 50.0]}, [10.0, 12.0, 11.0], [15.0], [70.0])
    found = speed({OURS: ours}, {})
    goals = {goal.name: goal for goal in found.goals}
    assert goals["tokens/s over unconstrained, 1 stream"].value == pytest.approx(0.95)
    assert goals["first token, schema known (ms more)"].value == pytest.approx(4)
    assert goals["first token, schema known (ms more)"].held
    assert not goals["first token, new schema of 2 kB (ms more)"].held
    assert found.rows[0]["ratio, 1"] == pytest.approx(0.95)
