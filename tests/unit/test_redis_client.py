"""The connection to Redis that every process uses."""

from contextlib import ExitStack

from quickthaw_platform.redis_client import connect
from quickthaw_platform.settings import Settings


def test_more_streams_can_be_followed_at_once_than_redis_py_allows_by_default(platform_settings: Settings) -> None:
    pool = connect(platform_settings).connection_pool
    with ExitStack() as stack:
        for _ in range(150):
            stack.callback(pool.release, pool.get_connection())
    pool.disconnect()
