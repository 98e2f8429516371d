"""From logits to a token. Which token depends on the logits, the seed and the position, and on nothing else.

Order: penalties, temperature, top-k, top-p, min-p, as in transformers. The token is where a uniform number falls in
the cumulated probabilities in order of token id: small differences of the logits move those borders only a little,
while an order by probability would jump where two are nearly equal.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from quickthaw.types import Sampling, TokenLogprob
from quickthaw_backends.engines.counter import uniform

_NEVER = float("-inf")

_NUCLEUS_TOKENS = 512

_GREEDY_BELOW = 1e-5
"""A lower temperature is taken for 0: dividing by it would leave the range of float32."""


def choose(logits: torch.Tensor, sampling: Sampling, position: int, prompt: list[int], answer: list[int]) -> int:
    """Return the token for `position`, which has `logits` (one row, float32); `prompt` and `answer` are before it."""
    logits = penalised(logits, sampling, prompt, answer)
    if sampling.temperature < _GREEDY_BELOW:
        return int(logits.argmax())
    return draw(filtered(logits, sampling), uniform(sampling.seed or 0, position))


def penalised(logits: torch.Tensor, sampling: Sampling, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Return the logits less the penalties: repetition over prompt and answer, the others over the answer."""
    if sampling.repetition_penalty != 1:
        seen = torch.tensor(sorted({*prompt, *answer}), device=logits.device)
        held = logits[seen]
        factor = sampling.repetition_penalty
        logits = logits.index_copy(0, seen, torch.where(held > 0, held / factor, held * factor))
    if answer and (sampling.frequency_penalty or sampling.presence_penalty):
        seen, counts = torch.tensor(answer, device=logits.device).unique(return_counts=True)
        penalty = counts * sampling.frequency_penalty + sampling.presence_penalty
        logits = logits.index_add(0, seen, -penalty.to(logits.dtype))
    return logits


def filtered(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the probabilities (they add up to 1) after temperature, top-k, top-p and min-p."""
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[0]:
        logits = logits.masked_fill(logits < logits.topk(sampling.top_k).values[-1], _NEVER)
    probabilities = torch.softmax(logits, dim=0)
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    if sampling.min_p > 0:
        probabilities = torch.where(probabilities < sampling.min_p * probabilities.max(), 0.0, probabilities)
    return probabilities / probabilities.sum()


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the fewest likeliest tokens that together reach `top_p`; at least one."""
    for count in (_NUCLEUS_TOKENS, probabilities.shape[0]):  # sorting all takes milliseconds, and is seldom needed
        ordered = probabilities.topk(min(count, probabilities.shape[0])).values
        reached = ordered.cumsum(0)
        if reached[-1] >= top_p:
            break
    least = ordered[(reached - ordered) < top_p][-1]
    return torch.where(probabilities < least, 0.0, probabilities)


def draw(probabilities: torch.Tensor, number: float) -> int:
    """Return the token where `number` (0 to 1) falls in the cumulated probabilities; never one of probability 0."""
    borders = probabilities.cumsum(0, dtype=torch.float64)
    token = int(torch.searchsorted(borders, number * float(borders[-1]), right=True))
    return min(token, int(probabilities.nonzero()[-1]))


def token_logprob(scores: torch.Tensor, token: int, wanted: int, text_of: Callable[[int], str]) -> TokenLogprob:
    """Return the natural log-probability of `token` under one row of scores, and the `wanted` likeliest beside it.

    It is the model's own distribution, before penalties and temperature.
    """
    logs = torch.log_softmax(scores, dim=0)
    top: tuple[tuple[str, float], ...] = ()
    if wanted:
        best = logs.topk(min(wanted, logs.shape[0]))
        top = tuple((text_of(t), v) for t, v in zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return TokenLogprob(token, text_of(token), float(logs[token]), top)
