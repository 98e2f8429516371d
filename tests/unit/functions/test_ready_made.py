"""The ready-made functions: what each is made of, what it imports, what it puts out."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from quickthaw import Answer, Delta, Function, loading

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(path.parent for path in ROOT.glob("functions/*/function.py"))


class FakeModel:
    """Says what it was asked."""

    def chat(self, messages: Sequence[dict[str, Any]], **fields: Any) -> Answer[Any]:
        return Answer([Delta(f"chat {messages[0]['content']} {fields['max_tokens']}", finish_reason="stop")])

    def complete(self, prompt: str | Sequence[int], suffix: str | None = None, **fields: Any) -> Answer[Any]:
        return Answer([Delta(f"complete {prompt} {suffix} {fields['max_tokens']}")])

    def embed(self, texts: str | Sequence[str]) -> list[list[float]]:
        return [[float(len(text))] for text in ([texts] if isinstance(texts, str) else texts)]


def load(folder: Path) -> Function[..., Any]:
    (function,) = loading.functions(folder / "function.py")
    return function


def test_they_are_all_there() -> None:
    assert {"agent", "chat", "complete", "embed"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_function_is_one_file_that_imports_only_the_sdk_and_what_comes_with_it(folder: Path) -> None:
    spec = load(folder).spec()
    assert spec.name == folder.name
    assert list(spec.source) == ["function.py"]
    imported = set()
    for node in ast.walk(ast.parse(spec.source["function.py"])):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= {*sys.stdlib_module_names, "quickthaw", "pydantic"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_readme_is_short_and_names_command_arguments_and_checkpoint(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    spec = load(folder).spec()
    assert spec.handler is not None
    assert len(text.splitlines()) <= 14
    assert f"quickthaw deploy functions/{folder.name}/function.py" in text
    assert f"`{spec.model}`" in text
    arguments = text.split("Arguments:")[1]
    assert set(re.findall(r"`([a-z_]+)`", arguments)) == set(spec.handler.parameters["properties"])


OUTPUTS: list[tuple[str, dict[str, Any], Callable[[Any], Any], Any]] = [
    ("chat", {"messages": [{"role": "user", "content": "hi"}]}, lambda out: "".join(map(str, out)), "chat hi 256"),
    ("agent", {"messages": [{"role": "user", "content": "hi"}]}, lambda out: "".join(map(str, out)), "chat hi 256"),
    ("complete", {"prompt": "Once", "max_tokens": 3}, lambda out: "".join(map(str, out)), "complete Once None 3"),
    ("complete", {"prompt": [1, 2]}, lambda out: "".join(map(str, out)), "complete [1, 2] None 64"),
    ("complete", {"prompt": "a", "suffix": "z"}, lambda out: "".join(map(str, out)), "complete a z 64"),
    ("optimise", {"instructions": ["a"], "how": "shorten"}, lambda out: out.split(":")[0], "chat Instruction"),
    ("embed", {"input": "four"}, list, [[4.0]]),
    ("embed", {"input": ["a", "bc"]}, list, [[1.0], [2.0]]),
]


@pytest.mark.parametrize(("name", "given", "read", "expected"), OUTPUTS)
def test_it_puts_out_what_the_model_says(
    name: str, given: dict[str, Any], read: Callable[[Any], Any], expected: Any
) -> None:
    assert read(load(ROOT / "functions" / name)(FakeModel(), **given)) == expected


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("agent", ["messages"]),
        ("chat", ["messages"]),
        ("complete", ["prompt"]),
        ("optimise", ["instructions"]),
        ("embed", ["input"]),
    ],
)
def test_its_schema_lets_the_openai_api_serve_it(name: str, required: list[str]) -> None:
    spec = load(ROOT / "functions" / name).spec()
    assert spec.handler is not None
    assert spec.handler.parameters["required"] == required
