"""OpenAI's own client makes responses on a whole platform, with the echo engine: what the user said last comes back."""

from __future__ import annotations

from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_kills import instances_of

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
COUNTING = " ".join(map(str, range(30)))


class City(BaseModel):
    name: str
    people: int


def begun(openai: OpenAI, **fields: Any) -> Response:
    """Return a response in the background that has said something."""
    made: Response = openai.responses.create(model="slow", input=COUNTING, background=True, **fields)
    assert made.status == "queued"
    wait_for(lambda: len(openai.responses.retrieve(made.id).output_text) > 5, "some output")
    return made


def test_a_conversation_goes_on_from_what_was_stored(openai: OpenAI) -> None:
    first = openai.responses.create(model="echo", input="Hello", instructions="Be brief")
    second = openai.responses.create(model="echo", input="And you?", previous_response_id=first.id)
    assert (first.output_text, second.output_text) == ("Hello", "And you?")
    items = list(openai.responses.input_items.list(second.id, order="asc", limit=2))
    assert [item.content[0].text for item in items if item.type == "message"] == ["Hello", "Hello", "And you?"]  # type: ignore[union-attr]


def test_a_stream_of_thoughts_and_a_call_ends_with_the_response_that_is_stored(openai: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "echo", "tools": [TOOL], "reasoning": {"effort": "low"}}
    with openai.responses.stream(input=f"<think>warm?</think>{CALL}", **asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert {"response.reasoning_text.delta", "response.function_call_arguments.delta"} <= set(kinds)
    thoughts, call = final.output
    assert thoughts.type == "reasoning"
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("weather", '{"city": "Köln"}')
    assert openai.responses.retrieve(final.id).output[1].id == call.id
    returned: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    answered = openai.responses.create(model="echo", previous_response_id=final.id, input=returned, tools=[TOOL])
    assert answered.status == "completed"


def test_a_schema_is_parsed_by_the_client(openai: OpenAI) -> None:
    parsed = openai.responses.parse(model="echo", input='{"name": "Köln", "people": 1}', text_format=City)
    assert parsed.output_parsed == City(name="Köln", people=1)


def test_one_in_the_background_outlives_its_gateway_and_its_instance(cluster: Cluster, openai: OpenAI) -> None:
    made = begun(openai)
    # gunicorn's workers too, or they would answer until they see that their parent is gone
    lost = [*cluster.descendants("gateway"), *instances_of(cluster, "slow")]
    cluster.kill("gateway")
    for process in lost:
        process.kill()
    cluster.start("gateway")
    wait_for(cluster.ready, "the gateway's return", 60)
    *_, last = openai.responses.retrieve(made.id, stream=True)
    assert last.type == "response.completed"
    assert last.response.output_text == COUNTING
    assert openai.responses.retrieve(made.id) == last.response


def test_one_in_the_background_is_cancelled_and_deleted(openai: OpenAI) -> None:
    made = begun(openai)
    cancelled = openai.responses.cancel(made.id)
    assert cancelled.status == "cancelled"
    assert COUNTING.startswith(cancelled.output_text)
    openai.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        openai.responses.retrieve(made.id)


def test_a_stored_chat_completion_is_listed_read_labelled_and_deleted(openai: OpenAI) -> None:
    completions = openai.chat.completions
    made = completions.create(
        model="echo", messages=[{"role": "user", "content": "keep me"}], store=True, metadata={"team": "a"}
    )
    assert [found.id for found in completions.list(metadata={"team": "a"})] == [made.id]
    assert completions.retrieve(made.id).choices == made.choices
    completions.update(made.id, metadata={"team": "b"})
    assert list(completions.list(metadata={"team": "a"})) == []
    assert [message.content for message in completions.messages.list(made.id)] == ["keep me"]
    assert completions.delete(made.id).deleted
