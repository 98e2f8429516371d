"""Functions, their immutable versions, and the aliases that point to them.

Each change is one optimistic transaction on the function's hash: what two callers do at once happens in some order,
and nothing is lost.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from redis import Redis
from redis.client import Pipeline

from quickthaw.resources import DEFAULT_ALIAS, SECRET_PATTERN
from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.errors import FunctionNotFound, InvalidRequest, NotFound, SecretNotFound, VersionNotFound
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.deployable import deployable
from quickthaw_platform.registry.record import FunctionRecord, normalised
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.registry.validation import check_name, check_source
from quickthaw_platform.registry.variables import check_variables
from quickthaw_platform.stored_records import parsed, readable

FUNCTIONS_KEY = RedisKey.FUNCTIONS
DELETED_VERSION_SECONDS = 86_400
"""How long a deleted function's versions can still be read by what runs them."""

VERSIONS_KEPT = 1000
"""How many version records a process keeps at hand; a source bundle is at most 1 MiB."""

_GOES_WITH_ITS_FUNCTION = (
    RedisKey.FUNCTION_VERSIONS, RedisKey.FUNCTION_SECRETS, RedisKey.FUNCTION_GAPS, RedisKey.FUNCTION_CALLS,
    RedisKey.FUNCTION_IDLE_SINCE, RedisKey.FUNCTION_LEARNT, RedisKey.LOGS,
)  # fmt: skip

_FOR_GOOD = -1
"""What Redis answers for a key without an end."""

_T = TypeVar("_T")


def function_key(name: str) -> str:
    """Return the key of a function's hash."""
    return RedisKey.FUNCTION.of(name)


def version_key(version: str) -> str:
    """Return the key of a version's record."""
    return RedisKey.VERSION.of(version)


