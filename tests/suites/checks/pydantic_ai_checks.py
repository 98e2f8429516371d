"""pydantic-ai: text, tools and typed output in its three ways, over chat completions."""

from __future__ import annotations

from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, URL, check, run
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput, UsageLimits
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

PROVIDER = OpenAIProvider(base_url=URL, api_key=KEY)
CHAT = OpenAIChatModel(MODEL, provider=PROVIDER)
RESPONSES = OpenAIResponsesModel(MODEL, provider=PROVIDER)
SETTINGS = {"temperature": 0, "max_tokens": 96}


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


@check
async def plain() -> None:
    """An answer is a text with a usage."""
    result = await Agent(CHAT, model_settings=SETTINGS).run(QUESTION)
    assert result.output
    assert result.usage.output_tokens > 0 if not callable(result.usage) else result.usage().output_tokens > 0


@check
async def streamed() -> None:
    """A stream's pieces make a text."""
    async with Agent(CHAT, model_settings=SETTINGS).run_stream(QUESTION) as stream:
        assert "".join([piece async for piece in stream.stream_text(delta=True)])


@check
async def tool_output() -> None:
    """A typed output as a required tool."""
    result = await Agent(CHAT, output_type=ToolOutput(Person), retries=0, model_settings=SETTINGS).run(PERSON_QUESTION)
    assert isinstance(result.output, Person)


@check
async def native_output() -> None:
    """A typed output as a JSON schema."""
    agent = Agent(CHAT, output_type=NativeOutput(Person), retries=0, model_settings=SETTINGS)
    assert isinstance((await agent.run(PERSON_QUESTION)).output, Person)


@check
async def native_output_streamed() -> None:
    """The same as a stream of partial objects."""
    agent = Agent(CHAT, output_type=NativeOutput(Person), retries=0, model_settings=SETTINGS)
    async with agent.run_stream(PERSON_QUESTION) as stream:
        assert isinstance(await stream.get_output(), Person)


@check
async def tool() -> None:
    """An agent with a tool, left to itself: it answers, or its rounds are used up; no call is malformed."""
    agent = Agent(CHAT, model_settings=SETTINGS)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return "sunny"

    try:
        assert (await agent.run(QUESTION, usage_limits=UsageLimits(request_limit=2))).output is not None
    except UsageLimitExceeded:
        pass
    except UnexpectedModelBehavior as error:
        assert "retries" in str(error)  # noqa: PT017


@check
async def responses() -> None:
    """The Responses API, plain."""
    assert (await Agent(RESPONSES, model_settings=SETTINGS).run(QUESTION)).output


@check
async def responses_native_output() -> None:
    """The Responses API with a schema."""
    agent = Agent(RESPONSES, output_type=NativeOutput(Person), retries=0, model_settings=SETTINGS)
    assert isinstance((await agent.run(PERSON_QUESTION)).output, Person)


@check
async def responses_tool_output_streamed() -> None:
    """The Responses API with a required tool, streamed."""
    agent = Agent(RESPONSES, output_type=ToolOutput(Person), retries=0, model_settings=SETTINGS)
    async with agent.run_stream(PERSON_QUESTION) as stream:
        assert isinstance(await stream.get_output(), Person)


if __name__ == "__main__":
    run()
