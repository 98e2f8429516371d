"""What the echo engine makes of a beginning: enough for tests of primed templates."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform.contracts import GenerationRequest


def first_delta(engine: EchoEngine, prompt: str) -> Delta:
    items: queue.SimpleQueue[Delta | QuickthawError] = queue.SimpleQueue()
    request = GenerationRequest("r", tuple(engine.tokenizer.encode(prompt)), Sampling(seed=1, max_tokens=1))
    engine.start("cpu", 1, 1 << 20)
    engine.submit(request, items.put)
    found = items.get(timeout=10)
    engine.close()
    assert isinstance(found, Delta)
    return found


@pytest.mark.parametrize(
    ("prompt", "cached"),
    [
        ("Once upon a time", 10),
        ("Once upon", 8),  # the last token is always computed
        ("Twice", None),
        ("On", 1),
    ],
)
def test_what_a_prompt_shares_with_the_beginning_is_cached(tmp_path: Path, prompt: str, cached: int | None) -> None:
    engine = EchoEngine()
    assert engine.prime(engine.tokenizer.encode("Once upon "), tmp_path / "x.kv")
    assert first_delta(engine, prompt).cached_tokens == cached


def test_nothing_is_cached_without_a_beginning() -> None:
    assert first_delta(EchoEngine(), "Once").cached_tokens is None


def test_the_file_is_read_where_it_holds_just_this_beginning_and_else_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.kv"
    assert [EchoEngine().prime(tokens, file) for tokens in ((1, 2), (1, 2), (1, 3), (1, 3))] == [
        True, False, True, False,
    ]  # fmt: skip
    file.write_bytes(file.read_bytes()[:-1])
    assert EchoEngine().prime((1, 3), file)
    assert [path.name for path in tmp_path.iterdir()] == ["x.kv"]
