"""Child process: `write_gguf.py SOURCE FILE TYPE [SHAPE]` writes a GGUF model with weights of TYPE.

With SHAPE the weights are random numbers of a Llama of that shape (a JSON object: layers, hidden, wide, heads,
kv_heads, of 64 dimensions each), with the vocabulary, the tokenizer and the chat template of SOURCE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, quants

HEAD_DIMENSIONS = 64
STANDARD_DEVIATION = 0.02
FILE_TYPES = {
    "Q4_1": LlamaFileType.MOSTLY_Q4_1,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "BF16": LlamaFileType.MOSTLY_BF16,
}
_OF_THE_WRITER = ("GGUF.", "general.architecture")

Tensor = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def own(reader: GGUFReader) -> Iterator[tuple[str, Tensor]]:
    """Yield the file's own tensors, dequantised."""
    for tensor in reader.tensors:
        shape = tuple(reversed(tensor.shape.tolist()))
        yield tensor.name, quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32)


def random(shape: Mapping[str, int], vocabulary: int) -> Iterator[tuple[str, Tensor]]:
    """Yield random tensors of a Llama of this shape; its embeddings are its output as well."""
    numbers = np.random.default_rng(0)
    hidden, wide = shape["hidden"], shape["wide"]
    queries, keys = shape["heads"] * HEAD_DIMENSIONS, shape["kv_heads"] * HEAD_DIMENSIONS
    matrices = {
        "attn_q": (queries, hidden),
        "attn_k": (keys, hidden),
        "attn_v": (keys, hidden),
        "attn_output": (hidden, queries),
        "ffn_gate": (wide, hidden),
        "ffn_up": (wide, hidden),
        "ffn_down": (hidden, wide),
    }

    def matrix(size: tuple[int, ...]) -> Tensor:
        return numbers.standard_normal(size, dtype=np.float32) * np.float32(STANDARD_DEVIATION)

    yield "token_embd.weight", matrix((vocabulary, hidden))
    yield "output_norm.weight", np.ones(hidden, np.float32)
    for layer in range(shape["layers"]):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", np.ones(hidden, np.float32)
        for name, size in matrices.items():
            yield f"blk.{layer}.{name}.weight", matrix(size)


def fields(shape: Mapping[str, int]) -> dict[str, int]:
    """Return what a file says of this shape."""
    return {
        "llama.block_count": shape["layers"],
        "llama.embedding_length": shape["hidden"],
        "llama.feed_forward_length": shape["wide"],
        "llama.attention.head_count": shape["heads"],
        "llama.attention.head_count_kv": shape["kv_heads"],
    }


def main(source: str, file: str, kind: str, shape: str = "{}") -> None:
    reader, sizes = GGUFReader(source), json.loads(shape)
    writer = GGUFWriter(file, "llama")
    changed: dict[str, int] = {"general.file_type": int(FILE_TYPES[kind])} | (fields(sizes) if sizes else {})
    for name, field in reader.fields.items():
        if name.startswith(_OF_THE_WRITER):
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(name, field.contents())
        else:
            writer.add_key_value(name, changed.get(name, field.contents()), field.types[0])
    vocabulary = reader.fields["llama.vocab_size"].contents()
    for name, values in random(sizes, vocabulary) if sizes else own(reader):
        _add(writer, name, values, GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: GGUFWriter, name: str, values: Tensor, kind: GGMLQuantizationType) -> None:
    """Add a matrix in the wanted type; vectors stay as they are, as in files of others."""
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    data = quants.quantize(values, kind)
    writer.add_tensor(name, data, raw_shape=data.shape, raw_dtype=kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
