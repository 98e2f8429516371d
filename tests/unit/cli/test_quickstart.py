"""docs/quickstart.md: its commands parse, its Python runs or at least compiles, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from quickthaw import loading
from quickthaw.cli.main import main

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "quickstart.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines() if "quickthaw " in line]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("quickthaw ")])
def test_its_commands_parse(line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(click.Context(command, info_name="quickthaw"), words)
        assert found is not None, name
        command = found
    command.make_context(command.name, words)


@pytest.mark.parametrize("code", PYTHON)
def test_its_python_compiles(code: str) -> None:
    compile(code, "quickstart.md", "exec")


def test_its_function_has_ten_lines_at_most_and_can_be_deployed(tmp_path: Path) -> None:
    code = next(code for code in PYTHON if "@app.function" in code)
    assert len(code.strip().splitlines()) <= 10
    (tmp_path / "haiku.py").write_text(code)
    (function,) = loading.functions(tmp_path / "haiku.py")
    assert function.spec().name == "haiku"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (DOCS / target).is_file()
