"""The source of a function as plain text files: its file, the modules beside it, and what `include` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from quickthaw import imports
from quickthaw.errors import InvalidSource
from quickthaw.files_read import files_read, folders_listed

_NEVER = frozenset({"__pycache__", ".git", ".venv", "node_modules"})
_LONGEST_PATH = 255


def collect(file: Path, include: Sequence[str] = ()) -> dict[str, str]:
    """Return path → text, with paths relative to the folder of `file`.

    Modules of the folder that the file imports are in it by themselves. Patterns are globs under that folder
    (`prompts/*.txt`, `lib/**/*.py`). InvalidSource names a pattern that finds nothing or leaves the folder, a file that
    is no UTF-8 text, an import that an instance could not follow, and a file that the code reads and nothing includes.
    """
    file = file.resolve()
    root = file.parent
    found = {file}
    for pattern in include:
        found |= _matches(root, pattern)
    for module in [path for path in found if path.suffix == ".py"]:
        found |= _inside(root, imports.needed(root, module))
    _check_read(root, found)
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
    return _inside(root, paths)


def _inside(root: Path, paths: set[Path]) -> set[Path]:
    for path in paths:
        if not path.resolve().is_relative_to(root):
            raise InvalidSource(f"{path} is a link that leads out of {root}; copy the file into the folder")
    return paths


def _check_read(root: Path, found: set[Path]) -> None:
    """Refuse source that reads a file of the folder, or lists a part of it, that would not be there in an instance."""
    for module in sorted(path for path in found if path.suffix == ".py"):
        tree = imports.parsed(module)
        here = module.relative_to(root)
        for name, line in files_read(tree):
            for path in _places(root, module, name):
                if path.is_file() and not {path, path.resolve()} & found:
                    raise _not_included(here, line, path.relative_to(root).as_posix())
        for name, line in folders_listed(tree):
            for path in _places(root, module, name):
                if path.is_dir() and path != root and not any(file.is_relative_to(path) for file in found):
                    raise _not_included(here, line, path.relative_to(root).as_posix() + "/**/*")


def _places(root: Path, module: Path, name: str) -> list[Path]:
    """Return where a relative path may lead inside the folder: from the folder itself, or beside the module."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or len(name) > _LONGEST_PATH:
        return []
    return [root / name, module.parent / name]


def _not_included(module: Path, line: int, name: str) -> InvalidSource:
    return InvalidSource(
        f"{module}, line {line}: {name!r} lies beside the function and is not in its bundle; name it: "
        f"App(…, include=[{name!r}])"
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        # Python reads its sources without the mark that some editors put before UTF-8, and no other file
        return content.decode("utf-8-sig" if path.suffix == ".py" else "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSource(f"{path} is not UTF-8 text; a bundle holds source and text files only") from error
    except OSError as error:
        raise InvalidSource(f"{path} cannot be read: {error.strerror}") from error
