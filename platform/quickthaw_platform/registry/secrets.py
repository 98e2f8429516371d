"""Secrets of functions in Redis: sealed by whoever sets them, opened by the node that starts an instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoPermissionError

from quickthaw_platform.errors import StartFailed, Unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.sealing import KeyFile, SealingKey, is_sealed, public_key, seal

_log = structlog.get_logger()


class SecretStore:
    """Owner of the keys SEALING and FUNCTION_SECRETS."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def sealed(self, function: str, name: str, value: str) -> str:
        """Return a value as it is to be stored; Unavailable where no key is published yet."""
        key = self._key()
        if key is None:
            raise Unavailable("nothing says yet how secrets are sealed; run `quickthaw secrets rotate` on a node")
        return seal(key, function, name, value)

    def names(self, function: str) -> set[str]:
        """Return the names of a function's secrets."""
        return set(cast("list[str]", self._redis.hkeys(RedisKey.FUNCTION_SECRETS.of(function))))

    def remove(self, function: str, name: str) -> bool:
        """Forget a secret; whether it was there."""
        return bool(self._redis.hdel(RedisKey.FUNCTION_SECRETS.of(function), name))

    def opened(self, function: str, keys: KeyFile) -> dict[str, str]:
        """Return a function's secrets with their values; StartFailed where this node cannot open one."""
        return {name: keys.open(function, name, stored) for name, stored in self._stored(function).items()}

    def announce(self, keys: KeyFile) -> None:
        """Publish the key of this data directory where none is published yet, and say so where it is another one.

        A worker that is only a worker in Redis may not publish: else its password would let others have what is set.
        """
        try:
            held = [public_key(key) for key in keys.make()] if self._key() is None else []
            if held:
                self._redis.set(RedisKey.SEALING, held[0], nx=True)
            held = [public_key(key) for key in keys.read()]
        except NoPermissionError:
            _log.warning("secrets cannot be set until `quickthaw secrets rotate` or `keys first` was run here")
            return
        except StartFailed as error:
            _log.warning("functions with secrets cannot start on this node", error=error.message)
            return
        if self._key() not in held:
            advice = "copy this file from a node where they can"
            _log.warning("functions with secrets cannot start on this node", file=str(keys.path), advice=advice)

    def seal_plain(self) -> int:
        """Seal what older versions stored plain; return how many secrets those were."""
        plain = [each for each in self._all() if not is_sealed(each.stored)]
        return sum(self._replace(each, each.stored) for each in plain)

    def rotate(self, keys: KeyFile) -> int:
        """Make a new key, publish it and seal all secrets with it; return how many. StartFailed: one does not open.

        A key that an earlier try made and did not publish is taken.
        """
        known = [(each, keys.open(each.function, each.name, each.stored)) for each in self._all()]
        held = keys.read()
        current = held[0] if held and public_key(held[0]) != self._key() else keys.rotate()[0]
        self._redis.set(RedisKey.SEALING, public_key(current))
        return sum(self._replace(each, value) for each, value in known)

    def _key(self) -> SealingKey | None:
        key = cast("str | None", self._redis.get(RedisKey.SEALING))
        return None if key is None else SealingKey(key)

    def _all(self) -> list[_Secret]:
        functions = cast("set[str]", self._redis.smembers(RedisKey.FUNCTIONS))
        return [_Secret(f, name, stored) for f in sorted(functions) for name, stored in self._stored(f).items()]

    def _stored(self, function: str) -> Mapping[str, str]:
        return cast("dict[str, str]", self._redis.hgetall(RedisKey.FUNCTION_SECRETS.of(function)))

    def _replace(self, secret: _Secret, value: str) -> bool:
        """Seal a secret anew, unless it is gone or was set again meanwhile; whether that was done."""
        key, sealed = RedisKey.FUNCTION_SECRETS.of(secret.function), self.sealed(secret.function, secret.name, value)

        def write(pipe: Pipeline) -> bool:
            if cast("str | None", pipe.hget(key, secret.name)) != secret.stored:
                return False
            pipe.multi()
            pipe.hset(key, secret.name, sealed)
            return True

        run = cast("Callable[..., bool]", self._redis.transaction)  # redis types a callable that returns None
        return run(write, key, value_from_callable=True)


class _Secret(NamedTuple):
    """A secret as it is stored."""

    function: str
    name: str
    stored: str
