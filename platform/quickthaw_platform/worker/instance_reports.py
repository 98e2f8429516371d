"""What an instance may report of itself, checked: its process runs code that the node's owner did not write. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from quickthaw.json_values import MOST_NESTED, nests_too_deep
from quickthaw_platform.invocations.records import compact
from quickthaw_platform.worker.capture import MAX_LINE_CHARACTERS
from quickthaw_platform.worker.frames import Frame, ProtocolError
from quickthaw_platform.worker.prefix_learner import MOST_TOKENS, TOKEN_BYTES
from quickthaw_platform.worker.reported_output import check_delta, check_error

STAGES = frozenset({"fork", "wake", "arrival", "engine", "prefill", "handler"})
"""The stages of a start that an instance itself measures; those of its template come from the template."""

STREAMS = frozenset({"stdout", "stderr"})
"""The streams that an instance writes lines to; `platform` is the agent's own."""

_RUN: Mapping[str, type | tuple[type, ...]] = {"invocation": str, "life": int}
FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "chunk": {**_RUN, "at": float},
    "record": {**_RUN, "delta": dict},
    "held": _RUN,
    "done": {**_RUN, "value": object, "usage": dict},
    "ended": _RUN,
    "error": {**_RUN, "error": dict},
    "heard": {"life": int},
    "loaded": {"can_sleep": bool},
    "asleep": {"bytes": int},
    "failed": {"error": dict},
    "prompt": {"sample": bytes},
}
"""By the kind of a report, the fields that it must have, and of which types; what else it has is checked elsewhere."""

_MARK = re.compile(r"\d{1,9}\.\d{1,9}\.[0-9a-f]{0,64}")


def check_fields(frame: Frame) -> None:
    """Raise ProtocolError for a report that lacks a field, or has one of another type."""
    kind = frame["t"]
    for name, wanted in FIELDS.get(kind, {}).items():
        if name not in frame or not isinstance(frame[name], wanted):
            raise ProtocolError(f"the report {kind!r} has no fit field {name!r}")
    if kind == "chunk" and not math.isfinite(frame["at"]):
        raise ProtocolError("an output is of some moment")
    if "error" in frame and kind in ("error", "failed"):
        check_error(frame["error"])
    if "delta" in frame and kind in ("chunk", "record"):
        check_delta(frame["delta"])
    elif kind == "chunk" and ("value" not in frame or frame.get("mark")):
        raise ProtocolError("an output is a value, or model output, which alone is marked")


def sample_in(frame: Frame) -> bytes:
    """Return the first tokens of a prompt (see prefix_learner.sample_of). Raises ProtocolError."""
    sample: bytes = frame["sample"]
    if len(sample) % TOKEN_BYTES or len(sample) > MOST_TOKENS * TOKEN_BYTES:
        raise ProtocolError(f"{len(sample):,} bytes are no sample of a prompt")
    return sample


def mark_of(frame: Frame) -> str:
    """Return which model output a chunk or record is (see replay.Mark), '' where it is none. Raises ProtocolError."""
    mark = frame.get("mark")
    if mark == "" or (isinstance(mark, str) and _MARK.fullmatch(mark)):
        return mark
    raise ProtocolError(f"{str(mark)[:40]!r} marks no model output")


def json_of(said: object) -> str:
    """Return something as JSON. Raises ProtocolError where it has none."""
    try:
        text = compact(said)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"this cannot be written as JSON: {error}") from error
    if text.count("[") + text.count("{") > MOST_NESTED and nests_too_deep(said):
        raise ProtocolError("no reader takes lists and objects that nest so deep")
    return text


def stage_of(frame: Frame) -> tuple[str, float]:
    """Return the name and the seconds of a stage. Raises ProtocolError."""
    name, seconds = frame.get("name"), frame.get("seconds")
    if name not in STAGES:
        raise ProtocolError(f"an instance has no stage {str(name)[:40]!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ProtocolError(f"the stage {name} cannot take {str(seconds)[:40]} seconds")
    return name, float(seconds)


def line_of(frame: Frame) -> tuple[str | None, str, str]:
    """Return the invocation, the stream and the text of a log line, cut to its longest. Raises ProtocolError."""
    invocation, stream, line = frame.get("invocation"), frame.get("stream"), frame.get("line")
    if stream not in STREAMS or not isinstance(line, str):
        raise ProtocolError("a log line is a text of stdout or stderr")
    if invocation is not None and not (isinstance(invocation, str) and len(invocation) <= 100):
        raise ProtocolError("a log line is of no invocation, or of one by its id")
    return invocation, stream, line[:MAX_LINE_CHARACTERS]
