"""From logits to a token. Which token depends on the logits, the seed and the position, and on nothing else.

Order: penalties, temperature, top-k, top-p, min-p, as in transformers. The token is where a uniform number falls in
the cumulated probabilities in order of token id: small differences of the logits move those borders only a little,
while an order by probability would jump where two are nearly equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quickthaw.generation import Sampling, TokenLogprob
from quickthaw_backends.engines.counter import uniform
from quickthaw_backends.engines.texts import Texts, shown_logprob

Row = NDArray[np.float32]

_NEVER = np.float32("-inf")

_NUCLEUS_TOKENS = 512

_GREEDY_BELOW = 1e-5
"""A lower temperature is taken for 0: dividing by it would leave the range of float32."""


def choose(logits: Row, sampling: Sampling, position: int, prompt: list[int], answer: list[int]) -> int:
    """Return the token for `position`, which has `logits` (one row, float32); `prompt` and `answer` are before it."""
    logits = penalised(logits, sampling, prompt, answer)
    if sampling.temperature < _GREEDY_BELOW:
        return int(logits.argmax())
    return draw(filtered(logits, sampling), uniform(sampling.seed or 0, position))


def penalised(logits: Row, sampling: Sampling, prompt: list[int], answer: list[int]) -> Row:
    """Return the logits less the penalties: repetition over prompt and answer, the others over the answer."""
    counted = bool(answer and (sampling.frequency_penalty or sampling.presence_penalty))
    if sampling.repetition_penalty == 1 and not counted:
        return logits
    logits = logits.copy()
    if sampling.repetition_penalty != 1:
        seen = np.array(sorted({*prompt, *answer}))
        held = logits[seen]
        factor = np.float32(sampling.repetition_penalty)
        logits[seen] = np.where(held > 0, held / factor, held * factor)
    if counted:
        tokens, counts = np.unique(np.array(answer), return_counts=True)
        penalty = counts * sampling.frequency_penalty + sampling.presence_penalty
        logits[tokens] -= penalty.astype(np.float32)
    return logits


def filtered(logits: Row, sampling: Sampling) -> Row:
    """Return the probabilities (they add up to 1) after temperature, top-k, top-p and min-p."""
    logits = logits / np.float32(sampling.temperature)
    if 0 < sampling.top_k < len(logits):
        logits = np.where(logits < _largest(logits, sampling.top_k)[-1], _NEVER, logits)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    if sampling.min_p > 0:
        probabilities = np.where(probabilities < sampling.min_p * probabilities.max(), np.float32(0), probabilities)
    found: Row = probabilities / probabilities.sum()
    return found


def _largest(row: Row, count: int) -> Row:
    """Return the `count` largest numbers, largest first."""
    count = min(count, len(row))
    found: Row = np.sort(np.partition(row, len(row) - count)[len(row) - count :])[::-1]
    return found


def _nucleus(probabilities: Row, top_p: float) -> Row:
    """Keep the fewest likeliest tokens that together reach `top_p`; at least one."""
    for count in (_NUCLEUS_TOKENS, len(probabilities)):  # sorting all takes milliseconds, and is seldom needed
        ordered = _largest(probabilities, count)
        reached = ordered.cumsum()
        if reached[-1] >= top_p:
            break
    least = ordered[(reached - ordered) < top_p][-1]
    return np.where(probabilities < least, np.float32(0), probabilities)


def draw(probabilities: Row, number: float) -> int:
    """Return the token where `number` (0 to 1) falls in the cumulated probabilities; never one of probability 0."""
    borders = probabilities.cumsum(dtype=np.float64)
    token = int(np.searchsorted(borders, number * float(borders[-1]), side="right"))
    return min(token, int(np.flatnonzero(probabilities)[-1]))


def token_logprob(scores: Row, token: int, wanted: int, texts: Texts) -> TokenLogprob:
    """Return the natural log-probability of `token` under one row of scores, and the `wanted` likeliest beside it.

    It is the model's own distribution, before penalties and temperature.
    """
    shifted = scores - scores.max()
    total = np.log(np.exp(shifted).sum(dtype=np.float64))
    top: list[tuple[int, float]] = []
    if wanted:
        wanted = min(wanted, len(shifted))
        best = np.argpartition(shifted, len(shifted) - wanted)[len(shifted) - wanted :]
        best = best[np.argsort(-shifted[best], kind="stable")]
        top = [(int(t), float(shifted[t] - total)) for t in best]
    return shown_logprob(texts, token, float(shifted[token] - total), top)
