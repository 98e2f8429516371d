"""Ways to load weights, each run in a process of its own: what it does before the clock starts, and what is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

PAGE_BYTES = 4096

Arrays = Sequence["np.ndarray[Any, Any]"]
"""The bytes of every tensor, in memory for as long as they are held."""


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Way:
    """`ahead` makes the memory that a running node has already: untimed, but counted as used. `load` is timed.

    `extra_bytes`, asked at the end, says what the way took of memory where growth of this process does not.
    """

    load: Callable[[], Arrays]
    ahead: Callable[[], None] = nothing
    extra_bytes: Callable[[], int] | None = None


def bytes_of(tensors: Iterable[torch.Tensor]) -> Arrays:
    """Return the tensors' bytes, without a copy."""
    import torch

    return [tensor.detach().reshape(-1).view(torch.uint8).numpy() for tensor in tensors]


def touch(arrays: Arrays) -> int:
    """Read one byte of every page of every tensor; return their sum, so that nothing can leave it out."""
    return sum(int(array[::PAGE_BYTES].sum()) + int(array[-1]) for array in arrays)
