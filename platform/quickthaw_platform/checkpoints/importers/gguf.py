"""GGUF files: dequantised by transformers into a dense model."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from quickthaw_platform.checkpoints.importers.loaded import LoadedModel, read_model, read_tokenizer
from quickthaw_platform.checkpoints.importers.source import Source, spdx
from quickthaw_platform.errors import InvalidRequest

DEFAULT_DTYPE = "bfloat16"

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
"""Values of `tokenizer.ggml.pre` whose tokenizers split digits off before anything else."""


def default_dtype(_source: Source) -> str:
    """Return what weights are dequantised to."""
    return DEFAULT_DTYPE


def check(source: Source) -> None:
    """Raise InvalidRequest where the file is no GGUF file."""
    metadata(source.path)


def load(source: Source, dtype: str) -> LoadedModel:
    """Read the GGUF file's model."""
    from transformers import GgufConfig

    facts = metadata(source.path)
    where = {"directory": str(source.path.parent), "gguf_file": source.path.name}
    with _parsed_once():
        tokenizer = read_tokenizer(**where)
        model = read_model("generate", dtype=dtype, quantization_config=GgufConfig(dequantize=True), **where)
    if facts.get("tokenizer.ggml.pre") in _DIGITS_APART:
        _split_digits(tokenizer)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return LoadedModel(model, tokenizer, "generate", spdx(facts.get("general.license")))


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Keep transformers from parsing the file for config, tokenizer and weights each, and naming tensors per module.

    It took two thirds of the import of a small model. transformers looks both names up in `gguf` when it needs them.
    """
    import gguf

    kept = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    vars(gguf).update({name: cache(found) for name, found in kept.items()})
    try:
        yield
    finally:
        vars(gguf).update(kept)


def _split_digits(tokenizer: Any) -> None:
    """Restore the step that transformers leaves out: without it "1  2" joins the spaces otherwise than in training."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    steps = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(steps)


def metadata(path: Path) -> dict[str, Any]:
    """Read the key-value section of a GGUF file; arrays (vocabularies) are skipped."""
    with path.open("rb") as file:
        try:
            return _metadata(file)
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{path} is not a whole GGUF file") from error


def _metadata(file: BinaryIO) -> dict[str, Any]:
    magic, version, _tensors, pairs = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version < 2:
        raise KeyError(magic)
    facts: dict[str, Any] = {}
    for _ in range(pairs):
        key = _string(file)
        (kind,) = _unpack(file, "I")
        value = _value(file, kind)
        if kind != _ARRAY:
            facts[key] = value
    return facts


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _unpack(file, _SCALARS[kind])[0]
    element, length = _unpack(file, "IQ")
    if element in (_STRING, _ARRAY):
        for _ in range(length):
            _value(file, element)
    else:
        file.seek(struct.calcsize(_SCALARS[element]) * length, 1)
    return None


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    return file.read(length).decode()


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    form = "<" + form
    return struct.unpack(form, file.read(struct.calcsize(form)))
