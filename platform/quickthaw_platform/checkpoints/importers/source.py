"""A model that lies on this machine's disk, before it is imported."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quickthaw.types import NAME_PATTERN
from quickthaw_platform.checkpoints.gguf_header import part_of
from quickthaw_platform.checkpoints.importers.embedding_recipe import recipe_files
from quickthaw_platform.checkpoints.importers.gguf_files import gguf_models, gguf_parts
from quickthaw_platform.checkpoints.importers.weights_choice import chosen_weights, other_weights
from quickthaw_platform.errors import InvalidRequest

Kind = Literal["directory", "gguf"]
Locator = Callable[[str, "Fetching"], contextlib.AbstractContextManager["Source"]]
Progress = Callable[[str, int, int | None], None]
"""Called with (stage, bytes done, bytes in all or None). The stages are wait, find, fetch, read, measure, write and
publish; wait may come between any two."""

_READ_BYTES = 1 << 20
USED = ("*.json", "*.safetensors", "*.bin", "*.model", "*.txt", "*.jinja", "README.md")
"""Names of files that an import of a directory reads."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
"""Files of which a tokenizer is made; one of them is enough."""
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".zst", ".7z")
_QUANTISATION = re.compile(r"[.-](i?q\d\w*|bf16|f16|f32|fp16|fp32)$", re.IGNORECASE)
_SPDX = {
    license.lower(): license
    for license in ("Apache-2.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "GPL-3.0", "CC-BY-4.0", "CC0-1.0", "MPL-2.0")
}


@dataclass(frozen=True, slots=True)
class Fetching:
    """Where a locator puts what it fetches (a cache, to be deleted at any time), and whom it tells about it."""

    folder: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class Source:
    """A directory as `save_pretrained` writes it, or a GGUF file."""

    kind: Kind
    path: Path  # of a split GGUF file, its first part
    label: str  # what the manifest records as its source
    default_name: str
    license: str | None = None  # of the package around it; what the model itself says goes first

    def digest(self) -> str:
        """Return the SHA-256 over the names and contents of the files that an import reads."""
        digest = hashlib.sha256()
        for file in self.files():
            name = file.name if self.kind == "gguf" else os.path.relpath(file, self.path)
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as handle:
                while block := handle.read(_READ_BYTES):
                    digest.update(block)
        return digest.hexdigest()

    def files(self) -> list[Path]:
        """Return the files that an import reads, by name."""
        if self.kind == "gguf":
            return gguf_parts(self.path)
        found = {file for pattern in USED for file in self.path.glob(pattern) if file.is_file()}
        return sorted({*found, *recipe_files(self.path)})


def checkpoint_name(text: str) -> str:
    """Make a checkpoint's name of a file's, a directory's or a package's; a quantisation's suffix is dropped."""
    part = part_of(text)
    stem = _QUANTISATION.sub("", text if part is None else part[0])
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:63]
    if not re.match(NAME_PATTERN, name):
        raise InvalidRequest(f"no name can be made of {text!r}; give one with --name")
    return name


def spdx(license_name: str | None) -> str | None:
    """Spell a licence as SPDX does, where it is one of the usual ones."""
    return license_name if license_name is None else _SPDX.get(license_name.strip().lower(), license_name.strip())


def find_in(directory: Path) -> tuple[Kind, Path]:
    """Return the one model under `directory`: a GGUF file, or the shallowest directory with a config and weights."""
    if is_model_directory(directory):
        return "directory", directory
    ggufs = gguf_models(sorted(directory.rglob("*.gguf")))
    directories = sorted((p.parent for p in directory.rglob("config.json") if is_model_directory(p.parent)), key=_depth)
    if len(ggufs) + len(directories) > 1:
        names = ", ".join(str(path.relative_to(directory)) for path in (*ggufs, *directories))
        raise InvalidRequest(f"{directory} holds several models: {names}; import one of them by its own path")
    if ggufs:
        return "gguf", ggufs[0]
    if directories:
        return "directory", directories[0]
    raise InvalidRequest(f"{directory} holds no model: {_lacking(directory)}")


