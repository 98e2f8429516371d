"""Fields of OpenAI's requests at their borders: each is honoured, or refused with its name; nothing breaks."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.made_up import examples

NUMBERS = [
    *(0, -0.0, -1, 1, 2, 16, 17, 128, 129, 2048, 8192, 1e-300, 1e300, 5e-324, 2**31 - 1, 2**31, 2**53, 2**63, 2**64),
    *(-(2**63), 10**400, 0.5, 1.0, 1.0000001, 2.0, 2.0000001),
]
TEXTS = ["", " ", "\0", "\ud7ff", "\ufeff", "😀", "e\u0301", "<|im_end|>", "a" * 300, "1", "-1", "true", "null", "NaN"]
SCALARS = st.sampled_from([*NUMBERS, *TEXTS, None, True, False])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "role", "0"]), inner, max_size=2)
    ),
    max_leaves=4,
)
SAMPLING = [
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "stream", "logprobs"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "user", "metadata", "ignore_eos"),
    *("stream_options", "min_tokens", "stop_token_ids", "include_stop_str_in_output", "response_format"),
]
CHAT = [*SAMPLING, "top_logprobs", "tools", "tool_choice", "messages", "max_completion_tokens", "reasoning_effort"]
COMPLETION = [*SAMPLING, "prompt", "echo", "suffix", "best_of"]
ROUTES = {
    "chat/completions": (CHAT, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}),
    "completions": (COMPLETION, {"prompt": "hi", "max_tokens": 2}),
}
ANSWERED = {200, 400, 404, 413, 422}


@pytest.mark.parametrize("route", ROUTES)
def test_a_field_at_its_borders_is_honoured_or_refused_with_its_name(client: FlaskClient, route: str) -> None:
    fields, body = ROUTES[route]

    @settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(fields), VALUES)
    @example(fields[0], 10**400)
    def try_one(field: str, value: Any) -> None:
        answer = client.post(f"/v1/{route}", json={"model": "chat", **body, field: value})
        said = answer.get_data(as_text=True)
        assert answer.status_code in ANSWERED, (field, value, said)
        if answer.status_code != 200:
            error = answer.get_json()["error"]
            assert error["message"], (field, value)
            assert names(error, field), (field, value, said)

    try_one()


def names(error: dict[str, Any], field: str) -> bool:
    """Whether an error says which field it is about.

    Limits of the context speak of tokens in all, and a body that is no JSON of ours of the value.
    """
    if error["code"] == "invalid_json":
        return True
    return field in f"{error.get('param')} {error['message']}" or "token" in error["message"]
