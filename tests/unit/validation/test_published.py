"""Published figures: each has a protocol, a source and a day on which it was read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from quickthaw_platform.validation.published import Published, published

FIGURE: dict[str, Any] = {
    "model": "m", "protocol": "hf", "settings": "s", "perplexity": 2.0, "source": "x", "url": "https://x",
}  # fmt: skip


def test_the_missions_models_are_there_each_under_its_protocol() -> None:
    found = {(figure.model, figure.protocol): figure.perplexity for figure in published().figures}
    assert found["GPT-Neo 2.7B", "lm-eval"] == 11.39
    assert ("Llama 3 8B", "llamacpp") in found
    assert {model.split()[0] for model, _ in found} == {"GPT-2", "GPT-Neo", "Llama"}


def test_no_figure_is_there_twice() -> None:
    keys = [(figure.model, figure.stored_as, figure.protocol, figure.settings) for figure in published().figures]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "wrong",
    [
        {"perplexity": 0.5},
        {"perplexity": float("nan")},
        {"protocol": "mine"},
        {"source": ""},
        {"url": "x"},
        {"more": 1},
    ],
    ids=["below 1", "nan", "protocol", "no source", "no address", "unknown field"],
)
def test_a_figure_without_what_makes_it_quotable_is_refused(wrong: dict[str, Any]) -> None:
    Published.model_validate(FIGURE)
    with pytest.raises(ValidationError):
        Published.model_validate(FIGURE | wrong)
