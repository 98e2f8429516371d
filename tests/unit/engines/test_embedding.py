"""Vectors by each recipe, in batches of unlike lengths, against the formulas on one text alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from quickthaw_backends.engines.transformers_engine.embedding import Embedder
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Pooling
from tests.unit.engines import tiny

TEXTS = [[1, 2, 3, 4, 5, 6, 7], [8, 9], [10]]
FORMULAS: dict[Pooling, Callable[[torch.Tensor], torch.Tensor]] = {  # of the vectors of one text's tokens
    "cls": lambda rows: rows[0],
    "lasttoken": lambda rows: rows[-1],
    "max": lambda rows: rows.max(0).values,
    "mean": lambda rows: rows.mean(0),
    "mean_sqrt_len_tokens": lambda rows: rows.sum(0) / len(rows) ** 0.5,
    "weightedmean": lambda rows: sum(n * row for n, row in enumerate(rows, 1)) / sum(range(1, len(rows) + 1)),
}


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = tiny.bert().eval()
    return model


def embed(model: torch.nn.Module, pooling: tuple[Pooling, ...], *, normalize: bool) -> torch.Tensor:
    recipe = EmbeddingRecipe(pooling=pooling, normalize=normalize)
    return torch.tensor(Embedder(model, 256, recipe).embed(TEXTS))  # type: ignore[arg-type]


def alone(model: torch.nn.Module, tokens: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        hidden: torch.Tensor = model(input_ids=torch.tensor([tokens])).last_hidden_state[0]
    return hidden


@pytest.mark.parametrize("mode", FORMULAS)
def test_each_way_of_pooling_follows_its_formula_whatever_else_is_in_the_batch(
    model: torch.nn.Module, mode: Pooling
) -> None:
    wanted = torch.stack([FORMULAS[mode](alone(model, text)) for text in TEXTS])
    torch.testing.assert_close(embed(model, (mode,), normalize=False), wanted, rtol=1e-4, atol=1e-5)


def test_several_ways_stand_one_after_another_and_are_normalised_together(model: torch.nn.Module) -> None:
    both = torch.stack([torch.cat([alone(model, text).amax(0), alone(model, text)[0]]) for text in TEXTS])
    wanted = torch.nn.functional.normalize(both, dim=1)
    torch.testing.assert_close(embed(model, ("max", "cls"), normalize=True), wanted, rtol=1e-4, atol=1e-5)
