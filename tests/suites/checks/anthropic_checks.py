"""Anthropic's Python client on /v1/messages."""

from __future__ import annotations

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, ROOT_URL, check, run
from pydantic import BaseModel

CLIENT = Anthropic(base_url=ROOT_URL, api_key=KEY, max_retries=0)
MESSAGES = [{"role": "user", "content": QUESTION}]
WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
USED = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
ASKED = {"model": MODEL, "max_tokens": 48, "messages": MESSAGES, "extra_body": {"temperature": 0}}


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


@check
def plain() -> None:
    """A whole message has a text, a reason and a usage."""
    message = CLIENT.messages.create(**ASKED, system="Be brief.")
    assert message.type == "message"
    assert message.content[0].text
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.output_tokens > 0


@check
def streamed() -> None:
    """The helper's final message equals the whole answer."""
    with CLIENT.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].text == text == CLIENT.messages.create(**ASKED).content[0].text


@check
def events() -> None:
    """The raw events come in Anthropic's order."""
    types = [event.type for event in CLIENT.messages.create(**ASKED, stream=True) if event.type != "ping"]
    assert types[:2] == ["message_start", "content_block_start"], types
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"], types


@check
async def asynchronous() -> None:
    """The asynchronous client streams too."""
    async with AsyncAnthropic(base_url=ROOT_URL, api_key=KEY, max_retries=0).messages.stream(**ASKED) as stream:
        assert "".join([text async for text in stream.text_stream])


@check
def tool_any() -> None:
    """A required tool, of which one call may be made, is called with a valid input."""
    choice = {"type": "any", "disable_parallel_tool_use": True}
    message = CLIENT.messages.create(**ASKED, tools=[WEATHER], tool_choice=choice)
    used = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert used[0].name == "get_weather"
    assert isinstance(used[0].input["city"], str)


@check
def tool_named_streamed() -> None:
    """So is a named one in a stream."""
    choice = {"type": "tool", "name": "get_weather"}
    with CLIENT.messages.stream(**ASKED, tools=[WEATHER], tool_choice=choice) as stream:
        final = stream.get_final_message()
    used = [block for block in final.content if block.type == "tool_use"]
    assert isinstance(used[0].input["city"], str)


@check
def tool_auto_and_history() -> None:
    """A history with a tool's use and result is understood."""
    history = [
        *MESSAGES,
        {"role": "assistant", "content": [USED]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]},
    ]
    message = CLIENT.messages.create(**{**ASKED, "messages": history}, tools=[WEATHER])
    assert message.content


@check
def stop_sequence() -> None:
    """A stop sequence ends the message and is named."""
    message = CLIENT.messages.create(**ASKED, stop_sequences=["e"])
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "e"


@check
def schema() -> None:
    """`messages.parse` gives the object: structured outputs."""
    asked = {**ASKED, "messages": [{"role": "user", "content": PERSON_QUESTION}]}
    assert isinstance(CLIENT.messages.parse(**asked, output_format=Person).parsed_output, Person)


@check
def count_tokens() -> None:
    """Tokens are counted without an answer."""
    assert CLIENT.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens > 4


@check
def models() -> None:
    """The list of models is read."""
    assert MODEL in [model.id for model in CLIENT.models.list()]


@check
def unknown_model() -> None:
    """An error is of Anthropic's kind."""
    try:
        CLIENT.messages.create(**{**ASKED, "model": "nobody"})
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error"  # noqa: PT017
    else:
        raise AssertionError("an unknown model was accepted")


if __name__ == "__main__":
    run()
