"""The measured models' shapes: what tensors they have, under the names that transformers gives them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

BF16_BYTES = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama with tied embeddings; fields as in its `config.json`."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int

    @property
    def bytes(self) -> int:
        """What the weights take in bf16."""
        return BF16_BYTES * sum(prod(sizes) for sizes in self.tensors().values())

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor that is stored, by its name."""
        found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.hidden_size)}
        for layer in range(self.num_hidden_layers):
            found |= {f"model.layers.{layer}.{name}.weight": sizes for name, sizes in self._layer().items()}
        return found | {"model.norm.weight": (self.hidden_size,)}

    def config(self) -> dict[str, Any]:
        """Return the model's `config.json`."""
        sizes = {name: getattr(self, name) for name in self.__slots__ if name != "name"}
        kind = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16"}
        return {**kind, **sizes, "tie_word_embeddings": True}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        hidden, wide = self.hidden_size, self.intermediate_size
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (wide, hidden),
            "mlp.up_proj": (wide, hidden),
            "mlp.down_proj": (hidden, wide),
        }


TINY = Shape("tiny", 256, 1024, 4, 4, 2, 64, 32_000)
"""Of the smoke run: some chunks, and no figure that means anything."""

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("135m", 576, 1536, 30, 9, 3, 64, 49_152),  # SmolLM2-135M
        Shape("1b", 2048, 8192, 16, 32, 8, 64, 128_256),  # Llama-3.2-1B
        Shape("3b", 3072, 8192, 28, 24, 8, 128, 128_256),  # Llama-3.2-3B
    )
}
