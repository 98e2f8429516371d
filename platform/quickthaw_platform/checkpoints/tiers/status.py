"""What a node says of its tiers in its record."""

from __future__ import annotations

import json
from collections.abc import Mapping

from quickthaw_platform.checkpoints.tiers.node import NodeTiers


def describe(tiers: NodeTiers, push_failures: Mapping[str, str] | None = None) -> str:
    """Return the tiers' state as JSON; router.view reads it. What is beyond: registry.remote_index.

    `push_failures` says of checkpoints why the remote tier did not take them.
    """
    memory = tiers.memory.status()
    return json.dumps(
        {
            "dram": sorted(memory.present),
            "arriving": memory.arriving,
            "bandwidths": tiers.bandwidths.measured(),
            "dram_bytes": tiers.memory.budget_bytes,
            "dram_used_bytes": memory.used_bytes,
            "disk_used_bytes": tiers.disk.used_bytes(),
            "push_failures": dict(push_failures or {}),
        }
    )
