"""A directory that all nodes see, such as a network file system, as a remote store."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import (
    InvalidRequest,
    LoadCancelled,
    RemoteChanged,
    RemoteDenied,
    RemoteError,
    RemoteMissing,
    RemoteUnavailable,
)

COPIED_BYTES = 8 << 20
"""At a time."""

_PARTIAL = ".partial-"


class DirectoryStore:
    """Implements `contracts.RemoteStore`. An object's etag is made of the file's identity, size and time."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = self._root.as_uri()

    def list(self, prefix: str = "") -> list[RemoteObject]:
        """Return the objects whose keys begin with `prefix`."""
        found = []
        for key in sorted(self._keys(prefix.rpartition("/")[0])):
            with contextlib.suppress(RemoteMissing):  # deleted meanwhile
                if key.startswith(prefix):
                    found.append(self.head(key))
        return found

    def head(self, key: str) -> RemoteObject:
        """Return an object's size and etag."""
        try:
            return _described(key, self._path(key).stat())
        except OSError as error:
            raise self._mapped(key, error) from error

    def get_range(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` from `begin` on."""
        if stop():
            raise LoadCancelled(f"fetching {found.key} was stopped")
        try:
            with self._path(found.key).open("rb", buffering=0) as file:
                if _described(found.key, os.fstat(file.fileno())) != found:
                    raise RemoteChanged(f"{self.url}/{found.key} was replaced while it was read")
                done = 0
                while done < len(into) and (got := os.preadv(file.fileno(), [into[done:]], begin + done)):
                    done += got
        except OSError as error:
            raise self._mapped(found.key, error) from error
        if done != len(into):
            raise RemoteUnavailable(f"{self.url}/{found.key} ends at byte {begin + done:,}, before what was asked for")

    def put(self, key: str, source: Path | bytes) -> RemoteObject:
        """Write an object, whole or not at all."""
        target = self._path(key)
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as reader:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, reader)
            except OSError as error:
                raise self._mapped(key, error) from error
        return self.head(key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # where nothing else is in it
        except OSError as error:
            raise self._mapped(key, error) from error

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _keys(self, folder: str) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise self._mapped(folder, error) from error

        for path, _folders, names in os.walk(self._path(folder) if folder else self._root, onerror=refuse):
            relative = Path(path).relative_to(self._root)
            yield from ((relative / name).as_posix() for name in names if not name.startswith(_PARTIAL))

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not key or key.startswith("/") or ".." in parts:
            raise InvalidRequest(f"{key!r} is no object's key: it leads out of the store")
        return self._root / key

    def _mapped(self, key: str, error: OSError) -> RemoteError:
        where = f"{self.url}/{key}"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return RemoteMissing(f"there is no {where}")
        if isinstance(error, PermissionError):
            return RemoteDenied(f"{where} may not be used: {error.strerror}")
        return RemoteUnavailable(f"{where}: {error.strerror}")


def _described(key: str, stat: os.stat_result) -> RemoteObject:
    return RemoteObject(key, stat.st_size, f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}")


def _write(target: Path, reader: BinaryIO) -> None:
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(reader, file, COPIED_BYTES)
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
