"""The source of a function as plain text files: the handler's own file and what the include patterns name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from quickthaw.errors import InvalidSource

_NEVER = frozenset({"__pycache__", ".git", ".venv", "node_modules"})


def collect(file: Path, include: Sequence[str] = ()) -> dict[str, str]:
    """Return path → text, with paths relative to the folder of `file`.

    Patterns are globs under that folder (`prompts/*.txt`, `lib/**/*.py`). InvalidSource names a pattern that finds
    nothing or leaves the folder, and a file that is no UTF-8 text.
    """
    root = file.resolve().parent
    found = {file.resolve()}
    for pattern in include:
        found |= _matches(root, pattern)
    return {path.relative_to(root).as_posix(): _text(path) for path in sorted(found)}


def _matches(root: Path, pattern: str) -> set[Path]:
    pure = PurePosixPath(pattern)
    if not pattern or pure.is_absolute() or ".." in pure.parts:
        raise InvalidSource(
            f"include pattern {pattern!r} must be relative and stay in the folder of the function's file"
        )
    paths = {
        path for path in root.glob(pattern) if path.is_file() and not _NEVER.intersection(path.relative_to(root).parts)
    }
    if not paths:
        raise InvalidSource(f"include pattern {pattern!r} matches no file in {root}")
    for path in paths:
        if not path.resolve().is_relative_to(root):
            raise InvalidSource(f"{path} is a link that leads out of {root}; copy the file into the folder")
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidSource(f"{path} is not UTF-8 text; a bundle holds source and text files only") from error
    except OSError as error:
        raise InvalidSource(f"{path} cannot be read: {error.strerror}") from error
