"""A function is woken while something else is done."""

from __future__ import annotations

import json

import httpx
import pytest

from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.waking import awaken
from tests.unit.validation.answers import asker, error, scored


@pytest.mark.parametrize("status", [200, 404, 503])
def test_two_tokens_are_sent_and_what_is_wrong_is_left_to_the_first_call_in_earnest(status: int) -> None:
    bodies = []

    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return scored(request) if status == 200 else error(status, "function_not_found", "not there")

    awaken(Target("http://gateway", "m", "/v1/completions"), lambda _target: asker(respond)).join(60)
    assert [body["prompt"] for body in bodies] == [[0, 1]]
