"""The Llama family computed without transformers' modules: fewer and larger operations, the same numbers to rounding.

It takes the weights from the model that transformers made, and leaves anything unusual to that: see `suits`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import nn
from transformers import LlamaForCausalLM, MistralForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from quickthaw_backends.engines.transformers_engine.arriving import pass_gates
from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, attend
from quickthaw_backends.engines.transformers_engine.compiled import (
    compiled_attention,
    compiled_layers,
    compiled_product,
)
from quickthaw_backends.engines.transformers_engine.compiled.compiled_attention import CompiledAttention
from quickthaw_backends.engines.transformers_engine.compiled.compiled_layers import CompiledLayers, Heads, LayerWeights
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_backends.engines.transformers_engine.linear import MixedLinear, SteadyLinear
from quickthaw_backends.engines.transformers_engine.products import MixedProduct, compiled_product_of, product_of

_MODELS = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM)
_KINDS = {SteadyLinear, MixedLinear, Int8Linear}
_ROPE_TYPES = frozenset({"default", "linear", "llama3"})
"""Ways in which the angles depend on nothing but the position."""

_LEAST_POSITIONS = 1024

Attention = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes a layer's index, its queries with its keys behind them, and its values, [row, heads, dimension] each."""


FAMILIES = "models of the families Llama, Mistral and Qwen2 without sliding windows"


def suits(model: PreTrainedModel) -> bool:
    """Whether a model is computed here: on a CPU, all layers in one way, whole attention, plain rotary positions."""
    kinds = {type(linear) for linear in _linears(model)} if _is_plain(model) else set()
    return model.device.type == "cpu" and len(kinds) == 1 and kinds <= _KINDS


def suits_mixed(model: PreTrainedModel) -> bool:
    """Whether a model, as transformers made it, will be computed here once its products are mixed ones."""
    return _is_plain(model) and all(linear.weight.dtype == torch.bfloat16 for linear in _linears(model))


