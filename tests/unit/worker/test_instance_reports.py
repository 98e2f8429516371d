"""What an instance reports is checked field by field before anything is done with it."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest

from quickthaw.generation import Delta, TokenLogprob, ToolCallDelta
from quickthaw_platform.worker.frames import ProtocolError
from quickthaw_platform.worker.instance_reports import FIELDS, check_fields, sample_in
from quickthaw_platform.worker.prefix_learner import MOST_TOKENS, sample_of

RUN: dict[str, Any] = {"invocation": "i", "life": 1}
DELTA = Delta("x", (1,)).to_json()
SOUND: dict[str, dict[str, Any]] = {
    "chunk": {**RUN, "at": 1.5, "delta": DELTA},
    "record": {**RUN, "delta": DELTA},
    "held": RUN,
    "done": {**RUN, "value": None, "usage": {}},
    "ended": RUN,
    "error": {**RUN, "error": {}},
    "heard": {"life": 1},
    "loaded": {"can_sleep": True},
    "asleep": {"bytes": 1},
    "failed": {"error": {}},
    "prompt": {"sample": b"1234"},
}
FOREIGN: tuple[Any, ...] = ([], {"a": []}, "x", b"x", None, 1.5, True)


def test_each_kind_is_known_here() -> None:
    assert set(SOUND) == set(FIELDS)


@pytest.mark.parametrize("kind", [*SOUND, "ready", "of the future"])
def test_sound_reports_pass(kind: str) -> None:
    check_fields({"t": kind, **SOUND.get(kind, {})})
    check_fields({"t": "chunk", **RUN, "at": 1.5, "value": None})


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in FIELDS.items() for field in fields])
def test_a_field_that_is_missing_or_of_another_type_is_refused(kind: str, field: str) -> None:
    sound = {"t": kind, **SOUND[kind]}
    wanted = FIELDS[kind][field]
    with pytest.raises(ProtocolError, match=field):
        check_fields({name: value for name, value in sound.items() if name != field})
    for value in FOREIGN:
        if not isinstance(value, wanted):
            with pytest.raises(ProtocolError, match=field):
                check_fields({**sound, field: value})


@pytest.mark.parametrize(
    "output",
    [{"at": math.nan, "value": 1}, {"at": math.inf, "value": 1}, {"at": 1.0}, {"at": 1.0, "value": 1, "mark": "0.0."}],
    ids=["no number", "for ever", "nothing", "a mark"],
)
def test_an_output_has_a_moment_and_something_put_out(output: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="an output is"):
        check_fields({"t": "chunk", **RUN, **output})


@pytest.mark.parametrize("sample", [b"123", bytes(4 * MOST_TOKENS + 4)], ids=["half a token", "too many"])
def test_what_is_no_sample_of_a_prompt_is_refused(sample: bytes) -> None:
    with pytest.raises(ProtocolError, match="no sample"):
        sample_in({"t": "prompt", "sample": sample})
    assert sample_in({"t": "prompt", "sample": sample_of(range(9))}) == sample_of(range(9))


def test_all_that_a_model_may_say_is_model_output() -> None:
    entry = TokenLogprob(1, "x", -0.5, (("x", -0.5), ("y", -math.inf)), (1, 2), b"\xff", (None, b"y"))
    call = ToolCallDelta(0, "call0", "f", "{}")
    whole = Delta("x", (1,), 1, (entry, TokenLogprob(1, "", None)), "stop", 3, 1, "thought", (call,), "END")
    for delta in (Delta(), whole):
        check_fields({"t": "record", **RUN, "delta": msgpack.unpackb(msgpack.packb(delta.to_json()))})


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"text": 7},
        {"tokens": ["1"]},
        {"choice": -1},
        {"finish_reason": 1},
        {"logprobs": [{}]},
        {"logprobs": [{"token": 1, "text": "x", "logprob": 0.0, "top": [["x", 0.0]], "top_tokens": [1, 2]}]},
        {"tool_calls": [{"index": "0"}]},
        {"invented": 1},
    ],
)
def test_what_is_no_model_output_is_refused(broken: dict[str, Any]) -> None:
    delta = {**DELTA, **broken} if broken else {}
    with pytest.raises(ProtocolError, match="no model output"):
        check_fields({"t": "chunk", **RUN, "at": 1.5, "delta": delta})


@pytest.mark.parametrize("error", [{"message": 1}, {"param": []}, {"retry_after_seconds": "1"}, {"code": None}])
def test_what_is_no_error_is_refused(error: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="no error"):
        check_fields({"t": "failed", "error": error})
