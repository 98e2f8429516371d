"""The backend `endpoint` before servers that are none of OpenAI's kind."""

from __future__ import annotations

import pytest

from quickthaw.errors import InvalidRequest, StartFailed
from quickthaw_platform import plugins
from quickthaw_platform.serving import Deployment, Endpoint, ServingBackend
from tests.integration.traffic.streaming_server import StreamingServer


def endpoint(url: str, model: str, **options: str) -> ServingBackend:
    made = plugins.serving_backend("endpoint")
    return made(Deployment(endpoint=Endpoint(url, model), options=options))


def test_a_server_that_streams_is_up() -> None:
    with StreamingServer() as server:
        backend = endpoint(server.url, "good")
        assert backend.up().url == server.url
        backend.down()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("html", "text/html"),  # status 200, and a page
        ("garbled", "no json"),
        ("full", "429"),
    ],
)
def test_one_that_does_not_speak_openai_s_api_is_named_at_once(model: str, why: str) -> None:
    with StreamingServer() as server:
        backend = endpoint(server.url, model)
        with pytest.raises(StartFailed, match=why) as caught:
            backend.up()
        assert server.url in caught.value.message
        assert backend.load().ready == 0


def test_an_option_that_it_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="warm"):
        endpoint("http://127.0.0.1:1", "m", warm="yes")


def test_without_a_url_it_is_none() -> None:
    with pytest.raises(InvalidRequest, match="URL"):
        plugins.serving_backend("endpoint")(Deployment())
