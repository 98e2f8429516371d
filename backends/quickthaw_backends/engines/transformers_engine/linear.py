"""Layers that stand for a model's own on a CPU: they compute with weights as they are stored, mapped and shared.

Activations are float32. Steady layers multiply in float32, so that a row's result does not depend on how many rows
came with it (`steady_product`). Mixed ones multiply in bfloat16 by the processor's own instructions (`MixedLinear`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import nn
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine.steady_product import (
    TURN_ROWS,
    BlockProduct,
    SteadyProduct,
    steady_product,
)
from quickthaw_platform.errors import StartFailed

LEAST_ROWS = 4
"""oneDNN multiplies one row, and two where there are few outputs, in another order than more."""

KEPT_BYTES = 32 << 20
"""From this size on memory that is freed goes back to the system, and is zeroed page by page when it is taken again."""

_TRIED_ROWS = 160
_TRIED_COUNTS = (4, 5, 8, 33, 96, 128)  # where tiles are multiplied, the order changes within the last hundred too

_SMALL_ELEMENTS = 1 << 16
"""Parameters up to this size may become float32 copies of their own."""

_NATIVE_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})

_scratch = threading.local()


def native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU multiplies bfloat16 itself; unknown counts as no."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return bool(lines) and not _NATIVE_FLAGS.isdisjoint(lines[0].split())


def room_for_scores(rows: int, outputs: int) -> torch.Tensor:
    """Return [rows, outputs] of float32 for scores that are used before this thread asks again.

    The scores of a long prompt take 100 MB and more: to take these anew for each step costs as much as the product.
    They are given back when a step has few scores.
    """
    elements = rows * outputs
    held: torch.Tensor | None = getattr(_scratch, "scores", None)
    if 4 * elements < KEPT_BYTES:
        _scratch.scores = None
        return torch.empty((rows, outputs), dtype=torch.float32)
    if held is None or held.numel() < elements:
        held = _scratch.scores = None
        with torch.inference_mode(False):
            held = _scratch.scores = torch.empty(elements, dtype=torch.float32)
    return held[:elements].view(rows, outputs)


class SteadyLinear(nn.Module):
    """Stands for a linear layer; takes and returns float32."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool) -> None:
        """`weight` is [out, in]; `transposed`: [in, out], as GPT-2 stores it."""
        super().__init__()
        self.weight = weight
        self.bias = bias
        self._transposed = transposed
        self._product: SteadyProduct | None = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the product, of shape [..., out]."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        result = self._multiply(rows)
        if self.bias is not None:
            result = result + self.bias
        return result.view(*hidden.shape[:-1], -1)

    def _multiply(self, rows: torch.Tensor) -> torch.Tensor:
        if self._product is None:  # not before: the weights may still have been on their way
            self._product = steady_product([self.weight.t() if self._transposed else self.weight])
        return self._product(rows, self._into(len(rows)))

    def _into(self, rows: int) -> torch.Tensor | None:  # noqa: ARG002 (the head's has room for them)
        """Return where the result of so many rows goes; None: into memory of its own."""
        return None


