"""What reading from S3 makes of a server that fails: right bytes, or an error that says what it was."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from quickthaw_platform.checkpoints.remote import s3
from quickthaw_platform.checkpoints.remote.ranges import PIECE_BYTES
from quickthaw_platform.checkpoints.remote.s3 import S3Store
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import (
    LoadCancelled,
    RemoteChanged,
    RemoteDenied,
    RemoteError,
    RemoteMissing,
    RemoteUnavailable,
)
from tests import s3_stand_ins
from tests.integration.checkpoints.faulty_s3 import (
    ETAG,
    Answer,
    Fault,
    FaultyS3,
    cut_off,
    everything,
    faulty_s3,
    stall,
    status,
    then_hang_up,
    with_headers,
)
from tests.unit.checkpoints.reading.files import content

SIZE = 4 * PIECE_BYTES
FOUND = RemoteObject("id/weights-0.safetensors", SIZE, ETAG)
BEGIN, END = 7, SIZE - 5


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with faulty_s3(content(SIZE)) as server:
        yield server


@pytest.fixture
def store(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    s3_stand_ins.use(monkeypatch, server.url)
    monkeypatch.setattr(s3, "READ_SECONDS", 0.2)
    with contextlib.closing(S3Store("bucket", "prefix")) as store:
        yield store


def never() -> bool:
    return False


def read(store: S3Store, begin: int = BEGIN, end: int = END) -> bytes:
    into = bytearray(end - begin)
    store.get_range(FOUND, begin, memoryview(into), never)
    return bytes(into)


@pytest.mark.parametrize(
    ("faults", "asked_from"),
    [
        ([], [BEGIN]),  # nothing is wrong
        ([status(500)], [BEGIN, BEGIN]),  # an error inside the server
        ([status(503), status(502), status(429)], [BEGIN] * 4),  # it is overloaded
        ([cut_off(0)], [BEGIN, BEGIN]),  # a head without a body
        ([cut_off(1000)], [BEGIN, BEGIN + 1000]),  # a body that ends early
        ([cut_off(1000), cut_off(1)], [BEGIN, BEGIN + 1000, BEGIN + 1001]),  # and again
        ([cut_off(PIECE_BYTES + 3), status(500)], [BEGIN, *[BEGIN + PIECE_BYTES + 3] * 2]),  # two faults in a row
        ([stall(PIECE_BYTES + 3)], [BEGIN, BEGIN + PIECE_BYTES + 3]),  # silence
        ([with_headers(Content_Range=None)], [BEGIN, BEGIN]),  # bytes of nobody knows where
        ([with_headers(Content_Range="bytes 0-9/10")], [BEGIN, BEGIN]),  # other bytes
        ([with_headers(ETag=None)], [BEGIN]),  # some servers do not say; If-Match held
    ],
)
def test_what_breaks_goes_on_where_it_broke(
    server: FaultyS3, store: S3Store, faults: list[Fault], asked_from: list[int]
) -> None:
    server.faults.extend(faults)
    assert read(store) == server.content[BEGIN:END]
    assert server.asked == [(begin, END) for begin in asked_from]


def test_a_connection_that_is_reset_loses_no_byte(server: FaultyS3, store: S3Store) -> None:
    server.faults.append(cut_off(PIECE_BYTES * 2, reset=True))
    assert read(store) == server.content[BEGIN:END]
    first, second = server.asked
    assert first == (BEGIN, END)
    assert second[0] in range(BEGIN, BEGIN + PIECE_BYTES * 2 + 1)
    assert second[1] == END


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (status(401), RemoteDenied, "may not be read"),  # no credentials
        (status(403), RemoteDenied, "may not be read"),  # not these
        (status(404), RemoteMissing, "is not there"),  # deleted since it was found
        (status(412), RemoteChanged, "was replaced"),  # replaced since it was found
        (status(416), RemoteChanged, "shorter"),  # by a shorter one, where If-Match is ignored
        (with_headers(ETag='"2"'), RemoteChanged, "was replaced"),  # where If-Match is ignored
        (status(301), RemoteUnavailable, "status 301 instead of 206"),  # the bucket is in another region
        (everything, RemoteUnavailable, "status 200 instead of 206"),  # ranges are ignored
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(
    server: FaultyS3, store: S3Store, fault: Fault, error: type[RemoteError], message: str
) -> None:
    server.faults.append(fault)
    with pytest.raises(error, match=f"{FOUND.key}.*{message}"):
        read(store)
    assert len(server.asked) == 1
    assert read(store) == server.content[BEGIN:END]  # the next read is none the worse


def test_an_object_replaced_after_a_break_is_not_joined_with_its_successor(server: FaultyS3, store: S3Store) -> None:
    def break_and_replace(answer: Answer, begin: int, end: int) -> None:
        cut_off(1000)(answer, begin, end)
        server.etag = '"2"'

    server.faults.append(break_and_replace)
    with pytest.raises(RemoteChanged):
        read(store)
    assert server.asked == [(BEGIN, END), (BEGIN + 1000, END)]


def test_a_server_that_fails_for_ever_is_given_up(server: FaultyS3, store: S3Store) -> None:
    server.faults.extend([status(500)] * 100)
    with pytest.raises(RemoteUnavailable, match=f"{FOUND.key}: it answers with status 500, {s3.TRIES} times in a row"):
        read(store)
    assert len(server.asked) == s3.TRIES


def test_only_tries_that_bring_nothing_count(server: FaultyS3, store: S3Store) -> None:
    server.faults.extend([cut_off(10)] * (3 * s3.TRIES))
    assert read(store) == server.content[BEGIN:END]
    assert len(server.asked) == 3 * s3.TRIES + 1


def test_a_server_that_is_not_there_is_given_up(server: FaultyS3, store: S3Store) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(RemoteUnavailable, match="ConnectionRefusedError"):
        read(store)


def test_whoever_stops_is_not_kept_by_a_server_that_fails(server: FaultyS3, store: S3Store) -> None:
    server.faults.extend([status(500)] * 100)
    with pytest.raises(LoadCancelled):
        store.get_range(FOUND, 0, memoryview(bytearray(SIZE)), lambda: len(server.asked) > 1)
    assert len(server.asked) == 2


def test_a_connection_serves_read_after_read(server: FaultyS3, store: S3Store) -> None:
    for begin in range(0, SIZE, PIECE_BYTES):
        read(store, begin, begin + PIECE_BYTES)
    assert server.connections == 1


def test_connections_that_the_server_closed_meanwhile_cost_no_try(server: FaultyS3, store: S3Store) -> None:
    together = threading.Barrier(s3.TRIES + 1)

    def wait_and_hang_up(answer: Answer, begin: int, end: int) -> None:
        together.wait()
        then_hang_up(answer, begin, end)

    server.faults.extend([wait_and_hang_up] * together.parties)
    threads = [threading.Thread(target=read, args=(store,)) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        assert server.hung_up.acquire(timeout=30)
    server.asked.clear()
    assert read(store) == server.content[BEGIN:END]
    assert server.asked == [(BEGIN, END)]
