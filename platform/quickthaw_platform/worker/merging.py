"""Whose word counts: what a handler asks for, over what its caller asked for, over the default. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from quickthaw.choosing import tool_choice_fields
from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions, Sampling
from quickthaw.shape import shape_of
from quickthaw.tool import AnyTool, definitions, name_of


@dataclass(frozen=True, slots=True)
class Asked:
    """How a handler's question is to be answered."""

    sampling: Sampling
    read: Callable[[str], Any]  # makes a value of the answer's text
    names_seed: bool  # whether the handler itself named the seed
    names_max_tokens: bool = False  # whether handler or caller said how long the answer may be


K = TypeVar("K", Sampling, ChatOptions)

_OF_TOOLS = ("tools", "tool_choice", "allowed_tools")
"""Fields of ChatOptions that speak of tools: who names tools does not mean those of somebody else."""


def merged(kind: type[K], explicit: Mapping[str, Any], requested: Mapping[str, Any], defaults: K | None = None) -> K:
    """Return a kind's fields, each of the first who names it: `explicit`, `requested`, `defaults`.

    None in `explicit` leaves the choice to the caller. Raises InvalidRequest, naming the field.
    """
    known = {} if defaults is None else defaults.model_dump()
    fields = known | dict(requested) | {name: value for name, value in explicit.items() if value is not None}
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{name or kind.__name__}: {first['msg']}", param=name or None) from error


def split(fields: Mapping[str, Any], *kinds: type[Sampling | ChatOptions]) -> list[dict[str, Any]]:
    """Return the fields of each kind. Raises InvalidRequest for one that none of them has, with the near name."""
    names = [set(kind.model_fields) for kind in kinds]
    for name in fields:
        if not any(name in known for known in names):
            raise _unknown(name, set().union(*names))
    return [{name: value for name, value in fields.items() if name in known} for known in names]


def asked(explicit: Mapping[str, Any], response_format: Any, requested: Mapping[str, Any], defaults: Sampling) -> Asked:
    """Return how a question is answered; a handler's `response_format` is its word on the structure."""
    names_seed = explicit.get("seed") is not None
    names_max_tokens = explicit.get("max_tokens") is not None or "max_tokens" in requested
    if response_format is None:
        sampling = merged(Sampling, explicit, requested, defaults)
        return Asked(sampling, shape_of(sampling.structure).read, names_seed, names_max_tokens)
    if explicit.get("structure") is not None:
        raise InvalidRequest("response_format and structure say the same; give one of them", param="response_format")
    shape = shape_of(response_format)
    requested = {name: value for name, value in requested.items() if name != "structure"}
    sampling = merged(Sampling, {**explicit, "structure": shape.structure}, requested, defaults)
    return Asked(sampling, shape.read, names_seed, names_max_tokens)


def merged_chat(
    explicit: Mapping[str, Any], tools: Iterable[AnyTool] | None, tool_choice: object, requested: Mapping[str, Any]
) -> ChatOptions:
    """Return how a conversation is shown. Who names `tools` names all of them, and which may be called.

    Raises InvalidRequest for a name that two tools have, and for a choice of a tool that is not there.
    """
    if tools is not None:
        explicit = {**explicit, "tools": definitions(tools)}
        requested = {name: value for name, value in requested.items() if name not in _OF_TOOLS}
    options = merged(ChatOptions, {**explicit, **tool_choice_fields(tool_choice)}, requested)
    _check_tools(options)
    return options


def _check_tools(options: ChatOptions) -> None:
    names = [name_of(tool) for tool in options.tools]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if "" in names:
        raise InvalidRequest(
            f'tools.{names.index("")} has no name; write {{"type": "function", "function": {{"name": …}}}}',
            param="tools",
        )
    if twice is not None:
        raise InvalidRequest(f"two tools are called {twice!r}; give one of them another name", param="tools")
    strange = next((name for name in options.allowed_tools or () if name not in names), None)
    if strange is not None:
        known = ", ".join(names) or "none"
        raise InvalidRequest(f"tool_choice names {strange!r}, and the tools are: {known}", param="tool_choice")
    if options.tool_choice == "required" and not names:
        raise InvalidRequest("tool_choice asks for a call, and there are no tools", param="tool_choice")


def _unknown(name: str, known: Iterable[str]) -> InvalidRequest:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
    return InvalidRequest(f"the model takes no {name!r}{hint}", param=name)