class MixedLinear(SteadyLinear):
    """Multiplies in bfloat16 by the processor's own instructions: rounds what goes in and what comes out.

    On processors that `rows_are_independent` accepts, a row's result does not depend on the others by a single bit, as
    long as there are at least `LEAST_ROWS`. `exact` says that this is relied on: elsewhere it is not true.
    """

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool, exact: bool) -> None:
        super().__init__(weight, bias, transposed=transposed)
        if transposed or weight.dtype != torch.bfloat16:
            raise StartFailed("mixed products are of weights in bfloat16, stored by outputs; leave out compute=mixed")
        self.exact = exact

    def _multiply(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(narrowed(rows), self.weight).float()[: len(rows)]


def rows_are_independent(model: nn.Module) -> bool:
    """Whether a row's mixed product is the same to the last bit with other rows and without, for all widths of a model.

    Tried with numbers of no meaning: the weights may not be there yet.
    """
    widths = {module.in_features for module in model.modules() if isinstance(module, nn.Linear)}
    return all(_row_is_independent(width) for width in widths)


def _row_is_independent(width: int) -> bool:
    with torch.inference_mode():
        numbers = torch.arange(_TRIED_ROWS * width).remainder_(509).sub_(254).div(97).view(_TRIED_ROWS, width)
        rows = numbers.to(torch.bfloat16)
        weight = rows.roll(1, 1)
        expected = functional.linear(rows, weight)
        return all(torch.equal(functional.linear(rows[:count], weight), expected[:count]) for count in _TRIED_COUNTS)


def narrowed(rows: torch.Tensor) -> torch.Tensor:
    """Return rows in bfloat16, `LEAST_ROWS` at least, those that are missing being zeros."""
    narrow = rows.to(torch.bfloat16)
    return functional.pad(narrow, (0, 0, 0, LEAST_ROWS - len(narrow))) if len(narrow) < LEAST_ROWS else narrow


class SteadyHead(SteadyLinear):
    """The last layer: its results are scores of tokens, which are not rounded.

    Those of many rows hold until the thread computes the next ones: see `room_for_scores`.
    """

    def _into(self, rows: int) -> torch.Tensor | None:
        return room_for_scores(rows, self.weight.shape[1 if self._transposed else 0])


class MixedHead(SteadyHead):
    """Has many rows multiplied in bfloat16, without rounding what comes out."""

    def _multiply(self, rows: torch.Tensor) -> torch.Tensor:
        if len(rows) < TURN_ROWS:
            return super()._multiply(rows)
        with _narrow_operands():
            return BlockProduct([self.weight])(rows.to(self.weight.dtype).float(), self._into(len(rows)))


@contextmanager
def _narrow_operands() -> Iterator[None]:
    """Have numbers of float32 that are bfloat16 as well multiplied as such by the processor.

    What is added up and comes out stays float32. It is a setting of the whole process.
    """
    mkldnn: Any = torch.backends.mkldnn
    settings = mkldnn.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


class WidenedEmbedding(nn.Module):
    """Stands for an embedding of 16-bit numbers; returns float32."""

    def __init__(self, inner: nn.Embedding) -> None:
        super().__init__()
        self.inner = inner

    @property
    def weight(self) -> torch.Tensor:
        """The table."""
        return self.inner.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Look the tokens up."""
        found: torch.Tensor = self.inner(tokens)
        return found.float()


def can_substitute(model: nn.Module) -> bool:
    """Return whether the model's large weights are all in layers that have a substitute (those of experts are not)."""
    substituted = {
        id(parameter)
        for module in model.modules()
        if type(module) in (nn.Linear, Conv1D) or isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    others = [parameter for parameter in model.parameters() if id(parameter) not in substituted]
    return all(parameter.numel() <= _SMALL_ELEMENTS for parameter in others)


def substitute(model: nn.Module, head: nn.Module | None, *, mixed: bool = False, exact: bool = True) -> None:
    """Put substitutes for the model's layers, `head` being the last; computes nothing (see `widen_small`).

    `mixed`: they multiply in bfloat16; the head does so only where that need not be `exact`. Raises StartFailed where
    they cannot.
    """
    layer: Callable[..., SteadyLinear] = partial(MixedLinear, exact=exact) if mixed else SteadyLinear
    last = SteadyHead if exact or not mixed else MixedHead
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            found = _substitute(child, last if child is head else layer)
            if found is not None:
                setattr(parent, name, found)


def _substitute(module: nn.Module, layer: Callable[..., SteadyLinear]) -> nn.Module | None:
    if type(module) is nn.Linear:
        return layer(module.weight, module.bias, transposed=False)
    if type(module) is Conv1D:
        return layer(module.weight, module.bias, transposed=True)
    if isinstance(module, nn.Embedding):
        return WidenedEmbedding(module)
    return None


def widen_small(model: nn.Module) -> None:
    """Make float32 copies of the parameters that are no substitute's weight: norms and biases."""
    for module in model.modules():
        widen_own(module)


def widen_own(module: nn.Module) -> None:
    """Do so for what one module has itself. Idempotent."""
    kept = module.weight if isinstance(module, SteadyLinear | nn.Embedding) else None
    for parameter in module.parameters(recurse=False):
        if parameter is not kept and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.dtype in (torch.bfloat16, torch.float16):
            module.register_buffer(name, buffer.float(), persistent=False)
