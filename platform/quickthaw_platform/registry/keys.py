"""API keys: only digests are stored, comparison takes constant time.

A key reads `qt-<id>-<secret>`: the id finds the record, the digest of the whole key is compared with it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

from limits import parse_many
from redis import Redis
from redis.client import Pipeline

from quickthaw.resources import KeyInfo, Quotas, Scope
from quickthaw_platform.errors import AuthenticationFailed, InvalidRequest, KeyNotFound
from quickthaw_platform.registry.validation import check_name

KEYS_KEY = "qt:keys"
SECRET_BYTES = 24
_SHAPE = re.compile(r"^qt-([0-9a-f]{12})-([A-Za-z0-9_-]{32})$")
_ADVICE = "Send `Authorization: Bearer <key>`; `quickthaw keys create` makes one."


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key as it is stored."""

    info: KeyInfo
    digest: str

    def allows(self, scope: Scope) -> bool:
        """Whether the key may do what needs `scope`; `admin` implies all, the others stand for themselves."""
        return Scope.ADMIN in self.info.scopes or scope in self.info.scopes


class KeyStore:
    """Owner of every `qt:key:*` key."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def create(self, name: str, scopes: Collection[Scope], quotas: Quotas | None = None) -> tuple[KeyInfo, str]:
        """Make a key; returns its record and the key itself, which is never seen again."""
        info, plaintext = self._draw(name, scopes, quotas or Quotas())
        pipe = self._redis.pipeline()
        _put(pipe, info, plaintext)
        pipe.execute()
        return info, plaintext

    def ensure_admin(self) -> str | None:
        """Make the first admin key and return it; None when there is one. Of two callers one makes it."""

        def write(pipe: Pipeline) -> str | None:
            ids = cast("set[str]", pipe.smembers(KEYS_KEY))
            if any(Scope.ADMIN in found.info.scopes for i in ids if (found := _parse(pipe.hgetall(_key(i))))):
                return None
            info, plaintext = self._draw("admin", (Scope.ADMIN,), Quotas(), pipe)
            pipe.multi()
            _put(pipe, info, plaintext)
            return plaintext

        run = cast("Callable[..., str | None]", self._redis.transaction)  # redis types a callable that returns None
        return run(write, KEYS_KEY, value_from_callable=True)

    def verify(self, plaintext: str) -> StoredKey:
        """Return the record of a key; AuthenticationFailed for an unknown, malformed or revoked one."""
        match = _SHAPE.match(plaintext)
        found = self._read(match[1]) if match else None
        if found is None or not hmac.compare_digest(found.digest, _digest(plaintext)):
            raise AuthenticationFailed(f"the API key is not valid. {_ADVICE}")
        return found

    def list(self) -> list[KeyInfo]:
        """Return all keys, oldest first."""
        found = [self._read(key_id) for key_id in cast("set[str]", self._redis.smembers(KEYS_KEY))]
        return sorted((key.info for key in found if key), key=lambda info: (info.created_at, info.id))

    def revoke(self, key_id: str) -> None:
        """Forget a key; it stops working at once."""
        pipe = self._redis.pipeline()
        pipe.srem(KEYS_KEY, key_id)
        pipe.delete(_key(key_id))
        if not pipe.execute()[1]:
            raise KeyNotFound.named(key_id, cast("set[str]", self._redis.smembers(KEYS_KEY)))

    def _draw(
        self, name: str, scopes: Collection[Scope], quotas: Quotas, client: Redis | Pipeline | None = None
    ) -> tuple[KeyInfo, str]:
        check_name(name, "key name")
        check_quotas(quotas)
        seconds, micros = cast("tuple[int, int]", (client or self._redis).time())
        key_id = secrets.token_hex(6)
        info = KeyInfo(
            id=key_id,
            name=name,
            scopes=tuple(sorted(set(scopes))),
            quotas=quotas,
            created_at=seconds + micros / 1e6,
        )
        return info, f"qt-{key_id}-{secrets.token_urlsafe(SECRET_BYTES)}"

    def _read(self, key_id: str) -> StoredKey | None:
        return _parse(self._redis.hgetall(_key(key_id)))


def check_quotas(quotas: Quotas) -> None:
    """Refuse a rate string that the `limits` library cannot read."""
    if quotas.requests is None:
        return
    try:
        parse_many(quotas.requests)
    except ValueError as error:
        raise InvalidRequest(
            f'{quotas.requests!r} is not a rate; write for example "40 per 3 hours" or "5 per second; 100 per hour"',
            param="quotas.requests",
        ) from error


def _put(pipe: Pipeline, info: KeyInfo, plaintext: str) -> None:
    fields = {"info": info.model_dump_json(), "digest": _digest(plaintext)}
    pipe.sadd(KEYS_KEY, info.id)
    pipe.hset(_key(info.id), mapping=cast("Any", fields))


def _parse(fields: Any) -> StoredKey | None:
    if not fields:
        return None
    return StoredKey(KeyInfo.model_validate_json(fields["info"]), fields["digest"])


def _key(key_id: str) -> str:
    return f"qt:key:{key_id}"


def _digest(plaintext: str) -> str:
    return sha256(plaintext.encode()).hexdigest()
