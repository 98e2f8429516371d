"""Checkpoints of int8 weights, against transformers' own model with the same weights as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_backends.engines.transformers_engine.compiled import compiling
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.quantizing import channel_axes, dequantize
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines import tiny
from tests.unit.engines.steps import ALL, computed, runner_of
from tests.unit.engines.tiny import generate

PROMPT = [*range(65, 85)]
Quantised = Callable[[str], Checkpoint]


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    folder = tmp_path_factory.mktemp("int8")

    def make(architecture: str) -> Checkpoint:
        tiny.checkpoint(folder, architecture)  # writes the source
        source, store = str(folder / f"source-{architecture}"), DiskStore(folder / "checkpoints")
        return import_checkpoint(source, store, f"int8-{architecture}", quantization="int8").checkpoint

    return make


def reference(checkpoint: Checkpoint) -> Any:
    """Load the same weights, as floats, into transformers' own model."""
    manifest = Manifest.of(checkpoint)
    stored = load_file(checkpoint.path / manifest.weights[0].path)
    kind: Any = AutoModel if manifest.task == "embed" else AutoModelForCausalLM
    model = kind.from_config(
        kind._model_mapping and __import__("transformers").AutoConfig.from_pretrained(checkpoint.path)
    )
    axes = channel_axes(model)
    floats = {
        name: dequantize(tensor, stored[f"{name}_scale"], axes[name]) if tensor.dtype == torch.int8 else tensor
        for name, tensor in stored.items()
        if not name.endswith("_scale")
    }
    model.load_state_dict(floats, strict=False)
    model.tie_weights()
    return model.eval().float()


@pytest.fixture
def start() -> Iterator[Callable[..., TransformersEngine]]:
    engines: list[TransformersEngine] = []

    def make(checkpoint: Checkpoint, **options: Any) -> TransformersEngine:
        engine = TransformersEngine()
        engine.prepare(checkpoint, options, lambda _name, _seconds: None)
        engine.start("cpu", 1, 64 << 20)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral", "gpt2"])
def test_the_tokens_are_those_of_the_same_weights_as_floats(
    quantised: Quantised, start: Callable[..., TransformersEngine], architecture: str
) -> None:
    checkpoint = quantised(architecture)
    model = reference(checkpoint)
    expected = model.generate(torch.tensor([PROMPT]), max_new_tokens=8, min_new_tokens=8, do_sample=False)[0]
    engine = start(checkpoint, compute="steady")
    assert (
        generate(engine, PROMPT, temperature=0, max_tokens=8, ignore_eos=True).tokens
        == expected[len(PROMPT) :].tolist()
    )


def test_embeddings_are_those_of_the_same_weights_as_floats(
    quantised: Quantised, start: Callable[..., TransformersEngine]
) -> None:
    checkpoint = quantised("bert")
    states = reference(checkpoint)(input_ids=torch.tensor([PROMPT])).last_hidden_state[0].mean(0)
    (found,) = start(checkpoint, compute="steady").embed([PROMPT])
    assert torch.nn.functional.cosine_similarity(torch.tensor(found), states, dim=0) > 0.9999


@pytest.mark.skipif(compiling.why_not() is not None, reason=f"nothing is compiled: {compiling.why_not()}")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_token_is_the_same_to_the_last_bit_at_every_cut(quantised: Quantised, architecture: str) -> None:
    runner = runner_of(quantised(architecture))
    assert runner._lean is not None
    one_by_one = computed(runner, range(1, len(ALL)))
    for cuts in ([], [1], [64], [65, 70, 130]):
        assert computed(runner, cuts).same(one_by_one), cuts


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_is_that_of_floats_but_for_rounding(rows: int, transposed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(-127, 128, (100, 64), dtype=torch.int8, generator=generator)
    scale = torch.rand(100, generator=generator) / 100
    hidden = torch.randn(1, rows, 64, generator=generator)
    weight = numbers.t().contiguous() if transposed else numbers
    layer = Int8Linear(weight, scale, torch.nn.Parameter(torch.ones(100)), transposed=transposed)
    exact = hidden @ (numbers.float() * scale[:, None]).t() + 1
    assert torch.allclose(layer(hidden), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda tensors: tensors.pop("model.embed_tokens.weight_scale"), "there is none"),
        (
            lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.weight_scale": torch.ones(3)}),
            r"scale of shape \[96\]; there is torch.float32 \[3\]",
        ),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int8)}),
            "model.norm.weight.*int8",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_fails_the_start_with_the_tensors_name(
    quantised: Quantised,
    tmp_path: Path,
    damage: Callable[[dict[str, torch.Tensor]], object],
    says: str,
) -> None:
    checkpoint = quantised("llama")
    weights = checkpoint.manifest["weights"][0]
    tensors = load_file(checkpoint.path / weights["path"])
    damage(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    size = (tmp_path / "w.safetensors").stat().st_size
    broken = replace(
        checkpoint,
        weights=(tmp_path / "w.safetensors",),
        manifest={**checkpoint.manifest, "weights": [{**weights, "bytes": size}]},
    )
    with pytest.raises(StartFailed, match=says):
        TransformersEngine().prepare(broken, {}, lambda _name, _seconds: None)


def test_another_type_cannot_be_asked_for(quantised: Quantised, start: Callable[..., TransformersEngine]) -> None:
    with pytest.raises(StartFailed, match="int8 and stay so"):
        start(quantised("llama"), dtype="bfloat16")
