"""Signatures as JSON schema, and calls bound to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, Field

from quickthaw import InvalidRequest, InvalidSource
from quickthaw.schema import Signature, bind, parameters
from quickthaw.shape import shape_of

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypes


class Options(BaseModel):
    depth: int = 1


@dataclass
class Point:
    x: int


class Stay(TypedDict, total=False):
    until: date


class Guest(TypedDict):
    """Who comes."""

    name: str
    stays: NotRequired[list[Stay]]


class Branch(TypedDict):
    branches: list[Branch]


class Reply(TypedDict):
    thread: NotRequired[Thread | None]


class Thread(TypedDict):
    replies: list[Reply]


Item = TypeVar("Item")


class Chain(TypedDict, Generic[Item]):
    value: Item
    others: NotRequired[dict[str, Item]]
    next: NotRequired[Chain[Item] | None]


class Odd:
    """No JSON schema describes it."""


ANY: dict[str, Any] = {}


def plain(model, prompt): ...  # type: ignore[no-untyped-def]  # a handler without annotations


def typed(model, messages: list[dict[str, Any]], max_tokens: int = 256, *, stop: str | None = None): ...  # type: ignore[no-untyped-def]


def rest(model, prompt: str, **sampling): ...  # type: ignore[no-untyped-def]


def literal(model: object, mode: Literal["a", "b"] = "a", n: Annotated[int, Field(ge=1)] = 1) -> None: ...


def odd(model: object, thing: Odd, later: OnlyForTypes, default: object = Odd()) -> None: ...


def records(model: object, options: Options, more: list[Options]) -> None: ...


def guests(model: object, one: Guest, more: list[Guest] | None, by_name: dict[str, Guest], tree: Branch) -> None: ...


def documented(model: object) -> None:
    """Say nothing.

    At length.
    """


@pytest.mark.parametrize(
    ("handler", "properties", "required", "open_"),
    [
        (plain, {"prompt": ANY}, ["prompt"], False),
        (
            typed,
            {
                "messages": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
                "max_tokens": {"type": "integer", "default": 256},
                "stop": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            ["messages"],
            False,
        ),
        (rest, {"prompt": {"type": "string"}}, ["prompt"], True),
        (
            literal,
            {
                "mode": {"enum": ["a", "b"], "type": "string", "default": "a"},
                "n": {"type": "integer", "minimum": 1, "default": 1},
            },
            [],
            False,
        ),
        # what has no schema takes anything
        (odd, {"thing": ANY, "later": ANY, "default": ANY}, ["thing", "later"], False),
    ],
)
def test_a_signature_as_schema(
    handler: Callable[..., Any], properties: dict[str, Any], required: list[str], open_: bool
) -> None:
    assert parameters(handler) == {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": open_,
    }


def test_shared_types_are_defined_once_at_the_top() -> None:
    schema = parameters(records)
    assert schema["properties"]["options"] == {"$ref": "#/$defs/Options"}
    assert schema["properties"]["more"]["items"] == {"$ref": "#/$defs/Options"}
    assert list(schema["$defs"]) == ["Options"]


def test_typed_dicts_of_the_standard_library_are_read_and_keep_the_keys_that_they_do_not_name() -> None:
    """Pydantic by itself refuses them before Python 3.12, and drops those keys."""
    schema = parameters(guests)
    assert schema["$defs"]["Guest"]["required"] == ["name"]
    assert schema["$defs"]["Guest"]["description"] == "Who comes."
    assert schema["properties"]["more"]["anyOf"][0]["items"] == {"$ref": "#/$defs/Guest"}
    assert schema["properties"]["by_name"]["additionalProperties"] == {"$ref": "#/$defs/Guest"}
    sent = {"name": "Ada", "stays": [{"until": "2026-01-02"}], "role": "admin"}
    read = {"name": "Ada", "stays": [{"until": date(2026, 1, 2)}], "role": "admin"}
    tree: dict[str, Any] = {"branches": [{"branches": []}]}
    given = {"one": sent, "more": [sent], "by_name": {"a": sent}, "tree": tree}
    assert Signature(guests).read(given) == {"one": read, "more": [read], "by_name": {"a": read}, "tree": tree}
    with pytest.raises(InvalidRequest, match=r"more\.0\.name: Field required"):
        Signature(guests).read({"one": sent, "more": [{}], "by_name": {}, "tree": tree})


def recursive(model: object, tree: Branch, reply: Reply | None = None, chain: Chain[int] | None = None) -> None: ...


def test_typed_dicts_that_hold_themselves_are_read_to_the_end() -> None:
    schema = parameters(recursive)
    assert schema["$defs"]["Branch"]["properties"]["branches"]["items"] == {"$ref": "#/$defs/Branch"}
    given = {
        "tree": {"branches": [{"branches": [], "note": "kept"}]},
        "reply": {"thread": {"replies": [{"thread": None}, {}]}},
        "chain": {"value": "1", "next": {"value": "2", "others": {"a": "3"}}},
    }
    read = given | {"chain": {"value": 1, "next": {"value": 2, "others": {"a": 3}}}}
    assert Signature(recursive).read(given) == read


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"tree": {"branches": [{}]}}, r"tree\.branches\.0\.branches: Field required"),
        ({"reply": {"thread": {"replies": [{"thread": 3}]}}}, r"reply\.thread\.replies\.0\.thread: "),
        ({"chain": {"value": 1, "next": {"value": "x"}}}, r"chain\.next\.value: "),  # of a generic one, by its argument
    ],
)
def test_what_is_wrong_deep_in_a_typed_dict_that_holds_itself_is_refused(wrong: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidRequest, match=place):
        Signature(recursive).read({"tree": {"branches": []}} | wrong)


def test_the_first_paragraph_of_the_docstring_describes() -> None:
    assert parameters(documented)["description"] == "Say nothing."


def nothing() -> None: ...


def by_keyword(*, model: object) -> None: ...


def variadic(model: object, *prompts: str) -> None: ...


def by_position(model: object, prompt: str, /) -> None: ...


@pytest.mark.parametrize("handler", [nothing, by_keyword, variadic, by_position])
def test_what_cannot_be_called_by_name_is_no_handler(handler: Callable[..., Any]) -> None:
    with pytest.raises(InvalidSource, match=handler.__name__):
        parameters(handler)


@pytest.mark.parametrize(
    ("handler", "args", "kwargs", "expected"),
    [
        (typed, ([],), {}, {"messages": []}),  # defaults stay with the deployed version
        (typed, ([], 5), {"stop": "x"}, {"messages": [], "max_tokens": 5, "stop": "x"}),
        (rest, ("p",), {"top_k": 3}, {"prompt": "p", "top_k": 3}),
        # values become JSON
        (plain, (Options(depth=2),), {}, {"prompt": {"depth": 2}}),
        (plain, (Point(1),), {}, {"prompt": {"x": 1}}),
        (plain, ((1, date(2026, 1, 2)),), {}, {"prompt": [1, "2026-01-02"]}),
    ],
)
def test_a_call_is_bound_by_name(
    handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert bind(handler, args, kwargs) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "typed(): missing a required argument: 'messages'"),
        (([],), {"wrong": 1}, "'wrong'"),
        (([], 1, 2), {}, "too many positional"),
        ((), {"model": 1, "messages": []}, "'model'"),
        ((Odd(),), {}, "'messages' cannot be sent as JSON"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_here(args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(text)):
        bind(typed, args, kwargs)


def test_a_typed_dict_of_the_standard_library_is_the_shape_of_an_answer() -> None:
    shape = shape_of(Guest)
    assert shape.structure is not None
    assert isinstance(shape.structure.json_schema, dict)
    assert shape.structure.json_schema["additionalProperties"] is False
    assert shape.read('{"name": "Ada", "stays": [{"until": "2026-01-02"}]}')["stays"] == [{"until": date(2026, 1, 2)}]
