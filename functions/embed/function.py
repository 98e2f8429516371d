"""Turns texts into vectors, for search and comparison."""

from __future__ import annotations

import quickthaw

app = quickthaw.App("embed")


@app.function(model="all-minilm-l6-v2")
def embed(model: quickthaw.Model, input: str | list[str] | list[int] | list[list[int]]) -> list[list[float]]:
    """Embed a text or several, or their token ids: one unit vector for each, in order."""
    return model.embed(input)
