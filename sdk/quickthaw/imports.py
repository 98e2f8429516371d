"""Which files of its folder a function needs: found by reading its source, never by running it."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from quickthaw.errors import InvalidSource

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Imported:
    """One import statement: `module` with `level` dots before it, `names` taken out of it, and its line."""

    module: str
    level: int
    names: tuple[str, ...]
    line: int


def needed(folder: Path, file: Path) -> set[Path]:
    """Return the modules under `folder` that `file` imports, theirs included, imports inside functions too.

    Raises InvalidSource, with file and line, for an import that an instance could not follow: of a module of the
    user's own outside the folder, or of one that has the name of a module of Python's.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        for imported in _imports(current):
            more = set(_files(folder, current, imported)) - found - {file}
            found |= more
            waiting += [path for path in more if path.suffix == ".py"]
    return found


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def parsed(file: Path) -> ast.Module:
    """Return the syntax tree of a file; InvalidSource where it does not compile."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise InvalidSource(f"{file} does not compile: {error or 'it is nested too deep'}") from error


def _imports(file: Path) -> Iterator[Imported]:
    typing_only = _typing_only(tree := parsed(file))
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield Imported(alias.name, 0, (), node.lineno)
            case ast.ImportFrom(module=module, level=level, names=aliases):
                yield Imported(module or "", level, tuple(alias.name for alias in aliases), node.lineno)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _called(node) in ("import_module", "__import__"):
                if not name.startswith("."):
                    yield Imported(name, 0, (), node.lineno)


def _typing_only(tree: ast.Module) -> set[ast.AST]:
    """Return what stands under `if TYPE_CHECKING:` and never runs."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _is_typing(node.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def _is_typing(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return name == "TYPE_CHECKING"


def _files(folder: Path, file: Path, imported: Imported) -> Iterator[Path]:
    base = folder
    if imported.level:
        base = file.parents[imported.level - 1]
        if not base.is_relative_to(folder):
            raise _refusal(folder, file, imported, "leaves the folder of the function")
        if (base / "__init__.py").is_file():
            yield base / "__init__.py"
    parts = imported.module.split(".") if imported.module else []
    if parts and not imported.level and not _lies_in(folder, parts[0]):
        _check_elsewhere(folder, file, imported, parts[0])
        return
    if not imported.level and parts and parts[0] in sys.stdlib_module_names:
        _check_name(folder, file, imported, parts[0])
        return
    for part in parts:
        yield from _module(base / part)
        base = base / part
    for name in imported.names:
        yield from sorted(base.glob("*.py")) if name == "*" and base.is_dir() and parts else _module(base / name)


def _module(path: Path) -> Iterator[Path]:
    """Yield the file of a module, or what is run when a package is imported; nothing for a folder without that."""
    for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
        if candidate.is_file():
            yield candidate
            return


def _lies_in(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name).is_dir()


def _check_name(folder: Path, file: Path, imported: Imported, name: str) -> None:
    """Refuse a module of the user's that Python's own of this name would hide, or that would hide it."""
    if any(_module(folder / name)):
        raise _refusal(folder, file, imported, f"means Python's own module {name}, or {name} here; rename yours")


def _check_elsewhere(folder: Path, file: Path, imported: Imported, name: str) -> None:
    """Refuse a module of the user's own that lies outside the folder: an instance has the folder alone."""
    place = _place(name)
    if place is not None and not _is_installed(place) and _own(folder, place) and name not in packages_distributions():
        hint = "move it there, or install it as a package on the nodes"
        raise _refusal(folder, file, imported, f"is read from {place}, outside the folder of the function; {hint}")


@cache
def _place(name: str) -> Path | None:
    """Return the file, or the folder, that a top-level module is read from here."""
    if name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [spec.origin] if spec.origin not in (None, "namespace") else list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places and places[0] else None


def _is_installed(place: Path) -> bool:
    paths = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    return any(part in place.parts for part in _INSTALLED) or any(place.is_relative_to(path) for path in paths)


def _own(folder: Path, place: Path) -> bool:
    """Whether a module lies in the project of the function: beside its folder, or above it."""
    root = place.parent.parent if place.name == "__init__.py" else place.parent
    return folder.is_relative_to(root)


def _refusal(folder: Path, file: Path, imported: Imported, what: str) -> InvalidSource:
    name = "." * imported.level + imported.module
    return InvalidSource(f"{file.relative_to(folder)}, line {imported.line}: the import of {name!r} {what}")
