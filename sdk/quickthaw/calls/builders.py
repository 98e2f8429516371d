"""What calls are built of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from quickthaw.errors import InvalidRequest
from quickthaw.protocol import Call, parse
from quickthaw.resources import Deleted

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


def request(kind: type[R], **fields: Any) -> R:
    """Build a request record; InvalidRequest names the field that does not fit."""
    try:
        return kind(**fields)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        said = detail["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{where}: {said}" if where else said, param=where or None) from error


def one(kind: type[T]) -> Callable[[Any], T]:
    """Return how to read one record from an answer."""
    return lambda body: cast("T", parse(kind, body))


def many(kind: type[T]) -> Callable[[Any], list[T]]:
    """Return how to read a list of records from an answer."""

    def answer(body: Any) -> list[T]:
        data = body.get("data") if isinstance(body, dict) else None
        return cast("list[T]", parse(list[kind], data))  # type: ignore[valid-type]  # a list type made at run time

    return answer


def path(*parts: str) -> str:
    """Return the path of a resource, each part quoted. InvalidRequest for a name that would lead elsewhere."""
    for part in parts:
        if part in ("", ".", ".."):
            raise InvalidRequest(f"{part!r} is no name")
        if not part.isprintable():
            raise InvalidRequest(f"{part!a} is no name: it has characters that cannot be printed")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def get(kind: type[T], *parts: str) -> Call[T]:
    """Read one record."""
    return Call("GET", path(*parts), one(kind))


def listing(kind: type[T], *parts: str, query: Mapping[str, str] | None = None) -> Call[list[T]]:
    """Read a list of records."""
    return Call("GET", path(*parts), many(kind), query=query or {})


def delete(*parts: str) -> Call[None]:
    """Delete a resource."""
    return Call("DELETE", path(*parts), lambda body: parse(Deleted, body) and None)


def send(method: str, kind: type[T], body: BaseModel, *parts: str, repeatable: bool = True) -> Call[T]:
    """Send a record, and read one."""
    return Call(method, path(*parts), one(kind), body=body.model_dump(mode="json"), repeatable=repeatable)


def nothing(body: Any) -> None:  # noqa: ARG001  (what every reader of answers takes)
    """Read nothing: a stream has no JSON answer."""
    return


def stream_of(call: Call[None], after: str | None) -> Call[None]:
    """Ask for a call's answer as server-sent events, behind event `after`."""
    headers = {**call.headers, "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    return Call(call.method, call.path, call.answer, body=call.body, query=call.query, headers=headers)
