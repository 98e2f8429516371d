"""Weights on their way into a GPU's memory: in pieces behind what has arrived, on a stream of their own.

A piece goes through a small pinned buffer. The mapped pages are not registered with CUDA instead: pinning a page of a
private mapping makes a copy of it, as it is at that moment, so what arrives later would never be seen; and pinning
pages one by one takes as long as copying them.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from quickthaw_backends.engines.transformers_engine.arriving import ArrivingWeights, Place, own_places
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor
from quickthaw_platform.checkpoints.arrival import POLL_SECONDS
from quickthaw_platform.errors import QuickthawError, StartFailed

PIECE_BYTES = 8 << 20
_BUFFERS = 3

Fence = Callable[[], None]
"""Has what the calling thread computes next wait for a copy; does not block."""


class Lane(Protocol):
    """Copies to a device, one after the other, while others compute."""

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> Fence:
        """Begin to copy bytes (at most PIECE_BYTES); on return `source` has been read."""


class CudaLane:
    """Copies on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        """Memory that was allocated before on the current stream may be copied to."""
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)
            buffers = [torch.empty(PIECE_BYTES, dtype=torch.uint8, pin_memory=True) for _ in range(_BUFFERS)]
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._buffers = itertools.cycle(buffers)
        self._under_way: deque[torch.cuda.Event] = deque()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> Fence:
        """Begin to copy; waits until the buffer's last copy is done."""
        if len(self._under_way) == _BUFFERS:
            self._under_way.popleft().synchronize()
        buffer = next(self._buffers)[: len(source)]
        buffer.copy_(source)
        done = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            target.copy_(buffer, non_blocking=True)
            done.record(self._stream)
        self._under_way.append(done)
        device = self._device
        return lambda: torch.cuda.current_stream(device).wait_event(done)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a tensor, and their place: the last piece's is the tensor's."""

    source: torch.Tensor
    target: torch.Tensor
    place: Place


class SentWeights:
    """The weights of a model, put into a device's memory by a thread that follows their arrival."""

    def __init__(
        self, model: nn.Module, tensors: Iterable[MappedTensor], arriving: ArrivingWeights | None, device: torch.device
    ) -> None:
        """Give the model's mapped tensors memory on the device, to be filled after `begin`."""
        held = [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.numel()]
        used = {tensor.data_ptr() for tensor in held}
        mapped = [found for found in tensors if found.tensor.data_ptr() in used]
        targets = {found.tensor.data_ptr(): torch.empty_like(found.tensor, device=device) for found in mapped}
        self._queues = _queues(mapped, targets)
        self._places = {targets[found.tensor.data_ptr()].data_ptr(): found.place for found in mapped}
        for tensor in held:
            tensor.data = targets.get(tensor.data_ptr(), tensor.data)
        self._arriving = arriving
        self._device = device
        self._changed = threading.Condition()
        self._fences: dict[Place, Fence] = {}
        self._error: QuickthawError | None = None
        self.waited_seconds = 0.0

    def begin(self, lane: Lane) -> None:
        """Begin to send, in order of arrival."""
        threading.Thread(target=self._send_all, args=(lane,), name="quickthaw-send", daemon=True).start()

    def places(self, module: nn.Module) -> list[Place]:
        """Return the places of the tensors that a module has itself."""
        return own_places(module, self._places)

    def wait_for(self, places: Sequence[Place]) -> None:
        """Return when all of them are sent, or will be before what this thread computes next."""
        began = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._fences.keys() >= set(places))
            if self._error is not None:
                raise self._error
        self.waited_seconds += time.perf_counter() - began
        for place in places:
            self._fences[place]()

    def wait_for_all(self) -> None:
        """Do so for all weights."""
        self.wait_for([*self._places.values()])

    def _send_all(self, lane: Lane) -> None:
        try:
            while any(self._queues):
                piece = self._take()
                if piece is None:
                    time.sleep(POLL_SECONDS)
                    continue
                fence = lane.copy(piece.target, piece.source)
                with self._changed:
                    self._fences[piece.place] = fence
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 (it goes to everybody who waits)
            with self._changed:
                self._error = error if isinstance(error, QuickthawError) else self._failed(error)
                self._changed.notify_all()

    def _take(self) -> Piece | None:
        """Return the next piece that has arrived, of the first file that has one."""
        for queue in self._queues:
            if queue and (self._arriving is None or self._arriving.has(queue[0].place)):
                return queue.popleft()
        return None

    def _failed(self, error: Exception) -> StartFailed:
        return StartFailed(f"the weights cannot be copied to {self._device}: {type(error).__name__}: {error}")


def _queues(mapped: Sequence[MappedTensor], targets: dict[int, torch.Tensor]) -> list[deque[Piece]]:
    """Return what is to be sent of each file, from its beginning on."""
    ordered = sorted(mapped, key=lambda found: found.place)
    queues: dict[int, deque[Piece]] = {found.file: deque() for found in ordered}
    for found in ordered:
        queues[found.file].extend(_pieces(found, targets[found.tensor.data_ptr()]))
    return list(queues.values())


def _pieces(found: MappedTensor, target: torch.Tensor) -> Iterator[Piece]:
    sources = _bytes(found.tensor).split(PIECE_BYTES)
    end = found.end - found.tensor.nbytes
    for source, into in zip(sources, _bytes(target).split(PIECE_BYTES), strict=True):
        end += len(source)
        yield Piece(source, into, (found.file, end))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)