def _lacking(directory: Path) -> str:
    """Say what keeps a directory from being a model's."""
    names = [file.name for file in directory.iterdir()]
    others = ", ".join(other_weights(names)[:5])
    if "adapter_config.json" in names:
        return (
            "it is a LoRA adapter in PEFT's format; make a GGUF file of it with llama.cpp's convert_lora_to_gguf.py "
            "and import that (docs/engines.md, adapters), or merge it into its model"
        )
    if others and "config.json" not in names:
        return f"config.json is missing beside {others}"
    if others:
        return (
            f"it has {others}, and transformers reads model.safetensors or pytorch_model.bin, or shards with an index "
            "of these names; rename it, fetch the index, or name one .safetensors file itself"
        )
    if "config.json" in names:
        return "it has config.json, and neither model.safetensors nor pytorch_model.bin beside it, whole or in shards"
    return "neither a .gguf file nor a config.json with weights beside it"


def is_model_directory(directory: Path) -> bool:
    """Say whether this is a directory as `save_pretrained` writes it."""
    names = {file.name for file in directory.iterdir()}
    return "config.json" in names and chosen_weights(names) is not None


def _depth(path: Path) -> tuple[int, str]:
    return len(path.parts), str(path)


@contextlib.contextmanager
def locate_path(text: str, _fetching: Fetching) -> Iterator[Source]:
    """Give the model at a path: a directory, a GGUF file, or a safetensors file with its configuration beside it."""
    path = Path(text).expanduser()
    if not path.exists():
        raise InvalidRequest(
            f"{path} does not exist; a source is a directory, a .gguf or .safetensors file, pypi:PACKAGE==VERSION, "
            "hf:ORG/NAME, s3://BUCKET/PREFIX or file:///DIRECTORY"
        )
    path = path.resolve() if path.is_dir() else path.absolute()  # a link's own name tells more than its target's
    if path.is_dir():
        kind, path = find_in(path)
        yield Source(kind, path, label=f"{kind}:{path.name}", default_name=checkpoint_name(_stem(kind, path)))
    elif path.suffix == ".gguf":
        first = gguf_parts(path)[0]
        yield Source("gguf", first, label=f"gguf:{path.name}", default_name=checkpoint_name(path.stem))
    elif path.suffix == ".safetensors":
        with _directory_of(path) as directory:
            yield Source("directory", directory, f"safetensors:{path.name}", checkpoint_name(path.stem))
    else:
        hint = "; unpack it and import the directory" if path.suffix in _ARCHIVES else ""
        raise InvalidRequest(f"{path} is neither a directory nor a .gguf or .safetensors file{hint}")


def _stem(kind: Kind, path: Path) -> str:
    return path.stem if kind == "gguf" else path.name


@contextlib.contextmanager
def _directory_of(weights: Path) -> Iterator[Path]:
    """Give a directory of links to one weights file and to what lies beside it that is no weights."""
    beside = {file for pattern in USED for file in weights.parent.glob(pattern) if not _holds_weights(file)}
    names = {file.name for file in beside}
    if "config.json" not in names or names.isdisjoint(TOKENIZERS):
        raise InvalidRequest(
            f"{weights} is weights alone; put the model's config.json and tokenizer ({' or '.join(TOKENIZERS)}) "
            "beside it"
        )
    with tempfile.TemporaryDirectory(prefix="quickthaw-links-") as folder:
        steps = [file for file in recipe_files(weights.parent) if weights.parent in file.parents]
        for file in (*beside, *steps):
            link = Path(folder) / file.relative_to(weights.parent)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        (Path(folder) / "model.safetensors").symlink_to(weights)
        yield Path(folder)


def _holds_weights(file: Path) -> bool:
    return file.suffix in (".safetensors", ".bin") or file.name.endswith(".index.json")
