"""The checkpoints that the nodes have announced: what a function's `model` may name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import CheckpointNotFound
from quickthaw_platform.redis_keys import RedisKey

_FIELDS = (
    "name", "task", "bytes", "weights_format", "tensors", "dtype", "quantization", "architecture",
    "gguf_architecture", "context_tokens", "license", "source", "created_at",
)  # fmt: skip

CHECKPOINTS_KEY = RedisKey.CHECKPOINTS


def describe(manifest: Manifest) -> CheckpointInfo:
    """Return what the catalogue says of a checkpoint."""
    known = {name: getattr(manifest, name) for name in _FIELDS}
    return CheckpointInfo(id=manifest.id, partitions=len(manifest.weights), **known)


class Catalogue:
    """Names to checkpoints. The nodes write it; it says nothing about which node holds what (their records do)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def announce(self, checkpoints: Iterable[CheckpointInfo]) -> None:
        """Enter what is on a node's disk; of two under one name the later announced counts. Idempotent."""
        entries = {entry.name: entry.model_dump_json(exclude={"copies"}) for entry in checkpoints}
        if entries:
            self._redis.hset(CHECKPOINTS_KEY, mapping=cast("Any", entries))

    def withdraw(self, checkpoint_id: str) -> bool:
        """Remove a checkpoint that no node holds any more; whether it was there."""
        names = [entry.name for entry in self.list() if entry.id == checkpoint_id]
        return bool(names and self._redis.hdel(CHECKPOINTS_KEY, *names))

    def list(self) -> list[CheckpointInfo]:
        """Return all of them, by name; `copies` is empty here."""
        entries = cast("dict[str, str]", self._redis.hgetall(CHECKPOINTS_KEY))
        return sorted((CheckpointInfo.model_validate_json(body) for body in entries.values()), key=lambda e: e.name)

    def find(self, name_or_id: str) -> CheckpointInfo:
        """Return the checkpoint of this name or id; CheckpointNotFound lists the near names."""
        entries = self.list()
        for entry in entries:
            if name_or_id in (entry.name, entry.id):
                return entry
        raise CheckpointNotFound.named(
            name_or_id, (entry.name for entry in entries), "`quickthaw models import` brings one in."
        )

    def find_adapter(self, name_or_id: str) -> CheckpointInfo:
        """Return the checkpoint that a function's `adapter` means; the error names that field."""
        try:
            return self.find(name_or_id)
        except CheckpointNotFound as error:
            raise CheckpointNotFound(f"adapter: {error.message}", param="adapter") from error
