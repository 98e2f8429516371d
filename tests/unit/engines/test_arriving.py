"""Generating while the weights still arrive: the bytes of a tensor are NaN until they are there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines.loading import Loading
from tests.unit.engines.tiny import Collector, generate, request

PROMPT = [*range(65, 85)]


Begin = Callable[..., Loading]


def started(checkpoint: Checkpoint, **options: Any) -> TransformersEngine:
    engine = TransformersEngine()
    engine.prepare(checkpoint, options, lambda _name, _seconds: None)
    engine.start("cpu", 1, 64 << 20)
    return engine


def answer(engine: TransformersEngine) -> tuple[int, ...]:
    return tuple(generate(engine, PROMPT, temperature=0, max_tokens=8, ignore_eos=True).tokens)


def undisturbed(loading: Loading, **options: Any) -> tuple[int, ...]:
    """What the engine says when everything is there before it begins."""
    loading.let_all()
    engine = started(replace(loading.checkpoint, arrival=None), **options)
    try:
        return answer(engine)
    finally:
        engine.close()


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("llama", {}),  # plain layers
        ("llama", {"dtype": "bfloat16"}),  # substituted layers, norms widened on arrival
        ("gpt2", {}),  # convolutions for linear layers
        ("qwen2", {"dtype": "bfloat16"}),  # biases, widened on arrival too
    ],
)
def test_the_answer_is_that_of_weights_that_were_there(
    begin: Begin, architecture: str, options: dict[str, Any], partitions: int
) -> None:
    stored = options.get("dtype", "float32")
    rest = {name: value for name, value in options.items() if name != "dtype"}
    loading = begin(architecture, stored, partitions)
    engine = started(loading.checkpoint, **rest)
    got = Collector()
    engine.submit(request(PROMPT, "r", temperature=0, max_tokens=8, ignore_eos=True), got)
    loader = threading.Thread(target=loading.let_all, kwargs={"step": 1000})
    loader.start()
    tokens = tuple(got.wait().tokens)
    loader.join()
    assert engine.arrival_seconds > 0
    engine.close()
    assert tokens == undisturbed(loading, **rest)


def _waits(module: nn.Module) -> bool:
    """Whether anything in it still waits for weights."""
    return any(inner._forward_pre_hooks for inner in module.modules())


def test_layers_compute_as_soon_as_their_own_bytes_are_there(begin: Begin) -> None:
    loading = begin()
    engine = started(loading.checkpoint)
    model = engine._model._model  # type: ignore[union-attr]  # to see what waits when
    first, second = model.model.layers
    ends = [tensor.end for tensor in _entries(loading)]
    got = Collector()
    engine.submit(request(PROMPT, "r", temperature=0, max_tokens=1, ignore_eos=True), got)
    loading.let(0, ends[0])
    while _waits(model.model.embed_tokens):
        pass
    assert _waits(first.self_attn.q_proj)
    first_layer = max(tensor.end for tensor in _entries(loading) if ".layers.0." in tensor.name)
    loading.let(0, first_layer)
    while _waits(first):
        pass
    assert _waits(second.mlp)
    loading.let_all()
    got.wait()
    assert not _waits(model)
    engine.close()


def test_a_model_whose_weights_are_read_otherwise_waits_for_all(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    from quickthaw_backends.engines.transformers_engine import arriving

    monkeypatch.setattr(arriving, "_ALWAYS_CALLED", ())
    loading = begin()
    begun = threading.Event()
    engines: list[TransformersEngine] = []

    def start() -> None:
        begun.set()
        engines.append(started(loading.checkpoint))

    thread = threading.Thread(target=start)
    thread.start()
    begun.wait()
    loading.let(0, len(loading.contents[0]) - 1)
    assert not engines
    loading.let_all()
    thread.join()
    assert answer(engines[0]) == undisturbed(loading)
    engines[0].close()


@pytest.mark.parametrize("arrived", [0.0, 0.3, 0.99])
def test_a_load_that_fails_fails_the_request_with_its_cause(begin: Begin, arrived: float) -> None:
    loading = begin()
    engine = started(loading.checkpoint)
    got = Collector()
    engine.submit(request(PROMPT, "r", temperature=0, max_tokens=8), got)
    loading.let(0, max(4096, int(len(loading.contents[0]) * arrived)))
    loading.writer.fail("chunk 7 of weights-0.safetensors is wrong everywhere")
    with pytest.raises(StartFailed, match="chunk 7"):
        got.wait()
    engine.close()


def test_a_load_that_failed_before_fails_the_preparation(begin: Begin) -> None:
    loading = begin()
    loading.writer.fail("the disk is gone")
    with pytest.raises(StartFailed, match="the disk is gone"):
        started(loading.checkpoint)


def _entries(loading: Loading) -> Any:
    from quickthaw_platform.checkpoints.header import parse_header

    content = loading.contents[0]
    length = int.from_bytes(content[:8], "little")
    return parse_header(content[8 : 8 + length], len(content)).tensors
