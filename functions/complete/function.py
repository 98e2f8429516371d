"""Continues a text."""

from __future__ import annotations

from collections.abc import Iterator

import quickthaw

app = quickthaw.App("complete")


@app.function(model="smollm2-135m-instruct")
def complete(
    model: quickthaw.Model, prompt: str | list[int], suffix: str | None = None, max_tokens: int = 64
) -> Iterator[quickthaw.Delta]:
    """Continue a prompt, a text or token ids; with `suffix`, write what stands between the two texts."""
    yield from model.complete(prompt, suffix, max_tokens=max_tokens)
