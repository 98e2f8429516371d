"""Which weights of a directory are read: one answer, for what fetches them and for what checks them. Pure.

The order is transformers' own: a whole safetensors file, safetensors in shards, a whole `.bin` file, `.bin` in shards.
What lies beside them (files and indexes of other formats and frameworks, older ones) is never looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from quickthaw_platform.errors import InvalidRequest

_CONFIG = "config.json"
_CHOICES = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_SUFFIXES = tuple(suffix for _, suffix in _CHOICES)


class Weights(NamedTuple):
    """The weights that are read: the files, or where there are shards, all that may be among these, and their index."""

    files: tuple[str, ...]
    index_name: str | None = None  # names the shards


def chosen_weights(names: Collection[str]) -> Weights | None:
    """Return what is read of a directory whose files have these names; None: it has no weights."""
    for stem, suffix in _CHOICES:
        if stem + suffix in names:
            return Weights((stem + suffix,))
        index = f"{stem}{suffix}.index.json"
        if index in names:
            return Weights(tuple(sorted(name for name in names if name.endswith(suffix))), index)
    return None


def other_weights(names: Iterable[str]) -> list[str]:
    """Return files of weights, by their names, whether they would be read or not."""
    return sorted(name for name in names if name.endswith(_SUFFIXES))


def wanted_files(paths: Iterable[str], patterns: Collection[str], source: str) -> list[str]:
    """Return which of these paths, relative to a source, an import reads: where there is a model in a directory, its
    weights and all that matches `patterns`, and no GGUF file unless the model lies deeper; else GGUF files too.

    Raises InvalidRequest, naming the weights that there are, where none of them is a model's.
    """
    paths = list(paths)
    folders = _folders(paths)
    read = {f"{folder}/{name}" if folder else name for folder, found in folders.items() for name in found}
    small = [path for path in paths if _matches(path, patterns) and not path.endswith((*_SUFFIXES, ".index.json"))]
    ggufs = [] if "" in folders else [path for path in paths if path.endswith(".gguf")]
    if not read and not ggufs:
        others = ", ".join(other_weights(paths)[:5])
        beside = f" (there are {others})" if others else ""
        raise InvalidRequest(
            f"{source} holds no model{beside}; name the folder with config.json and model.safetensors, or with a .gguf "
            "file"
        )
    return sorted({*read, *small, *ggufs})


def holds_directory(paths: Iterable[str]) -> bool:
    """Whether one of the folders is a model's directory."""
    return bool(_folders(list(paths)))


def _folders(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the folders that hold a model ("" is the source itself), each with its weights and their index."""
    names: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        names.setdefault(folder, set()).add(name)
    chosen = {folder: chosen_weights(found) for folder, found in names.items() if _CONFIG in found}
    return {
        folder: weights.files if weights.index_name is None else (*weights.files, weights.index_name)
        for folder, weights in chosen.items()
        if weights is not None
    }


def _matches(path: str, patterns: Collection[str]) -> bool:
    return any(PurePosixPath(PurePosixPath(path).name).match(pattern) for pattern in patterns)
