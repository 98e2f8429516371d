"""Texts to token ids, as the model's own tokenizer has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickthaw_platform import plugins
from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest
from quickthaw_platform.registry.engines import FALLBACK, default_engine

_PLAIN_CLASS = "TokenizersBackend"
"""What transformers calls the class that has nothing but `tokenizer.json` and the names of special tokens."""

_HF_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer, and what it says of a text's beginning."""

    name: str  # what a result says of it
    encode: Callable[[str], list[int]]  # with `beginning` where the tokenizer puts it
    beginning: tuple[int, ...]  # the tokens that it puts before every text
    bos: int | None
    eos: int | None

    @property
    def prefix(self) -> int:
        """The token that a document's first token follows: the beginning of a text, or where there is none its end.

        Raises InvalidRequest where the model has neither.
        """
        found = self.bos if self.bos is not None else self.eos
        if found is None:
            raise InvalidRequest(
                f"{self.name} knows no token that begins or ends a text, which lm-eval puts before each document; use "
                "another protocol",
                param="protocol",
            )
        return found

    @property
    def prefix_name(self) -> str:
        """What `prefix` is."""
        return "the beginning of a text" if self.bos is not None else "the end of a text, as there is no beginning,"


def tokenizer_of(checkpoint: Checkpoint, engine: str | None = None) -> TextTokenizer:
    """Return the tokenizer of a checkpoint on this machine's disk: its files', or that of the engine that reads it."""
    manifest = Manifest.of(checkpoint)
    engine = engine or default_engine(manifest.weights_format)
    read_by_engine = manifest.weights_format == "gguf" and engine != FALLBACK
    if not read_by_engine and any((checkpoint.path / name).exists() for name in _HF_FILES):
        return huggingface(checkpoint.path, f"{manifest.name}'s files, read by transformers")
    loaded = plugins.usable_engine(engine)()
    loaded.prepare(checkpoint, {}, lambda _stage, _seconds: None)
    bos, eos = _of_gguf(weights_paths(checkpoint)[0]) if manifest.weights_format == "gguf" else (None, None)
    encode = loaded.tokenizer.encode
    return TextTokenizer(f"{manifest.name}'s, read by the engine {engine}", encode, tuple(encode("")), bos, eos)


def tokenizer_at(path: Path) -> TextTokenizer:
    """Return the tokenizer that lies in a folder, as transformers reads it."""
    if not any((path / name).exists() for name in _HF_FILES):
        raise InvalidRequest(f"{path} has none of {', '.join(_HF_FILES)}; name a tokenizer's folder", param="tokenizer")
    return huggingface(path, f"{path.name}, read by transformers")


def huggingface(path: Path, name: str) -> TextTokenizer:
    """Return a tokenizer as transformers reads it."""
    try:
        read = _class_for(path).from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the tokenizer in {path} cannot be read: {error}", param="tokenizer") from error

    def encode(text: str) -> list[int]:
        found: Sequence[int] = read.encode(text, verbose=False)
        return list(found)

    return TextTokenizer(name, encode, tuple(encode("")), read.bos_token_id, read.eos_token_id)


def _class_for(path: Path) -> Any:
    """Return the class of transformers that reads a folder's tokenizer. Its modules take seconds to import.

    AutoTokenizer also imports torch; where the folder says that it has the plain class, it would come to just that.
    """
    file = path / "tokenizer_config.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")).get("tokenizer_class") == _PLAIN_CLASS:
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


def _of_gguf(file: Path) -> tuple[int | None, int | None]:
    """Return the tokens that begin and end a text, by the file's own word."""
    try:
        known = read_gguf_header(file).metadata
    except OSError as error:
        raise CheckpointBroken(f"{file} cannot be read: {error}") from error
    return known.get("tokenizer.ggml.bos_token_id"), known.get("tokenizer.ggml.eos_token_id")
