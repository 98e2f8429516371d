"""The import itself: find the source, read it, write it in our layout, publish it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

from quickthaw.types import NAME_PATTERN
from quickthaw_platform.checkpoints import layout
from quickthaw_platform.checkpoints.header import read_header
from quickthaw_platform.checkpoints.importers import as_is, directory, gguf
from quickthaw_platform.checkpoints.importers.download import locate_remote
from quickthaw_platform.checkpoints.importers.hub import locate_hub
from quickthaw_platform.checkpoints.importers.loaded import (
    DTYPES,
    WEIGHTS_SUFFIXES,
    LoadedModel,
    remove_configuration,
)
from quickthaw_platform.checkpoints.importers.package import locate_package
from quickthaw_platform.checkpoints.importers.quantizing import QuantizationCost, quantize_model
from quickthaw_platform.checkpoints.importers.source import (
    Fetching,
    Kind,
    Locator,
    Progress,
    Source,
    locate_path,
)
from quickthaw_platform.checkpoints.importers.space import room_for
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest, WeightsFormat, weights_paths
from quickthaw_platform.checkpoints.signing import ImporterKey
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import InvalidRequest

LOCATORS: dict[str, Locator] = {"pypi": locate_package, "hf": locate_hub}
REMOTE_PREFIXES = ("s3://", "file://")
LOADERS: dict[Kind, ModuleType] = {"directory": directory, "gguf": gguf}
MAX_PARTITIONS = 64
_SMALL_BYTES = 64 << 20


class Imported(NamedTuple):
    """The checkpoint, whether it was there before, and where this import quantised a model, what that has cost."""

    checkpoint: Checkpoint
    existed: bool
    cost: QuantizationCost | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tells one import from another."""

    source_digest: str
    name: str
    weights_format: WeightsFormat
    dtype: str  # gguf: none, for the file's own is kept, as is its quantisation
    partitions: int
    quantization: Literal["int8"] | None

    @property
    def key(self) -> str:
        """A name for its staging folder."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:16]

    def is_met_by(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is what this import would make."""
        manifest = Manifest.of(checkpoint)
        same = ["source_digest", "name", "weights_format"]
        if self.weights_format == "safetensors":
            same += ["dtype", "quantization"]
        if any(getattr(manifest, field) != getattr(self, field) for field in same):
            return False
        if self.weights_format == "gguf":
            return True
        sizes = {t.name: t.bytes for file in weights_paths(checkpoint) for t in read_header(file).tensors}
        return len(layout.partition(sizes, self.partitions)) == len(manifest.weights)


def import_checkpoint(
    source: str,
    store: DiskStore,
    name: str | None = None,
    dtype: str | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
    *,
    partitions: int = 1,
    quantization: Literal["int8"] | None = None,
    text: str | None = None,
    downloads: Path | None = None,
    key_folder: Path | None = None,
    on_found: Callable[[int], None] = lambda _bytes: None,
) -> Imported:
    """Import `source` (a path, or one of LOCATORS or REMOTE_PREFIXES) under `name`; None makes one of its own name.

    `dtype` None keeps the source's. So a GGUF file is kept as it is, unless a dtype, partitions or a quantization is
    asked for: then it is dequantised, by default to bfloat16. `text` is what quantising is measured with; what must be
    fetched goes to `downloads`, and the manifest is signed with the key in `key_folder`, both by default beside the
    store. `on_found` is told the source's size before it is read. Idempotent: what was imported before is only
    returned. Of two equal imports at once one does the work and the other waits; an interrupted one is continued by
    the next.
    """
    _check(dtype, partitions)
    progress("find", 0, None)
    fetching = Fetching(downloads or store.root.parent / "downloads", progress)
    with _locate(source, fetching) as found:
        name = found.default_name if name is None else _checked(name)
        on_found(sum(file.stat().st_size for file in found.files()))
        LOADERS[found.kind].check(found)
        if found.kind == "gguf" and (dtype, partitions, quantization) == (None, 1, None):
            wanted = Wanted(found.digest(), name, "gguf", "", 1, None)
        else:
            dtype = dtype or LOADERS[found.kind].default_dtype(found)
            wanted = Wanted(found.digest(), name, "safetensors", dtype, partitions, quantization)
        if before := _imported_before(store, wanted):
            return Imported(before, existed=True)
        with store.staging(wanted.key, lambda: progress("wait", 0, None)) as staged:
            if before := _imported_before(store, wanted):
                return Imported(before, existed=True)
            key = ImporterKey.load_or_make(key_folder or store.root.parent)
            return _import(found, _Target(store, staged, key, progress), wanted, text)


