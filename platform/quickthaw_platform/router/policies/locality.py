"""`locality`: where the checkpoint is, the nearer the better; of equals the one with the most free memory."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision
from quickthaw_platform.router.policies.deciding import Candidates, candidates_of, place, wait_for_coming, without_room
from quickthaw_platform.router.table import Floats

STEP = 1e18
"""More than any node's memory in bytes."""


class LocalityPolicy:
    """Waits for a node that has the checkpoint rather than have another fetch it, as caches by affinity do."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        waits = wait_for_coming(request, view)
        if waits is not None:
            return waits
        candidates = candidates_of(request, view)
        nearest = np.where(candidates.open, candidates.estimates.way, np.iinfo(np.int8).max)
        if candidates.open.any() and not (candidates.fitting & (nearest == nearest.min())).any():
            return without_room(candidates)
        return place(candidates, _rank)


def _rank(candidates: Candidates) -> Floats:
    return np.asarray(candidates.estimates.way * STEP - candidates.free)
