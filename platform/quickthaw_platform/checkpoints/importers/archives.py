"""Zip archives from strangers, looked at before anything is unpacked: Python wheels, and torch's `.bin` files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quickthaw_platform.errors import InvalidRequest

MAX_INFLATION = 20
"""How many times its own size an archive may unpack to: JSON shrinks tenfold, weights hardly."""

FREE_BYTES = 64 << 20
"""So much may come out of any archive, however small."""

MAX_FILES = 100_000


@contextmanager
def opened_archive(file: Path, named: str) -> Iterator[zipfile.ZipFile]:
    """Give the archive. Raises InvalidRequest, with `named` in it, for one that is broken or unpacks to far more than
    it has, and for a file in it whose name leads out.

    zipfile unpacks no more of a file than the archive's directory says.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_bomb(archive.infolist(), file.stat().st_size, named)
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise InvalidRequest(f"{named} is a broken archive: {error}; fetch it again") from error


def _refuse_bomb(files: list[zipfile.ZipInfo], size: int, named: str) -> None:
    if len(files) > MAX_FILES:
        raise InvalidRequest(f"{named} has {len(files):,} files, more than {MAX_FILES:,}; do not trust it")
    unpacked = sum(file.file_size for file in files)
    if unpacked > max(size * MAX_INFLATION, FREE_BYTES):
        raise InvalidRequest(f"{named} has {size:,} bytes and unpacks to {unpacked:,}; do not trust it")
    for name in (file.filename for file in files):
        if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
            raise InvalidRequest(f"{named} has a file {name!r}, which leads out of it; do not trust it")
