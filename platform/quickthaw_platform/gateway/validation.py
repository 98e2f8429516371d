"""Whether a call fits its function: the input its handler's parameters, the limits the function's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from quickthaw.types import Limits, Version, max_tokens_refusal
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.turns import in_turns

_TEXT_OR_TOKENS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}]}
BUILT_IN_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["role", "content"], "properties": {"role": {"type": "string"}}},
        },
        "prompt": _TEXT_OR_TOKENS,
        "suffix": {"type": "string", "minLength": 1},
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT_OR_TOKENS, "minItems": 1}]},
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["messages"]}, {"required": ["prompt"]}, {"required": ["input"]}],
    "dependentRequired": {"suffix": ["prompt"]},
}
"""What a function without a handler takes: exactly one of messages, prompt and input; with a prompt a suffix too."""


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, registry=Registry())  # an empty registry: no schema is ever fetched


_BUILT_IN = _validator(BUILT_IN_PARAMETERS)


def check_input(function: str, parameters: Mapping[str, Any] | None, sent: Mapping[str, Any]) -> None:
    """Raise InvalidRequest, naming the field, where an input does not fit the parameters of a function's handler.

    `parameters` are None for a function without a handler. See expensive_checks for schemas that others wrote.
    """
    validator = _BUILT_IN if parameters is None else _validator(parameters)
    try:
        error = best_match(validator.iter_errors(sent))
    except (Unresolvable, RecursionError, TypeError, ValueError, AttributeError, re.error) as broken:
        raise InvalidRequest(f"the parameters' schema of {function!r} cannot be used: {broken}") from broken
    if error is not None:
        raise _refusal(error, function, built_in=parameters is None)


def fits_built_in(sent: Mapping[str, Any]) -> bool:
    """Whether an input is plainly what a function without a handler takes; where it is not, check_input says why.

    That looks at each element for microseconds, and an input may have half a million.
    """
    if sent.keys() == {"messages"}:
        messages = sent["messages"]
        return isinstance(messages, list) and bool(messages) and all(map(_is_message, in_turns(messages)))
    if sent.keys() == {"input"} and isinstance(sent["input"], list):
        return bool(sent["input"]) and all(map(_is_text_or_tokens, in_turns(sent["input"])))
    return (
        len(sent) == 1
        and not sent.keys().isdisjoint(("prompt", "input"))
        and all(map(_is_text_or_tokens, sent.values()))
    )


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "content" in value


def _is_text_or_tokens(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and set(map(type, value)) <= {int} and min(value, default=0) >= 0
    )


def check_max_tokens(version: Version, sampling: Mapping[str, Any], place: str) -> None:
    """Raise InvalidRequest where a longer answer is asked for than the function allows; `place` is what asks for it."""
    wanted, limit = sampling.get("max_tokens"), version.spec.max_tokens_limit
    if wanted is not None and limit is not None and wanted > limit:
        raise InvalidRequest(max_tokens_refusal(wanted, limit).replace("max_tokens", place, 1), param=place)


def merged_limits(version: Version, asked: Limits | None) -> Limits:
    """Return the limits of one call: the function's, shortened where the caller says so. Longer ones are refused."""
    own = version.spec.limits
    changes = {} if asked is None else {name: getattr(asked, name) for name in asked.model_fields_set}
    for name, seconds in changes.items():
        if seconds > getattr(own, name):
            raise InvalidRequest(
                f"limits.{name}: {seconds:g} s is more than the function's own {getattr(own, name):g} s",
                param=f"limits.{name}",
            )
    return own.model_copy(update=changes)


def _refusal(error: ValidationError, function: str, *, built_in: bool) -> InvalidRequest:
    place = ".".join(["input", *map(str, error.absolute_path)])
    if built_in and not error.absolute_path:
        message = f"{function!r} takes exactly one of messages, prompt and input"
        others = (
            sorted(error.instance.keys() - BUILT_IN_PARAMETERS["properties"].keys())
            if isinstance(error.instance, dict)
            else []
        )
        if others:
            message += f", and not {others[0][:80]!r}: how an answer is generated goes into `sampling`, beside `input`"
        return InvalidRequest(message, param="input")
    return InvalidRequest(f"{place}: {error.message[:300]}", param=place)
