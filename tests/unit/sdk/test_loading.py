"""Users' files: what is found in them, and what is said about broken ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from quickthaw import InvalidSource
from quickthaw.loading import functions

TWO = """
import quickthaw
a = quickthaw.App("a")
b = quickthaw.App("b")

@a.function(model="m")
def one(model): ...

@b.function(model="m")
def two(model): ...
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "function.py"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "expected"),
    [(None, ["one", "two"]), ("a", ["one"]), ("b", ["two"]), ("two", ["two"])],
)
def test_a_file_an_app_or_a_function_is_named(tmp_path: Path, name: str | None, expected: list[str]) -> None:
    assert [function.name for function in functions(write(tmp_path, TWO), name)] == expected


def test_functions_of_an_app_from_another_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "qt_shared_app.py").write_text("import quickthaw\napp = quickthaw.App('x')\n")
    text = "from qt_shared_app import app\n@app.function(model='m')\ndef f(model): ...\n"
    try:
        assert [function.name for function in functions(write(tmp_path, text))] == ["f"]
    finally:
        del sys.modules["qt_shared_app"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\ndef f(:\n", r"function\.py, line 2: .*\n    def f\(:"),  # with the line itself
        ("x = 1\n1 / 0\n", "line 2: ZeroDivisionError"),
        ("import no_such_module_at_all\n", "line 1: ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def g():\n    raise SystemExit(3)\ng()\n", "line 2: SystemExit: 3"),
        ("x = 1\n", "defines no function"),
        ("x = '\0'", "not Python source|null bytes"),
    ],
)
def test_a_broken_file_says_what_and_where(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidSource, match=expected):
        functions(write(tmp_path, text))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=re.escape("called 'c'; it has: a, b, one, two")):
        functions(write(tmp_path, TWO), "c")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.py", r"missing\.py does not exist"),
        ("notes.txt", r"notes\.txt is not a Python file"),
        (".", "is a folder; name the file in it"),
    ],
)
def test_what_is_no_python_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InvalidSource, match=message):
        functions(tmp_path / name)


def test_a_path_that_no_shell_has_expanded_begins_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, TWO)
    assert len(functions(Path("~/function.py"))) == 2


def test_the_search_path_is_left_as_it_was(tmp_path: Path) -> None:
    before = list(sys.path)
    functions(write(tmp_path, TWO))
    assert sys.path == before