class FunctionRegistry:
    """Owner of the keys of functions and of the version records."""

    def __init__(self, redis: Redis, rng: random.Random | None = None) -> None:
        self._redis = redis
        self._catalogue = Catalogue(redis)
        self._secrets = SecretStore(redis)
        self._rng = rng or random.Random()
        self._versions: dict[str, Version] = {}  # they are immutable, so what was read once holds

    def deploy(
        self,
        spec: FunctionSpec,
        alias: str = DEFAULT_ALIAS,
        *,
        check_source: Callable[[FunctionSpec], None] = check_source,
    ) -> Version:
        """Register `spec` and point `alias` to it; the same spec again is the same version, which comes `unchanged`.

        Its serving backend fills in how many instances there are, the checkpoint's format which engine. Raises
        InvalidSource, InvalidRequest, EngineNotFound, BackendNotFound or CheckpointNotFound before anything is written.
        `check_source` compiles the bundle, which may take long.
        """
        check_name(alias, "alias")
        new = deployable(spec, self._catalogue, check_source)
        identity = new.identity

        def write(pipe: Pipeline) -> Version:
            now = _now(pipe)
            record = _read(pipe, spec.name) or FunctionRecord(spec.name, now, 1, {}, {})
            listed = identity in cast("list[str]", pipe.lrange(_versions_key(spec.name), 0, -1))
            stored = _readable([identity], [cast("str | None", pipe.get(version_key(identity)))]) if listed else []
            version = stored[0] if stored else new.version(record.next_number, now)
            pipe.multi()
            if not stored:
                record = replace(record, next_number=record.next_number + 1)
                pipe.set(version_key(identity), version.model_dump_json())
            if not listed:
                pipe.rpush(_versions_key(spec.name), identity)
            pipe.sadd(FUNCTIONS_KEY, spec.name)
            pipe.delete(RedisKey.CONTROLLER_WANTED.of(identity))  # whoever deploys it again wants it tried again
            _write(pipe, record.pointing(alias, {identity: 1.0}))
            return version.model_copy(update={"unchanged": bool(stored)})

        return self._transact(spec.name, write)

    def list(self) -> Sequence[FunctionRecord]:
        """Return every function, by name."""
        names = sorted(cast("set[str]", self._redis.smembers(FUNCTIONS_KEY)))
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(function_key(name))
        return [
            FunctionRecord.from_redis(name, fields)
            for name, fields in zip(names, pipe.execute(), strict=True)
            if fields
        ]

    def get(self, name: str) -> FunctionRecord:
        """Return a function; FunctionNotFound lists the near names."""
        fields = cast("dict[str, str]", self._redis.hgetall(function_key(name)))
        if not fields:
            raise self._unknown(name)
        return FunctionRecord.from_redis(name, fields)

    def version(self, identity: str) -> Version:
        """Return a version by its id, those of deleted functions included for a day.

        Raises VersionNotFound, and RecordUnreadable where another release has stored it in a form of its own.
        """
        known = self._versions.get(identity)
        if known is not None:
            return known
        body = cast("str | None", self._redis.get(version_key(identity)))
        if body is None:
            raise VersionNotFound(f"no version has the id {identity!r}", param="version")
        version = parsed(Version, body, _called(identity))
        if len(self._versions) >= VERSIONS_KEPT:
            self._versions.pop(next(iter(self._versions)))
        self._versions[identity] = version
        return version

    def deleted(self, identities: Collection[str]) -> frozenset[str]:
        """Return those of the versions whose function was deleted: their records are gone, or last a day more.

        Unavailable when Redis is.
        """
        asked = sorted(identities)
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            for identity in asked:
                pipe.ttl(version_key(identity))
            lasting = pipe.execute()
        return frozenset(identity for identity, seconds in zip(asked, lasting, strict=True) if seconds != _FOR_GOOD)

    def version_ids(self, name: str) -> Sequence[str]:
        """Return the ids of a function's versions in order of first deploy."""
        ids = cast("list[str]", self._redis.lrange(_versions_key(name), 0, -1))
        if not ids:
            raise self._unknown(name)
        return ids

    def versions(self, name: str) -> Sequence[Version]:
        """Return a function's versions in order of first deploy, without those that this release does not read."""
        return self._read_versions(self.version_ids(name))

    def pointed_ids(self) -> Sequence[str]:
        """Return the ids of every version that an alias of an existing function points to."""
        return sorted({i for record in self.list() for weights in record.aliases.values() for i in weights})

    def pointed_versions(self) -> Sequence[Version]:
        """Return every version that an alias of an existing function points to and that this release reads."""
        return self._read_versions(self.pointed_ids())

    def _read_versions(self, ids: Sequence[str]) -> Sequence[Version]:
        return _readable(ids, cast("Any", self._redis.mget([version_key(i) for i in ids]))) if ids else []

    def resolve(self, name: str, alias: str | None = None) -> Version:
        """Return the version that a call of `name` runs: drawn by the weights of `alias` (live).

        Reads the aliases every time, so that a deploy holds from its answer on, in every gateway.
        """
        return self.version(self.get(name).choose(DEFAULT_ALIAS if alias is None else alias, self._rng))

    def set_alias(self, name: str, alias: str, weights: Mapping[str, float]) -> FunctionRecord:
        """Point `alias` to versions (ids, or numbers as text) by relative weights."""
        check_name(alias, "alias")
        known = {key: version.id for version in self.versions(name) for key in (version.id, str(version.number))}
        ids: dict[str, float] = {}
        for reference, weight in weights.items():
            if reference not in known:
                if reference in self.version_ids(name):
                    self.version(reference)  # says why it cannot be read
                raise VersionNotFound.named(reference, known)
            ids[known[reference]] = ids.get(known[reference], 0.0) + weight
        target = normalised(ids)
        return self._change(name, lambda record: record.pointing(alias, target))

    def remove_alias(self, name: str, alias: str) -> FunctionRecord:
        """Forget an alias; the default one is refused."""
        return self._change(name, lambda record: record.without(alias))

    def rollback(self, name: str, alias: str = DEFAULT_ALIAS) -> FunctionRecord:
        """Point `alias` to what it pointed to before; again, to what was before that. Conflict at the first."""
        return self._change(name, lambda record: record.rolled_back(alias))

    def delete(self, name: str) -> Sequence[str]:
        """Forget a function, its aliases and secrets; returns its versions' ids. What runs is left to the caller."""

        def write(pipe: Pipeline) -> Sequence[str]:
            if _read(pipe, name) is None:
                raise self._unknown(name)
            ids = cast("list[str]", pipe.lrange(_versions_key(name), 0, -1))
            pipe.multi()
            pipe.srem(FUNCTIONS_KEY, name)
            pipe.delete(function_key(name), *(key.of(name) for key in _GOES_WITH_ITS_FUNCTION))
            for identity in ids:
                pipe.expire(version_key(identity), DELETED_VERSION_SECONDS)
            return ids

        return self._transact(name, write)

    def set_secret(self, name: str, key: str, value: str) -> None:
        """Store a secret, an environment variable of the function's instances that start from now on."""
        if not re.fullmatch(SECRET_PATTERN, key):
            raise InvalidRequest(f"{key!r} is not the name of an environment variable", param="key")
        check_variables([key], "key")
        if "\0" in value:
            raise InvalidRequest("a secret cannot hold a NUL character", param="value")

        sealed = self._secrets.sealed(name, key, value)

        def write(pipe: Pipeline) -> None:
            if _read(pipe, name) is None:
                raise self._unknown(name)
            pipe.multi()
            pipe.hset(_secrets_key(name), key, sealed)

        self._transact(name, write)

    def remove_secret(self, name: str, key: str) -> None:
        """Forget a secret; SecretNotFound lists the near names."""
        self.get(name)
        if not self._secrets.remove(name, key):
            raise SecretNotFound.named(key, self._secrets.names(name))

    def secret_names(self, name: str) -> set[str]:
        """Return the names of a function's secrets. Their values only nodes can open (registry.secrets)."""
        return self._secrets.names(name)

    def _change(self, name: str, change: Callable[[FunctionRecord], FunctionRecord]) -> FunctionRecord:
        def write(pipe: Pipeline) -> FunctionRecord:
            record = _read(pipe, name)
            if record is None:
                raise self._unknown(name)
            changed = change(record)
            pipe.multi()
            _write(pipe, changed)
            return changed

        return self._transact(name, write)

    def _transact(self, name: str, write: Callable[[Pipeline], _T]) -> _T:
        """Run `write` with the function's hash watched, again when another changed it meanwhile."""
        run = cast("Callable[..., _T]", self._redis.transaction)  # redis types a callable that returns None
        return run(write, function_key(name), value_from_callable=True)

    def _unknown(self, name: str) -> NotFound:
        return FunctionNotFound.named(name, cast("set[str]", self._redis.smembers(FUNCTIONS_KEY)))


def _readable(ids: Sequence[str], bodies: Sequence[str | None]) -> Sequence[Version]:
    return readable(Version, zip(map(_called, ids), bodies, strict=True))


def _called(version: str) -> str:
    return f"version {version!r}"


def _read(pipe: Pipeline, name: str) -> FunctionRecord | None:
    fields = cast("dict[str, str]", pipe.hgetall(function_key(name)))
    return FunctionRecord.from_redis(name, fields) if fields else None


def _write(pipe: Pipeline, record: FunctionRecord) -> None:
    pipe.hset(function_key(record.name), mapping=cast("Any", record.to_redis()))


def _now(pipe: Pipeline) -> float:
    seconds, micros = pipe.time()
    return seconds + micros / 1e6


def _versions_key(name: str) -> str:
    return RedisKey.FUNCTION_VERSIONS.of(name)


def _secrets_key(name: str) -> str:
    return RedisKey.FUNCTION_SECRETS.of(name)
