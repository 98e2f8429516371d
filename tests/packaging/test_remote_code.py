"""No library is left to decide whether a model's own code is run, or its pickles are read: each call says so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.packaging.roots import AREAS, ROOT

BENCHMARKS = ROOT / "benchmarks"
FOLDERS = [
    *AREAS.values(),
    ROOT / "functions",
    *(folder for folder in BENCHMARKS.iterdir() if folder.is_dir() and folder.name != "results"),
]
REQUIRED = {
    "from_pretrained": ("trust_remote_code", False),
    "from_config": ("trust_remote_code", False),
    "EngineArgs": ("trust_remote_code", False),
    "torch.load": ("weights_only", True),
}


def calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]


def required(call: ast.Call) -> tuple[str, bool] | None:
    """Return what a call has to say, by the last part of its name or by the whole of it."""
    name = ast.unparse(call.func)
    return REQUIRED.get(name) or REQUIRED.get(name.rpartition(".")[2])


def says(call: ast.Call, keyword: str, value: bool) -> bool:
    return any(
        given.arg == keyword and isinstance(given.value, ast.Constant) and given.value.value is value
        for given in call.keywords
    )


def lacking(file: Path) -> list[str]:
    return [
        f"{file}:{call.lineno} {ast.unparse(call.func)} without {wanted[0]}={wanted[1]}"
        for call in calls(file)
        if (wanted := required(call)) is not None and not says(call, *wanted)
    ]


def test_no_code_of_a_model_is_run_anywhere() -> None:
    files = [*BENCHMARKS.glob("*.py"), *(file for folder in FOLDERS for file in folder.rglob("*.py"))]
    assert sum(required(call) is not None for file in files for call in calls(file)) > 10
    assert [line for file in files for line in lacking(file)] == []


def open_to_the_working_folder(file: Path) -> list[str]:
    """Return where Python is told to run a module, and not (-P) to leave out the folder that it is started in."""
    words = [
        (node.lineno, [ast.unparse(word) for word in node.elts])
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List | ast.Tuple)
    ]
    return [
        f"{file}:{line}" for line, said in words if "sys.executable" in said and "'-m'" in said and "'-P'" not in said
    ]


def test_no_process_of_ours_looks_for_modules_in_the_folder_that_it_is_started_in(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("run([sys.executable, '-m', 'b'])\nrun((sys.executable, '-P', '-m', 'b'))")
    assert open_to_the_working_folder(tmp_path / "a.py") == [f"{tmp_path / 'a.py'}:1"]
    files = [file for folder in AREAS.values() for file in folder.rglob("*.py")]
    assert [place for file in files for place in open_to_the_working_folder(file)] == []


@pytest.mark.parametrize(
    "source",
    [
        "AutoModel.from_pretrained(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=given)",
        "kind.from_config(config)",
        "vllm.EngineArgs(**arguments)",
        "torch.load(path)",
    ],
    ids=["nothing", "true", "a variable", "from a config", "vLLM", "a pickle"],
)
def test_a_call_that_leaves_it_open_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "a.py").write_text(source)
    assert len(lacking(tmp_path / "a.py")) == 1
