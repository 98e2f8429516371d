"""The lean decoder against transformers' own pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from quickthaw_backends.engines.batching.runner import Chunk
from quickthaw_backends.engines.transformers_engine import TransformersEngine, linear
from quickthaw_backends.engines.transformers_engine.compiled import compiling
from quickthaw_backends.engines.transformers_engine.lean import suits
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from tests.unit.engines import tiny
from tests.unit.engines.steps import computed, started_runner

TOKENS = list(b"The quick brown fox jumps over the lazy dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def started(folder: Path, architecture: str, dtype: str) -> tuple[TransformersEngine, RaggedRunner]:
    engine = TransformersEngine()
    engine.prepare(tiny.checkpoint(folder, architecture, dtype), {}, lambda _name, _seconds: None)
    engine.start("cpu", 1, 8 << 20)
    assert engine._loop is not None
    runner = engine._loop._runner
    assert isinstance(runner, RaggedRunner)
    return engine, runner


@pytest.mark.parametrize("architecture", ["llama", "wide_llama", "qwen2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cut", [1, 20, len(TOKENS) - 1])
def test_scores_are_those_of_transformers(folder: Path, architecture: str, dtype: str, cut: int) -> None:
    engine, runner = started(folder, architecture, dtype)
    assert runner._lean is not None
    caches = [runner.new_cache(), runner.new_cache()]
    for cache in caches:
        runner.reserve(cache, len(TOKENS))
    rows: list[Any] = runner.run([Chunk(caches[0], TOKENS[:cut], 0, cut), Chunk(caches[1], TOKENS[:5], 0)])
    later: list[Any] = runner.run([Chunk(caches[1], TOKENS[5:6], 5), Chunk(caches[0], TOKENS[cut:], cut)])
    engine.close()
    model: Any = AutoModelForCausalLM.from_pretrained(folder / f"source-{architecture}", dtype=dtype).float()
    with torch.inference_mode():
        expected = model(torch.tensor([TOKENS])).logits[0].numpy()
    assert rows[0] == pytest.approx(expected[:cut], abs=2e-4)
    assert rows[1][0] == pytest.approx(expected[4], abs=2e-4)
    assert later[0][0] == pytest.approx(expected[5], abs=2e-4)
    assert later[1][0] == pytest.approx(expected[-1], abs=2e-4)


@pytest.mark.skipif(compiling.why_not() is not None, reason=f"nothing is compiled: {compiling.why_not()}")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_where_nothing_is_compiled_torch_computes_the_same_but_for_rounding(
    folder: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = started_runner(folder, "qwen2", dtype=dtype)
    expected = computed(compiled, [100])
    monkeypatch.setattr(compiling, "why_not", lambda: "this processor is too old")
    plain = started_runner(folder, "qwen2", dtype=dtype)
    found = computed(plain, [100])
    assert [type(one._lean._layers).__name__ for one in (compiled, plain) if one._lean] == [
        "_CompiledLayers",
        "_TorchLayers",
    ]
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@pytest.mark.parametrize("architecture", ["mistral", "gpt2"])
def test_a_sliding_window_or_another_family_is_left_to_transformers(folder: Path, architecture: str) -> None:
    engine, runner = started(folder, architecture, "float32")
    engine.close()
    assert runner._lean is None


def made(**changes: Any) -> PreTrainedModel:
    model = LlamaForCausalLM(LlamaConfig(**{**tiny._SIZE, "vocab_size": 32, **changes}))
    linear.substitute(model, model.get_output_embeddings())
    return model


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"attention_bias": True, "mlp_bias": True}, True),
        ({"hidden_act": "gelu"}, False),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}, True),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}, False),
    ],
)
def test_what_depends_on_more_than_the_position_is_left_to_transformers(changes: dict[str, Any], taken: bool) -> None:
    assert suits(made(**changes)) is taken


def test_layers_without_substitutes_are_left_to_transformers() -> None:
    assert not suits(LlamaForCausalLM(LlamaConfig(**tiny._SIZE)))
