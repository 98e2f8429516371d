"""Products on a CPU that multiplies only 32-bit numbers, with weights of 16 bits or of 32.

The weights stay as they are stored, mapped and shared; activations are float32. Few rows go through torch's bfloat16
matrix-vector product. Many rows cast one block of the weights after the other into a small float32 scratch, which
stays in the processor's cache, and multiply there. Both round what goes in and comes out to bfloat16 and add up in
float32, so that a row's result seldom depends on how many rows came with it: where the order of adding up tips a
rounding. In the steady way all rows go by blocks and nothing is rounded, so that it depends on it by 1e-6 at most, and
a single stream takes longer.

A processor that multiplies bfloat16 itself can do without the casts: `MixedLinear`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import nn
from transformers.pytorch_utils import Conv1D

from quickthaw_platform.errors import StartFailed

SCRATCH_ELEMENTS = 1 << 20
"""Of a block: 4 MiB of float32, as the shared cache holds; smaller ones cost more in calls than they save."""

BLOCK_ROWS = 3
"""From so many rows on, casting blocks is faster than one matrix-vector product a row."""

TURN_ROWS = 32
"""Below so many rows the product is computed the other way round."""

RESCORED = 64
"""Of the likeliest tokens, how many get a float32 score where the matrix-vector product rounds scores to bfloat16."""

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


def block_product(weight: torch.Tensor, rows: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
    """Return `rows @ weight.T` in float32; `weight` is [out, in] in 16 bits, `rows` [n, in] in float32.

    Few rows are computed as weight block times rows transposed: on two threads that is twice as fast. More are written
    `into` memory that is given for them, [n, out].
    """
    outputs, inputs = weight.shape
    height = max(1, SCRATCH_ELEMENTS // inputs)
    scratch = scratch_of(min(height, outputs) * inputs)
    few = len(rows) < TURN_ROWS
    if few or into is None:
        result = torch.empty((outputs, len(rows)) if few else (len(rows), outputs), dtype=torch.float32)
    else:
        result = into
    for begin in range(0, outputs, height):
        end = min(begin + height, outputs)
        block = scratch[: (end - begin) * inputs].view(end - begin, inputs)
        block.copy_(weight[begin:end])
        if few:
            torch.mm(block, rows.t(), out=result[begin:end])
        else:
            torch.mm(rows, block.t(), out=result[:, begin:end])
    return result.t() if few else result


def scratch_of(elements: int) -> torch.Tensor:
    """Return this thread's scratch, made larger where needed."""
    held: torch.Tensor | None = getattr(_scratch, "block", None)
    if held is None or held.numel() < elements:
        with torch.inference_mode(False):  # made inside of it, it could not be written outside of it
            held = _scratch.block = torch.empty(max(elements, SCRATCH_ELEMENTS), dtype=torch.float32)
    return held


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


