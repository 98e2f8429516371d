"""Which GGUF files are one model, and which are none: their metadata decide, and names only help to find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quickthaw_platform.checkpoints.gguf_header import GgufHeader, part_name, part_of, read_gguf_header
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest

_SHOWN = 5
_SAME = ("split.count", "split.tensors.count")
"""What all parts of a file say alike."""

_PROJECTOR = "clip"
"""The architecture of files that make tokens of images; older ones have no general.type."""


def gguf_models(files: Sequence[Path]) -> list[Path]:
    """Return the models among the files, of a split one the first part. What is no model (a projector for images, a
    vocabulary, an importance matrix) is left out where there is a model beside it.
    """
    headers = {file: _header(file) for file in files}
    models = [file for file in files if _is_model(headers[file])] or files
    found = {file: part[0] if (part := _parts(file, headers[file]))[0].is_file() else file for file in models}
    return sorted(set(found.values()))


def gguf_parts(file: Path) -> list[Path]:
    """Return all parts of a GGUF file, in order: mostly itself. InvalidRequest names those that are missing."""
    parts = _parts(file, _header(file))
    missing = [found.name for found in parts if not found.is_file()]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
        raise InvalidRequest(
            f"{file.parent} lacks {shown or 'parts'}; all {len(parts)} parts must lie in one directory"
        )
    return parts


def _parts(file: Path, header: GgufHeader | None) -> list[Path]:
    """Return where the parts are, or would be. A name like a part's makes none of a file that says it is whole."""
    named, count = part_of(file.stem), 1 if header is None else header.metadata.get("split.count", 1)
    if count <= 1 or header is None:
        return [file]
    if named is not None and named[2] == count:
        return [file.with_name(part_name(named[0], number, count)) for number in range(1, count + 1)]
    return _by_metadata(file, header, count)


def _by_metadata(file: Path, header: GgufHeader, count: int) -> list[Path]:
    """Return the parts that lie beside a part with a name of its own, in order."""
    same = [header.metadata.get(key) for key in _SAME]
    parts: dict[int, Path] = {}
    for other in sorted(file.parent.glob("*.gguf")):
        found = header if other == file else _header(other)
        if found is not None and [found.metadata.get(key) for key in _SAME] == same:
            number = found.metadata.get("split.no", 0)
            if number in parts:
                raise InvalidRequest(
                    f"{parts[number]} and {other} both say that they are part {number + 1} of {count}; put each model "
                    "into a folder of its own"
                )
            parts[number] = other
    return [parts.get(number, file.with_name(f"part {number + 1} of {count}")) for number in range(count)]


def _is_model(header: GgufHeader | None) -> bool:
    """Whether it is a model or an adapter; a broken file is taken for one, so that it is named."""
    if header is None:
        return True
    return header.metadata.get("general.type", "model") in ("model", "adapter") and header.architecture != _PROJECTOR


def _header(file: Path) -> GgufHeader | None:
    """Return what the file says of itself; None where it is broken or missing."""
    try:
        return read_gguf_header(file)
    except (CheckpointBroken, OSError):
        return None
