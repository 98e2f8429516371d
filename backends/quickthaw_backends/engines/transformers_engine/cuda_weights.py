"""Weights on their way into a GPU's memory: in pieces behind what has arrived, on a stream of their own.

A piece is copied by the device itself out of the memory that holds the file, which is registered with CUDA (pinned and
made known to it) a region at a time. This needs a mapping that is shared, for pinning a page of a private one makes a
copy of it, as it is at that moment, so that what arrives later would never be seen; and read-only, so that no stray
write reaches the file. Where that is refused, pieces go through small pinned buffers.
"""

from __future__ import annotations

import itertools
import mmap
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from quickthaw_backends.engines.transformers_engine.arriving import ArrivingWeights, Place, own_places
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor
from quickthaw_platform.checkpoints.arrival import POLL_SECONDS
from quickthaw_platform.errors import QuickthawError, StartFailed

PIECE_BYTES = 8 << 20
"""Pieces end where a multiple of this does in their file, if not before."""

REGION_BYTES = 4 * PIECE_BYTES
"""Registered at a time. A copy must not reach from one registered region into another."""

_BUFFERS = 3
_READ_ONLY = 8  # cudaHostRegisterReadOnly

Fence = Callable[[], None]
"""Has what the calling thread computes next wait for a copy; does not block."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a tensor, and their place: the last piece's is the tensor's."""

    source: torch.Tensor
    target: torch.Tensor
    place: Place

    @property
    def begin(self) -> int:
        """Where it begins in its file."""
        return self.place[1] - len(self.source)


class Lane(Protocol):
    """Copies to a device, one after the other, while others compute. For one thread."""

    def copy(self, piece: Piece) -> Fence:
        """Begin to copy a piece, which must have arrived."""

    def close(self) -> None:
        """Wait until all is copied and let go of what that took."""


class StagedLane:
    """Copies through pinned buffers, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        """Memory that was allocated before on the current stream may be copied to."""
        self._device = device
        self._stream = _stream(device)
        with torch.cuda.device(device):
            buffers = [torch.empty(PIECE_BYTES, dtype=torch.uint8, pin_memory=True) for _ in range(_BUFFERS)]
        self._buffers = itertools.cycle(buffers)
        self._under_way: deque[torch.cuda.Event] = deque()

    def copy(self, piece: Piece) -> Fence:
        """Begin to copy; waits until the buffer's last copy is done."""
        if len(self._under_way) == _BUFFERS:
            self._under_way.popleft().synchronize()
        buffer = next(self._buffers)[: len(piece.source)]
        buffer.copy_(piece.source)
        done, fence = _copy(piece.target, buffer, self._stream, self._device)
        self._under_way.append(done)
        return fence

    def close(self) -> None:
        """Wait until all is copied."""
        self._stream.synchronize()


class CudaLane:
    """Copies straight out of the memory that holds the files, on a stream of its own; else as StagedLane does."""

    def __init__(self, device: torch.device, files: Sequence[Path]) -> None:
        """Memory that was allocated before on the current stream may be copied to. Raises OSError."""
        self._device = device
        self._stream = _stream(device)
        self._regions = Regions([_shared(file) for file in files], self._register, _unregister)
        self._staged: StagedLane | None = None

    def copy(self, piece: Piece) -> Fence:
        """Begin to copy."""
        source = self._regions.view(piece)
        if source is not None:
            return _copy(piece.target, source, self._stream, self._device)[1]
        self._staged = self._staged or StagedLane(self._device)
        return self._staged.copy(piece)

    def close(self) -> None:
        """Wait until all is copied, and unpin the memory."""
        self._stream.synchronize()
        if self._staged is not None:
            self._staged.close()
        with torch.cuda.device(self._device):
            self._regions.close()

    def _register(self, memory: torch.Tensor) -> bool:
        with torch.cuda.device(self._device):
            error = torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), len(memory), _READ_ONLY)
            if int(error) == 0:
                return True
            with suppress(RuntimeError):  # CUDA tells an error once more, to who launches next: not to the model
                torch.zeros(1, device=self._device)
        return False


class Regions:
    """Memory of files, registered region by region when it is first copied from, until that is refused once."""

    def __init__(
        self,
        files: Sequence[torch.Tensor],
        register: Callable[[torch.Tensor], bool],
        unregister: Callable[[torch.Tensor], None],
    ) -> None:
        """`files` are their bytes; `register` tells whether it was allowed."""
        self._files = files
        self._register = register
        self._unregister = unregister
        self._registered: dict[Place, torch.Tensor] = {}
        self._refused = False

    def view(self, piece: Piece) -> torch.Tensor | None:
        """Return the piece's bytes in registered memory; None where that cannot be had."""
        file, end = piece.place
        begin = piece.begin // REGION_BYTES * REGION_BYTES
        if (file, begin) not in self._registered and not self._refused:
            region = self._files[file][begin : begin + REGION_BYTES]
            if self._register(region):
                self._registered[file, begin] = region
            else:
                self._refused = True
        return self._files[file][piece.begin : end] if (file, begin) in self._registered else None

    def close(self) -> None:
        """Undo all of it, and let go of the files."""
        for region in self._registered.values():
            self._unregister(region)
        self._registered.clear()
        self._files = ()


def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return a new stream that waits for what the current one has to do."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream


def _copy(
    target: torch.Tensor, source: torch.Tensor, stream: torch.cuda.Stream, device: torch.device
) -> tuple[torch.cuda.Event, Fence]:
    done = torch.cuda.Event()
    with torch.cuda.stream(stream):
        target.copy_(source, non_blocking=True)
        done.record(stream)
    return done, lambda: torch.cuda.current_stream(device).wait_event(done)


def _shared(file: Path) -> torch.Tensor:
    """Map a file shared and read-only; return its bytes, which nobody may write to."""
    with file.open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        return torch.frombuffer(mapping, dtype=torch.uint8)


def _unregister(memory: torch.Tensor) -> None:
    torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())


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
                fence = lane.copy(piece)
                with self._changed:
                    self._fences[piece.place] = fence
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 (it goes to everybody who waits)
            with self._changed:
                self._error = error if isinstance(error, QuickthawError) else self._failed(error)
                self._changed.notify_all()
        finally:
            with suppress(Exception):  # who waits has been told of what matters
                lane.close()

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
    source, into = _bytes(found.tensor), _bytes(target)
    begin = found.end - len(source)
    firsts = [begin, *range((begin // PIECE_BYTES + 1) * PIECE_BYTES, found.end, PIECE_BYTES)]
    for first, end in itertools.pairwise([*firsts, found.end]):
        within = slice(first - begin, end - begin)
        yield Piece(source[within], into[within], (found.file, end))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)
