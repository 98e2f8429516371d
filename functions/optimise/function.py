"""Rewrites instructions, for `quickthaw optimise --rewriter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic

import quickthaw

app = quickthaw.App("optimise")

TASKS = {
    "improve": "Write a better instruction that would avoid these mistakes.",
    "rephrase": "Write an instruction that means the same in other words.",
    "shorten": "Write a shorter instruction that means the same.",
    "combine": "Write one instruction that has the best of both.",
}
ASKED = "Answer with the new instruction alone, without quotes or an explanation."


class Failure(pydantic.BaseModel):
    """An input that was answered wrongly."""

    input: str
    expected: str
    answer: str


def question(how: str, instructions: Sequence[str], failures: Sequence[Failure]) -> str:
    """Return what the model is asked."""
    parts = [f"Instruction: {instruction}" for instruction in instructions]
    parts += [
        f"Input: {one.input}\nThe answer should have been: {one.expected}\nIt was: {one.answer[:300]}"
        for one in failures
    ]
    return "\n\n".join([*parts, f"{TASKS[how]} {ASKED}"])


def cleaned(text: str) -> str:
    """Take away what models put around an instruction: quotes, and the word itself."""
    return text.strip().removeprefix("Instruction:").strip().strip("\"'").strip()


@app.function(model="smollm2-135m-instruct")
def optimise(
    model: quickthaw.Model,
    instructions: Annotated[list[str], pydantic.Field(min_length=1, max_length=2)],
    how: Literal["improve", "rephrase", "shorten", "combine"] = "rephrase",
    failures: tuple[Failure, ...] = (),
    max_tokens: int = 200,
) -> str:
    """Write an instruction from one, or from two for `combine`; `improve` looks at failures too."""
    if len(instructions) != (2 if how == "combine" else 1):
        raise quickthaw.InvalidRequest(f"{how} takes {'two instructions' if how == 'combine' else 'one instruction'}")
    messages = [{"role": "user", "content": question(how, instructions, failures)}]
    return cleaned(model.chat(messages, max_tokens=max_tokens).text())
