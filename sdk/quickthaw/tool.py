"""A Python function that a model may call: how it is described to the model, and how a call is carried out."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from quickthaw import json_values, schema
from quickthaw.errors import HandlerDiverged, InvalidRequest
from quickthaw.shape import ClosedSchema

AnyTool = Callable[..., Any] | Mapping[str, Any]
"""A tool as callers name it: a Python function (or a Tool), or what OpenAI's chat completions describe it as."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PARAM = "tools"
_HEADING = re.compile(r"^(?:Args|Arguments|Parameters):\s*$")
_ARGUMENT = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


class BadCall(ValueError):
    """A model's call that cannot be carried out; the message is for the model."""


@dataclass(frozen=True)
class Tool:
    """A function with its name, its description and the JSON schema of its arguments; called, it is the function."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    adapters: Mapping[str, TypeAdapter[Any]]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Tool:
        """Describe a function by its signature and docstring.

        Each parameter needs an annotation that has a JSON schema; what the docstring says of it under `Args:`, or
        `Annotated[…, Field(description=…)]`, is told to the model. Raises InvalidRequest, naming the parameter, for
        one that cannot be described or cannot be passed by name, and for an asynchronous function.
        """
        if isinstance(function, Tool):
            return function
        name = getattr(function, "__name__", type(function).__name__)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidRequest(f"the tool {name} is asynchronous; write it as a plain function", param=_PARAM)
        named = list(inspect.signature(function).parameters.values())
        adapters = {parameter.name: _adapter(function, name, parameter) for parameter in named}
        text, said = _documented(inspect.getdoc(function) or "")
        described = schema.object_schema(named, adapters, ClosedSchema)
        for argument, properties in described["properties"].items():
            if argument in said and "description" not in properties:
                properties["description"] = said[argument]
        return cls(name, text, described, function, adapters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def definition(self) -> dict[str, Any]:
        """Return it as OpenAI's chat completions describe a tool."""
        described = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": {key: value for key, value in described.items() if value != ""}}

    def run(self, arguments: str) -> str:
        """Call the function with a model's arguments, a JSON text, and return what the model is told of the outcome.

        That is the result, as text where it is one and as JSON otherwise, or what went wrong.
        """
        try:
            return _as_text(self.function(**self._validated(arguments)))
        except HandlerDiverged:
            raise  # the tool asked the model, in a handler that is run again: no answer can be trusted
        except BadCall as error:
            return f"error: {error}"
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is for the model to deal with
            return f"error: {type(error).__name__}: {error}"

    def _validated(self, arguments: str) -> dict[str, Any]:
        values = _object(arguments)
        unknown = sorted(set(values) - set(self.adapters))
        missing = sorted(set(self.parameters["required"]) - set(values))
        if unknown or missing:
            wrong = [f"there is no argument {name}" for name in unknown] + [f"{name} is missing" for name in missing]
            raise BadCall(f"{'; '.join(wrong)}; {self.name} takes {', '.join(self.adapters) or 'no arguments'}")
        read = {name: self._value(name, value) for name, value in values.items()}
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name not in read and schema.needs_filling(parameter):
                read |= schema.default_of(parameter.name, self.adapters[parameter.name])
        return read

    def _value(self, name: str, value: Any) -> Any:
        try:
            return self.adapters[name].validate_python(value)
        except ValidationError as error:
            raise BadCall(schema.said(name, error)) from error


def definitions(tools: Iterable[AnyTool]) -> tuple[dict[str, Any], ...]:
    """Return tools as OpenAI's chat completions describe them; Python functions are described by Tool.of."""
    return tuple(dict(tool) if isinstance(tool, Mapping) else Tool.of(tool).definition() for tool in tools)


def name_of(definition: Mapping[str, Any]) -> str:
    """Return the name of a tool that is described as OpenAI does; "" where it has none."""
    function = definition.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def _adapter(function: Callable[..., Any], tool: str, parameter: inspect.Parameter) -> TypeAdapter[Any]:
    where = f"the parameter {parameter.name!r} of the tool {tool}"
    if parameter.kind not in _NAMED:
        raise InvalidRequest(f"{where} cannot be passed by name, as a model's arguments are", param=_PARAM)
    if parameter.annotation is inspect.Parameter.empty:
        raise InvalidRequest(f"{where} has no annotation; the model is told its type by it", param=_PARAM)
    try:
        return schema.adapter_of(function, parameter)
    except (NameError, PydanticUserError) as error:
        raise InvalidRequest(f"{where} has a type that no JSON schema describes: {error}", param=_PARAM) from error


def _documented(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text and, where it has a section `Args:` in Google's style, what that says of each one."""
    lines = docstring.splitlines()
    heading = next((number for number, line in enumerate(lines) if _HEADING.match(line)), len(lines))
    section = list(takewhile(lambda line: not line or line[0].isspace(), lines[heading + 1 :]))
    indent = min((len(line) - len(line.lstrip()) for line in section if line.strip()), default=0)
    said: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (line[indent:] for line in section):
        begins = _ARGUMENT.match(line)
        if begins is not None:
            current = said[begins[1]] = [begins[2]]
        else:
            current.append(line.strip())
    return "\n".join(lines[:heading]).strip(), {name: " ".join(filter(None, words)) for name, words in said.items()}


def _object(arguments: str) -> dict[str, Any]:
    try:
        values = json.loads(arguments or "{}")
    except ValueError as error:
        raise BadCall(f"the arguments are not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadCall("the arguments must be a JSON object")
    return values


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(json_values.jsonable(value), ensure_ascii=False)
    except (PydanticSerializationError, ValueError) as error:
        raise BadCall(f"the result cannot be written as JSON: {error}") from error
