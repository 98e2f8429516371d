"""Tiny GGUF files with random weights, as llama.cpp's tools write them; llama.cpp and transformers both read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from transformers.convert_slow_tokenizer import bytes_to_unicode

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT_TOKENS = 64, 2, 4, 2, 96, 64
TOKENS = ["<unk>", "<s>", "</s>", *bytes_to_unicode().values(), "he", "ll", "hell"]
MERGES = ["h e", "l l", "he ll"]
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
HEAD_WIDTH = WIDTH // HEADS


def tensors(seed: int = 0, *, tied: bool = True) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """Give the weights of a decoder by GGUF's names."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int = WIDTH) -> np.ndarray[Any, np.dtype[np.float32]]:
        return rng.normal(0, 0.3, (rows, columns)).astype(np.float32)

    yield "token_embd.weight", matrix(len(TOKENS))
    yield "output_norm.weight", np.ones(WIDTH, np.float32)
    if not tied:
        yield "output.weight", matrix(len(TOKENS))
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight", np.ones(WIDTH, np.float32)
        yield f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, np.float32)
        yield f"blk.{layer}.attn_q.weight", matrix(WIDTH)
        yield f"blk.{layer}.attn_k.weight", matrix(KV_HEADS * HEAD_WIDTH)
        yield f"blk.{layer}.attn_v.weight", matrix(KV_HEADS * HEAD_WIDTH)
        yield f"blk.{layer}.attn_output.weight", matrix(WIDTH)
        yield f"blk.{layer}.ffn_gate.weight", matrix(FEED_FORWARD)
        yield f"blk.{layer}.ffn_up.weight", matrix(FEED_FORWARD)
        yield f"blk.{layer}.ffn_down.weight", matrix(WIDTH, FEED_FORWARD)


def add_metadata(writer: GGUFWriter, architecture: str, file_type: int | None, context_tokens: int) -> None:
    """Add what a decoder's file says of itself, tokenizer included."""
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_license("mit")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_types([2, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def write_llama(
    file: Path,
    quantisation: GGMLQuantizationType = GGMLQuantizationType.Q8_0,
    *,
    architecture: str = "llama",
    file_type: int | None = int(gguf.LlamaFileType.MOSTLY_Q8_0),
    parts: int = 1,
    tied: bool = True,
    context_tokens: int = CONTEXT_TOKENS,
    pooling: gguf.PoolingType | None = None,
) -> list[Path]:
    """Write a decoder and return its files: `file`, or the parts that it is split into. With `pooling` it embeds."""
    found = list(tensors(tied=tied))
    writer = GGUFWriter(file, architecture, split_max_tensors=-(-len(found) // parts) if parts > 1 else 0)
    add_metadata(writer, architecture, file_type, context_tokens)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    for name, weights in found:
        kind = quantisation if weights.ndim == 2 else GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
    close(writer)
    return [file] if parts == 1 else sorted(file.parent.glob(f"{file.stem}-*-of-*.gguf"))


def write_adapter(
    file: Path,
    seed: int = 0,
    *,
    architecture: str = "llama",
    width: int = WIDTH,
    rank: int = 4,
    quantisation: GGMLQuantizationType = GGMLQuantizationType.F32,
) -> Path:
    """Write a LoRA of one matrix, with random numbers."""
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(file, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name, shape in (("a", (rank, width)), ("b", (width, rank))):
        weights = gguf.quants.quantize(rng.normal(0, 0.5, shape).astype(np.float32), quantisation)
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{name}", weights, raw_dtype=quantisation)
    close(writer)
    return file


def write_bare(file: Path, architecture: str, **metadata: int | str) -> Path:
    """Write a file with one tensor and this metadata."""
    writer = GGUFWriter(file, architecture)
    for key, value in metadata.items():
        name = key.replace("__", ".")  # keyword arguments have no dots
        writer.add_string(name, value) if isinstance(value, str) else writer.add_uint32(name, value)
    writer.add_tensor("token_embd.weight", np.ones((4, 32), np.float32))
    close(writer)
    return file


def close(writer: GGUFWriter) -> None:
    """Write everything."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
