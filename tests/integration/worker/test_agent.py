"""The ready-made agent on a real, small model: held to its tools' schemas it makes calls that can be carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from quickthaw import Delta, loading
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform.contracts import Checkpoint, Engine
from quickthaw_platform.worker.model import BoundModel

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

FILE = Path(__file__).parents[3] / "functions" / "agent" / "function.py"
QUESTION = [{"role": "user", "content": "What is 12 * 7?"}]


@pytest.fixture(scope="module")
def model(published_models: dict[str, Checkpoint]) -> Iterator[BoundModel]:
    engine = LlamaCppEngine()
    engine.prepare(published_models["smollm2-gguf"], {}, lambda _name, _seconds: None)
    engine.start("cpu", 2, 1 << 28)
    yield BoundModel(cast("Engine", engine), "i", seed=1, requested={"temperature": 0})
    engine.close()


def test_it_calls_a_tool_reads_what_came_of_it_and_answers(model: BoundModel) -> None:
    (agent,) = loading.functions(FILE)
    deltas: list[Delta] = list(cast("Any", agent)(model, QUESTION, must_call=True, show_calls=True))
    names = [piece.name for delta in deltas for piece in delta.tool_calls if piece.name]
    assert names
    assert set(names) <= {"calculate", "convert"}
    assert deltas[-1].finish_reason == "stop"
