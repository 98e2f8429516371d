"""Stored chat completions over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from openai.types.chat import ChatCompletion, ChatCompletionDeleted, ChatCompletionStoreMessage
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.errors import HandlerFailed
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode, words

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "store": True}


def create(client: FlaskClient, **fields: Any) -> str:
    """Make a stored completion; returns its id."""
    answer = client.post(PATH, json={**CHAT, **fields})
    assert answer.status_code == 200, answer.text
    return f"chatcmpl-{answer.headers['x-invocation-id']}"


def listed(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"{PATH}?{query}")
    assert answer.json is not None
    assert answer.json["object"] == "list"
    return [ChatCompletion.model_validate(found).id for found in answer.json["data"]]


def test_a_stored_completion_is_retrieved_as_it_was_answered(client: FlaskClient) -> None:
    made = client.post(PATH, json={**CHAT, "n": 2, "temperature": 0.5, "metadata": {"a": "b"}}).json
    assert made is not None
    found = client.get(f"{PATH}/{made['id']}").json
    assert found is not None
    assert {name: found[name] for name in made} == made
    assert (found["metadata"], found["temperature"]) == ({"a": "b"}, 0.5)


def test_a_streamed_one_is_stored_too(client: FlaskClient) -> None:
    made = create(client, stream=True)
    answer = ChatCompletion.model_validate(client.get(f"{PATH}/{made}").json)
    assert answer.choices[0].message.content == "Hello world"


def test_one_is_not_stored_unless_that_is_asked_for(client: FlaskClient, redis: Redis) -> None:
    made = create(client, store=False)
    assert client.get(f"{PATH}/{made}").status_code == 404
    assert not redis.keys("qt:stored:*")


def test_they_are_listed_in_order_page_by_page(client: FlaskClient) -> None:
    made = [create(client) for _ in range(3)]
    assert listed(client) == made
    assert listed(client, "order=desc") == made[::-1]
    assert listed(client, f"after={made[0]}&limit=1") == [made[1]]
    assert client.get(f"{PATH}?after=chatcmpl-gone").status_code == 404
    answer = client.get(f"{PATH}?limit=2").json
    assert answer is not None
    assert (answer["first_id"], answer["last_id"], answer["has_more"]) == (made[0], made[1], True)


def test_they_are_listed_by_model_and_metadata(client: FlaskClient) -> None:
    client.post("/v1/functions", json={**ECHO, "name": "other"})
    first = create(client, metadata={"team": "a", "run": "1"})
    second = create(client, metadata={"team": "a", "run": "2"}, model="other")
    create(client)
    assert listed(client, "metadata[team]=a") == [first, second]
    assert listed(client, "metadata[team]=a&metadata[run]=2") == [second]
    assert listed(client, "metadata[team]=a&model=chat") == [first]


def test_one_that_failed_is_not_listed(client: FlaskClient, node: FakeNode) -> None:
    made = create(client)
    node.script = lambda request: [HandlerFailed("boom")]
    answer = client.post(PATH, json=CHAT)
    assert answer.status_code == 500
    node.script = words
    assert client.get(f"{PATH}/chatcmpl-{answer.headers['x-invocation-id']}").status_code == 404
    assert listed(client) == [made]


def test_metadata_is_replaced(client: FlaskClient) -> None:
    made = create(client, metadata={"a": "b"})
    answer = client.post(f"{PATH}/{made}", json={"metadata": {"c": "d"}})
    assert answer.json is not None
    assert answer.json["metadata"] == {"c": "d"}
    assert listed(client, "metadata[c]=d") == [made]
    assert client.post(f"{PATH}/{made}", json={"metadata": {"a": "b" * 513}}).status_code == 400
    assert client.post(f"{PATH}/gone", json={"metadata": {}}).status_code == 404


def test_a_deleted_one_is_gone_with_its_invocation(client: FlaskClient) -> None:
    made = create(client)
    answer = ChatCompletionDeleted.model_validate(client.delete(f"{PATH}/{made}").json)
    assert answer.deleted
    assert client.get(f"{PATH}/{made}").status_code == 404
    assert client.get(f"/v1/invocations/{made.removeprefix('chatcmpl-')}").status_code == 404
    assert listed(client) == []


def test_its_messages_are_listed(client: FlaskClient) -> None:
    parts = [{"type": "text", "text": "hi"}]
    conversation = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": parts}]
    made = create(client, messages=conversation)
    answer = client.get(f"{PATH}/{made}/messages").json
    assert answer is not None
    system, user = (
        ChatCompletionStoreMessage.model_validate({**found, "role": "assistant"}) for found in answer["data"]
    )
    assert (system.id, system.content, system.content_parts) == (f"{made}-0", "Be brief", None)
    assert user.content is None
    assert [part["text"] for part in answer["data"][1]["content_parts"]] == ["hi"]
    latest = client.get(f"{PATH}/{made}/messages?order=desc&limit=1").json
    assert latest is not None
    assert latest["last_id"] == f"{made}-1"
    rest = client.get(f"{PATH}/{made}/messages?after={made}-0").json
    assert rest is not None
    assert rest["first_id"] == f"{made}-1"


def test_another_key_finds_and_lists_nothing(client: FlaskClient, client_of: Callable[..., FlaskClient]) -> None:
    owner, stranger = client_of(Scope.INVOKE), client_of(Scope.INVOKE)
    made = create(owner)
    for call in (stranger.get, stranger.delete):
        assert call(f"{PATH}/{made}").status_code == 404
    assert stranger.get(f"{PATH}/{made}/messages").status_code == 404
    assert stranger.post(f"{PATH}/{made}", json={"metadata": {}}).status_code == 404
    assert listed(stranger) == []
    assert listed(owner) == [made]


def test_a_response_is_no_chat_completion(client: FlaskClient) -> None:
    made = client.post("/v1/responses", json={"model": "chat", "input": "hi"}).json
    assert made is not None
    assert client.get(f"{PATH}/{made['id']}").status_code == 404
    assert client.get(f"/v1/responses/{create(client)}").status_code == 404
