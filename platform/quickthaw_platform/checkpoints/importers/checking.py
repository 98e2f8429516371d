"""Looks at a directory's weights files before a library reads them: they come from strangers."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from quickthaw_platform.checkpoints.header import Header, read_header, shown
from quickthaw_platform.checkpoints.importers.archives import opened_archive
from quickthaw_platform.checkpoints.importers.json_files import read_json
from quickthaw_platform.checkpoints.importers.weights_choice import chosen_weights
from quickthaw_platform.errors import InvalidRequest

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_WHOLE_NUMBERS = frozenset({"I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL"})
_SCALE = re.compile(r"(^|[._])(weight_scale(_inv|_2)?|SCB|qzeros|absmax)$")
"""Tensors that scale quantised weights: of DeepSeek's FP8, compressed-tensors, ModelOpt, bitsandbytes, GPTQ."""


def check_weights(directory: Path) -> list[Header]:
    """Return the header of each safetensors file that is read, by name of the file; none where `.bin` files are.

    Raises CheckpointBroken for one that is not whole or overlaps itself, and InvalidRequest for an index or a tensor
    whose name leads out of the directory, and for a `.bin` file that unpacks to far more than it has. What is not read
    is not looked at.
    """
    weights = chosen_weights([file.name for file in directory.iterdir()])
    if weights is None:
        return []
    files = weights.files if weights.index_name is None else _shards(directory / weights.index_name)
    refuse_pointers(directory / file for file in files)
    for file in (directory / file for file in files if file.endswith(".bin")):
        if zipfile.is_zipfile(file):  # older ones are plain
            with opened_archive(file, str(file)):
                pass
    headers = {directory / file: _checked(directory / file) for file in files if file.endswith(".safetensors")}
    _refuse_twice(headers)
    return list(headers.values())


def refuse_pointers(files: Iterable[Path]) -> None:
    """Raise InvalidRequest for a file in whose place Git LFS has left its pointer."""
    for file in files:
        with file.open("rb") as opened:
            beginning = opened.read(len(_LFS_POINTER))
        if beginning == _LFS_POINTER:
            raise InvalidRequest(f"{file} is a pointer of Git LFS, not the file itself; fetch it: git lfs pull")


def refuse_scaled(names: Iterable[str], source: Path | str) -> None:
    """Raise InvalidRequest where tensors scale others: those are quantised, and nothing reads how."""
    scales = sorted(name for name in names if _SCALE.search(name))
    if scales:
        raise InvalidRequest(
            f"{source} is quantised ({shown(scales[0])} scales other weights); import the original weights or a "
            "GGUF file instead"
        )


def _refuse_twice(headers: Mapping[Path, Header]) -> None:
    """Two shards with one tensor: which of them counts nobody says."""
    found: dict[str, Path] = {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if (other := found.setdefault(tensor.name, file)) != file:
                raise InvalidRequest(
                    f"{other.name} and {file.name} in {file.parent} both hold the tensor {shown(tensor.name)}; they "
                    "are shards of different models, or one is stale: fetch them again"
                )


def _checked(file: Path) -> Header:
    header = read_header(file)
    for tensor in header.tensors:
        if _leads_out(tensor.name):
            raise InvalidRequest(
                f"{file} has a tensor named {shown(tensor.name)}, which is a path; do not trust this source"
            )
        if tensor.dtype in _WHOLE_NUMBERS and tensor.name.endswith(".weight"):
            raise InvalidRequest(
                f"{file} is quantised ({shown(tensor.name)} is of type {tensor.dtype}); import the original weights or "
                "a GGUF file instead"
            )
    refuse_scaled((tensor.name for tensor in header.tensors), file)
    return header


def _shards(index: Path) -> list[str]:
    """Return the shards that an index names, each a file beside it and of its format."""
    try:
        shards = read_json(index)["weight_map"].values()
        names = sorted(set(shards))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{index} is no index of shards: {shown(error)}; fetch it again") from error
    for name in names:
        if not isinstance(name, str) or _leads_out(name) or len(PurePosixPath(name).parts) != 1:
            raise InvalidRequest(
                f"{index} names the shard {shown(name)}, which is not beside it; do not trust this source"
            )
        if not (index.parent / name).is_file():
            raise InvalidRequest(f"{index} names the shard {shown(name)}, which is missing; fetch it")
        if not name.endswith(Path(index.name.removesuffix(".index.json")).suffix):
            raise InvalidRequest(f"{index} names the shard {shown(name)}, which is of another format; fetch it again")
    return names


def _leads_out(name: str) -> bool:
    return name.startswith("/") or "\0" in name or ".." in name.replace("\\", "/").split("/")
