"""Trace files: opened (also compressed), read line by line, and blamed by line where something is wrong."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from quickthaw_platform.errors import SettingsInvalid

_GZIP_MAGIC = b"\x1f\x8b"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what spreadsheets and PowerShell write


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file, compressed by gzip or not; a byte order mark is heeded, and line ends stay as they are.

    SettingsInvalid names the file where it cannot be read, also in the middle.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            plain = gzip.GzipFile(fileobj=raw) if zipped else raw
            encoding = "utf-16" if plain.peek(2)[:2] in _UTF_16_MARKS else "utf-8-sig"
            with io.TextIOWrapper(plain, encoding=encoding, newline="") as text:
                yield text
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"the trace {path} cannot be read: {error}") from error


def rows(path: Path, kind: str, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells in the columns `wanted`, in that order; empty lines are skipped.

    SettingsInvalid says which columns there are where one is missing, and which line is too short or no CSV.
    """
    with opened(path) as text:
        reader = csv.reader(text)
        try:
            places = _places(path, kind, wanted, next(reader, []))
            for cells in reader:
                if not cells:
                    continue
                try:
                    found = [cells[place] for place in places]
                except IndexError:
                    raise wrong(path, reader.line_num, f"it has {len(cells)} cells, fewer than the header") from None
                yield reader.line_num, found
        except csv.Error as error:
            raise wrong(path, reader.line_num, str(error)) from error


def wrong(path: Path, line: int, why: object) -> SettingsInvalid:
    """Build the error about one line."""
    return SettingsInvalid(f"{path}, line {line}: {why}")


def _places(path: Path, kind: str, wanted: Sequence[str], header: Sequence[str]) -> list[int]:
    names = [name.strip() for name in header]
    if not names:
        raise SettingsInvalid(f"the trace {path} is empty")
    if missing := [name for name in wanted if name not in names]:
        raise SettingsInvalid(
            f"{path} is not a trace of kind {kind!r}: it lacks {', '.join(missing)}. Its columns are "
            f"{', '.join(names[:20])}; wanted are {', '.join(wanted)}"
        )
    return [names.index(name) for name in wanted]
