"""The embedded Valkey is killed -9 under load, beside a disk that is busy, and has all that it acknowledged."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw_platform.commands import valkey
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.commands.valkey_sync import ValkeySync

KILLS = 4
LOAD_SECONDS = 1.2
"""Longer than the second between two times that the disk is told."""

WRITERS = 3
VALUE_BYTES = 4096
BALLAST_BYTES = 16 << 20


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Yield a Valkey as `quickthaw up` configures it, and its URL; killed in the end."""
    file, url = valkey.configure(folder, claim_port("127.0.0.1", 0), folder.parent / "valkey.log")
    process = subprocess.Popen([valkey.binary(), str(file)], stdout=subprocess.DEVNULL)
    try:
        valkey.wait_until_up(url, lambda: process.poll() is None)
        yield process, url
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def busy_disk(file: Path) -> Iterator[None]:
    """Have the disk written to and synced all the time, which makes other syncs slow."""
    over = threading.Event()

    def work() -> None:
        with file.open("wb", buffering=0) as opened:
            while not over.is_set():
                opened.seek(0)
                opened.write(bytes(BALLAST_BYTES))
                os.fsync(opened.fileno())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def write(url: str, name: str, acknowledged: dict[str, int]) -> None:
    """Count a key up until the server is gone, noting the last number that it acknowledged."""
    with Redis.from_url(url) as client, contextlib.suppress(RedisConnectionError):
        for number in itertools.count(1):
            client.hset(name, mapping={"number": number, "ballast": "x" * VALUE_BYTES})
            acknowledged[name] = number


def load_until_killed(process: subprocess.Popen[bytes], url: str, life: int) -> dict[str, int]:
    """Kill the server while several write; return what it acknowledged."""
    acknowledged: dict[str, int] = {}
    writers = [
        threading.Thread(target=write, args=(url, f"{life}/{number}", acknowledged), daemon=True)
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    threading.Event().wait(LOAD_SECONDS)  # the load itself
    process.kill()
    for writer in writers:
        writer.join()
    return acknowledged


@contextlib.contextmanager
def synced(folder: Path) -> Iterator[None]:
    """Have the files of a Valkey synced as `quickthaw up` does it."""
    sync = ValkeySync(folder, lambda: None)
    sync.start()
    try:
        yield
    finally:
        sync.close()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_though_the_disk_was_being_told(tmp_path: Path) -> None:
    """With `appendfsync everysec` most runs lose something: Valkey holds changes back while its disk is slow."""
    folder = tmp_path / "valkey"
    known: dict[str, int] = {}
    with busy_disk(tmp_path / "ballast"), synced(folder):
        for life in range(KILLS):
            with running(folder) as (process, url):
                known |= load_until_killed(process, url, life)
    assert len(known) == KILLS * WRITERS
    with running(folder) as (_, url), Redis.from_url(url, decode_responses=True) as client:
        found = {name: int(str(client.hget(name, "number"))) for name in known}
    assert {name: known[name] - found[name] for name in known if found[name] < known[name]} == {}