def have_code(model: PreTrainedModel, dtypes: Collection[torch.dtype], *, mixed: bool) -> None:
    """Compile for a model, as transformers made it, what is computed here, so that forks of this process need not."""
    if not _is_plain(model) or not is_exact(model):
        return
    heads = _heads(model)
    if mixed:
        compiled_attention.have_code(heads.dimension, heads.queries // heads.keys)
        return
    for dtype in compiled_product.DTYPES.keys() & dtypes:
        compiled_layers.have_code(dtype, heads)


def is_exact(model: PreTrainedModel) -> bool:
    """Whether attention, computed here in float32, is the same to the last bit however many tokens it is for."""
    return compiled_attention.takes(_heads(model).dimension)


def _heads(model: Any) -> Heads:
    own = model.model.layers[0].self_attn
    queries, keys = (len(one.weight) // own.head_dim for one in (own.q_proj, own.k_proj))
    return Heads(queries, keys, own.head_dim, own.scaling)


def _is_plain(model: PreTrainedModel) -> bool:
    if type(model) not in _MODELS:
        return False
    config: Any = model.config
    attends = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
    if not attends or getattr(config, "sliding_window", None) or config.hidden_act != "silu":
        return False
    if (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") not in _ROPE_TYPES:
        return False
    decoder: Any = model.model
    return bool(2 * len(decoder.rotary_emb.inv_freq) == decoder.layers[0].self_attn.head_dim)


class LeanDecoder:
    """Computes a model that `suits`; for one thread at a time."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Weights that are still arriving are waited for layer by layer, when they are first used."""
        self._decoder: Any = model.model
        self._head: Any = model.get_output_embeddings()
        self._heads = _heads(model)
        self._rotary = _Rotary(self._decoder.rotary_emb)
        self._layers: _CompiledLayers | _TorchLayers = (
            _CompiledLayers(self._decoder.layers, self._heads)
            if is_exact(model) and _compiles(self._decoder.layers)
            else _TorchLayers(self._decoder.layers, self._heads)
        )

    def scores(
        self, tokens: Sequence[int], positions: Sequence[int], batch: RaggedBatch, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Return [len(wanted), vocabulary]: what comes after the tokens at these places of the packed row."""
        hidden = self._decoder.embed_tokens(torch.tensor(tokens))
        hidden = self._layers(hidden, *self._rotary.at(positions), batch)
        pass_gates(self._decoder.norm)
        found: torch.Tensor = self._head(_normed(hidden[wanted], self._decoder.norm))
        return found


class _CompiledLayers:
    """The layers as compiled code: one by one when they are first used, as their weights arrive, then all at once."""

    def __init__(self, layers: Any, heads: Heads) -> None:
        self._layers = layers
        self._heads = heads
        self._arrived: list[LayerWeights] = []
        self._whole: CompiledLayers | None = None

    def __call__(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, batch: RaggedBatch) -> torch.Tensor:
        if self._whole is None:
            for index in range(len(self._layers)):
                hidden = self._compiled([self._weights(index)])(index, hidden, cos, sin, batch.segments)
            self._whole = self._compiled(self._arrived)
            return hidden
        return self._whole(0, hidden, cos, sin, batch.segments)

    def _compiled(self, layers: Sequence[LayerWeights]) -> CompiledLayers:
        first = self._layers[0]
        dtype, epsilon = first.self_attn.q_proj.weight.dtype, first.input_layernorm.variance_epsilon
        return CompiledLayers(layers, dtype, self._heads, epsilon)

    def _weights(self, index: int) -> LayerWeights:
        """Return a layer's weights when they have arrived."""
        if index == len(self._arrived):
            layer = self._layers[index]
            for module in layer.modules():
                pass_gates(module)
            norms = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
            self._arrived.append(LayerWeights(*norms, *(compiled_product_of(group) for group in _groups(layer))))
        return self._arrived[index]


class _TorchLayers:
    """The layers as operations of torch's: mixed products, and what there is no compiled code for."""

    def __init__(self, layers: Any, heads: Heads) -> None:
        self._layers = layers
        self._heads = heads
        self._made: list[_Layer] = []
        self._compiles = compiled_attention.takes(heads.dimension) and not _is_narrow(layers[0].self_attn.q_proj)

    def __call__(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, batch: RaggedBatch) -> torch.Tensor:
        attend = self._attention(batch)
        for index, layer in enumerate(self._layers):
            if index == len(self._made):
                self._made.append(_Layer(layer, index))
            hidden = self._made[index].forward(hidden, cos, sin, attend)
        return hidden

    def _attention(self, batch: RaggedBatch) -> Attention:
        """Return a step's attention, which also stores keys and values."""
        heads = self._heads
        if self._compiles:
            return CompiledAttention(batch.segments, heads.queries, heads.keys, heads.dimension, heads.scale)

        def by_torch(layer: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            batch.store(layer, _by_head(rotated[:, heads.queries :]), _by_head(values))
            return attend(batch, _by_head(rotated[:, : heads.queries]), batch.segments, heads.scale)

        return by_torch


class _Layer:
    """A decoder layer's weights in the order in which they are used."""

    def __init__(self, layer: Any, index: int) -> None:
        for module in layer.modules():
            pass_gates(module)
        self._index = index
        own: Any = layer.self_attn
        self._dimension = own.head_dim
        self._rotated_heads = (len(own.q_proj.weight) + len(own.k_proj.weight)) // own.head_dim
        self._before_attention, self._before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self._inner, self._outer, self._gate_and_up, self._down = (product_of(group) for group in _groups(layer))
        self._narrow = _is_narrow(own.q_proj)

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attention) -> torch.Tensor:
        """Return the layer's output for `hidden`, [row, width] in float32."""
        inner = self._inner(_normed(hidden, self._before_attention)).contiguous()
        inner = inner.view(len(hidden), -1, self._dimension)
        rotated, values = inner[:, : self._rotated_heads], inner[:, self._rotated_heads :]
        rotated = rotated * cos + rotated.roll(self._dimension // 2, -1) * sin
        if self._narrow:
            rotated, values = rotated.bfloat16(), values.bfloat16()
        attended = attend(self._index, rotated, values)
        hidden = hidden + self._outer(attended.view(len(hidden), -1))
        return hidden + self._down(self._gated(_normed(hidden, self._before_mlp)))

    def _gated(self, rows: torch.Tensor) -> torch.Tensor:
        if self._narrow and isinstance(self._gate_and_up, MixedProduct):
            return self._gate_and_up.gated(rows)
        gate, up = self._gate_and_up(rows).chunk(2, 1)
        return functional.silu(gate) * up


class _Rotary:
    """Cosines and sines by position; the first half of the sines is negated, for numbers that moved there."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._cos = self._sin = torch.empty(0)

    def at(self, positions: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both for these positions, [row, 1, dimension]."""
        if max(positions) >= len(self._cos):
            self._grow(max(_LEAST_POSITIONS, 1 << max(positions).bit_length()))
        index = torch.tensor(positions)
        return self._cos[index][:, None], self._sin[index][:, None]

    def _grow(self, positions: int) -> None:
        cos, sin = self._module(torch.empty(0), torch.arange(positions)[None])
        self._cos = cos[0]
        self._sin = sin[0].clone()
        self._sin[:, : sin.shape[2] // 2].neg_()


def _normed(rows: torch.Tensor, norm: Any) -> torch.Tensor:
    return functional.rms_norm(rows, rows.shape[-1:], norm.weight, norm.variance_epsilon)


def _by_head(rows: torch.Tensor) -> torch.Tensor:
    """Return [1, heads, row, dimension] of [row, heads, dimension]."""
    return rows.transpose(0, 1)[None]


def _groups(layer: Any) -> list[list[Any]]:
    """Return the linear layers of a layer, together where they take the same rows, in the order of their use."""
    own, mlp = layer.self_attn, layer.mlp
    return [[own.q_proj, own.k_proj, own.v_proj], [own.o_proj], [mlp.gate_proj, mlp.up_proj], [mlp.down_proj]]


def _compiles(layers: Any) -> bool:
    """Whether there is compiled code for all that layers compute, with weights of one type and no mixed product."""
    linears = [linear for layer in layers for group in _groups(layer) for linear in group]
    mixed = any(isinstance(linear, MixedLinear) for linear in linears)
    return not mixed and compiled_product.takes([linear.weight for linear in linears])


def _linears(model: Any) -> Iterator[Any]:
    for layer in model.model.layers:
        for group in _groups(layer):
            yield from group


def _is_narrow(linear: nn.Module) -> bool:
    """Whether keys and values are bfloat16."""
    return isinstance(linear, MixedLinear) and not linear.exact
