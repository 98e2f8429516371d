"""The rounds as real processes run them: Celery beat with its lock in Redis, and a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from quickthaw_platform.controller.schedule import ROLL_UP, ROUND, beat_config
from quickthaw_platform.settings import Settings
from tests.valkey_process import ValkeyProcess

APP = ("-m", "celery", "--quiet", "--app", "quickthaw_platform.worker.celery_app")
BEAT = ("beat", "--scheduler", "quickthaw_platform.controller.beat.ControllerBeat")
WORKER = ("worker", "--queues", "controller", "--pool", "threads", "--concurrency", "2")
PATIENCE_SECONDS = 40.0


@contextmanager
def running(url: str, folder: Path, *commands: tuple[str, ...]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run Celery processes on a Valkey; their output is kept in the folder."""
    environment = os.environ | {
        "QUICKTHAW_REDIS_URL": url,
        "QUICKTHAW_DATA_DIR": str(folder),
        "QUICKTHAW_CONTROLLER_INTERVAL": "200ms",
    }
    processes = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"celery-{number}.log").open("wb") as log:
                argv = [sys.executable, *APP, *command]
                processes.append(subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def last_sweep(redis: Redis) -> float:
    try:
        return float(redis.hget("qt:controller.watch", "last_sweep") or 0)
    except RedisError:
        return 0.0


def test_what_is_done_in_rounds_is_scheduled_by_the_interval_of_the_settings() -> None:
    config = beat_config(Settings(redis_url="redis://somewhere", controller_interval=0.5))
    seconds = {name: entry["schedule"] for name, entry in config["beat_schedule"].items()}
    assert seconds == {ROUND: 0.5, ROLL_UP: 30.0}
    assert {entry["options"]["queue"] for entry in config["beat_schedule"].values()} == {"controller"}
    assert config["redbeat_redis_url"] == "redis://somewhere"


@pytest.mark.slow
def test_the_rounds_go_on_after_redis_was_killed_and_after_beat_lost_its_lock(
    own_valkey: ValkeyProcess, tmp_path: Path
) -> None:
    with own_valkey.client() as redis, running(own_valkey.url, tmp_path, BEAT, WORKER) as processes:
        wait_until(lambda: last_sweep(redis) > 0)
        own_valkey.kill()
        time.sleep(1.0)  # the outage
        own_valkey.start()
        [lock] = redis.scan_iter("qt:redbeat:*lock")
        redis.delete(lock)  # as it is when an outage was longer than the lock holds
        back = last_sweep(redis)
        wait_until(lambda: last_sweep(redis) > back + 1)
        assert [process.poll() for process in processes] == [None, None]
        wait_until(lambda: bool(list(redis.scan_iter("qt:redbeat:*lock"))))


@pytest.mark.slow
def test_a_beat_that_was_killed_is_replaced_by_the_one_that_waits(own_valkey: ValkeyProcess, tmp_path: Path) -> None:
    """No worker runs, so what was sent stays in the queue."""

    def sent() -> int:
        return int(redis.llen("controller"))

    with own_valkey.client() as redis, running(own_valkey.url, tmp_path, BEAT) as [first]:
        wait_until(lambda: sent() > 0)
        with running(own_valkey.url, tmp_path, BEAT):
            first.kill()
            first.wait()
            before = sent()
            assert list(redis.scan_iter("qt:redbeat:*lock"))  # still held, for some seconds
            wait_until(lambda: sent() > before + 3)
