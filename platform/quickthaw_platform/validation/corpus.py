"""Texts to be scored: read from a file, from JSON lines or from a folder."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.validation import wikitext
from quickthaw_platform.validation.result import ScoredText

Form = Literal["text", "jsonl", "directory", "wikitext", "wikitext-pages"]

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".raw", ".tokens")
ROW_SUFFIXES = (".jsonl", ".ndjson")
FIELDS = ("text", "content", "page")
"""Of a row of JSON, the first of these is its text. Rows with a `page` are WikiText's, as lm-eval has them."""

_WIKITEXT_NAME = re.compile(r"wiki\.(train|valid|test)\.(raw|tokens)(\.gz)?")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in their order. Of the form `wikitext` there is one: the whole file."""

    name: str
    form: Form
    documents: tuple[str, ...]

    def joined(self) -> str:
        """Return one text for the protocols `hf` and `gptq`: documents, or WikiText's rows, with two line ends between.

        The published numbers join the rows of the data set so.
        """
        parts = wikitext.rows(self.documents[0]) if self.form == "wikitext" else self.documents
        return "\n\n".join(parts)

    def whole(self) -> str:
        """Return one text for the protocol `llamacpp`: what its own tool reads, without the last line's end."""
        return "\n\n".join(self.documents).removesuffix("\n")

    def pages(self) -> list[tuple[str, str]]:
        """Return documents for the protocol `lm-eval`: as they are counted, and as they are scored (detokenised)."""
        originals = wikitext.pages(self.documents[0]) if self.form == "wikitext" else self.documents
        plain = self.form not in ("wikitext", "wikitext-pages")
        return [(page, page if plain else wikitext.detokenised(page)) for page in originals]

    def described(self) -> ScoredText:
        """Return what a result says of the text."""
        encoded = [document.encode() for document in self.documents]
        digest = hashlib.sha256(b"\0".join(encoded)).hexdigest()
        return ScoredText(
            name=self.name, digest=digest, bytes=sum(map(len, encoded)), documents=len(encoded), form=self.form
        )


def read_corpus(path: Path, encoding: str | None = None) -> Corpus:
    """Read a text: a file, JSON lines (a row is a document) or a folder (a file is a document); gzipped ones too.

    UTF-8, or what a byte order mark or `encoding` says. Raises InvalidRequest, naming file and place, for what is not
    there, cannot be decoded, or holds no text.
    """
    if path.is_dir():
        found = Corpus(path.name, "directory", tuple(_read(file, encoding) for file in _text_files(path)))
    elif _plain_name(path).endswith(ROW_SUFFIXES):
        found = _rows(path, _read(path, encoding))
    else:
        form: Form = "wikitext" if _WIKITEXT_NAME.fullmatch(path.name) else "text"
        found = Corpus(path.name, form, (_read(path, encoding),))
    kept = tuple(document for document in found.documents if document.strip())
    if not kept:
        raise InvalidRequest(f"{path} holds no text to score", param="text")
    return Corpus(found.name, found.form, kept)


def _plain_name(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _text_files(folder: Path) -> list[Path]:
    known = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES))
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(known))
    if not found:
        raise InvalidRequest(f"{folder} has no file that ends with {', '.join(TEXT_SUFFIXES)}", param="text")
    return found


def _read(path: Path, encoding: str | None) -> str:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", param="text") from error
    return _decoded(path, data, encoding)


def _decoded(path: Path, data: bytes, encoding: str | None) -> str:
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding or marked)
    except LookupError as error:
        raise InvalidRequest(f"there is no encoding called {encoding!r}", param="encoding") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{path} is not {error.encoding}: byte {error.start:,} is {data[error.start]:#04x}; say with --encoding "
            "what it is, for example --encoding latin-1",
            param="encoding",
        ) from error


def _rows(path: Path, text: str) -> Corpus:
    documents, fields = [], set()
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            field, document = _row(path, number, line)
            documents.append(document)
            fields.add(field)
    return Corpus(path.name, "wikitext-pages" if fields == {"page"} else "jsonl", tuple(documents))


def _row(path: Path, number: int, line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{path}, line {number}, is not JSON: {error}", param="text") from error
    for field in FIELDS if isinstance(row, dict) else ():
        if isinstance(row.get(field), str):
            return field, row[field]
    raise InvalidRequest(f"{path}, line {number}, has no text in a field {_either(FIELDS)}", param="text")


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
