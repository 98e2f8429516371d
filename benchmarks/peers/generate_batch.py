"""Peer: transformers' continuous batching, `model.generate_batch`, its manager kept between batches."""

from __future__ import annotations

from benchmarks.peers.batch_process import BatchProcess


class GenerateBatch(BatchProcess):
    """Joins and leaves between steps, paged cache."""

    name = "generate_batch"
    way = "continuous"
