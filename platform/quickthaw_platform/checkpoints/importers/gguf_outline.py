"""What transformers makes of a GGUF file's metadata, without its weights: configuration and tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.checkpoints.gguf_joining import write_outline
from quickthaw_platform.checkpoints.importers.gguf import end_tokens, mend_tokenizer
from quickthaw_platform.checkpoints.importers.loaded import read_tokenizer, save_configuration
from quickthaw_platform.checkpoints.manifest import FileRecord
from quickthaw_platform.errors import InvalidRequest

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_VOCABULARY = "tokenizer.ggml.tokens"


class Described(NamedTuple):
    """The class of transformers that computes the model, and the files that it and the tokenizer are made from."""

    architecture: str
    files: tuple[FileRecord, ...]


def describe(parts: Sequence[Path], dtype: str, directory: Path) -> Described | None:
    """Write configuration and tokenizer of a generating model into `directory`.

    None, with nothing written, where transformers does not know the architecture or the tokenizer.
    """
    with TemporaryDirectory(prefix="quickthaw-outline-") as folder:
        outline = Path(folder) / "outline.gguf"
        with outline.open("wb") as target:
            write_outline(parts, target, lambda _key: True)
        try:
            with _short_metadata(parts, Path(folder)):
                config = _read_config(outline)
                tokenizer = read_tokenizer(str(outline.parent), gguf_file=outline.name)
        except InvalidRequest:
            return None
    architecture = _class_of(config)
    if architecture is None:
        return None
    from transformers import GenerationConfig

    mend_tokenizer(tokenizer, parts[0])
    config.dtype = dtype
    config.eos_token_id = end_tokens(parts[0])
    generation = GenerationConfig.from_model_config(config)
    return Described(architecture, save_configuration(directory, architecture, config, tokenizer, generation))


def _read_config(outline: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            str(outline.parent), gguf_file=outline.name, local_files_only=True, trust_remote_code=False
        )
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidRequest(f"transformers cannot read the configuration of this GGUF: {error}") from error
    return config


def _class_of(config: PreTrainedConfig) -> str | None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)


@contextmanager
def _short_metadata(parts: Sequence[Path], folder: Path) -> Iterator[None]:
    """Have transformers read the configuration from a file without the tokenizer's long lists.

    Parsing these took most of an import, twice: configuration and tokenizer are both made from them. transformers
    looks `GGUFReader` up in `gguf` when it needs it, and uses it for nothing but the configuration here. The vocabulary
    stays where its length is the only word on how large it is.
    """
    import gguf

    metadata = read_gguf_header(parts[0]).metadata
    sized = any(key.endswith(".vocab_size") for key in metadata)

    def keep(key: str) -> bool:
        return key in metadata or not key.startswith("tokenizer.") or (key == _VOCABULARY and not sized)

    short = folder / "short.gguf"
    with short.open("wb") as target:
        write_outline(parts, target, keep)
    whole = gguf.GGUFReader
    reader = cache(lambda _path: whole(short))
    vars(gguf)["GGUFReader"] = reader
    try:
        yield
    finally:
        vars(gguf)["GGUFReader"] = whole
