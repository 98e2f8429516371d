"""The results of validations, kept with the checkpoint that they are about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from redis import Redis

from quickthaw.results import CheckpointResult
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.stored_records import readable

MOST_RESULTS = 512
"""How many results a checkpoint may have: `models show` prints them all."""


def results_key(checkpoint_id: str) -> str:
    """Return the key of the hash that holds a checkpoint's results."""
    return RedisKey.RESULTS.of(checkpoint_id)


class Results:
    """Owner of every `qt:results:*` key. A checkpoint is its contents, so its results never go stale."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._catalogue = Catalogue(redis)

    def record(self, name_or_id: str, result: CheckpointResult) -> CheckpointResult:
        """Keep a result; it takes the place of an earlier one of the same protocol, text, engine and options.

        InvalidRequest where it is about other weights than the name means now, or one too many.
        """
        checkpoint = self._catalogue.find(name_or_id)
        if result.checkpoint != checkpoint.id:
            raise InvalidRequest(
                f"this result is about the checkpoint {result.checkpoint}, and {name_or_id!r} is {checkpoint.id} now; "
                "validate it again",
                param="checkpoint",
            )
        if result.measured_at is None:
            result = result.model_copy(update={"measured_at": _now(self._redis)})
        key, field = results_key(checkpoint.id), _field(result)
        if not self._redis.hexists(key, field) and self._redis.hlen(key) >= MOST_RESULTS:
            raise InvalidRequest(f"checkpoint {name_or_id!r} has {MOST_RESULTS} results already", param="name")
        self._redis.hset(key, field, result.model_dump_json())
        return result

    def of(self, name_or_id: str) -> Sequence[CheckpointResult]:
        """Return a checkpoint's results, ordered by protocol, text and time; CheckpointNotFound lists near names."""
        return self.of_id(self._catalogue.find(name_or_id).id)

    def of_id(self, checkpoint_id: str) -> Sequence[CheckpointResult]:
        """Return the results of a checkpoint of this id, known or not."""
        bodies = cast("dict[str, str]", self._redis.hgetall(results_key(checkpoint_id))).values()
        found = readable(CheckpointResult, ((f"a result of {checkpoint_id}", body) for body in bodies))
        return sorted(found, key=lambda r: (r.protocol, r.text, r.measured_at or 0.0))

    def forget(self, checkpoint_id: str) -> None:
        """Drop what is known of a checkpoint."""
        self._redis.delete(results_key(checkpoint_id))


def _field(result: CheckpointResult) -> str:
    same = (
        result.protocol, result.text, result.text_sha256, result.whole,
        result.engine, result.adapter, result.options, result.settings,
    )  # fmt: skip
    return json.dumps(same, sort_keys=True)


def _now(redis: Redis) -> float:
    seconds, micros = redis.time()
    return seconds + micros / 1e6
