"""`serverless-llm`: the scheduler of the paper, as published (Fu et al., OSDI'24, section 5)."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision
from quickthaw_platform.router.policies.deciding import Candidates, candidates_of, place, wait_for_coming
from quickthaw_platform.router.policies.moving import rather_move
from quickthaw_platform.router.table import Floats


class ServerlessLlmPolicy:
    """The node with the least queue + bytes / bandwidth, or one made free by a migration where that takes less.

    It knows neither initialisation nor what evicting an instance costs later, and never waits for a slot that is soon
    free while a node has room.
    """

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        waits = wait_for_coming(request, view)
        if waits is not None:
            return waits
        candidates = candidates_of(request, view)
        return rather_move(candidates, place(candidates, _rank))


def _rank(candidates: Candidates) -> Floats:
    return np.asarray(candidates.estimates.queue + candidates.estimates.load)
