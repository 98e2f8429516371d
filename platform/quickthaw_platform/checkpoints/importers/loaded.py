"""A model that transformers has read: checks that it is whole, and what the manifest says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quickthaw_platform.checkpoints.importers.checking import refuse_scaled
from quickthaw_platform.checkpoints.importers.source import TOKENIZERS
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, FileRecord
from quickthaw_platform.errors import InvalidRequest

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("bfloat16", "float16", "float32")
Task = Literal["generate", "embed"]
WEIGHTS_SUFFIXES = (".safetensors", ".gguf")
MAX_CONTEXT_TOKENS = 1 << 31
"""The most that a GGUF file can name is twice of it; models see millions."""

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Model and tokenizer in memory."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    license: str | None
    embedding: EmbeddingRecipe | None = None  # as the manifest has it
    most_tokens: int | None = None  # of a text, where the source names fewer than the model can see

    @property
    def context_tokens(self) -> int:
        """How many tokens the model can see at once; InvalidRequest where its config does not say."""
        config = self.model.config.get_text_config()
        found = next((getattr(config, name) for name in _CONTEXT_NAMES if getattr(config, name, None)), None)
        if not isinstance(found, int) or not 1 <= found <= MAX_CONTEXT_TOKENS:
            raise InvalidRequest(f"the config of this {self.model.config.model_type} model names no context length")
        if self.task == "embed":  # some count position ids that no token can have, such as RoBERTa's padding
            found = min(found, self.tokenizer.model_max_length)
        return int(found if self.most_tokens is None else min(found, self.most_tokens))

    def save_configuration(self, directory: Path) -> tuple[FileRecord, ...]:
        """Write configuration and tokenizer; return what they are."""
        model = self.model
        generation = model.generation_config if self.task == "generate" else None
        return save_configuration(directory, type(model).__name__, model.config, self.tokenizer, generation)


def read_model(task: Task, directory: str, dtype: str, **more: Any) -> PreTrainedModel:
    """Read the whole model in `dtype` with transformers, running no code but transformers' own.

    Raises InvalidRequest where it does not know the model, or where weights are missing: those would be random.
    """
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    auto = AutoModelForCausalLM if task == "generate" else AutoModel
    try:
        read: Any = auto.from_pretrained(
            directory,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            **more,
        )
    except MemoryError:
        raise
    except Exception as error:
        if "ignore_mismatched_sizes" in str(error):  # an argument of transformers, no help to who imports
            raise InvalidRequest(
                f"the weights in {directory} are of other shapes than its config.json says; fetch both from one "
                "revision"
            ) from error
        raise InvalidRequest(f"transformers cannot read {directory}: {error}") from error
    model: PreTrainedModel = read[0]
    refuse_scaled(read[1]["unexpected_keys"], directory)
    _refuse_holes(read[1])
    return model


def read_tokenizer(directory: str, **more: Any) -> PreTrainedTokenizerBase:
    """Read the tokenizer, with truncation and padding off: an engine decides about these, not the file."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **more)
    except MemoryError:
        raise
    except Exception as error:
        if not more and not any((Path(directory) / name).is_file() for name in TOKENIZERS):  # else it is in a GGUF file
            raise InvalidRequest(
                f"{directory} has no tokenizer; put the model's {' or '.join(TOKENIZERS)} beside its config.json"
            ) from error
        raise InvalidRequest(f"transformers cannot read the tokenizer of {directory}: {error}") from error
    if not tokenizer.is_fast:
        raise InvalidRequest(f"{directory} has no tokenizer that can be saved as tokenizer.json")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    _require_reading(tokenizer, directory)
    return tokenizer


def _require_reading(tokenizer: PreTrainedTokenizerBase, directory: str) -> None:
    """Raise InvalidRequest where the tokenizer fails on plain text, as one without a vocabulary does."""
    try:
        tokenizer.backend_tokenizer.encode("Hello, world")
    except Exception as error:
        raise InvalidRequest(
            f"the tokenizer of {directory} cannot read text: {error}; fetch its files again"
        ) from error


def save_configuration(
    directory: Path,
    architecture: str,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    generation: GenerationConfig | None,
) -> tuple[FileRecord, ...]:
    """Write configuration and tokenizer; return what they are. `architecture` is the name of the model's class.

    Raises InvalidRequest for values that transformers reads and does not write, such as a temperature without sampling.
    """
    before = set(directory.rglob("*"))
    config.architectures = [architecture]
    for part in (tokenizer, config, generation):
        try:
            if part is not None:
                part.save_pretrained(directory)
        except OSError:
            raise
        except Exception as error:
            raise InvalidRequest(f"transformers cannot write the model's {type(part).__name__}: {error}") from error
    return tuple(_record(path, directory) for path in sorted(set(directory.rglob("*")) - before) if path.is_file())


def remove_configuration(directory: Path) -> None:
    """Delete what an interrupted import left, but for weights."""
    for left in (file for file in directory.rglob("*") if file.is_file() and file.suffix not in WEIGHTS_SUFFIXES):
        left.unlink()


def _record(path: Path, directory: Path) -> FileRecord:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return FileRecord(path=str(path.relative_to(directory)), bytes=len(content), sha256=digest)


def _refuse_holes(report: Mapping[str, Any]) -> None:
    missing = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
    if missing:
        shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise InvalidRequest(f"{len(missing)} of the model's weights are missing or of another shape: {shown}")
