"""Models in a remote store, `s3://bucket/prefix` or `file:///folder`: fetched into a folder that is kept as a cache.

A download that was interrupted goes on where it was, inside a large file too. The folder belongs to one listing of the
store (keys, sizes, etags), so that a file of an older content is never taken for one of the new.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from quickthaw_platform.checkpoints.importers.source import USED, Fetching, Source, checkpoint_name, find_in
from quickthaw_platform.checkpoints.importers.space import room_for
from quickthaw_platform.checkpoints.importers.weights_choice import wanted_files
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.store import lock_folder
from quickthaw_platform.contracts import RemoteObject, RemoteStore
from quickthaw_platform.errors import InvalidRequest

PIECE_BYTES = 32 << 20
_KEY_CHARACTERS = 16
_PARTIAL_SUFFIX = ".partial"


@contextlib.contextmanager
def locate_remote(url: str, fetching: Fetching) -> Iterator[Source]:
    """Fetch the model below a URL, and give it. Two processes that want the same one fetch it once."""
    with contextlib.closing(open_store(url)) as store:
        folder = fetching.folder / _digest(store.url)
        lock = lock_folder(folder, lambda: fetching.progress("wait", 0, None))
        try:
            found = wanted_objects(store.list(), url)
            content = _only(folder, _digest(repr(found)))
            _fetch_all(store, found, content, fetching)
            kind, path = find_in(content)
            name = path.stem if kind == "gguf" else PurePosixPath(store.url).name
            yield Source(kind, path, label=store.url, default_name=checkpoint_name(name))
        finally:
            os.close(lock)


def wanted_objects(listed: list[RemoteObject], url: str) -> list[RemoteObject]:
    """Choose what an import reads. Raises InvalidRequest for none, and for a key that leads out of a folder."""
    for found in listed:
        if found.key.startswith("/") or ".." in found.key.replace("\\", "/").split("/") or "\0" in found.key:
            raise InvalidRequest(f"{url} has the object {found.key!r}, which leads out of it; do not trust this source")
    names = set(wanted_files([found.key for found in listed], USED, url))
    return [found for found in listed if found.key in names]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARACTERS]


def _only(folder: Path, name: str) -> Path:
    """Return the folder of this content, and delete those of older ones."""
    for other in folder.iterdir():
        if other.name != name:
            shutil.rmtree(other)
    (folder / name).mkdir(exist_ok=True)
    return folder / name


def _fetch_all(store: RemoteStore, found: list[RemoteObject], folder: Path, fetching: Fetching) -> None:
    total = sum(one.bytes for one in found)
    missing = [one for one in found if not (folder / one.key).exists()]
    done = total - sum(one.bytes for one in missing)
    with room_for(folder, total - _bytes_in(folder)):
        for one in missing:
            for arrived in _fetch(store, one, folder / one.key):
                fetching.progress("fetch", done + arrived, total)
            done += one.bytes


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _fetch(store: RemoteStore, found: RemoteObject, target: Path) -> Iterator[int]:
    """Give the bytes that have arrived, again and again.

    Each piece is on the disk before the next one is asked for, so all but the last survive a power cut.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + _PARTIAL_SUFFIX)
    with partial.open("ab") as file:
        begin = max(0, file.tell() // PIECE_BYTES - 1) * PIECE_BYTES
        file.truncate(begin)
        while begin < found.bytes:
            yield begin
            piece = bytearray(min(PIECE_BYTES, found.bytes - begin))
            store.get_range(found, begin, memoryview(piece), lambda: False)
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            begin += len(piece)
    partial.rename(target)
    yield found.bytes
