"""OpenAI's Agents SDK, over chat completions and over responses."""

from __future__ import annotations

import contextlib

import agents
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, URL, check, run
from openai import AsyncOpenAI
from pydantic import BaseModel

MOST_TOKENS = 256
"""Enough for whole answers: the client takes a response that was cut for an error."""

WAYS = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


calls: list[str] = []


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    calls.append(city)
    return "sunny"


def agent(way: str, **more: object) -> Agent:
    """Return an agent that reaches quickthaw in one of the two ways."""
    model = WAYS[way](model=MODEL, openai_client=AsyncOpenAI(base_url=URL, api_key=KEY))
    settings = ModelSettings(
        temperature=0, max_tokens=MOST_TOKENS, tool_choice=more.pop("tool_choice", None), parallel_tool_calls=False
    )
    return Agent(name="helper", instructions="Answer briefly.", model=model, model_settings=settings, **more)


async def plain(way: str) -> None:
    """An answer is a text."""
    assert (await Runner.run(agent(way), QUESTION)).final_output


async def streamed(way: str) -> None:
    """A stream has events and a final output."""
    result = Runner.run_streamed(agent(way), QUESTION)
    events = [event.type async for event in result.stream_events()]
    assert "raw_response_event" in events
    assert result.final_output


async def tool(way: str) -> None:
    """A required tool is called with valid arguments; the loop ends with its result."""
    calls.clear()
    helper = agent(way, tools=[get_weather], tool_choice="required", tool_use_behavior="stop_on_first_tool")
    result = await Runner.run(helper, QUESTION, max_turns=2)
    assert calls
    assert result.final_output == "sunny"


async def tool_auto(way: str) -> None:
    """Left to itself the agent answers or calls until its turns are used up."""
    with contextlib.suppress(agents.MaxTurnsExceeded):
        assert (await Runner.run(agent(way, tools=[get_weather]), QUESTION, max_turns=3)).final_output is not None


async def schema(way: str) -> None:
    """An output type is followed."""
    assert isinstance((await Runner.run(agent(way, output_type=Person), PERSON_QUESTION)).final_output, Person)


def _named(function: object, way: str) -> None:
    async def both() -> None:
        await function(way)

    both.__name__ = f"{way}_{function.__name__}"
    check(both)


for _way in WAYS:
    for _function in (plain, streamed, tool, tool_auto, schema):
        _named(_function, _way)

if __name__ == "__main__":
    agents.set_tracing_disabled(True)
    run()
