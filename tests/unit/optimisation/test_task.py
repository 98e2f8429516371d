"""Task files: what is read, and what is refused with the field's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quickthaw_platform.errors import InvalidRequest, NotFound
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.prompting import prompt_file, prompt_of
from quickthaw_platform.optimisation.split import split
from quickthaw_platform.optimisation.task import Task, read_task

ROWS = [{"input": f"q{n}", "expected": f"a{n}"} for n in range(10)]
FILE = 'name = "t"\ninstruction = "Do."\nexamples = "rows.jsonl"\n{more}\n[metric]\nkind = "exact"\n'


def read(folder: Path, more: str = "", rows: list[Any] | None = None) -> Task:
    lines = [json.dumps(row) for row in (ROWS if rows is None else rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "task.toml").write_text(FILE.replace("{more}", more))
    return read_task(folder / "task.toml")


def test_examples_may_lie_in_a_file_of_lines_or_in_the_task_itself(tmp_path: Path) -> None:
    here = 'name = "t"\ninstruction = "Do."\n[metric]\nkind = "exact"\n' + "".join(
        f'[[examples]]\ninput = "{row["input"]}"\nexpected = "{row["expected"]}"\n' for row in ROWS
    )
    (tmp_path / "here.toml").write_text(here)
    assert read_task(tmp_path / "here.toml") == read(tmp_path)


REFUSED: list[tuple[str, str, list[Any] | None, str]] = [
    ("no examples", "", [], "0 examples; at least 3"),
    ("one example", "", ROWS[:1], "1 example; at least 3"),
    ("no instruction", 'template = "{examples}{input}"', None, r"template has no slot \{instruction\}"),
    ("template without the examples", 'template = "{instruction}{input}"', None, r"template has no slot \{examples\}"),
    ("template without the input", 'template = "{instruction}{examples}"', None, "template has no slot for the input"),
    ("an unknown slot", 'template = "{instruction}{examples}{input}{x}"', None, r"nothing fills the slot \{x\}"),
    ("template with an attribute", 'template = "{instruction}{examples}{input.x}"', None, "is no slot"),
    ("template with a lone brace", 'template = "{instruction}{examples}{input} }"', None, "written twice"),
    ("no answers shown", 'example_template = "{input}"', None, r"example_template has no slot \{expected\}"),
    ("unknown field", "temperature = 1", None, "temperature"),
    ("prompt given twice", 'arguments = { prompt = "x" }', None, "takes the prompt"),
    ("example without an answer", "", [*ROWS, {"input": "x"}], "examples.10.expected"),
    ("inputs without a common field", "", [{"input": {f"f{n}": "x"}, "expected": "y"} for n in range(3)], "slot"),
    ("input named as a slot of ours", "", [{"input": {"expected": "x"}, "expected": "y"}] * 3, "rename it"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "rows", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_task_that_cannot_work_is_refused(tmp_path: Path, more: str, rows: list[Any] | None, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read(tmp_path, more, rows)


def test_a_split_that_asks_for_more_than_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="4 \\+ 4 \\+ 4 examples, and the task has 10"):
        split(read(tmp_path, "split = { train = 4, dev = 4, test = 4 }"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.toml"):
        read_task(tmp_path / "none.toml")


def test_the_parts_share_no_example_and_follow_the_seed(tmp_path: Path) -> None:
    task = read(tmp_path)
    parts = split(task)
    inputs = [str(example.input) for example in (*parts.train, *parts.dev, *parts.test)]
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (3, 3, 3)
    assert len(set(inputs)) == 9
    assert split(task) == parts != split(task.model_copy(update={"seed": 1}))


def test_the_prompt_file_gives_the_prompt_that_was_scored(tmp_path: Path) -> None:
    rows = [{"input": {"q": f"{{q{n}}}"}, "expected": {"a": n}} for n in range(10)]
    more = 'template = "{instruction} {{json}}\\n{examples}{q}"\nexample_template = "{q} -> {expected}\\n"'
    task = read(tmp_path, more, rows)
    parts = split(task)
    candidate = Candidate("Use {braces}.", (2, 0))
    asked = parts.test[0]
    prompt = prompt_of(task, parts.train, candidate, asked)
    assert prompt_file(task, parts.train, candidate).format(**asked.fields) == prompt
    assert prompt.startswith("Use {braces}. {json}\n{q")
    assert prompt.count(" -> {") == 2


def test_marks_and_line_ends_that_editors_and_json_write_change_nothing(tmp_path: Path) -> None:
    rows = [{"input": f"a\u2028b\x85{number}", "expected": "c"} for number in range(5)]
    expected = read(tmp_path, rows=rows)
    (tmp_path / "rows.jsonl").write_text(
        "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8-sig", newline=""
    )
    file = tmp_path / "task.toml"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert read_task(file) == expected
