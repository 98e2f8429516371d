"""Sending weights to a device in order of arrival; here a device that is plain memory, and a CUDA device if marked."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine, cuda_weights
from quickthaw_backends.engines.transformers_engine.arriving import ArrivingWeights, gate
from quickthaw_backends.engines.transformers_engine.cuda_weights import Piece, Regions, SentWeights
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_backends.engines.transformers_engine.loading import assign_weights, build_skeleton
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor, map_weights
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
        self.closed = threading.Event()

    def copy(self, piece: Piece) -> Callable[[], None]:
        piece.target.copy_(piece.source)
        self.copied.append(len(piece.source))
        number = len(self.copied)
        return lambda: self.fences.append(number)

    def close(self) -> None:
        self.closed.set()


class BrokenLane(PlainLane):
    def copy(self, piece: Piece) -> Callable[[], None]:
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
    assert lane.closed.wait(60)


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
    lane = BrokenLane()
    sent.begin(lane)
    with pytest.raises(StartFailed, match="cannot be copied to cpu: RuntimeError: the device fell off the bus"):
        scores(model)
    assert lane.closed.wait(60)


class Registry:
    """Registers what it is given until so many regions are; by address and length."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.asked = 0
        self.held: list[tuple[int, int]] = []

    def register(self, memory: torch.Tensor) -> bool:
        self.asked += 1
        if len(self.held) < self.room:
            self.held.append((memory.data_ptr(), len(memory)))
            return True
        return False

    def unregister(self, memory: torch.Tensor) -> None:
        self.held.remove((memory.data_ptr(), len(memory)))


def pieces_of(file: torch.Tensor, ends: Sequence[int]) -> list[Piece]:
    """The pieces of a file's tensors, which end there."""
    pairs = itertools.pairwise([0, *ends])
    tensors = [MappedTensor(file[begin:end], 0, end) for begin, end in pairs]
    return [piece for found in tensors for piece in cuda_weights._pieces(found, torch.empty_like(found.tensor))]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 8 bytes, regions of 32."""
    monkeypatch.setattr(cuda_weights, "PIECE_BYTES", 8)
    monkeypatch.setattr(cuda_weights, "REGION_BYTES", 32)


@pytest.mark.usefixtures("small")
def test_pieces_end_where_regions_do() -> None:
    file = torch.arange(100, dtype=torch.uint8)
    pieces = pieces_of(file, [3, 8, 24, 75, 100])
    assert [piece.place[1] for piece in pieces] == [3, 8, 16, 24, 32, 40, 48, 56, 64, 72, 75, 80, 88, 96, 100]
    assert all(torch.equal(piece.source, file[piece.begin : piece.place[1]]) for piece in pieces)


@pytest.mark.usefixtures("small")
def test_each_region_is_registered_once_and_let_go_of() -> None:
    file, registry = torch.arange(100, dtype=torch.uint8), Registry()
    regions = Regions([file], registry.register, registry.unregister)
    for piece in pieces_of(file, [3, 8, 24, 75, 100]):
        found = regions.view(piece)
        assert found is not None
        assert torch.equal(found, piece.source)
    assert registry.held == [(file.data_ptr() + begin, size) for begin, size in ((0, 32), (32, 32), (64, 32), (96, 4))]
    regions.close()
    assert not registry.held


@pytest.mark.usefixtures("small")
def test_after_a_refusal_no_other_region_is_tried() -> None:
    file, registry = torch.arange(100, dtype=torch.uint8), Registry(room=1)
    regions = Regions([file], registry.register, registry.unregister)
    views = [regions.view(piece) for piece in pieces_of(file, [100])]
    assert [view is not None for view in views] == [True] * 4 + [False] * 9
    assert registry.asked == 2
    regions.close()
    assert not registry.held


def test_a_file_is_mapped_as_it_will_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    found = cuda_weights._shared(path)
    with path.open("r+b") as file:
        file.write(b"later")
    assert bytes(found[:5].tolist()) == b"later"


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
@pytest.mark.parametrize("registers", [True, False])
def test_weights_come_whole_whether_memory_can_be_registered_or_not(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, registers: bool
) -> None:
    if not registers:
        monkeypatch.setattr(cuda_weights.CudaLane, "_register", lambda _lane, _memory: False)
    monkeypatch.setattr(cuda_weights, "PIECE_BYTES", 4096)
    monkeypatch.setattr(cuda_weights, "REGION_BYTES", 16384)
    loading = begin(partitions=3)
    tensors = map_weights(loading.checkpoint.weights, [len(content) for content in loading.contents])
    device = torch.device("cuda:0")
    lane = cuda_weights.CudaLane(device, loading.checkpoint.weights)
    copied = []
    for step in (4096, 1 << 30):  # what is registered before the rest of it arrives
        for number, content in enumerate(loading.contents):
            loading.let(number, min(step, len(content)))
        for found in tensors.values():
            target = torch.empty_like(found.tensor, device=device)
            for piece in cuda_weights._pieces(found, target):
                lane.copy(piece)()
            copied.append((found, target))
    for found, target in copied[len(tensors) :]:
        assert torch.equal(target.cpu(), found.tensor)
    assert bool(lane._regions._registered) == registers
    lane.close()


@pytest.mark.gpu
@needs_cuda
def test_memory_that_cannot_be_registered_is_told_and_troubles_nobody() -> None:
    lane = cuda_weights.CudaLane(torch.device("cuda:0"), [])
    nowhere = torch.empty(1, device="meta").expand(4096)
    assert not lane._register(nowhere)
    assert torch.ones(3, device="cuda:0").sum() == 3


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
