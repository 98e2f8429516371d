"""Records that cross boundaries and the protocols that plugins fulfil. Nothing here acts.

Records are frozen. Each protocol's docstrings say what blocks, what is idempotent and what comes back when there is
nothing; one contract suite in `tests/contract/` runs over every implementation of each.
"""

from __future__ import annotations

from quickthaw.generation import Delta, Sampling
from quickthaw_platform.contracts.cluster import (
    ClusterView,
    FunctionStats,
    InstanceState,
    InstanceView,
    MigrationCost,
    NodeState,
    NodeView,
    Running,
    TiersView,
    Way,
)
from quickthaw_platform.contracts.engines import (
    Built,
    Checkpoint,
    Engine,
    EngineStats,
    GenerationRequest,
    Prompt,
    Reading,
    Settles,
    Sink,
    Sleeps,
    TakesAdapters,
    TellsOfFailure,
    Tokenizer,
)
from quickthaw_platform.contracts.policies import (
    AllocationPolicy,
    AllocationRequest,
    Decision,
    IdleHistory,
    Keep,
    KeepAlivePolicy,
    Move,
    Option,
    Refuse,
    Start,
    Wait,
)
from quickthaw_platform.contracts.stores import (
    RemoteObject,
    RemoteStore,
)

__all__ = [
    "AllocationPolicy",
    "AllocationRequest",
    "Built",
    "Checkpoint",
    "ClusterView",
    "Decision",
    "Delta",
    "Engine",
    "EngineStats",
    "FunctionStats",
    "GenerationRequest",
    "IdleHistory",
    "InstanceState",
    "InstanceView",
    "Keep",
    "KeepAlivePolicy",
    "MigrationCost",
    "Move",
    "NodeState",
    "NodeView",
    "Option",
    "Prompt",
    "Reading",
    "Refuse",
    "RemoteObject",
    "RemoteStore",
    "Running",
    "Sampling",
    "Settles",
    "Sink",
    "Sleeps",
    "Start",
    "TakesAdapters",
    "TellsOfFailure",
    "TiersView",
    "Tokenizer",
    "Wait",
    "Way",
]