def turned_product(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return `rows @ weight.T`, both float32, in the order that is faster for so many rows."""
    if 1 < len(rows) < TURN_ROWS:
        return torch.mm(weight, rows.t()).t().contiguous()
    return functional.linear(rows, weight)


class HybridLinear(nn.Module):
    """Stands for a linear layer whose weight is of 16 or 32 bits; takes and returns float32."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool, steady: bool) -> None:
        """`weight` is [out, in]; `transposed`: [in, out], as GPT-2 stores it."""
        super().__init__()
        self.weight = weight
        self.bias = bias
        self._transposed = transposed
        self.steady = steady

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the product, of shape [..., out]."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        weight = self.weight.t() if self._transposed else self.weight
        if weight.dtype == torch.float32:
            result = turned_product(weight, rows)
        elif self.steady:
            result = block_product(weight, rows, self._into(len(rows))).contiguous()
        elif len(rows) < BLOCK_ROWS and weight.dtype == torch.bfloat16:
            result = self._few(weight, rows)
        else:
            result = self._many(weight, rows)
        if self.bias is not None:
            result = result + self.bias
        return result.view(*hidden.shape[:-1], -1)

    def _into(self, rows: int) -> torch.Tensor | None:  # noqa: ARG002 (the head's has room for them)
        """Return where the result of so many rows goes; None: into memory of its own."""
        return None

    def _few(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        narrow = rows.to(weight.dtype)
        if len(rows) == 1:
            return torch.mv(weight, narrow[0]).float()[None]
        return torch.stack([torch.mv(weight, row) for row in narrow]).float()

    def _many(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        result = block_product(weight, rows.to(weight.dtype).float())
        return result.to(weight.dtype, memory_format=torch.contiguous_format).float()


class MixedLinear(HybridLinear):
    """Multiplies in bfloat16 by the processor's own instructions: rounds what goes in and what comes out.

    On processors that `rows_are_independent` accepts, a row's result does not depend on the others by a single bit, as
    long as there are at least `LEAST_ROWS`. `steady` says that this is relied on: elsewhere it is not true.
    """

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool, steady: bool) -> None:
        super().__init__(weight, bias, transposed=transposed, steady=steady)
        if transposed or weight.dtype != torch.bfloat16:
            raise StartFailed("mixed products are of weights in bfloat16, stored by outputs; leave out compute=mixed")

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the product, of shape [..., out]."""
        rows = narrowed(hidden.reshape(-1, hidden.shape[-1]))
        result = functional.linear(rows, self.weight).float()[: hidden.numel() // hidden.shape[-1]]
        if self.bias is not None:
            result = result + self.bias
        return result.view(*hidden.shape[:-1], -1)


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


class HybridHead(HybridLinear):
    """The last layer: its results are scores of tokens, so the ones that matter are not rounded.

    Those of many rows hold until the thread computes the next ones: see `room_for_scores`.
    """

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool, steady: bool) -> None:
        super().__init__(weight, bias, transposed=transposed, steady=steady)
        self._native = weight.dtype == torch.bfloat16 and native_bf16()

    def _few(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        scores = super()._few(weight, rows)
        best = scores.topk(min(RESCORED, scores.shape[1]), dim=1).indices
        for row, tokens, hidden in zip(scores, best, rows.to(weight.dtype).float(), strict=True):
            row[tokens] = weight[tokens].float() @ hidden
        return scores

    def _many(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        with _narrow_operands(self._native):
            return block_product(weight, rows.to(weight.dtype).float(), self._into(len(rows))).contiguous()

    def _into(self, rows: int) -> torch.Tensor | None:
        return room_for_scores(rows, self.weight.shape[1 if self._transposed else 0])


@contextmanager
def _narrow_operands(narrow: bool) -> Iterator[None]:
    """Have numbers of float32 that are `narrow`, bfloat16 as well, multiplied as such by the processor.

    What is added up and comes out stays float32. It is a setting of the whole process.
    """
    mkldnn: Any = torch.backends.mkldnn
    settings = mkldnn.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "bf16" if narrow else before
    try:
        yield
    finally:
        settings.fp32_precision = before


class HybridEmbedding(nn.Module):
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


def can_be_hybrid(model: nn.Module) -> bool:
    """Return whether the model's large weights are all in layers that have a substitute (those of experts are not)."""
    substituted = {
        id(parameter)
        for module in model.modules()
        if type(module) in (nn.Linear, Conv1D) or isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    others = [parameter for parameter in model.parameters() if id(parameter) not in substituted]
    return all(parameter.numel() <= _SMALL_ELEMENTS for parameter in others)


def make_hybrid(model: nn.Module, head: nn.Module | None, *, steady: bool = False, mixed: bool = False) -> None:
    """Put substitutes for the model's layers, `head` being the last; computes nothing (see `widen_small`).

    `mixed`: all but the head, whose scores are not rounded, multiply in bfloat16. Raises StartFailed where they cannot.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            kind = HybridHead if child is head else MixedLinear if mixed else HybridLinear
            substitute = _substitute(child, kind, steady)
            if substitute is not None:
                setattr(parent, name, substitute)


def _substitute(module: nn.Module, kind: type[HybridLinear], steady: bool) -> nn.Module | None:
    if type(module) is nn.Linear:
        return kind(module.weight, module.bias, transposed=False, steady=steady)
    if type(module) is Conv1D:
        return kind(module.weight, module.bias, transposed=True, steady=steady)
    if isinstance(module, nn.Embedding):
        return HybridEmbedding(module)
    return None


def widen_small(model: nn.Module) -> None:
    """Make float32 copies of the parameters that are no substitute's weight: norms and biases."""
    for module in model.modules():
        widen_own(module)


def widen_own(module: nn.Module) -> None:
    """Do so for what one module has itself. Idempotent."""
    kept = module.weight if isinstance(module, HybridLinear | nn.Embedding) else None
    for parameter in module.parameters(recurse=False):
        if parameter is not kept and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.dtype in (torch.bfloat16, torch.float16):
            module.register_buffer(name, buffer.float(), persistent=False)
