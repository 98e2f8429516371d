"""What lies in each remote tier, as the nodes that reach it have seen: one set of checkpoint ids a URL."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from quickthaw_platform.redis_keys import RedisKey


class RemoteIndex:
    """Written by nodes and read with the cluster's view (view.lua), so that what one node pushes all can fetch."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def replace(self, url: str, ids: Iterable[str]) -> None:
        """Enter what a listing of the store has shown."""
        with self._redis.pipeline() as pipe:
            pipe.delete(_key(url))
            for checkpoint_id in ids:
                pipe.sadd(_key(url), checkpoint_id)
            pipe.execute()

    def add(self, url: str, checkpoint_id: str) -> None:
        """Enter what was pushed."""
        self._redis.sadd(_key(url), checkpoint_id)


def _key(url: str) -> str:
    return RedisKey.REMOTE.of(url)
