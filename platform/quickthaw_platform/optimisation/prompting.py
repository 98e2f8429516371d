"""Writes the prompt of a candidate. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.optimisation import template
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.task import Example, Task
from quickthaw_platform.optimisation.template import EXAMPLES, EXPECTED, INSTRUCTION


def prompt_of(task: Task, train: Sequence[Example], candidate: Candidate, asked: Example) -> str:
    """Return the prompt for one input."""
    return template.fill(task.template, {**_held(task, train, candidate), **asked.fields})


def prompt_file(task: Task, train: Sequence[Example], candidate: Candidate) -> str:
    """Return the prompt as a template of `str.format`, in which only the slots of the input are left open."""
    held = {slot: template.escaped(text) for slot, text in _held(task, train, candidate).items()}
    return "".join(
        template.escaped(text) + ("" if slot is None else held.get(slot, f"{{{slot}}}"))
        for text, slot, _, _ in template.parts(task.template)
    )


def _held(task: Task, train: Sequence[Example], candidate: Candidate) -> dict[str, str]:
    shown = (train[place] for place in candidate.shown)
    examples = "".join(
        template.fill(task.example_template, {**example.fields, EXPECTED: template.as_text(example.expected)})
        for example in shown
    )
    return {INSTRUCTION: candidate.instruction, EXAMPLES: examples}