def _check(dtype: str | None, partitions: int) -> None:
    if dtype is not None and dtype not in DTYPES:
        raise InvalidRequest(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidRequest(f"{partitions} partitions cannot be made; ask for 1 to {MAX_PARTITIONS}")


def _locate(source: str, fetching: Fetching) -> AbstractContextManager[Source]:
    if source.startswith(REMOTE_PREFIXES):
        return locate_remote(source, fetching)
    scheme, _, rest = source.partition(":")
    if rest and scheme in LOCATORS:
        return LOCATORS[scheme](rest, fetching)
    return locate_path(source, fetching)


def _checked(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidRequest(
            f"{name!r} cannot be a checkpoint's name; use up to 63 lower-case letters, digits, '.', '_' and '-', and "
            "begin with a letter or digit"
        )
    return name


def _imported_before(store: DiskStore, wanted: Wanted) -> Checkpoint | None:
    return next((checkpoint for checkpoint in store.list() if wanted.is_met_by(checkpoint)), None)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an import goes, and how it gets there."""

    store: DiskStore
    staged: Path
    key: ImporterKey
    progress: Progress


def _import(source: Source, target: _Target, wanted: Wanted, text: str | None) -> Imported:
    target.progress("read", 0, None)
    staged, write, cost = target.staged, partial(target.progress, "write"), None
    if wanted.weights_format == "gguf":
        total = sum(file.bytes for file in as_is.weights_files(source))
        with room_for(staged, _lacking_bytes(staged, total)):
            remove_configuration(staged)
            manifest = as_is.write_checkpoint(source, wanted.name, wanted.source_digest, staged, write)
            return _publish(manifest, target, None)
    loaded: LoadedModel = LOADERS[source.kind].load(source, wanted.dtype)
    tied = layout.untie(loaded.model.state_dict())
    if wanted.quantization:
        target.progress("measure", 0, None)
        tied, cost = quantize_model(loaded, tied, text)
    with room_for(staged, _lacking_bytes(staged, sum(tensor.nbytes for tensor in tied.tensors.values()))):
        remove_configuration(staged)
        manifest = _write_dense(source, wanted, loaded, tied, staged, write)
        return _publish(manifest, target, cost)


def _write_dense(
    source: Source,
    wanted: Wanted,
    loaded: LoadedModel,
    tied: layout.Tied,
    staged: Path,
    write: Callable[[int, int], None],
) -> Manifest:
    small = loaded.save_configuration(staged)
    written = layout.write_weights(staged, tied.tensors, write, partitions=wanted.partitions)
    return Manifest(
        name=wanted.name,
        task=loaded.task,
        architecture=type(loaded.model).__name__,
        dtype=wanted.dtype,
        bytes=written.tensor_bytes,
        tensors=len(tied.tensors),
        context_tokens=loaded.context_tokens,
        license=loaded.license or source.license,
        source=source.label,
        source_digest=wanted.source_digest,
        tied=tied.aliases,
        quantization=wanted.quantization,
        embedding=loaded.embedding,
        files=small,
        weights=written.files,
        created_at=time.time(),
    )


def _publish(manifest: Manifest, target: _Target, cost: QuantizationCost | None) -> Imported:
    signed = target.key.sign(manifest)
    (target.staged / FILE_NAME).write_text(signed.model_dump_json(indent=1) + "\n")
    target.progress("publish", manifest.bytes, manifest.bytes)
    return Imported(target.store.publish(target.staged), existed=False, cost=cost)


def _lacking_bytes(staged: Path, wanted_bytes: int) -> int:
    """What must be written: less what an interrupted import has, and with some room for headers and small files."""
    there = sum(file.stat().st_size for file in staged.glob("weights*") if file.suffix in WEIGHTS_SUFFIXES)
    return max(0, wanted_bytes - there) + _SMALL_BYTES
