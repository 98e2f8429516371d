"""Choosing tokens inside vLLM so that a token depends on the logits, the seed and the position, and on nothing else.

vLLM's own generators move on with each token: a request that continues elsewhere would draw other numbers. So requests
that draw or penalise are given to vLLM as greedy ones, and this logits processor leaves only the token that is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling
from quickthaw_backends.engines.constraint import Constraint
from quickthaw_backends.engines.counter import uniform

SAMPLING, ANSWERED, CONSTRAINT = "quickthaw_sampling", "quickthaw_answered", "quickthaw_constraint"
"""Names in `SamplingParams.extra_args`: a `Sampling`, how many of the last prompt tokens belong to the answer, and what
narrows it: the answer's own `Constraint`, which has had all of its tokens before vLLM's next step."""

_GREEDY_BELOW = 1e-5
"""A lower temperature is taken for 0: dividing by it would leave the range of float32."""


def is_plain(sampling: Sampling) -> bool:
    """Whether the likeliest token by the model's own scores is wanted: then vLLM's own choice is right."""
    penalties = (sampling.repetition_penalty, sampling.frequency_penalty, sampling.presence_penalty)
    return sampling.temperature < _GREEDY_BELOW and penalties == (1, 0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A request at one place of the batch. `output` grows while vLLM generates."""

    sampling: Sampling
    constraint: Constraint
    prompt: Sequence[int]
    answered: Sequence[int]
    output: Sequence[int]

    @property
    def position(self) -> int:
        """Where the next token stands, counted over prompt and answer."""
        return len(self.prompt) + len(self.answered) + len(self.output)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.sampling.temperature < _GREEDY_BELOW


class CounterSampler(LogitsProcessor):  # type: ignore[misc]
    """The logits processor; vLLM makes it, calls `update_state` before each step and `apply` in it."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002
        self._rows: dict[int, Row] = {}

    def is_argmax_invariant(self) -> bool:
        """Return False: greedy requests are what it is for."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow who is where in the batch."""
        process_dict_updates(self._rows, batch_update, _row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Leave in each row of ours (of [batch, vocabulary], float32) only the token that is chosen."""
        if self._rows:
            places = torch.tensor(list(self._rows), device=logits.device)
            chosen = choose(logits[places], list(self._rows.values()))
            logits[places] = float("-inf")
            logits[places, chosen] = 0.0
        return logits


def _row(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> Row | None:
    extra = params.extra_args or {}
    if SAMPLING not in extra or prompt is None:
        return None
    asked = len(prompt) - extra[ANSWERED]
    return Row(extra[SAMPLING], extra[CONSTRAINT], prompt[:asked], prompt[asked:], output)


def choose(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Return each row's next token, given its scores ([rows, vocabulary], float32; overwritten).

    Order: grammar and biases, penalties, temperature, top-k, top-p, min-p, as in transformers.
    """
    for index, row in enumerate(rows):
        if row.constraint.narrows:
            _narrow(scores[index], row)
        _penalise(scores[index], row)
    likeliest = scores.argmax(dim=1)
    greedy = torch.tensor([row.greedy for row in rows], device=scores.device)
    if greedy.all():
        return likeliest
    return torch.where(greedy, likeliest, _draw(_probabilities(scores, rows), rows))


def _narrow(scores: torch.Tensor, row: Row) -> None:
    """Change one row of scores as the answer's constraint says; its failure waits for the answer, not for the batch."""
    count = len(row.answered) + len(row.output)
    try:
        narrowed = row.constraint.apply(scores.cpu().numpy(), count)
    except InvalidRequest as error:
        row.constraint.failure = error
        return
    scores.copy_(torch.from_numpy(narrowed))


def _penalise(scores: torch.Tensor, row: Row) -> None:
    """Change one row of scores: repetition counts prompt and answer, the other penalties the answer alone."""
    sampling, answer = row.sampling, [*row.answered, *row.output]
    if sampling.repetition_penalty != 1:
        seen = torch.tensor(sorted({*row.prompt, *answer}), device=scores.device)
        held, factor = scores[seen], sampling.repetition_penalty
        scores[seen] = torch.where(held > 0, held / factor, held * factor)
    if answer and (sampling.frequency_penalty or sampling.presence_penalty):
        seen, counts = torch.tensor(answer, device=scores.device).unique(return_counts=True)
        scores[seen] -= counts * sampling.frequency_penalty + sampling.presence_penalty


def _probabilities(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Return the probabilities that the filters leave; rows add up to 1 at most."""

    def column(values: list[float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, device=scores.device)

    wanted, size = [row.sampling for row in rows], scores.shape[1]
    scores = scores / column([1.0 if row.greedy else row.sampling.temperature for row in rows])[:, None]
    top_k = top_p = None
    if any(sampling.top_k for sampling in wanted):
        top_k = column([min(sampling.top_k or size, size) for sampling in wanted], torch.int32)
    if any(sampling.top_p < 1 for sampling in wanted):
        top_p = column([sampling.top_p for sampling in wanted])
    probabilities = torch.softmax(apply_top_k_top_p(scores, top_k, top_p), dim=1)
    if any(sampling.min_p for sampling in wanted):
        least = column([sampling.min_p for sampling in wanted])[:, None] * probabilities.amax(dim=1, keepdim=True)
        probabilities = torch.where(probabilities < least, 0.0, probabilities)
    return probabilities


def _draw(probabilities: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Return where each row's number falls in its cumulated probabilities, in order of token id.

    An order by probability would jump where two are nearly equal; these borders move only as little as the logits do.
    """
    borders = probabilities.cumsum(dim=1, dtype=torch.float64)
    numbers = torch.tensor(
        [uniform(row.sampling.seed or 0, row.position) for row in rows], dtype=torch.float64, device=borders.device
    )
    found = torch.searchsorted(borders, (numbers * borders[:, -1])[:, None], right=True)[:, 0]
    possible = torch.arange(borders.shape[1], device=borders.device) * (probabilities > 0)
    return torch.minimum(found, possible.amax(dim=1))
