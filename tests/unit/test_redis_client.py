"""The connection to Redis that every process uses."""

from contextlib import ExitStack
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.redis_client import connect, for_one_thread
from quickthaw_platform.settings import Settings
from tests.valkey_process import ValkeyProcess


def test_more_streams_can_be_followed_at_once_than_redis_py_allows_by_default(platform_settings: Settings) -> None:
    pool = connect(platform_settings).connection_pool
    with ExitStack() as stack:
        for _ in range(150):
            stack.callback(pool.release, pool.get_connection())
    pool.disconnect()


def test_a_client_of_one_thread_keeps_its_connection_and_makes_a_new_one_where_that_broke(
    own_valkey: ValkeyProcess,
) -> None:
    redis = for_one_thread(own_valkey.client())
    first = redis.client_id()
    assert redis.client_id() == first
    with redis.pipeline(transaction=False) as pipe:
        pipe.client_id()
        assert pipe.execute() == [first]
    own_valkey.kill()
    with pytest.raises(RedisConnectionError):
        redis.ping()
    own_valkey.start()
    assert redis.ping()
    redis.close()


@pytest.mark.parametrize("most", [None, 2], ids=["as many as needed", "a few"])
def test_connections_that_broke_while_they_lay_idle_are_made_anew_silently(
    own_valkey: ValkeyProcess, most: int | None
) -> None:
    redis = connect(Settings(redis_url=own_valkey.url), most)
    idle: list[Any] = [redis.connection_pool.get_connection() for _ in range(2)]
    for connection in idle:
        connection.connect()
        redis.connection_pool.release(connection)
    own_valkey.kill()
    own_valkey.start()
    for _ in range(3):
        assert redis.ping()
        with redis.pipeline(transaction=False) as pipe:
            pipe.ping()
            assert pipe.execute() == [True]
    redis.close()


def test_who_finds_all_connections_in_use_waits_for_one(own_valkey: ValkeyProcess) -> None:
    pool: Any = connect(Settings(redis_url=own_valkey.url), 1).connection_pool
    pool.timeout = 0.01
    only = pool.get_connection()
    with pytest.raises(RedisConnectionError):
        pool.get_connection()
    pool.release(only)
    assert pool.get_connection() is only


def test_arguments_of_all_kinds_and_names_of_several_words_reach_redis(own_valkey: ValkeyProcess) -> None:
    with own_valkey.client() as redis:
        redis.rpush("list", "text", "ü", b"bytes", 7, 0.5, "")
        assert redis.lrange("list", 0, -1) == ["text", "ü", "bytes", "7", "0.5", ""]
        assert redis.execute_command("OBJECT ENCODING", "list") == "listpack"


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1:6379", "redis://127.0.0.1:port/0"])
@pytest.mark.parametrize("most", [None, 2])
def test_an_address_that_is_no_redis_is_told_by_the_setting(url: str, most: int | None) -> None:
    with pytest.raises(SettingsInvalid, match=r"redis_url is no address of a Redis: .*QUICKTHAW_REDIS_URL"):
        connect(Settings(redis_url=url), most)
