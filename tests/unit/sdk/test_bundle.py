"""What goes into a bundle, and what never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw import FunctionSpec, InvalidSource
from quickthaw.bundle import collect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {
        "function.py": "x = 1\n",
        "other.py": "y = 2\n",
        "prompts/a.txt": "grüße\r\n",
        "prompts/deep/b.txt": "b",
        "prompts/__pycache__/c.txt": "c",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (tmp_path / "secret.txt").write_text("secret")
    return root


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ((), ["function.py"]),
        (("*.py",), ["function.py", "other.py"]),
        (("prompts/*.txt",), ["function.py", "prompts/a.txt"]),
        (("prompts/**/*.txt",), ["function.py", "prompts/a.txt", "prompts/deep/b.txt"]),  # no __pycache__
        (("prompts/a.txt", "**/a.txt"), ["function.py", "prompts/a.txt"]),  # once
    ],
)
def test_patterns_choose_files_under_the_folder(folder: Path, include: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(collect(folder / "function.py", include)) == expected


def test_text_travels_byte_for_byte_and_paths_suit_the_wire(folder: Path) -> None:
    source = collect(folder / "function.py", ["prompts/**/*.txt"])
    assert source["prompts/a.txt"] == "grüße\r\n"
    assert FunctionSpec(name="f", model="m", source=source).source == source


@pytest.mark.parametrize("pattern", ["../secret.txt", "/etc/hostname", "prompts/../../secret.txt", "..", ""])
def test_patterns_that_leave_the_folder_are_refused(folder: Path, pattern: str) -> None:
    with pytest.raises(InvalidSource, match="stay in the folder"):
        collect(folder / "function.py", [pattern])


def test_links_that_leave_the_folder_are_refused(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(InvalidSource, match="leads out of"):
        collect(folder / "function.py", ["*.txt"])


def test_a_pattern_without_a_match_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidSource, match=r"'\*\.md' matches no file"):
        collect(folder / "function.py", ["*.md"])


def test_binary_files_are_refused_by_name(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSource, match=r"weights\.bin is not UTF-8"):
        collect(folder / "function.py", ["*.bin"])


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a//b", "./a", "a\0b", ""])
def test_the_wire_refuses_unsafe_paths_whoever_sends_them(path: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        FunctionSpec(name="f", model="m", source={path: ""})
