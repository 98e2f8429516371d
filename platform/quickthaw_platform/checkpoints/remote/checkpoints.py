"""Checkpoints in a remote store: a folder each, `ID/manifest.json` beside its files. The manifest makes it exist."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quickthaw_platform.checkpoints.manifest import (
    FILE_NAME,
    ID_CHARACTERS,
    MAX_MANIFEST_BYTES,
    MAX_SMALL_BYTES,
    FileRecord,
    Manifest,
    parse_manifest,
)
from quickthaw_platform.checkpoints.signing import check_signature
from quickthaw_platform.contracts import Checkpoint, RemoteObject, RemoteStore
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound, LoadCancelled, RemoteMissing

AT_ONCE = 8
"""Small requests on their way together."""

PIECE_BYTES = 8 << 20
"""Of a file, fetched and written at a time."""

_ID = re.compile(rf"[0-9a-f]{{{ID_CHARACTERS}}}")


class RemoteCheckpoints:
    """Any thread, process and node may use it at once: what is published never changes."""

    def __init__(self, store: RemoteStore, trusted: Collection[str] = ()) -> None:
        """`trusted` are the public keys whose checkpoints are taken; none: all are."""
        self.store = store
        self._trusted = frozenset(trusted)

    def ids(self) -> list[str]:
        """Return the ids of all checkpoints."""
        keys = (found.key.split("/") for found in self.store.list())
        return [parts[0] for parts in keys if parts[1:] == [FILE_NAME] and _ID.fullmatch(parts[0])]

    def manifest(self, checkpoint_id: str) -> Manifest:
        """Return a checkpoint's manifest. Raises CheckpointNotFound, and CheckpointBroken if it is not this one's, or
        not signed as it has to be.
        """
        key = f"{checkpoint_id}/{FILE_NAME}"
        try:
            manifest = parse_manifest(self._small(key), f"{self.store.url}/{key}")
        except RemoteMissing as error:
            raise CheckpointNotFound(f"there is no checkpoint {checkpoint_id} in {self.store.url}") from error
        if manifest.id != checkpoint_id:
            raise CheckpointBroken(f"{self.store.url}/{key} is the manifest of another checkpoint, {manifest.id}")
        check_signature(manifest, self._trusted, f"{self.store.url}/{key}")
        return manifest

    def push(
        self,
        checkpoint: Checkpoint,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Copy a checkpoint from its folder; False where it was there. `progress` gets bytes done and in all.

        Files that an earlier push has sent whole are not sent again; two pushes at once do no harm. Raises
        CheckpointNotFound where the folder is removed meanwhile, and LoadCancelled between two files.
        """
        there = {found.key: found.bytes for found in self.store.list(f"{checkpoint.id}/")}
        if f"{checkpoint.id}/{FILE_NAME}" in there:
            return False
        files = Manifest.of(checkpoint).every_file
        total, done = sum(file.bytes for file in files), 0
        for file in files:
            if stop():
                raise LoadCancelled(f"pushing {checkpoint.manifest['name']} was stopped")
            key = f"{checkpoint.id}/{file.path}"
            if there.get(key) != file.bytes:
                self._send(key, checkpoint.path / file.path)
            done += file.bytes
            progress(done, total)
        self._send(f"{checkpoint.id}/{FILE_NAME}", checkpoint.path / FILE_NAME)
        return True

    def fetch_small(self, manifest: Manifest, directory: Path, stop: Callable[[], bool] = lambda: False) -> None:
        """Bring configuration, tokenizer and manifest into a folder. Raises CheckpointBroken for a wrong digest."""
        small = sum(file.bytes for file in manifest.files)
        if small > MAX_SMALL_BYTES:
            raise CheckpointBroken(f"{self.store.url}/{manifest.id} has {small:,} bytes beside its weights")
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch-small") as threads:
            list(threads.map(lambda file: self._fetch(manifest, file, directory, stop), manifest.files))
        (directory / FILE_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")

    def source(self, manifest: Manifest) -> RemoteSource:
        """Return the weights as a source. Raises CheckpointBroken where an object has another size than recorded."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch-heads") as threads:
            found = list(threads.map(lambda file: self._head(manifest, file), manifest.weights))
        return RemoteSource(self.store, found)

    def remove(self, checkpoint_id: str) -> None:
        """Delete a checkpoint: its manifest first, so that nobody starts to fetch the rest."""
        self.store.delete(f"{checkpoint_id}/{FILE_NAME}")
        for found in self.store.list(f"{checkpoint_id}/"):
            self.store.delete(found.key)

    def close(self) -> None:
        """Let go of the store's connections."""
        self.store.close()

    def _send(self, key: str, source: Path) -> None:
        try:
            self.store.put(key, source)
        except FileNotFoundError as error:
            raise CheckpointNotFound(f"{source} was removed while it was pushed to {self.store.url}") from error

    def _head(self, manifest: Manifest, file: FileRecord) -> RemoteObject:
        found = self.store.head(f"{manifest.id}/{file.path}")
        if found.bytes != file.bytes:
            raise CheckpointBroken(
                f"{self.store.url}/{found.key} has {found.bytes:,} bytes instead of {file.bytes:,}; push it again"
            )
        return found

    def _fetch(self, manifest: Manifest, file: FileRecord, directory: Path, stop: Callable[[], bool]) -> None:
        found = self._head(manifest, file)
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with target.open("wb") as opened:
            for begin in range(0, file.bytes, PIECE_BYTES):
                piece = bytearray(min(PIECE_BYTES, file.bytes - begin))
                self.store.get_range(found, begin, memoryview(piece), stop)
                digest.update(piece)
                opened.write(piece)
        if digest.hexdigest() != file.sha256:
            raise CheckpointBroken(f"{self.store.url}/{manifest.id}/{file.path} is not what was pushed; push it again")

    def _small(self, key: str) -> bytes:
        """Return a manifest's bytes. Raises CheckpointBroken where the store has more than a manifest can have."""
        found = self.store.head(key)
        if not 0 <= found.bytes <= MAX_MANIFEST_BYTES:
            raise CheckpointBroken(
                f"{self.store.url}/{key} has {found.bytes:,} bytes, and a manifest at most {MAX_MANIFEST_BYTES:,}"
            )
        content = bytearray(found.bytes)
        self.store.get_range(found, 0, memoryview(content), lambda: False)
        return bytes(content)


class RemoteSource:
    """Implements `reading.source.ByteSource` over the weights of one checkpoint, as they were when it was made."""

    name = "remote"

    def __init__(self, store: RemoteStore, found: Sequence[RemoteObject]) -> None:
        """`found` are the weights files in the manifest's order."""
        self._store = store
        self._found = found

    def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` from `begin` on."""
        self._store.get_range(self._found[file], begin, into, stop)

    def close(self) -> None:
        """Do nothing: connections belong to the store."""
