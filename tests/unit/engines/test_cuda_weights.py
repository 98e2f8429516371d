"""Sending weights to a device in order of arrival; here a device that is plain memory, and a CUDA device if marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine, cuda_weights
from quickthaw_backends.engines.transformers_engine.arriving import ArrivingWeights, gate
from quickthaw_backends.engines.transformers_engine.cuda_weights import SentWeights
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_backends.engines.transformers_engine.loading import assign_weights, build_skeleton
from quickthaw_backends.engines.transformers_engine.mapping import map_weights
from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.checkpoints.manifest import Manifest
from tests.unit.engines.loading import Loading
from tests.unit.engines.tiny import generate

CPU = torch.device("cpu")
PROMPT = torch.tensor([[*range(65, 85)]])
Begin = Callable[..., Loading]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class PlainLane:
    """Copies at once, and keeps what was copied and what was waited for."""

    def __init__(self) -> None:
        self.copied: list[int] = []
        self.fences: list[int] = []

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> Callable[[], None]:
        target.copy_(source)
        self.copied.append(len(source))
        number = len(self.copied)
        return lambda: self.fences.append(number)


class BrokenLane:
    def copy(self, target: torch.Tensor, source: torch.Tensor) -> Callable[[], None]:
        raise RuntimeError("the device fell off the bus")


def mapped(loading: Loading) -> tuple[Any, SentWeights]:
    """A model whose weights are on their way to another place in memory."""
    checkpoint = loading.checkpoint
    assert checkpoint.arrival is not None
    manifest = Manifest.of(checkpoint)
    sizes = [file.bytes for file in manifest.weights]
    tensors = map_weights(checkpoint.weights, sizes)
    model = build_skeleton(checkpoint.path, manifest, "eager")
    assign_weights(model, {name: found.tensor for name, found in tensors.items()}, manifest.tied)
    arriving = ArrivingWeights(Arrival(checkpoint.arrival), tensors, sizes)
    return model, SentWeights(model, tensors.values(), arriving, CPU)


def scores(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(PROMPT).logits
    return found


def expected(loading: Loading) -> torch.Tensor:
    loading.let_all()
    model, sent = mapped(loading)
    sent.begin(PlainLane())
    sent.wait_for_all()
    return scores(model)


@pytest.mark.parametrize("piece_bytes", [1000, 4096, 8 << 20])  # many a tensor, few, one
@pytest.mark.parametrize("partitions", [1, 3])
def test_what_is_sent_is_what_arrived(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, partitions: int, piece_bytes: int
) -> None:
    monkeypatch.setattr(cuda_weights, "PIECE_BYTES", piece_bytes)
    loading = begin(partitions=partitions)
    model, sent = mapped(loading)
    gate(model, sent, lambda _module: None)
    lane = PlainLane()
    sent.begin(lane)
    loading.let_all(step=5000)
    found = scores(model)
    assert not found.isnan().any()
    assert torch.equal(found, expected(loading))
    assert max(lane.copied) <= piece_bytes
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_device_waits_for_the_last_piece_of_each_tensor(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_weights, "PIECE_BYTES", 1000)
    loading = begin()
    loading.let_all()
    model, sent = mapped(loading)
    lane = PlainLane()
    sent.begin(lane)
    sent.wait_for_all()
    sizes = [parameter.nbytes for parameter in model.parameters()]  # a tied head counts, and is sent, once
    assert sum(lane.copied) == sum(sizes)
    assert len(lane.fences) == len(sizes)


def test_files_that_arrive_first_are_sent_first(begin: Begin) -> None:
    loading = begin(partitions=2)
    model, sent = mapped(loading)
    later = [module for module in model.modules() if any(file == 1 for file, _end in sent.places(module))]
    sent.begin(PlainLane())
    loading.let(1, len(loading.contents[1]))
    for module in later:
        sent.wait_for([place for place in sent.places(module) if place[0] == 1])
    assert later
    loading.let_all()
    sent.wait_for_all()


@pytest.mark.parametrize("arrived", [0.0, 0.5])
def test_a_load_that_fails_ends_who_waits(begin: Begin, arrived: float) -> None:
    loading = begin()
    model, sent = mapped(loading)
    gate(model, sent, lambda _module: None)
    sent.begin(PlainLane())
    loading.let(0, max(4096, int(len(loading.contents[0]) * arrived)))
    loading.writer.fail("chunk 7 is wrong everywhere")
    with pytest.raises(StartFailed, match="chunk 7"):
        scores(model)


def test_a_copy_that_fails_ends_who_waits(begin: Begin) -> None:
    loading = begin()
    loading.let_all()
    model, sent = mapped(loading)
    gate(model, sent, lambda _module: None)
    sent.begin(BrokenLane())
    with pytest.raises(StartFailed, match="cannot be copied to cpu: RuntimeError: the device fell off the bus"):
        scores(model)


def test_modules_without_stored_weights_are_prepared_at_once(begin: Begin) -> None:
    loading = begin()
    model, sent = mapped(loading)
    seen: list[nn.Module] = []
    gate(model, sent, seen.append)
    assert model.model.rotary_emb in seen
    assert model.lm_head not in seen


def on_cuda(loading: Loading, **options: Any) -> TransformersEngine:
    engine = TransformersEngine()
    engine.prepare(loading.checkpoint, options, lambda _name, _seconds: None)
    engine.start("cuda:0", 1, 64 << 20)
    return engine


def answer(engine: TransformersEngine) -> Sequence[int]:
    try:
        return generate(engine, [*range(65, 85)], temperature=0, max_tokens=8, ignore_eos=True).tokens
    finally:
        engine.close()


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("partitions", [1, 3])
def test_a_cuda_device_says_what_the_processor_says(begin: Begin, partitions: int) -> None:
    loading = begin(partitions=partitions)
    engine = on_cuda(loading)
    loading.let_all(step=5000)
    found = answer(engine)
    alone = TransformersEngine()
    alone.prepare(replace(loading.checkpoint, arrival=None), {"compute": "native"}, lambda _name, _seconds: None)
    alone.start("cpu", 1, 64 << 20)
    assert found == answer(alone)


@pytest.mark.gpu
@needs_cuda
def test_a_load_that_fails_fails_the_request_on_a_cuda_device(begin: Begin) -> None:
    loading = begin()
    engine = on_cuda(loading)
    loading.writer.fail("chunk 7 is wrong everywhere")
    with pytest.raises(StartFailed, match="chunk 7"):
        answer(engine)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_int8_products_on_a_cuda_device_are_those_of_floats(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(-127, 128, (96, 2048), dtype=torch.int8, generator=generator)
    scale = torch.rand(96, generator=generator) / 100
    rows = torch.randn(5, 2048, generator=generator)
    layer = Int8Linear(numbers, scale, None, transposed=False).to("cuda:0")
    found = layer(rows.to("cuda:0", dtype))
    exact = rows @ (numbers.float() * scale[:, None]).t()
    assert found.dtype == dtype
    assert torch.allclose(found.float().cpu(), exact, rtol=0.02, atol=0.01 * float(exact.abs().max()))
