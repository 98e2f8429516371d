"""The command, with a scripted function in the place of the platform's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quickthaw.cli.main import main
from quickthaw_platform.commands import optimise as command
from quickthaw_platform.optimisation.calling import Served
from tests.unit.optimisation.planted import Planted, task


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Planted:
    """The function that calls reach, and a task file beside it."""
    caller = Planted()

    async def found(client: object, name: str) -> Served:
        return Served(name, "live", ("v1",))

    monkeypatch.setattr(command, "served", found)
    monkeypatch.setattr(command, "PlatformCaller", lambda *_: caller)
    one = task().model_dump(mode="json", exclude_none=True, exclude={"metric", "split", "examples", "arguments"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in one.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(row.model_dump_json() for row in task().examples))
    text = "\n".join([*lines, 'examples = "rows.jsonl"', "[metric]", 'kind = "exact"'])
    (tmp_path / "task.toml").write_text(text)
    return caller


def run(folder: Path, *more: str) -> Result:
    task_file, out = str(folder / "task.toml"), str(folder / "out")
    given = ["--url", "http://gateway.test", "optimise", task_file, "--function", "chat", "--out", out]
    return CliRunner().invoke(main, [*given, *more], prog_name="quickthaw")


def test_the_best_prompt_is_printed_and_written(tmp_path: Path, function: Planted) -> None:
    result = run(tmp_path, "--budget", "300")
    assert result.exit_code == 0, result.output
    assert "best instruction: " in result.output
    assert f"{len(function.keys)} calls (0 failed); the budget is used up" in result.output
    written = (tmp_path / "out" / "prompt.txt").read_text()
    assert written.endswith("Q {input}")


def test_json_is_the_result(tmp_path: Path, function: Planted) -> None:
    result = run(tmp_path, "--budget", "100", "--json")
    found = json.loads(result.stdout)
    assert found["calls"] == len(function.keys)
    assert found == json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--budget", "0"), "a budget of 0 calls is too small"),
        (("--budget", "300", "--optimiser", "magic"), "known: evolution, gepa, random"),
        (("--budget", "300", "--optimiser", "gepa"), "--rewriter"),
    ],
    ids=["no budget", "unknown optimiser", "gepa alone"],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, function: Planted, more: tuple[str, ...], said: str) -> None:
    result = run(tmp_path, *more)
    assert result.exit_code == 1
    assert said in result.output
    assert function.keys == []
