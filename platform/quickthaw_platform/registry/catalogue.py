"""The checkpoints that the nodes have announced: what a function's `model` may name.

A name belongs to the importer who announced it first (see checkpoints/signing.py), until an admin moves it or removes
the checkpoint: so nobody who writes to the remote tier puts another model under a name that functions use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import structlog
from redis import Redis
from redis.client import Pipeline

from quickthaw.resources import CheckpointInfo
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import CheckpointNotFound
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.stored_records import parsed, readable

_FIELDS = (
    "name", "task", "bytes", "weights_format", "tensors", "dtype", "quantization", "architecture",
    "gguf_architecture", "context_tokens", "license", "source", "created_at", "signer",
)  # fmt: skip

CHECKPOINTS_KEY = RedisKey.CHECKPOINTS

_ANNOUNCE = """
local refused = {}
for at = 1, #ARGV, 2 do
  local found, new = redis.call('HGET', KEYS[1], ARGV[at]), cjson.decode(ARGV[at + 1])
  local old = found and cjson.decode(found) or {}
  local owned = type(old.signer) == 'string'
  local newer = type(old.created_at) ~= 'number' or type(new.created_at) ~= 'number' or new.created_at >= old.created_at
  if not owned or (old.signer == new.signer and newer) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  elseif old.signer ~= new.signer and old.id ~= new.id then
    table.insert(refused, (at - 1) / 2)
  end
end
return refused
"""
_log = structlog.get_logger()


def describe(manifest: Manifest) -> CheckpointInfo:
    """Return what the catalogue says of a checkpoint."""
    known = {name: getattr(manifest, name) for name in _FIELDS}
    return CheckpointInfo(id=manifest.id, partitions=len(manifest.weights), **known)


class Catalogue:
    """Names to checkpoints. The nodes write it; it says nothing about which node holds what (their records do)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(_ANNOUNCE)
        self._tasks: dict[str, str] = {}  # by id, which is of the content: what was read once holds
        self._told: set[str] = set()  # ids of those whose names belong to others, as far as that was logged

    def announce(self, checkpoints: Iterable[CheckpointInfo]) -> list[CheckpointInfo]:
        """Enter what is on a node's disk or in the remote tier; of two of one importer under one name the later made
        counts, else the later announced. Idempotent. Returns those whose names belong to another importer.
        """
        entries = list(checkpoints)
        if not entries:
            return []
        pairs = [text for entry in entries for text in (entry.name, entry.model_dump_json(exclude={"copies"}))]
        places = cast("list[int]", self._script(keys=[CHECKPOINTS_KEY], args=pairs))
        refused = [entries[place] for place in places]
        for entry in refused:
            if entry.id not in self._told:
                self._told.add(entry.id)
                _log.warning(
                    "a checkpoint's name belongs to another importer; `quickthaw models move NAME KEY` moves it",
                    name=entry.name,
                    checkpoint=entry.id,
                    key=entry.signer,
                )
        return refused

    def move(self, name: str, signer: str) -> CheckpointInfo:
        """Give a name to another importer: what that one has under it counts from when it is announced next."""

        def change(pipe: Pipeline) -> CheckpointInfo:
            found = cast("str | None", pipe.hget(CHECKPOINTS_KEY, name))
            if found is None:
                raise CheckpointNotFound(f"there is no checkpoint called {name!r}")
            moved = parsed(CheckpointInfo, found, _called(name))
            if moved.signer != signer:
                moved = moved.model_copy(update={"signer": signer, "created_at": None})
            pipe.multi()
            pipe.hset(CHECKPOINTS_KEY, name, moved.model_dump_json(exclude={"copies"}))
            return moved

        changed: Any = change  # what it returns is given back, which the library's types do not say
        return cast("CheckpointInfo", self._redis.transaction(changed, CHECKPOINTS_KEY, value_from_callable=True))

    def withdraw(self, checkpoint_id: str) -> bool:
        """Remove a checkpoint that no node holds any more; whether it was there."""
        names = [entry.name for entry in self.list() if entry.id == checkpoint_id]
        return bool(names and self._redis.hdel(CHECKPOINTS_KEY, *names))

    def list(self) -> list[CheckpointInfo]:
        """Return all of them, by name; `copies` is empty here."""
        entries = cast("dict[str, str]", self._redis.hgetall(CHECKPOINTS_KEY))
        found = readable(CheckpointInfo, ((_called(name), body) for name, body in entries.items()))
        return sorted(found, key=lambda entry: entry.name)

    def find(self, name_or_id: str) -> CheckpointInfo:
        """Return the checkpoint of this name or id; CheckpointNotFound lists the near names."""
        entries = self.list()
        for entry in entries:
            if name_or_id in (entry.name, entry.id):
                return entry
        raise CheckpointNotFound.named(
            name_or_id, (entry.name for entry in entries), "`quickthaw models import` brings one in."
        )

    def task(self, checkpoint_id: str) -> str | None:
        """Return what a checkpoint does; None where no node has announced it. Asks Redis once for each."""
        if checkpoint_id not in self._tasks:
            self._tasks |= {entry.id: entry.task for entry in self.list()}
        return self._tasks.get(checkpoint_id)

    def find_adapter(self, name_or_id: str) -> CheckpointInfo:
        """Return the checkpoint that a function's `adapter` means; the error names that field."""
        try:
            return self.find(name_or_id)
        except CheckpointNotFound as error:
            raise CheckpointNotFound(f"adapter: {error.message}", param="adapter") from error


def _called(name: str) -> str:
    return f"checkpoint {name!r}"
