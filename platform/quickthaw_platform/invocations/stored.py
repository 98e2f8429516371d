"""Stored objects: what callers wanted kept of a call beside its invocation (OpenAI's responses and chat completions).

An object holds what was asked. What was answered is in the invocation's log, so an object is whole however its gateway
died. It lives as long as its invocation: `NewInvocation.keep_seconds` after that has ended.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from quickthaw_platform.errors import NotFound
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.records import compact
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings

PAGE = 10
"""Objects read at a time while a list is made: each may be as large as a request."""

_FIELDS = ("kind", "key", "invocation", "model", "body", "metadata", "created_at")


class Kind(enum.StrEnum):
    """What an object is."""

    RESPONSE = "response"
    COMPLETION = "chat.completion"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is kept of one call."""

    id: str
    kind: Kind
    key_id: str | None  # the API key that owns it
    invocation: str
    model: str
    body: Mapping[str, Any]  # what was asked, as far as it is needed to answer again
    metadata: Mapping[str, str]
    created_at: float = 0.0  # seconds since the epoch, by the clock of Redis

    @classmethod
    def parse(cls, identity: str, values: list[str | None]) -> StoredObject | None:
        """Read the fields of an object; None where it is not there."""
        kind, key, invocation, model, body, metadata, created_at = values
        if kind is None or invocation is None or body is None or metadata is None:
            return None
        said = json.loads(body), json.loads(metadata)
        return cls(identity, Kind(kind), key or None, invocation, model or "", *said, float(created_at or 0))


class StoredObjects:
    """Owner of every `qt:stored:*` key. Every method raises Unavailable when Redis is away and may be repeated."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(redis)

    def keep(self, new: StoredObject, running_seconds: float) -> None:
        """Keep an object whose invocation may run for so long; one that is there already stays as it is.

        The oldest of those that its key has beyond `stored_limit` are forgotten.
        """
        settings = self._settings
        fields = {
            "invocation": new.invocation,
            "model": new.model,
            "body": compact(new.body),
            "metadata": compact(new.metadata),
        }
        self._scripts.run(
            "keep", new.id, new.key_id or "", new.kind.value, settings.stored_limit,
            int((settings.stored_ttl + running_seconds) * 1000), int(settings.invocation_ttl * 1000),
            *(part for pair in fields.items() for part in pair),
        )  # fmt: skip

    def get(self, identity: str) -> StoredObject | None:
        """Return an object; None where there is none, or its invocation has expired."""
        return next(self._read([identity]))

    def label(self, identity: str, metadata: Mapping[str, str]) -> bool:
        """Put this metadata in the place of what the object has; False where there is none."""
        return bool(self._scripts.run("change", identity, "metadata", compact(metadata)))

    def drop(self, identity: str) -> bool:
        """Forget an object, and its invocation with all that it put out; False where there is none.

        An invocation that still runs is forgotten as soon as it has ended.
        """
        return bool(self._scripts.run("drop", identity))

    def of_key(
        self, kind: Kind, key_id: str | None, after: str | None = None, *, newest_first: bool = False
    ) -> Iterator[StoredObject]:
        """Yield the objects that a key owns in the order in which they were made, those behind `after`.

        NotFound where `after` is not there, or not any more: whoever goes through a list would take that for its end.
        """
        index = RedisKey.STORED_BY_OWNER.of(kind.value, key_id or "")
        start: int | None = 0 if after is None else self._behind(index, after, newest_first)
        while start is not None:
            with outage_is_unavailable():
                names = cast("list[str]", self._redis.zrange(index, start, start + PAGE - 1, desc=newest_first))
            yield from (found for found in self._read(names) if found is not None)
            start = start + PAGE if len(names) == PAGE else None

    def _behind(self, index: str, identity: str, newest_first: bool) -> int:
        with outage_is_unavailable():
            rank = (self._redis.zrevrank if newest_first else self._redis.zrank)(index, identity)
        if rank is None:
            raise NotFound(f"no item here has the id {identity[:100]!r}; list again from the beginning", param="after")
        return cast("int", rank) + 1

    def _read(self, names: list[str]) -> Iterator[StoredObject | None]:
        """Yield the objects of these names, None for each that is not there or whose invocation is not."""
        with outage_is_unavailable():
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.hmget(RedisKey.STORED.of(name), _FIELDS)
            found = pipe.execute()
            for values in found:
                pipe.exists(inv_key(values[_FIELDS.index("invocation")] or ""))
            alive = pipe.execute()
        for name, values, there in zip(names, found, alive, strict=True):
            yield StoredObject.parse(name, values) if there else None
