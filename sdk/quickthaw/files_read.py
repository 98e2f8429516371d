"""Which files of its folder a function's source names to read them; the source is read, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

_PATHS = ("Path", "PurePath", "PosixPath")
_WRITERS = ("write_text", "write_bytes", "mkdir", "touch", "unlink", "rmdir", "rename", "replace")
_LISTERS = ("glob", "rglob", "iterdir", "listdir", "scandir", "walk")


def files_read(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each file, and each folder that is listed, as a path relative to the function's folder; and its line.

    Seen are paths written out: `open("a.txt")`, `Path("a.txt")`, `Path(__file__).parent / "a.txt"` and
    `os.path.join(os.path.dirname(__file__), "a.txt")`. What is opened to be written is left out.
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    written = {inner for call in calls if _writes(call) for inner in ast.walk(_subject(call))}
    for node in ast.walk(tree):
        if node in written or not isinstance(node, ast.Call | ast.BinOp):
            continue
        named = node.args[0] if isinstance(node, ast.Call) and _called(node) == "open" and node.args else node
        path = None if named in written else _path(named)
        if path:
            yield path, node.lineno


def folders_listed(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each folder that is listed, as files_read does files."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in _LISTERS:
            subject = _subject(node)
            path = subject.value if isinstance(subject, ast.Constant) else _path(subject)
            if path and isinstance(path, str):
                yield path, node.lineno


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _subject(node: ast.Call) -> ast.expr:
    """Return what a call is about: what `open`, `os.listdir` and the like are given, else what a method belongs to."""
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
        return node.func.value
    return node.args[0] if node.args else node.func


def _writes(node: ast.Call) -> bool:
    if _called(node) in _WRITERS:
        return True
    is_method = isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name)
    modes = [*node.args[0 if is_method else 1 :][:1], *(word.value for word in node.keywords if word.arg == "mode")]
    return _called(node) == "open" and any(
        isinstance(mode, ast.Constant) and bool(set(str(mode.value)) & set("wax")) for mode in modes
    )


def _path(node: ast.expr) -> str | None:
    """Return a path that is written out, relative to the function's folder; None for any other expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([left, right])
        case ast.Call(args=[_, *_]) if _called(node) in (*_PATHS, "join") and not _is_here(node):
            return _joined(node.args)
    return "" if _is_here(node) else None


def _joined(nodes: list[ast.expr]) -> str | None:
    parts = [_path(node) for node in nodes]
    return None if None in parts else str(PurePosixPath(*(part for part in parts if part)))


def _is_here(node: ast.expr) -> bool:
    """Whether an expression is the folder of the file that it stands in."""
    if not any(isinstance(inner, ast.Name) and inner.id == "__file__" for inner in ast.walk(node)):
        return False
    ups = [i for i in ast.walk(node) if getattr(i, "attr", getattr(i, "id", "")) in ("parent", "dirname", "parents")]
    return len(ups) == 1 and not any(isinstance(i, ast.Constant) and isinstance(i.value, str) for i in ast.walk(node))
