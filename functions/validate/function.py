"""Scores how well its model predicts texts."""

from __future__ import annotations

import math
import re

import quickthaw

app = quickthaw.App("validate")


@app.function(model="smollm2-135m-instruct")
def validate(model: quickthaw.Model, texts: str | list[str]) -> dict[str, list[dict[str, float]]]:
    """Return for each text, in order, the sums that perplexities are made of.

    `nll` is the negative log-likelihood in nats of its `tokens` that something predicts: the first one has nothing
    before it unless the model's tokenizer begins texts with a token of its own. Divided by `tokens`, `words` or `bytes`
    (UTF-8) it is the logarithm of a perplexity; sums of several texts may be added up.
    """
    return {"scores": [_score(model, text) for text in ([texts] if isinstance(texts, str) else texts)]}


def _score(model: quickthaw.Model, text: str) -> dict[str, float]:
    sizes = {"words": len(re.findall(r"\S+", text)), "bytes": len(text.encode())}
    if not text:
        return {"nll": 0.0, "tokens": 0, **sizes}
    echo = model.complete(text, echo=True, logprobs=0, max_tokens=0)
    scored = [entry.logprob for delta in echo for entry in delta.logprobs if entry.logprob is not None]
    nll = -math.fsum(scored)
    if not math.isfinite(nll):
        raise ValueError(f"the model's scores of the text {text[:40]!r} are no finite numbers")
    return {"nll": nll, "tokens": len(scored), **sizes}
