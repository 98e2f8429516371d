"""How long answers are: where nobody says, and at most, as their function has it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling
from quickthaw.types import max_tokens_refusal


@dataclass(frozen=True, slots=True)
class Bounds:
    """In tokens; None: as many as the context holds."""

    default: int | None = None  # where neither caller nor handler names a number
    limit: int | None = None  # at most, whoever asks

    def applied(self, sampling: Sampling, *, names_max_tokens: bool, room: int) -> Sampling:
        """Return what the engine is asked for; InvalidRequest where more than the limit is asked for.

        `names_max_tokens`: whether caller or handler named a number, or asked for as many as the context holds. `room`
        is what the context has left for the answer: bounds that nobody named never make a prompt too long.
        """
        if sampling.max_tokens is not None:
            if self.limit is not None and sampling.max_tokens > self.limit:
                raise InvalidRequest(max_tokens_refusal(sampling.max_tokens, self.limit), param="max_tokens")
            return sampling
        bound = self.limit if names_max_tokens else self.default
        if bound is None or bound >= room:
            return sampling
        return sampling.model_copy(update={"max_tokens": bound})


NO_BOUNDS = Bounds()
