"""Vectors of texts, made of the last layer's vectors of their tokens as the checkpoint's recipe says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from quickthaw_backends.engines.checks import check_batch_to_embed
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Pooling

_BATCH_TOKENS = 4096
"""Most tokens, padding included, that go through the model at a time."""


class Embedder:
    """Embeds token sequences with an encoder model; one call at a time."""

    def __init__(self, model: PreTrainedModel, context_tokens: int, recipe: EmbeddingRecipe) -> None:
        self._model = model
        self._recipe = recipe
        self._context_tokens = context_tokens
        self._one_at_a_time = threading.Lock()
        self.tokens_total = 0

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector for each token sequence; those of like length are computed together."""
        check_batch_to_embed(batch, self._context_tokens, self._model.config.vocab_size)
        order = sorted(range(len(batch)), key=lambda index: len(batch[index]))
        vectors: dict[int, list[float]] = {}
        with self._one_at_a_time, torch.inference_mode():
            for group in _groups(order, batch):
                found = self._forward([batch[index] for index in group]).tolist()
                vectors |= zip(group, found, strict=True)
            self.tokens_total += sum(map(len, batch))
        return [vectors[index] for index in range(len(batch))]

    def _forward(self, group: Sequence[Sequence[int]]) -> torch.Tensor:
        width = max(map(len, group))
        device = self._model.device
        tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in group], device=device)
        lengths = torch.tensor([len(row) for row in group], device=device)
        mask = torch.arange(width, device=device)[None, :] < lengths[:, None]
        hidden = self._model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()
        pooled = torch.cat(
            [_POOLINGS[mode](hidden, mask[..., None], lengths[:, None]) for mode in self._recipe.pooling], 1
        )
        return torch.nn.functional.normalize(pooled, dim=1) if self._recipe.normalize else pooled


def _cls(hidden: torch.Tensor, _mask: torch.Tensor, _lengths: torch.Tensor) -> torch.Tensor:
    return hidden[:, 0]


def _last(hidden: torch.Tensor, _mask: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return hidden.take_along_dim(lengths[..., None] - 1, 1)[:, 0]


def _max(hidden: torch.Tensor, mask: torch.Tensor, _lengths: torch.Tensor) -> torch.Tensor:
    return hidden.masked_fill(~mask, -torch.inf).amax(1)


def _mean(hidden: torch.Tensor, mask: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return (hidden * mask).sum(1) / lengths


def _mean_by_root(hidden: torch.Tensor, mask: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return (hidden * mask).sum(1) / lengths.sqrt()


def _weighted_mean(hidden: torch.Tensor, mask: torch.Tensor, _lengths: torch.Tensor) -> torch.Tensor:
    """The n-th token counts n times."""
    weights = mask * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[None, :, None]
    return (hidden * weights).sum(1) / weights.sum(1)


_POOLINGS: dict[Pooling, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls": _cls,
    "lasttoken": _last,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _weighted_mean,
}
"""Each takes the tokens' vectors (batch, width, size), which of them are tokens (batch, width, 1) and how many
(batch, 1). As in sentence_transformers/sentence_transformer/modules/pooling.py."""


def _groups(order: Sequence[int], batch: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut indices, in order of length, into groups of at most _BATCH_TOKENS with padding (or a single long one)."""
    groups: list[list[int]] = []
    for index in order:
        if groups and (len(groups[-1]) + 1) * len(batch[index]) <= _BATCH_TOKENS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
