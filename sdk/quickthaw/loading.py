"""Runs a user's file to find the apps and functions that it defines."""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import ModuleType

from quickthaw import folder
from quickthaw.app import App, Function
from quickthaw.errors import InvalidSource


def functions(file: Path, name: str | None = None) -> list[Function[..., object]]:
    """Run `file` and return its functions, or the one, or the app's, that `name` says.

    InvalidSource has the line where the file does not compile or raises, and the known names for an unknown one.
    """
    module = _run(file)
    found: dict[str, App | Function[..., object]] = {
        key: value for key, value in vars(module).items() if isinstance(value, App | Function)
    }
    if name is not None:
        return _named(file, name, found)
    apps = {id(value.app): value.app for value in found.values() if isinstance(value, Function)}
    apps |= {id(value): value for value in found.values() if isinstance(value, App)}
    every = [function for app in apps.values() for function in app.functions.values()]
    if not every:
        raise InvalidSource(f"{file} defines no function; write `app = quickthaw.App(…)` and `@app.function(model=…)`")
    return every


def _named(file: Path, name: str, found: dict[str, App | Function[..., object]]) -> list[Function[..., object]]:
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise InvalidSource(f"{file} has no app or function called {name!r}; it has: {known}")
    value = found[name]
    return [value] if isinstance(value, Function) else list(value.functions.values())


def _run(file: Path) -> ModuleType:
    """Run the file in its folder, as it is run in an instance."""
    file = _found(file)
    _compile(file)
    place = file.resolve()
    try:
        with folder.entered(place.parent), redirect_stdout(sys.stderr):  # what it prints is no answer of the command
            return folder.run(place.parent, place.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's own code can raise anything
        raise InvalidSource(f"{file}{_line(place, error)}: {type(error).__name__}: {error}") from error


def _found(file: Path) -> Path:
    """Return the file; InvalidSource where it is none, or no Python file."""
    with suppress(RuntimeError):  # ~ of somebody who is not there
        file = file.expanduser()
    if file.is_file() and file.suffix == ".py":
        return file
    if file.is_dir():
        raise InvalidSource(f"{file} is a folder; name the file in it that defines the function")
    if not file.exists():
        raise InvalidSource(f"{file} does not exist")
    raise InvalidSource(f"{file} is not a Python file")


def _compile(file: Path) -> None:
    try:
        compile(file.read_bytes(), str(file), "exec")
    except SyntaxError as error:
        text = f"\n    {error.text.rstrip()}" if error.text else ""
        raise InvalidSource(f"{file}, line {error.lineno}: {error.msg}{text}") from error
    except ValueError as error:  # null bytes
        raise InvalidSource(f"{file} is not Python source: {error}") from error
    except (MemoryError, RecursionError) as error:
        raise InvalidSource(f"{file} is nested deeper than Python can read") from error


def _line(file: Path, error: BaseException) -> str:
    """Say at which line of the user's file it went wrong."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    return f", line {lines[-1]}" if lines else ""
