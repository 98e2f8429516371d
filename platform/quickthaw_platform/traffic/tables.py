"""Results as tables: a row a request, Parquet or CSV, written as a whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.result import RequestResult

ROWS_AT_ONCE = 10_000
COLUMNS = tuple(field.name for field in fields(RequestResult))
_T = TypeVar("_T")

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("intended", pa.float64(), nullable=False),
        pa.field("sent", pa.float64(), nullable=False),
        pa.field("first_token", pa.float64()),
        pa.field("gaps", pa.list_(pa.float64()), nullable=False),
        pa.field("end", pa.float64(), nullable=False),
        pa.field("tokens_in", pa.int64(), nullable=False),
        pa.field("tokens_out", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("invocation", pa.string()),
        pa.field("cold", pa.bool_()),
        pa.field("tier", pa.string()),
        pa.field("node", pa.string()),
        pa.field("queue", pa.float64()),
        pa.field("stages", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("backend", pa.string(), nullable=False),
        pa.field("repeat", pa.int64(), nullable=False),
    ]
)
"""Of the Parquet file; all times are seconds since the beginning of the run (see RequestResult)."""


_CELLS: dict[str, Callable[[str], Any]] = {
    field.name: str if pa.types.is_string(field.type) else json.loads for field in SCHEMA
}
"""How each cell of a CSV file is read: text as it is, all else as JSON; an empty one is None."""


def write(results: Iterable[RequestResult], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write results by the ending of the path: `.parquet` or `.csv`. They may come one by one.

    The file takes its name when it is complete; an older one stays until then. SettingsInvalid where it cannot be
    written, a full disk included. `metadata` is kept in a Parquet file; a CSV has no place for it.
    """
    if path.suffix == ".parquet":
        with _replacing(path) as temporary:
            _write_parquet(results, temporary, metadata or {})
    elif path.suffix == ".csv":
        with _replacing(path) as temporary:
            _write_csv(results, temporary)
    else:
        raise SettingsInvalid(f"{path}: results are written to a file that ends with .parquet or .csv")


def read(path: Path) -> Iterator[RequestResult]:
    """Yield the results in a file that `write` wrote; SettingsInvalid where it is none."""
    try:
        yield from _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, KeyError, TypeError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise SettingsInvalid(f"{path} cannot be read as results of a run: {error}") from error


def check_writable(path: Path) -> None:
    """Raise SettingsInvalid if a file could not be made there; asked before a run, not after it."""
    if path.suffix not in (".parquet", ".csv"):
        raise SettingsInvalid(f"{path}: results are written to a file that ends with .parquet or .csv")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise SettingsInvalid(f"{path} cannot be written: there is no such folder, or it may not be written to")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise SettingsInvalid(f"{path} was not written: {why}. Make room, or choose another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def _write_parquet(results: Iterable[RequestResult], path: Path, metadata: Mapping[str, str]) -> None:
    schema = SCHEMA.with_metadata(dict(metadata)) if metadata else SCHEMA
    with pq.ParquetWriter(path, schema) as writer:
        for part in _parts(results):
            columns = [[_cell(result, name) for result in part] for name in COLUMNS]
            arrays = [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cell(result: RequestResult, name: str) -> Any:
    value = getattr(result, name)
    return list(value.items()) if name == "stages" else value


def _read_parquet(path: Path) -> Iterator[RequestResult]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield RequestResult(**row | {"gaps": tuple(row["gaps"]), "stages": dict(row["stages"])})


def _write_csv(results: Iterable[RequestResult], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for result in results:
            writer.writerow([_text(getattr(result, name)) for name in COLUMNS])
        file.flush()
        os.fsync(file.fileno())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(dict(value) if isinstance(value, Mapping) else value) if not isinstance(value, str) else value


def _read_csv(path: Path) -> Iterator[RequestResult]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {name: None if row[name] == "" else read(row[name]) for name, read in _CELLS.items()}
            yield RequestResult(**values | {"gaps": tuple(values["gaps"] or ()), "backend": row["backend"]})


def _parts(results: Iterable[_T]) -> Iterator[list[_T]]:
    part: list[_T] = []
    for result in results:
        part.append(result)
        if len(part) == ROWS_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
