"""litellm, with its provider `openai` for any server that speaks OpenAI's protocol, and `anthropic` for Messages."""

from __future__ import annotations

import json

import litellm
from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, ROOT_URL, URL, check, run
from pydantic import BaseModel

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


def asked(question: str = QUESTION, **more: object) -> object:
    """Ask as a program that uses litellm does."""
    own = {"model": f"openai/{MODEL}", "api_base": URL, "api_key": KEY, "max_tokens": 64, "temperature": 0}
    return litellm.completion(messages=[{"role": "user", "content": question}], **{**own, **more})


@check
def plain() -> None:
    """A whole answer has a text and a usage."""
    answer = asked()
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0


@check
def streamed() -> None:
    """The chunks make the whole answer."""
    text = "".join(chunk.choices[0].delta.content or "" for chunk in asked(stream=True))
    assert text == asked().choices[0].message.content


@check
def tool_required() -> None:
    """A required call, of which there may be one, names the tool, has valid arguments and the reason `tool_calls`."""
    choice = asked(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False).choices[0]
    (call,) = choice.message.tool_calls[:1]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    assert choice.finish_reason == "tool_calls", choice.finish_reason


@check
def tool_named_streamed() -> None:
    """The pieces of a named call make one valid call."""
    named = {"type": "function", "function": {"name": "get_weather"}}
    chunks = list(asked(tools=[WEATHER], tool_choice=named, stream=True))
    whole = litellm.stream_chunk_builder(chunks)
    (call,) = whole.choices[0].message.tool_calls[:1]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


@check
def tool_auto() -> None:
    """Left to itself the model answers or calls, and the history of a call is understood."""
    first = asked(tools=[WEATHER], tool_choice="auto").choices[0].message
    assert first.content or first.tool_calls
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    history = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    told = litellm.completion(
        model=f"openai/{MODEL}", api_base=URL, api_key=KEY, max_tokens=32, messages=history, tools=[WEATHER]
    )
    assert told.choices[0].message.content or told.choices[0].message.tool_calls


@check
def schema() -> None:
    """A model of pydantic as response format is followed."""
    Person.model_validate_json(asked(PERSON_QUESTION, response_format=Person).choices[0].message.content)


@check
def schema_streamed() -> None:
    """So it is in a stream."""
    chunks = asked(PERSON_QUESTION, response_format=Person, stream=True)
    Person.model_validate_json("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


@check
async def asynchronous() -> None:
    """The asynchronous way streams too."""
    stream = await litellm.acompletion(
        model=f"openai/{MODEL}",
        api_base=URL,
        api_key=KEY,
        max_tokens=16,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@check
def embedding() -> None:
    """Two texts give two vectors."""
    found = litellm.embedding(model="openai/embed", api_base=URL, api_key=KEY, input=["one", "two"])
    assert len(found.data) == 2


@check
def responses() -> None:
    """litellm's Responses API goes to ours."""
    answer = litellm.responses(model=f"openai/{MODEL}", api_base=URL, api_key=KEY, input=QUESTION, max_output_tokens=32)
    assert answer.output[0].content[0].text


@check
def messages_of_anthropic() -> None:
    """The provider `anthropic` reaches /v1/messages."""
    answer = litellm.completion(
        model=f"anthropic/{MODEL}",
        api_base=ROOT_URL,
        api_key=KEY,
        max_tokens=32,
        messages=[{"role": "user", "content": QUESTION}],
    )
    assert answer.choices[0].message.content


if __name__ == "__main__":
    run()
