"""API keys: only digests are stored, comparison takes constant time.

A key reads `qt-<id>-<secret>`: the id finds the record, the digest of the whole key is compared with it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

from limits import parse_many
from redis import Redis
from redis.client import Pipeline

from quickthaw.resources import KeyCreated, KeyInfo, Quotas, Scope
from quickthaw_platform.errors import AuthenticationFailed, InvalidRequest, KeyNotFound
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.validation import check_name
from quickthaw_platform.stored_records import parsed, readable

KEYS_KEY = RedisKey.KEYS
SECRET_BYTES = 24
_SHAPE = re.compile(r"^qt-([0-9a-f]{12})-([A-Za-z0-9_-]{32})$")
MOST_REQUESTS = 1_000_000_000
LONGEST_WINDOW_SECONDS = 10 * 366 * 86_400
_NOT_A_RATE = '{!r} is not a rate; write for example "40 per 3 hours" or "5 per second; 100 per hour"'
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

    def create(
        self, name: str, scopes: Iterable[Scope | str], quotas: Quotas | None = None, weight: float = 1.0
    ) -> KeyCreated:
        """Make a key; the answer is the only place where the key itself ever stands."""
        created = self._draw(self._redis, name, scopes, quotas or Quotas(), weight)
        pipe = self._redis.pipeline()
        _put(pipe, created)
        pipe.execute()
        return created

    def ensure_admin(self) -> str | None:
        """Make the first admin key and return it; None when there is one. Of two callers one makes it."""

        def write(pipe: Pipeline) -> str | None:
            ids = cast("set[str]", pipe.smembers(KEYS_KEY))
            known = readable(KeyInfo, [(_called(i), cast("str | None", pipe.hget(_key(i), "info"))) for i in ids])
            if any(Scope.ADMIN in info.scopes for info in known):
                return None
            created = self._draw(pipe, "admin", (Scope.ADMIN,), Quotas())
            pipe.multi()
            _put(pipe, created)
            return created.key

        run = cast("Callable[..., str | None]", self._redis.transaction)  # redis types a callable that returns None
        return run(write, KEYS_KEY, value_from_callable=True)

    def verify(self, plaintext: str) -> StoredKey:
        """Return the record of a key; AuthenticationFailed for an unknown, malformed or revoked one.

        RecordUnreadable where another release has stored it in a form of its own: only whoever has the key hears that.
        """
        match = _SHAPE.match(plaintext)
        fields = cast("dict[str, str]", self._redis.hgetall(_key(match[1]))) if match else {}
        if match is None or not hmac.compare_digest(fields.get("digest", ""), _digest(plaintext)):
            raise AuthenticationFailed(f"the API key is not valid. {_ADVICE}")
        return StoredKey(parsed(KeyInfo, fields["info"], _called(match[1])), fields["digest"])

    def list(self) -> list[KeyInfo]:
        """Return all keys, oldest first."""
        ids = cast("set[str]", self._redis.smembers(KEYS_KEY))
        bodies = [(_called(key_id), self._redis.hget(_key(key_id), "info")) for key_id in ids]
        return sorted(readable(KeyInfo, cast("Any", bodies)), key=lambda info: (info.created_at, info.id))

    def revoke(self, key_id: str) -> None:
        """Forget a key; it stops working at once."""
        pipe = self._redis.pipeline()
        pipe.srem(KEYS_KEY, key_id)
        pipe.delete(_key(key_id))
        if not pipe.execute()[1]:
            raise KeyNotFound.named(key_id, cast("set[str]", self._redis.smembers(KEYS_KEY)))

    def _draw(
        self,
        client: Redis | Pipeline,
        name: str,
        scopes: Iterable[Scope | str],
        quotas: Quotas,
        weight: float = 1.0,
    ) -> KeyCreated:
        check_name(name, "key name")
        check_quotas(quotas)
        seconds, micros = client.time()
        key_id = secrets.token_hex(6)
        return KeyCreated(
            id=key_id,
            name=name,
            scopes=tuple(sorted({Scope(scope) for scope in scopes})),
            quotas=quotas,
            weight=weight,
            created_at=seconds + micros / 1e6,
            key=f"qt-{key_id}-{secrets.token_urlsafe(SECRET_BYTES)}",
        )


def check_quotas(quotas: Quotas) -> None:
    """Refuse a rate string that the `limits` library cannot read, and one whose numbers its scripts cannot count."""
    if quotas.requests is None:
        return
    try:
        rates = parse_many(quotas.requests)
    except ValueError as error:
        raise InvalidRequest(_NOT_A_RATE.format(quotas.requests), param="quotas.requests") from error
    if any(rate.amount < 1 or rate.multiples < 1 for rate in rates):
        raise InvalidRequest(_NOT_A_RATE.format(quotas.requests), param="quotas.requests")
    if any(rate.amount > MOST_REQUESTS or rate.get_expiry() > LONGEST_WINDOW_SECONDS for rate in rates):
        raise InvalidRequest(
            f"{quotas.requests!r} is more than can be counted: {MOST_REQUESTS:,} requests within ten years at most",
            param="quotas.requests",
        )


def _put(pipe: Pipeline, created: KeyCreated) -> None:
    fields = {"info": created.model_dump_json(exclude={"key"}), "digest": _digest(created.key)}
    pipe.sadd(KEYS_KEY, created.id)
    pipe.hset(_key(created.id), mapping=cast("Any", fields))


def _called(key_id: str) -> str:
    return f"API key {key_id!r}"


def _key(key_id: str) -> str:
    return RedisKey.KEY.of(key_id)


def _digest(plaintext: str) -> str:
    return sha256(plaintext.encode()).hexdigest()
