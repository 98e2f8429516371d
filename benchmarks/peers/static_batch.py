"""Peer: one left-padded `generate` over the whole batch."""

from __future__ import annotations

from benchmarks.peers.batch_process import BatchProcess


class StaticBatch(BatchProcess):
    """The fastest that transformers does when all requests come and end together."""

    name = "static batch"
    way = "static"
