"""The Llama family computed without transformers' modules: fewer and larger operations, the same numbers to rounding.

It takes the weights from the model that transformers made, and leaves anything unusual to that: see `suits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import nn
from transformers import LlamaForCausalLM, MistralForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from quickthaw_backends.engines.transformers_engine import compiled_attention
from quickthaw_backends.engines.transformers_engine.arriving import pass_gates
from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, attend
from quickthaw_backends.engines.transformers_engine.compiled_attention import CompiledAttention
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_backends.engines.transformers_engine.linear import MixedLinear, SteadyLinear
from quickthaw_backends.engines.transformers_engine.products import MixedProduct, product_of

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


def have_code(model: PreTrainedModel) -> None:
    """Compile for a model, as transformers made it, what is computed here, so that forks of this process need not."""
    if _is_plain(model):
        heads, kv_heads, dimension = _heads(model)
        compiled_attention.have_code(dimension, heads // kv_heads)


def is_exact(model: PreTrainedModel) -> bool:
    """Whether attention, computed here in float32, is the same to the last bit however many tokens it is for."""
    return compiled_attention.takes(_heads(model)[2])


def _heads(model: Any) -> tuple[int, int, int]:
    """Return how many heads there are of queries and of keys, and how many numbers each has."""
    own = model.model.layers[0].self_attn
    return len(own.q_proj.weight) // own.head_dim, len(own.k_proj.weight) // own.head_dim, own.head_dim


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
        self._layers: list[_Layer | None] = [None] * len(self._decoder.layers)
        own: Any = self._decoder.layers[0].self_attn
        self._heads, self._kv_heads, self._dimension = _heads(model)
        self._scale = own.scaling
        self._compiles = is_exact(model) and not _is_narrow(own.q_proj)
        self._rotary = _Rotary(self._decoder.rotary_emb)

    def scores(
        self, tokens: Sequence[int], positions: Sequence[int], batch: RaggedBatch, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Return [len(wanted), vocabulary]: what comes after the tokens at these places of the packed row."""
        hidden = self._decoder.embed_tokens(torch.tensor(tokens))
        cos, sin = self._rotary.at(positions)
        attend = self._attention(batch)
        for index in range(len(self._layers)):
            hidden = self._layer(index).forward(hidden, cos, sin, attend)
        pass_gates(self._decoder.norm)
        found: torch.Tensor = self._head(_normed(hidden[wanted], self._decoder.norm))
        return found

    def _attention(self, batch: RaggedBatch) -> Attention:
        """Return a step's attention, which also stores keys and values."""
        if self._compiles:
            return CompiledAttention(batch.segments, self._heads, self._kv_heads, self._dimension, self._scale)

        def by_torch(layer: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            batch.store(layer, _by_head(rotated[:, self._heads :]), _by_head(values))
            return attend(batch, _by_head(rotated[:, : self._heads]), batch.segments, self._scale)

        return by_torch

    def _layer(self, index: int) -> _Layer:
        found = self._layers[index]
        if found is None:
            found = self._layers[index] = _Layer(self._decoder.layers[index], index)
        return found


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
        self._inner = product_of([own.q_proj, own.k_proj, own.v_proj])
        self._outer = product_of([own.o_proj])
        self._gate_and_up = product_of([layer.mlp.gate_proj, layer.mlp.up_proj])
        self._down = product_of([layer.mlp.down_proj])
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


def _linears(model: Any) -> Iterator[Any]:
    for layer in model.model.layers:
        own, mlp = layer.self_attn, layer.mlp
        yield from (own.q_proj, own.k_proj, own.v_proj, own.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def _is_narrow(linear: nn.Module) -> bool:
    """Whether keys and values are bfloat16."""
    return isinstance(linear, MixedLinear) and not linear.exact
