"""GEPA's own package as an optimiser (Agrawal et al. 2025): it reflects on failures, and keeps a front of candidates.

GEPA changes the instruction alone; examples stay those of the start. It decides which instruction is rewritten and what
is kept; calls, budget and journal are ours, and the rewriting function writes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import Outcome, Rewriting, Space, Trial, outcomes
from quickthaw_platform.optimisation.driven import Asking, Driven

COMPONENT = "instruction"
MINIBATCH = 3
MOST_SCORES = 1_000_000
"""GEPA wants a number of its own; the budget ends the search long before."""


class GepaOptimiser(Driven):
    """Implements `contract.Optimiser`. It needs a rewriting function: InvalidRequest without one."""

    name: ClassVar[str] = "gepa"

    def __init__(self, space: Space, seed: int) -> None:
        if not space.rewrites:
            raise InvalidRequest("the optimiser gepa needs a function that rewrites; name one with --rewriter")
        self._space = space
        self._seed = seed
        super().__init__(self._optimise)

    @classmethod
    def missing(cls) -> str | None:
        """Name the package, where it is not installed."""
        found = importlib.util.find_spec("gepa")
        return None if found else "the package gepa is not installed; pip install 'quickthaw[optimise]'"

    def _optimise(self, asking: Asking) -> None:
        from gepa.api import optimize  # here: it is an extra

        adapter: Any = _Adapter(self._space, self._seed, asking)
        places = list(range(len(self._space.dev)))
        optimize(
            seed_candidate={COMPONENT: self._space.start.instruction},
            trainset=places,
            valset=places,
            adapter=adapter,
            reflection_minibatch_size=min(MINIBATCH, len(places)),
            max_metric_calls=MOST_SCORES,
            seed=self._seed,
            logger=_Silent(),
        )


class _Silent:
    """Takes what GEPA logs."""

    def log(self, message: str) -> None:
        """Keep quiet."""


class _Adapter:
    """What GEPA calls: scores instructions and writes new ones, both by asking the platform."""

    def __init__(self, space: Space, seed: int, asking: Asking) -> None:
        self._space = space
        self._asking = asking
        self._next_seed = seed

    def evaluate(self, batch: Sequence[int], candidate: Mapping[str, str], capture_traces: bool = False) -> Any:
        """Score an instruction on examples of the development set, given by their places."""
        from gepa.core.adapter import EvaluationBatch

        one = Candidate(candidate[COMPONENT], self._space.start.shown)
        (outcome,) = outcomes(self._asking([Trial(one, tuple(dict.fromkeys(batch)))]))
        answers = [outcome.answers.get(place, "") for place in batch]
        traces = [_trace(outcome, place) for place in batch] if capture_traces else None
        return EvaluationBatch(outputs=answers, scores=[outcome.scores[at] for at in batch], trajectories=traces)

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], eval_batch: Any, components_to_update: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the failures of a batch, as `propose_new_texts` reads them."""
        del candidate  # the batch tells all
        rows = [trace for trace in eval_batch.trajectories if trace["score"] < 1]
        return dict.fromkeys(components_to_update, rows)

    def propose_new_texts(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """Have the platform's rewriting function improve the instruction; one that fails leaves it as it is."""
        self._next_seed += 1
        dev = self._space.dev
        failures = tuple(
            replace(dev[row["place"]], answer=row["answer"]) for row in reflective_dataset.get(COMPONENT, ())
        )
        (text,) = self._asking([Rewriting("improve", (candidate[COMPONENT],), failures, self._next_seed)])
        new = text.strip() if isinstance(text, str) else ""
        return dict.fromkeys(components_to_update, new or candidate[COMPONENT])


def _trace(outcome: Outcome, place: int) -> dict[str, Any]:
    return {"place": place, "answer": outcome.answers.get(place, ""), "score": outcome.scores[place]}
