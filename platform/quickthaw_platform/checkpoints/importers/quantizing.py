"""Weights of eight bits: whole numbers from -127 to 127, and for each output channel the float32 that scales them.

The layers' matrices and the embedding of tokens are stored so, the rest (norms, biases, positions) as it is. `NAME`
holds the whole numbers in the shape it had, `NAME_scale` one number an output channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthaw_platform.checkpoints.importers.loaded import LoadedModel
from quickthaw_platform.checkpoints.importers.perplexity import perplexity, sample_text
from quickthaw_platform.checkpoints.layout import Tied, execution_order

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LARGEST = 127
SCALE_SUFFIX = "_scale"


@dataclass(frozen=True, slots=True)
class QuantizationCost:
    """The perplexities of a text with the weights as they were, and as they are now; both computed in float32."""

    before: float
    after: float

    @property
    def change_percent(self) -> float:
        """Above 0: worse than before."""
        return (self.after / self.before - 1) * 100


def quantize_model(loaded: LoadedModel, tied: Tied, text: str | None) -> tuple[Tied, QuantizationCost | None]:
    """Return the weights with the large ones quantised, and what that costs on `text` (None: a sample of ours).

    There is no cost of an encoder, which predicts nothing. The loaded model is changed, for measuring it.
    """
    axes = channel_axes(loaded.model)
    small = quantize_all(tied, axes)
    if loaded.task != "generate":
        return small, None
    tokens = loaded.tokenizer(text or sample_text()).input_ids
    model = loaded.model.float()
    before = perplexity(model, tokens, loaded.context_tokens)
    for name in axes.keys() & small.tensors.keys():
        if (scale := small.tensors.get(name + SCALE_SUFFIX)) is not None:
            model.get_parameter(name).data = dequantize(small.tensors[name], scale, axes[name])
    model.tie_weights()
    return small, QuantizationCost(before, perplexity(model, tokens, loaded.context_tokens))


def channel_axes(model: PreTrainedModel) -> dict[str, int]:
    """Return the names of the weights to quantise, each with the axis of its output channels.

    A weight with two names (a tied head) is there twice.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    def axis(module: nn.Module) -> int | None:
        if type(module) is Conv1D:
            return 1
        return 0 if type(module) is nn.Linear or module is model.get_input_embeddings() else None

    found = ((f"{name}.weight", axis(module)) for name, module in model.named_modules())
    return {name: place for name, place in found if place is not None}


def quantize(weight: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix as int8 and its scales; the largest number of each channel becomes ±127."""
    import torch

    exact = weight.float()
    largest = exact.abs().amax(dim=1 - axis)
    scale = torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest))
    return torch.round(exact / scale.unsqueeze(1 - axis)).clamp(-LARGEST, LARGEST).to(torch.int8), scale


def dequantize(numbers: torch.Tensor, scale: torch.Tensor, axis: int) -> torch.Tensor:
    """Return what the numbers stand for, in float32."""
    return numbers.float() * scale.unsqueeze(1 - axis)


def quantize_all(tied: Tied, axes: dict[str, int]) -> Tied:
    """Return the tensors with the large ones quantised; an alias of one gets an alias of its scales too."""
    tensors = dict(_pairs(tied, axes))
    scales = {
        alias + SCALE_SUFFIX: name + SCALE_SUFFIX
        for alias, name in tied.aliases.items()
        if name + SCALE_SUFFIX in tensors
    }
    return Tied(tensors, tied.aliases | scales)


def _pairs(tied: Tied, axes: dict[str, int]) -> Iterator[tuple[str, torch.Tensor]]:
    for name in execution_order(tied.tensors):
        tensor = tied.tensors[name]
        if name not in axes or not tensor.numel():
            yield name, tensor
            continue
        numbers, scale = quantize(tensor, axes[name])
        yield name, numbers
        yield name + SCALE_SUFFIX, scale
