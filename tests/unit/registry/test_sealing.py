"""Who has the key opens a secret, for the function and the name that it was sealed for; nobody else does."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from nacl.public import SealedBox
from redis import Redis
from redis.exceptions import NoPermissionError

from quickthaw_platform.errors import StartFailed, Unavailable
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.redis_roles import Role
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile, SealingKey, is_sealed, public_key, seal
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.settings import Settings
from tests.valkey_process import ValkeyProcess


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "node" / KEY_FILE)


@pytest.fixture
def store(redis: Redis, keys: KeyFile) -> SecretStore:
    """Secrets of a platform whose node has announced itself."""
    found = SecretStore(redis)
    found.announce(keys)
    return found


def current(keys: KeyFile) -> SealingKey:
    return public_key(keys.read()[0])


def foreign(keys: KeyFile) -> str:
    """What somebody else sealed to the same key, who knows nothing of functions and names."""
    return base64.b64encode(SealedBox(keys.read()[0].public_key).encrypt(b"s3cret")).decode()


def put(redis: Redis, function: str, name: str, stored: str) -> None:
    redis.sadd(RedisKey.FUNCTIONS, function)
    redis.hset(RedisKey.FUNCTION_SECRETS.of(function), name, stored)


def test_a_key_is_made_once_and_for_its_user_only(keys: KeyFile) -> None:
    made = [bytes(key) for key in keys.make()]
    assert [bytes(key) for key in keys.make()] == made
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in keys.path.parent.iterdir()] == [KEY_FILE]


def test_secrets_for_other_purposes_are_those_of_each_key_and_not_of_another_purpose(keys: KeyFile) -> None:
    assert keys.derived("a") == []
    keys.make()
    (first,) = keys.derived("a")
    assert len(first) == 32
    assert first not in (bytes(keys.read()[0]), *keys.derived("b"))
    keys.rotate()
    assert keys.derived("a")[1:] == [first]
    assert keys.derived("a")[0] != first


@pytest.mark.parametrize("value", ["", "s3cret", "zwei\nZeilen", "sealed:abc"], ids=["empty", "plain", "lines", "mark"])
def test_what_was_sealed_opens_as_it_was(keys: KeyFile, value: str) -> None:
    keys.make()
    stored = seal(current(keys), "chat", "TOKEN", value)
    assert is_sealed(stored)
    assert value == "" or value not in stored
    assert keys.open("chat", "TOKEN", stored) == value


def test_a_sealed_secret_opens_for_no_other_function_or_name(keys: KeyFile) -> None:
    keys.make()
    stored = seal(current(keys), "chat", "TOKEN", "s3cret")
    for function, name in (("mine", "TOKEN"), ("chat", "OTHER")):
        with pytest.raises(StartFailed, match="cannot open the secret"):
            keys.open(function, name, stored)


def test_without_the_key_or_with_other_bytes_a_secret_stays_closed(keys: KeyFile, tmp_path: Path) -> None:
    stranger = KeyFile(tmp_path / "other" / KEY_FILE)
    keys.make()
    stored = seal(current(keys), "chat", "TOKEN", "s3cret")
    changed = bytearray(base64.b64decode(stored.removeprefix("sealed:")))
    changed[-1] ^= 1
    with pytest.raises(StartFailed, match=re.escape(str(stranger.path))):
        stranger.open("chat", "TOKEN", stored)
    stranger.make()
    spoilt = [f"sealed:{base64.b64encode(changed).decode()}", "sealed:?", f"sealed:{foreign(keys)}"]
    for opener, text in ((stranger, stored), *((keys, each) for each in spoilt)):
        with pytest.raises(StartFailed, match="TOKEN"):
            opener.open("chat", "TOKEN", text)


def test_a_file_that_holds_no_keys_is_named(keys: KeyFile) -> None:
    keys.path.parent.mkdir()
    keys.path.write_text("not a key\n")
    with pytest.raises(StartFailed, match=re.escape(str(keys.path))):
        keys.read()


def test_nothing_is_sealed_before_a_node_has_said_how(redis: Redis) -> None:
    with pytest.raises(Unavailable, match="secrets rotate"):
        SecretStore(redis).sealed("chat", "TOKEN", "s3cret")


def test_the_first_nodes_key_counts_and_others_do_not_take_its_place(
    redis: Redis, store: SecretStore, keys: KeyFile, tmp_path: Path
) -> None:
    other = KeyFile(tmp_path / "other" / KEY_FILE)
    store.announce(other)
    assert redis.get(RedisKey.SEALING) == current(keys)
    assert other.read() == []


def test_a_file_that_cannot_be_read_does_not_keep_a_node_away(store: SecretStore, keys: KeyFile) -> None:
    keys.path.write_text("?")
    store.announce(keys)


def test_rotation_seals_all_anew_and_what_was_sealed_meanwhile_opens(
    redis: Redis, store: SecretStore, keys: KeyFile
) -> None:
    put(redis, "chat", "SEALED", store.sealed("chat", "SEALED", "one"))
    put(redis, "chat", "OLD", "plain")
    before, late = redis.get(RedisKey.SEALING), store.sealed("chat", "LATE", "three")
    assert store.rotate(keys) == 2
    assert redis.get(RedisKey.SEALING) == current(keys) != before
    put(redis, "chat", "LATE", late)
    assert store.opened("chat", keys) == {"SEALED": "one", "OLD": "plain", "LATE": "three"}
    stored = redis.hgetall(RedisKey.FUNCTION_SECRETS.of("chat"))
    assert all(is_sealed(str(value)) for value in stored.values())
    keys.path.write_text(keys.path.read_text().splitlines()[0])
    assert keys.open("chat", "SEALED", str(stored["SEALED"])) == "one"


def test_a_rotation_that_was_cut_short_goes_on_with_its_key(redis: Redis, store: SecretStore, keys: KeyFile) -> None:
    put(redis, "chat", "TOKEN", store.sealed("chat", "TOKEN", "s3cret"))
    keys.rotate()
    made = current(keys)
    assert store.rotate(keys) == 1
    assert redis.get(RedisKey.SEALING) == current(keys) == made
    assert store.opened("chat", keys) == {"TOKEN": "s3cret"}


def test_a_copied_file_is_a_node_that_opens(store: SecretStore, keys: KeyFile, tmp_path: Path) -> None:
    sealed = store.sealed("chat", "TOKEN", "s3cret")
    copy = KeyFile(tmp_path / KEY_FILE)
    copy.path.write_text(keys.path.read_text())
    assert copy.open("chat", "TOKEN", sealed) == "s3cret"


def test_a_worker_takes_no_part_in_how_secrets_are_sealed(valkey: ValkeyProcess, redis: Redis, keys: KeyFile) -> None:
    with connect(Settings(redis_url=valkey.url_of(Role.WORKER))) as worker:
        SecretStore(worker).announce(keys)
        assert redis.get(RedisKey.SEALING) is None
        SecretStore(redis).announce(keys)
        sealed = SecretStore(redis).sealed("chat", "TOKEN", "s3cret")
        put(redis, "chat", "TOKEN", sealed)
        assert SecretStore(worker).opened("chat", keys) == {"TOKEN": "s3cret"}
        with pytest.raises(NoPermissionError):
            SecretStore(worker).rotate(keys)


def test_plain_secrets_of_older_versions_open_and_are_sealed_once(
    redis: Redis, store: SecretStore, keys: KeyFile
) -> None:
    put(redis, "chat", "TOKEN", "s3cret")
    assert store.opened("chat", keys) == {"TOKEN": "s3cret"}
    assert store.seal_plain() == 1
    assert store.seal_plain() == 0
    assert is_sealed(str(redis.hget(RedisKey.FUNCTION_SECRETS.of("chat"), "TOKEN")))
    assert store.opened("chat", keys) == {"TOKEN": "s3cret"}
