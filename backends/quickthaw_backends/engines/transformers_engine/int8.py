"""Products with weights of eight bits and a scale for each output, as `models import --quantize int8` stores them.

On a CPU they are computed in the steady way (`steady_product`), and the scales applied to what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine.steady_product import SteadyProduct, steady_product
from quickthaw_platform.errors import StartFailed

SCALE_SUFFIX = "_scale"


class Int8Linear(nn.Module):
    """Stands for a linear layer; takes any float type, returns float32 on a CPU and the same type elsewhere."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, weight: torch.Tensor, scale: torch.Tensor, bias: nn.Parameter | None, *, transposed: bool
    ) -> None:
        """`weight` is int8 [out, in], or [in, out] if `transposed`, as GPT-2 stores it; `scale` float32 [out]."""
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.bias = bias
        self._transposed = transposed
        self._steady: SteadyProduct | None = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the product, of shape [..., out]."""
        weight = self.weight.t() if self._transposed else self.weight
        rows = hidden.reshape(-1, hidden.shape[-1])
        result = self._product(weight, rows)
        if self.bias is not None:
            result = result + self.bias
        return result.view(*hidden.shape[:-1], -1)

    def _product(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if weight.device.type != "cpu":
            product = functional.linear(rows.to(torch.bfloat16), weight.to(torch.bfloat16))  # float16 would overflow
            return (product.float() * self.scale).to(rows.dtype)
        if self._steady is None:  # not before: the weights may still have been on their way
            self._steady = steady_product([weight])
        return self._steady(rows.float()) * self.scale


class Int8Embedding(nn.Module):
    """Stands for an embedding; returns float32, or what `returns` is set to."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        """`weight` is int8 [tokens, dimension], `scale` float32 [tokens]."""
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.returns = torch.float32

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Look the tokens up."""
        return (self.weight[tokens].float() * self.scale[tokens][..., None]).to(self.returns)


def split_scales(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the model's own tensors, and the scales by the names of the weights that they belong to."""
    scales = {name.removesuffix(SCALE_SUFFIX): tensor for name, tensor in tensors.items() if _is_scale(name, tensors)}
    own = {name: tensor for name, tensor in tensors.items() if not _is_scale(name, tensors)}
    return own, scales


def _is_scale(name: str, tensors: Mapping[str, torch.Tensor]) -> bool:
    return name.endswith(SCALE_SUFFIX) and name.removesuffix(SCALE_SUFFIX) in tensors


def substitute(model: PreTrainedModel, scales: Mapping[str, torch.Tensor]) -> None:
    """Put substitutes for the layers of a model whose weights are int8. Reads nothing of the weights.

    Raises StartFailed, naming the tensor, for one that has no scale of its shape, or a layer that has no substitute.
    """
    for prefix, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            weight = getattr(child, "weight", None)
            if isinstance(weight, torch.Tensor) and weight.dtype == torch.int8:
                path = f"{prefix}.{name}.weight".lstrip(".")
                setattr(parent, name, _substitute(child, _scale(scales, path, child), path))
    left = [name for name, parameter in model.named_parameters() if parameter.dtype == torch.int8]
    if left:
        raise StartFailed(f"tensor {left[0]!r} is int8 in a layer that this engine computes only with floats")


def begin_with(model: nn.Module, returns: torch.dtype) -> None:
    """Have a model's embeddings return numbers of this type."""
    for module in model.modules():
        if isinstance(module, Int8Embedding):
            module.returns = returns


def _scale(scales: Mapping[str, torch.Tensor], path: str, module: nn.Module) -> torch.Tensor:
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # the caller has looked
    outputs = weight.shape[1] if isinstance(module, Conv1D) else weight.shape[0]
    scale = scales.get(path)
    if scale is None or scale.shape != (outputs,) or scale.dtype != torch.float32:
        found = "none" if scale is None else f"{scale.dtype} {list(scale.shape)}"
        raise StartFailed(f"tensor {path!r} is int8 and needs a float32 scale of shape [{outputs}]; there is {found}")
    return scale


def _substitute(module: nn.Module, scale: torch.Tensor, path: str) -> nn.Module:
    if isinstance(module, nn.Embedding):
        return Int8Embedding(module.weight.data, scale)
    if type(module) is nn.Linear:
        return Int8Linear(module.weight.data, scale, module.bias, transposed=False)
    if type(module) is Conv1D:
        return Int8Linear(module.weight.data, scale, module.bias, transposed=True)
    raise StartFailed(f"tensor {path!r} is int8 in a {type(module).__name__}, which this engine cannot compute so")
