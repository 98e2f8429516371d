"""What an answer must be, by each of the names that OpenAI, vLLM and llama.cpp have for it, as one Structure. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.request_parts import ResponseFormat, StructuredOutputs
from quickthaw_platform.gateway.openai.schema import OpenAIRequest

Named = tuple[str, dict[str, Any]]
"""The place in the request, and the fields of Structure that it means."""

_ANY_OBJECT = {"type": "object"}


def structure_of(request: OpenAIRequest) -> Named | None:
    """Return the place and the fields of the structure that a request asks for; None where it asks for none.

    Raises InvalidRequest where it asks for several.
    """
    found = [*_named(request)]
    if len(found) > 1:
        (first, _), (second, _) = found[:2]
        raise InvalidRequest(f"{first} and {second} both say what the answer must be; send one of them", param=second)
    return found[0] if found else None


def _named(request: OpenAIRequest) -> Iterator[Named]:
    if request.response_format is not None:
        yield from _of_format(request.response_format)
    if request.structured_outputs is not None:
        yield from _of_outputs(request.structured_outputs)
    if request.guided_json is not None:
        yield "guided_json", {"json_schema": _schema(request.guided_json, "guided_json")}
    if request.json_schema is not None:
        yield "json_schema", {"json_schema": request.json_schema}
    texts = {"guided_regex": "regex", "guided_choice": "choice", "guided_grammar": "grammar", "grammar": "grammar"}
    for name, field in texts.items():
        if (value := getattr(request, name)) is not None and value != "":  # an empty grammar is llama.cpp's for none
            yield name, {field: value}


def _of_format(asked: ResponseFormat) -> Iterator[Named]:
    if asked.type == "json_schema":
        if asked.json_schema is None:
            raise InvalidRequest("json_schema is missing beside type json_schema", param="response_format.json_schema")
        schema = asked.json_schema.json_schema
        yield "response_format.json_schema.schema", {"json_schema": _ANY_OBJECT if schema is None else schema}
    elif asked.type == "json_object":
        schema = asked.object_schema
        yield "response_format.schema", {"json_schema": _ANY_OBJECT if schema is None else schema}


def _of_outputs(asked: StructuredOutputs) -> Iterator[Named]:
    place = "structured_outputs"
    if asked.json_value is not None:
        yield f"{place}.json", {"json_schema": _schema(asked.json_value, f"{place}.json")}
    if asked.json_object:
        yield f"{place}.json_object", {"json_schema": _ANY_OBJECT}
    for name in ("regex", "choice", "grammar"):
        if (value := getattr(asked, name)) is not None:
            yield f"{place}.{name}", {name: value}


def _schema(sent: object, param: str) -> Any:
    """Return a schema that vLLM's clients may send as JSON text."""
    if not isinstance(sent, str):
        return sent
    try:
        schema = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{param} is not JSON: {error}", param=param) from error
    if not isinstance(schema, dict | bool):
        raise InvalidRequest(f"{param} must hold a JSON schema", param=param)
    return schema
