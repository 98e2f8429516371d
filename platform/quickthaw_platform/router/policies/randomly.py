"""`random`: any node with room. The baseline that knows nothing."""

from __future__ import annotations

import random

import numpy as np

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision
from quickthaw_platform.router.policies.deciding import Candidates, candidates_of, place, wait_for_coming
from quickthaw_platform.router.table import Floats


class RandomPolicy:
    """Draws anew for each state of the cluster; the same state gives the same draw, so that it is pure."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        return wait_for_coming(request, view) or place(candidates_of(request, view), _rank)


def _rank(candidates: Candidates) -> Floats:
    table, version = candidates.table, candidates.request.version
    seen = f"{version} {table.now} {len(candidates.view.instances)} {table.free.sum()} {table.busy.sum()}"
    return np.random.default_rng(random.Random(seen).getrandbits(64)).random(len(table))
