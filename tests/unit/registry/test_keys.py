"""API keys: what is stored, what is accepted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError
from redis import Redis

from quickthaw.resources import KeyRequest, Quotas, Scope
from quickthaw_platform.errors import AuthenticationFailed, InvalidRequest, KeyNotFound
from quickthaw_platform.registry.keys import KeyStore


@pytest.fixture
def keys(redis: Redis) -> KeyStore:
    return KeyStore(redis)


def test_a_key_is_accepted_until_it_is_revoked(keys: KeyStore) -> None:
    created = keys.create("ci", [Scope.INVOKE], Quotas(requests="40 per 3 hours", tokens_per_minute=20_000))
    verified = keys.verify(created.key)
    assert verified.info == keys.list()[0]
    assert verified.info.quotas.requests == "40 per 3 hours"
    keys.revoke(created.id)
    with pytest.raises(AuthenticationFailed):
        keys.verify(created.key)
    with pytest.raises(KeyNotFound):
        keys.revoke(created.id)


def test_a_key_has_its_weight(keys: KeyStore) -> None:
    assert keys.verify(keys.create("ci", [Scope.INVOKE], weight=3.0).key).info.weight == 3
    assert keys.verify(keys.create("ci2", [Scope.INVOKE]).key).info.weight == 1


@pytest.mark.parametrize("weight", [0, -1, 0.0001, 1001, float("nan"), float("inf")])
def test_a_weight_that_would_starve_others_or_itself_is_refused(weight: float) -> None:
    with pytest.raises(ValidationError):
        KeyRequest(name="ci", weight=weight)


def test_only_the_digest_is_stored(redis: Redis, keys: KeyStore) -> None:
    created = keys.create("ci", [Scope.INVOKE])
    secret = created.key.split("-", 2)[2]
    for name in redis.scan_iter():
        stored = redis.hgetall(name) if redis.type(name) == "hash" else redis.smembers(name)
        assert secret not in str(stored)


@pytest.mark.parametrize("wrong", ["", "qt-", "sk-123", "qt-000000000000-" + "a" * 32, "qt-\u00e9", "x" * 100_000])
def test_a_key_that_is_not_ours_is_refused(keys: KeyStore, wrong: str) -> None:
    with pytest.raises(AuthenticationFailed):
        keys.verify(wrong)


def test_a_key_with_a_wrong_secret_is_refused(keys: KeyStore) -> None:
    created = keys.create("ci", [Scope.ADMIN])
    with pytest.raises(AuthenticationFailed):
        keys.verify(created.key[:-1] + ("a" if created.key[-1] != "a" else "b"))


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        (Scope.ADMIN, {Scope.ADMIN, Scope.DEPLOY, Scope.INVOKE}),
        (Scope.DEPLOY, {Scope.DEPLOY}),
        (Scope.INVOKE, {Scope.INVOKE}),
    ],
)
def test_scopes(keys: KeyStore, held: Scope, allowed: set[Scope]) -> None:
    key = keys.verify(keys.create("k", [held]).key)
    assert {scope for scope in Scope if key.allows(scope)} == allowed


def test_the_first_admin_key_is_made_once(keys: KeyStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [key for key in pool.map(lambda _: keys.ensure_admin(), range(8)) if key]
    assert len(made) == 1
    assert keys.verify(made[0]).allows(Scope.ADMIN)


@pytest.mark.parametrize("rate", ["forty per hour", "40", "40 per fortnight", "0 per minute"])
def test_a_rate_that_cannot_be_read_is_refused(keys: KeyStore, rate: str) -> None:
    with pytest.raises(InvalidRequest, match="rate"):
        keys.create("k", [Scope.INVOKE], Quotas(requests=rate))
