"""A task: what is to be answered, how answers are scored, and the prompt to start from. Read from a TOML file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from quickthaw_platform.errors import InvalidRequest, NotFound
from quickthaw_platform.findings import told
from quickthaw_platform.optimisation import template
from quickthaw_platform.optimisation.metrics import Metric
from quickthaw_platform.optimisation.template import EXAMPLES, EXPECTED, INSTRUCTION
from quickthaw_platform.setting_values.toml_files import read_toml

INPUT = "input"
LEAST_EXAMPLES = 3

Part = Annotated[float, Field(ge=0, lt=1)] | Annotated[int, Field(ge=1)]
"""A part of the examples (a fraction such as 0.3), or a number of them (a whole number)."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Example(_Strict):
    """An input, a text or named fields, and what is expected of its answer."""

    input: str | dict[str, JsonValue]
    expected: JsonValue

    @property
    def fields(self) -> dict[str, str]:
        """The slots that it fills: `input`, or its fields."""
        named = self.input if isinstance(self.input, dict) else {INPUT: self.input}
        return {name: template.as_text(value) for name, value in named.items()}


class Split(_Strict):
    """How the examples are divided: those to show, those that choose, and those that judge once, at the end."""

    train: Part = 0.3
    dev: Part = 0.35
    test: Part = 0.35


class Task(_Strict):
    """What is optimised. Examples lie in the task file, or in a file of JSON lines beside it."""

    name: str = Field(min_length=1)
    instruction: str = Field(min_length=1, description="the one to start from")
    template: str = Field("{instruction}\n\n{examples}{input}", description="the prompt, with its slots")
    example_template: str = Field("{input}\n{expected}\n\n", description="how one example is shown")
    examples: list[Example]
    metric: Metric
    argument: Literal["prompt", "messages"] = Field("prompt", description="what of the function takes the prompt")
    arguments: dict[str, JsonValue] = Field(default_factory=dict, description="its other arguments, such as max_tokens")
    shots: int = Field(4, ge=0, le=64, description="most examples that a prompt shows")
    split: Split = Split()
    seed: int = Field(0, ge=0, description="of the split, and of the search unless the command names another")
    sentences: list[str] = Field(default_factory=list, description="sentences to try besides the usual ones")

    @model_validator(mode="after")
    def _one_place_for_the_prompt(self) -> Task:
        if self.argument in self.arguments:
            raise ValueError(f"arguments: {self.argument} is what takes the prompt; leave it out")
        if self.metric.kind == "loglikelihood" and self.argument != "prompt":
            raise ValueError('metric: loglikelihood scores a continued text; it needs argument = "prompt"')
        return self

    @property
    def digest(self) -> str:
        """What tells this task from any other; of a Python metric its name, as answers outlive a mended file."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def fields(self) -> set[str]:
        """The slots that every example fills."""
        return set.intersection(*(set(example.fields) for example in self.examples))


def read_task(path: Path) -> Task:
    """Read a task file and the examples that it names. InvalidRequest says which field is wrong, and where."""
    found = _toml(path)
    rows = found.get("examples")
    if isinstance(rows, str):
        found["examples"] = _lines(path.parent / rows)
    metric = found.get("metric")
    if isinstance(metric, dict) and isinstance(metric.get("function"), str):
        found["metric"] = {**metric, "folder": str(path.parent.resolve())}
    try:
        task = Task.model_validate(found)
    except ValidationError as error:
        raise InvalidRequest(f"{path}: {told(error)}") from error
    check(task)
    return task


def check(task: Task) -> None:
    """Raise InvalidRequest for too few examples and for templates whose slots do not fit them."""
    if len(task.examples) < LEAST_EXAMPLES:
        raise InvalidRequest(
            f"the task has {len(task.examples)} example{'' if len(task.examples) == 1 else 's'}; at least "
            f"{LEAST_EXAMPLES} are needed: one to show, one to choose by, and one to test with",
            param="examples",
        )
    inputs = task.fields
    taken = inputs & {INSTRUCTION, EXAMPLES, EXPECTED}
    if taken:
        raise InvalidRequest(
            f"inputs have a field {min(taken)!r}, which is a slot of its own; rename it", param="examples"
        )
    shows = [EXAMPLES] if task.shots else []
    template.check(task.template, "template", [INSTRUCTION, *shows], [EXAMPLES, *inputs])
    if not inputs & template.slots(task.template, "template"):
        raise InvalidRequest(
            f"template has no slot for the input; write one of {_listed(inputs)} where it is to stand", param="template"
        )
    template.check(task.example_template, "example_template", [EXPECTED], inputs)


def _listed(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "the fields that all inputs share (there are none)"


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise NotFound(f"there is no task file {path}")
    return read_toml(path)


def _lines(path: Path) -> list[Any]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may have other line ends within its texts
    except FileNotFoundError as error:
        raise NotFound(f"the task's file of examples {path} is not there") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8: {error}", param="examples") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line)) if line.strip() else None
        except ValueError as error:
            raise InvalidRequest(f"{path}, line {number} is not JSON: {error}", param="examples") from error
    return rows
