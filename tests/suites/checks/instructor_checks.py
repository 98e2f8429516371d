"""instructor: objects of pydantic through tools, JSON mode and JSON schemas, whole and partial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import instructor
from checking import KEY, MODEL, PERSON_QUESTION, URL, check, run
from openai import OpenAI
from pydantic import BaseModel, Field

MESSAGES = [{"role": "user", "content": PERSON_QUESTION}]


class Person(BaseModel):
    """Who somebody is."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)
    mood: Literal["glad", "sad"]


class Anything(BaseModel):
    """Any object."""

    model_config = {"extra": "allow"}


def client(mode: instructor.Mode) -> instructor.Instructor:
    """Return OpenAI's client as instructor wraps it."""
    return instructor.from_openai(OpenAI(base_url=URL, api_key=KEY), mode=mode)


def person(mode: instructor.Mode) -> None:
    """Ask once, without another try, for a person."""
    found = client(mode).create(
        model=MODEL, messages=MESSAGES, response_model=Person, max_retries=0, max_tokens=96, temperature=0
    )
    assert isinstance(found, Person)


@check
def tools() -> None:
    """The default: a named tool."""
    person(instructor.Mode.TOOLS)


@check
def tools_strict() -> None:
    """The same with `strict`."""
    person(instructor.Mode.TOOLS_STRICT)


@check
def json_schema() -> None:
    """`response_format` with a schema."""
    person(instructor.Mode.JSON_SCHEMA)


@check
def json_mode() -> None:
    """`json_object`: the schema is only in the prompt, so an answer need be JSON, not a person."""
    _, completion = client(instructor.Mode.JSON).create_with_completion(
        model=MODEL,
        messages=MESSAGES,
        response_model=Anything,
        max_retries=0,
        max_tokens=256,
        temperature=0,
        extra_body={"repetition_penalty": 1.1},
    )
    assert completion.choices[0].message.content.startswith("{")


@check
def parallel_tools() -> None:
    """Several calls in one answer, as many as the model makes."""
    found = client(instructor.Mode.PARALLEL_TOOLS).create(
        model=MODEL, messages=MESSAGES, response_model=Iterable[Person], max_retries=0, max_tokens=128, temperature=0
    )
    for one in found:
        assert isinstance(one, Person)


@check
def partial() -> None:
    """A stream of ever fuller objects ends with a whole one."""
    stream = client(instructor.Mode.TOOLS).create_partial(
        model=MODEL, messages=MESSAGES, response_model=Person, max_retries=0, max_tokens=96, temperature=0
    )
    *_, last = stream
    Person.model_validate(last.model_dump())


@check
def responses_tools() -> None:
    """The Responses API's tools."""
    person(instructor.Mode.RESPONSES_TOOLS)


if __name__ == "__main__":
    run()
