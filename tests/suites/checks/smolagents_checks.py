"""smolagents: its model class by itself, and its agent that calls tools."""

from __future__ import annotations

from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, URL, check, run
from pydantic import BaseModel
from smolagents import OpenAIModel, ToolCallingAgent, tool
from smolagents.models import ChatMessage
from smolagents.monitoring import LogLevel
from smolagents.utils import AgentError


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: the name of the city
    """
    return "sunny"


def model() -> OpenAIModel:
    """Return the client's model."""
    return OpenAIModel(model_id=MODEL, api_base=URL, api_key=KEY, temperature=0, max_tokens=64)


def messages(text: str = QUESTION) -> list[ChatMessage]:
    """Return a conversation of one message, in the parts that smolagents writes."""
    return [ChatMessage(role="user", content=[{"type": "text", "text": text}])]


@check
def plain() -> None:
    """A whole answer is a text with a usage."""
    answer = model().generate(messages())
    assert answer.content
    assert answer.token_usage.output_tokens > 0


@check
def streamed() -> None:
    """A stream's pieces make the whole answer."""
    pieces = "".join(delta.content or "" for delta in model().generate_stream(messages()))
    assert pieces == model().generate(messages()).content


@check
def stopped() -> None:
    """Stop sequences are honoured."""
    assert "e" not in model().generate(messages(), stop_sequences=["e"]).content


@check
def tool_required() -> None:
    """With tools smolagents requires a call."""
    (call, *_) = model().generate(messages(), tools_to_call_from=[get_weather]).tool_calls
    assert call.function.name == "get_weather"


@check
def tool_streamed() -> None:
    """So it does in a stream."""
    deltas = list(model().generate_stream(messages(), tools_to_call_from=[get_weather]))
    called = [call for delta in deltas for call in delta.tool_calls or []]
    assert called[0].function.name == "get_weather"


@check
def schema() -> None:
    """A response format is followed."""
    shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}}
    Person.model_validate_json(model().generate(messages(PERSON_QUESTION), response_format=shape).content)


@check
def agent() -> None:
    """An agent with a tool takes two steps; each is a call that its parser understands."""
    helper = ToolCallingAgent(tools=[get_weather], model=model(), max_steps=2, verbosity_level=LogLevel.OFF)
    try:
        helper.run(QUESTION)
    except AgentError as error:
        raise AssertionError(f"the agent could not go on: {error}") from error
    steps = [step for step in helper.memory.steps if getattr(step, "tool_calls", None)]
    assert steps


if __name__ == "__main__":
    run()
