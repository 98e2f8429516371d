"""What a client of the benchmarks reads from an OpenAI-compatible stream."""

import json

import pytest

from benchmarks.sse import Arrival, StreamReader


def chunk(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\r\n"


def delta(**fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": fields}])


def test_each_text_keeps_when_it_came() -> None:
    reader = StreamReader(sent=10.0)
    reader.feed(delta(role="assistant", content=""), 10.1)  # the role is no token
    reader.feed(b"\r\n", 10.1)
    reader.feed(delta(content="Par"), 10.5)
    reader.feed(b": keep-alive", 10.6)
    reader.feed(delta(content="is"), 10.75)
    reader.feed(chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2}), 10.8)
    reader.feed(b"data: [DONE]", 10.8)
    stream = reader.close(10.9)
    assert stream.arrivals == (Arrival(10.5, "Par"), Arrival(10.75, "is"))
    assert (stream.text, stream.tokens, stream.complete) == ("Paris", 2, True)
    assert stream.first_token_seconds == pytest.approx(0.5)
    assert stream.total_seconds == pytest.approx(0.9)
    assert stream.gaps == pytest.approx([0.25])


def test_completions_carry_their_text_in_the_choice() -> None:
    reader = StreamReader(sent=0.0)
    reader.feed(chunk(choices=[{"index": 0, "text": "Paris"}]), 1.0)
    reader.feed(chunk(choices=[{"index": 0, "text": "", "finish_reason": "stop"}]), 2.0)
    assert reader.close(3.0).arrivals == (Arrival(1.0, "Paris"),)


def test_a_null_content_is_no_token() -> None:
    reader = StreamReader(sent=0.0)
    reader.feed(delta(content=None), 1.0)
    assert reader.close(1.0).arrivals == ()


def test_an_error_in_mid_stream_makes_it_incomplete_even_with_done() -> None:
    reader = StreamReader(sent=0.0)
    reader.feed(delta(content="Par"), 1.0)
    reader.feed(chunk(error={"message": "instance lost"}), 2.0)
    reader.feed(b"data: [DONE]", 2.0)
    stream = reader.close(2.0)
    assert stream.error is not None
    assert "instance lost" in stream.error
    assert not stream.complete


def test_an_end_without_done_is_incomplete() -> None:
    reader = StreamReader(sent=0.0)
    reader.feed(delta(content="Par"), 1.0)
    assert not reader.close(2.0).complete


def test_a_stream_without_text_has_no_first_token() -> None:
    with pytest.raises(ValueError, match="no text came"):
        _ = StreamReader(sent=0.0).close(1.0).first_token_seconds


def test_cached_tokens_of_the_prompt_are_kept_where_the_server_says_them() -> None:
    reader = StreamReader(sent=0.0)
    reader.feed(chunk(choices=[], usage={"completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 7}}), 0.1)
    assert reader.close(0.2).cached == 7
    silent = StreamReader(sent=0.0)
    silent.feed(chunk(choices=[], usage={"completion_tokens": 2, "prompt_tokens_details": None}), 0.1)
    assert silent.close(0.2).cached is None
