"""Shortens prompts by deleting what a small model finds least informative."""

from __future__ import annotations

import quickthaw
from quickthaw.compression import InformationScorer, TokenScores
from quickthaw.compression import compress as compressed

app = quickthaw.App("compress")


@app.function(model="smollm2-135m-instruct")
def compress(
    model: quickthaw.Model,
    text: str,
    ratio: float | None = None,
    budget: int | None = None,
    question: str | None = None,
    drop_examples: bool = False,
) -> dict[str, str | int | list[tuple[int, int]]]:
    """Delete words until `ratio` of the tokens are left (a half unless told), or `budget` tokens, as the model counts.

    `question` is a part that stays word for word; with `drop_examples` examples of a few-shot prompt may go whole.
    """

    def ask(window: str) -> TokenScores:
        answer = model.complete(window, echo=True, logprobs=0, max_tokens=0)
        return [(entry.text, entry.logprob) for delta in answer for entry in delta.logprobs]

    done = compressed(
        text,
        count_tokens=model.count_tokens,
        scorer=InformationScorer(ask),
        ratio=0.5 if ratio is None and budget is None else ratio,
        budget=budget,
        question=question,
        drop_examples=drop_examples,
    )
    return {
        "text": done.text,
        "reason": str(done.reason),
        "original_tokens": done.original_tokens,
        "tokens": done.tokens,
        "kept": list(done.kept),
    }
