"""`least-loaded`: the most free memory, of those that need not fetch the checkpoint where there are any."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision, Way
from quickthaw_platform.router.estimator import WAYS
from quickthaw_platform.router.policies.deciding import Candidates, candidates_of, place, wait_for_coming
from quickthaw_platform.router.table import Floats

FAR = 1e18
"""More than any node's memory in bytes."""


class LeastLoadedPolicy:
    """Knows memory, and no times."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        return wait_for_coming(request, view) or place(candidates_of(request, view), _rank)


def _rank(candidates: Candidates) -> Floats:
    far = candidates.estimates.way == WAYS.index(Way.REMOTE)
    return np.asarray(np.where(far, FAR, 0.0) - candidates.free)
