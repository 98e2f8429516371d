"""GGUF files that are to be stored otherwise: dequantised by transformers into a dense model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.checkpoints.gguf_joining import write_joined
from quickthaw_platform.checkpoints.importers.checking import refuse_pointers
from quickthaw_platform.checkpoints.importers.gguf_facts import read_facts
from quickthaw_platform.checkpoints.importers.gguf_files import gguf_parts
from quickthaw_platform.checkpoints.importers.loaded import LoadedModel, read_model, read_tokenizer
from quickthaw_platform.checkpoints.importers.source import Source
from quickthaw_platform.errors import InvalidRequest

DEFAULT_DTYPE = "bfloat16"

_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
"""Values of `tokenizer.ggml.pre` whose tokenizers split digits off before anything else."""


def default_dtype(_source: Source) -> str:
    """Return what weights are dequantised to."""
    return DEFAULT_DTYPE


def check(source: Source) -> None:
    """Raise CheckpointBroken where a part is no whole GGUF file, and InvalidRequest where it is nothing to serve."""
    refuse_pointers(source.files())
    read_facts(gguf_parts(source.path))


def load(source: Source, dtype: str) -> LoadedModel:
    """Read the GGUF file's model."""
    from transformers import GgufConfig

    facts = read_facts(gguf_parts(source.path))
    if facts.task != "generate":
        raise InvalidRequest(
            f"{source.path} is for {facts.task!r}, and only generating models are dequantised; import it as it is, "
            "without --dtype, --quantize and --partitions"
        )
    with _one_file(gguf_parts(source.path)) as file, _parsed_once():
        where = {"directory": str(file.parent), "gguf_file": file.name}
        tokenizer = read_tokenizer(**where)
        model = read_model("generate", dtype=dtype, quantization_config=GgufConfig(dequantize=True), **where)
    mend_tokenizer(tokenizer, source.path)
    model.config.eos_token_id = model.generation_config.eos_token_id = end_tokens(source.path)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return LoadedModel(model, tokenizer, "generate", facts.license)


@contextmanager
def _one_file(parts: list[Path]) -> Iterator[Path]:
    """Give a file that holds all parts; transformers reads no others."""
    if len(parts) == 1:
        yield parts[0]
        return
    with TemporaryDirectory(prefix="quickthaw-joined-") as folder:
        joined = Path(folder) / "joined.gguf"
        with joined.open("wb") as target:
            write_joined(parts, target)
        yield joined


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


def end_tokens(file: Path) -> list[int] | None:
    """Return the tokens that end a text, a turn or a message by a GGUF file's own word; None: it names none."""
    metadata = read_gguf_header(file).metadata
    named = (metadata.get(f"tokenizer.ggml.{end}_token_id") for end in ("eos", "eot", "eom"))
    return sorted({token for token in named if isinstance(token, int)}) or None


def mend_tokenizer(tokenizer: Any, file: Path) -> None:
    """Restore the step that transformers leaves out: without it "1  2" joins the spaces otherwise than in training."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    if read_gguf_header(file).metadata.get("tokenizer.ggml.pre") in _DIGITS_APART:
        steps = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(steps)
