"""Sentence vectors: mean of the last layer over the text's tokens, brought to length 1."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from quickthaw_backends.engines.checks import check_text_to_embed

_BATCH_TOKENS = 4096
"""Most tokens, padding included, that go through the model at a time."""


class Embedder:
    """Embeds token sequences with an encoder model; one call at a time."""

    def __init__(self, model: PreTrainedModel, context_tokens: int) -> None:
        self._model = model
        self._context_tokens = context_tokens
        self._one_at_a_time = threading.Lock()
        self.tokens_total = 0

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a unit vector for each token sequence; those of like length are computed together."""
        for tokens in batch:
            check_text_to_embed(tokens, self._context_tokens)
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
        mean = (hidden * mask[..., None]).sum(1) / lengths[:, None]
        return torch.nn.functional.normalize(mean, dim=1)


def _groups(order: Sequence[int], batch: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut indices, in order of length, into groups of at most _BATCH_TOKENS with padding (or a single long one)."""
    groups: list[list[int]] = []
    for index in order:
        if groups and (len(groups[-1]) + 1) * len(batch[index]) <= _BATCH_TOKENS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
