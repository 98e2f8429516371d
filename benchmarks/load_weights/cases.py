"""What is measured: every way to load, in the state in which it is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["ours", "peer", "limit"]
State = Literal["cold", "warm", "second", "s3"]
"""Not in the page cache; all of it there; held by an instance that runs; in an S3 bucket."""

STATES: tuple[State, ...] = ("cold", "warm", "second", "s3")

INTO_MEMORY = "quickthaw"
MAPPED = "quickthaw (mapped)"
SECOND_BY_CACHE = "quickthaw, from the page cache"
SECOND_BY_MEMORY = "quickthaw, from the node's memory"
DIRECT_READS = ("limit: O_DIRECT read, 1 thread", "limit: O_DIRECT read, 2 threads")
PLAIN_MAP = "plain mmap"
MAPS = (PLAIN_MAP, "torch.load(mmap)", "safetensors")
RANGED_GETS = ("limit: ranged GETs to nowhere, 4 × 8 MiB", "limit: ranged GETs to nowhere, 4 × 32 MiB")
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table, for each shape. `way` is a function of a module in `ways`; `file` the one that it reads."""

    name: str
    state: State
    kind: Kind
    way: str
    file: Literal["safetensors", "pickle", "tensorizer"] = "safetensors"
    options: Mapping[str, Any] = field(default_factory=dict)


def cases(states: Sequence[State] = STATES) -> list[Case]:
    """Return all cases of some states."""
    return [case for case in (*_LOCAL, *_REMOTE) if case.state in states]


def _peers(state: State) -> tuple[Case, ...]:
    return (
        Case(PLAIN_MAP, state, "limit", "limits.plain_map"),
        Case("torch.load", state, "peer", "peers.torch_load", "pickle"),
        Case("torch.load(mmap)", state, "peer", "peers.torch_load_mapped", "pickle"),
        Case("safetensors", state, "peer", "peers.safetensors"),
        Case("from_pretrained", state, "peer", "peers.from_pretrained"),
        Case("fastsafetensors", state, "peer", "peers.fastsafetensors"),
        Case("runai-model-streamer", state, "peer", "peers.runai"),
        Case("tensorizer", state, "peer", "peers.tensorizer", "tensorizer"),
    )


def _ranged(connections: int, mebibytes: int) -> dict[str, int]:
    return {"connections": connections, "range_bytes": mebibytes * MEBIBYTE}


_LOCAL = (
    Case(DIRECT_READS[0], "cold", "limit", "limits.direct_read", options={"threads": 1}),
    Case(DIRECT_READS[1], "cold", "limit", "limits.direct_read", options={"threads": 2}),
    Case(INTO_MEMORY, "cold", "ours", "ours.into_memory"),
    Case("quickthaw, memory not made ahead", "cold", "ours", "ours.into_fresh_memory"),
    Case("quickthaw, through the page cache", "cold", "ours", "ours.through_cache"),
    *_peers("cold"),
    Case("limit: page-cache read, 2 threads", "warm", "limit", "limits.cached_read", options={"threads": 2}),
    Case("limit: memcpy, 2 threads", "warm", "limit", "limits.copy", options={"threads": 2}),
    Case(MAPPED, "warm", "ours", "ours.mapped"),
    *_peers("warm"),
    Case(SECOND_BY_CACHE, "second", "ours", "ours.second_by_cache"),
    Case(SECOND_BY_MEMORY, "second", "ours", "ours.second_by_memory"),
)
_REMOTE = (
    Case(RANGED_GETS[0], "s3", "limit", "remote.ranged_gets", options=_ranged(4, 8)),
    Case(RANGED_GETS[1], "s3", "limit", "remote.ranged_gets", options=_ranged(4, 32)),
    Case(INTO_MEMORY, "s3", "ours", "remote.into_memory"),
    Case("boto3 to a file + safetensors", "s3", "peer", "remote.boto3_to_file"),
    Case("boto3 to memory + safetensors", "s3", "peer", "remote.boto3_to_memory"),
    Case("runai-model-streamer", "s3", "peer", "remote.runai"),
)
