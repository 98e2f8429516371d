"""How well a model predicts a text: what quantising its weights has cost."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

from quickthaw_platform.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedModel

WINDOW_TOKENS = 512


def sample_text() -> str:
    """Return the text that is used where no other is given: some hundred words of plain English."""
    return files("quickthaw_platform.checkpoints.importers").joinpath("sample.txt").read_text(encoding="utf-8")


def perplexity(model: PreTrainedModel, tokens: Sequence[int], context_tokens: int) -> float:
    """Return e to the mean negative log-likelihood of each token after the first of its window.

    A window has WINDOW_TOKENS, or `context_tokens` where the model sees no more at once. Raises
    InvalidRequest where there are not two tokens.
    """
    import torch

    if len(tokens) < 2:
        raise InvalidRequest("a perplexity needs a text of at least two tokens; give a longer one with --text")
    width = min(WINDOW_TOKENS, context_tokens)
    windows = [tokens[at : at + width] for at in range(0, len(tokens), width)]
    model.eval()
    with torch.inference_mode():
        losses = [_loss(model, torch.tensor([window])) for window in windows if len(window) > 1]
    predicted = sum(len(window) - 1 for window in windows)
    return math.exp(sum(losses) / predicted)


def _loss(model: PreTrainedModel, window: torch.Tensor) -> float:
    """Return the sum over the window's tokens, the first one excepted."""
    from torch.nn.functional import cross_entropy

    scores = model(input_ids=window, use_cache=False).logits[0, :-1].float()
    return float(cross_entropy(scores, window[0, 1:], reduction="sum"))
