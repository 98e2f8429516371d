"""An S3 server that means harm takes neither memory nor a thread: what it says is checked, and no more is read."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.importers import hub
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import FILE_NAME, MAX_MANIFEST_BYTES, FileRecord, Manifest
from quickthaw_platform.checkpoints.remote import bounded_answers, checkpoints, s3
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.s3 import S3Store
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest, LoadCancelled, RemoteUnavailable
from tests import s3_stand_ins
from tests.security import hostile_s3 as hostile
from tests.security.hostile_s3 import ETAG, HostileS3
from tests.unit.checkpoints.reading.files import record

pytestmark = pytest.mark.timeout(60)

CONTENT = bytes(range(256)) * 4096
FOUND = RemoteObject("a", len(CONTENT), ETAG)
MOST_SENT_BYTES = 32 << 20
"""What fits in the buffers of a connection, on both sides and for each try."""


@pytest.fixture
def server() -> Iterator[HostileS3]:
    with hostile.hostile_s3() as server:
        server.objects["a"] = CONTENT
        yield server


@pytest.fixture
def store(server: HostileS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    s3_stand_ins.use(monkeypatch, server.url)
    monkeypatch.setattr(s3, "TRIES", 2)
    with contextlib.closing(S3Store("bucket")) as store:
        yield store


def never() -> bool:
    return False


def read(store: S3Store, size: int = 10) -> bytes:
    into = bytearray(size)
    store.get_range(FOUND, 0, memoryview(into), never)
    return bytes(into)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (hostile.longer_than_asked, "536,870,912 bytes where 10 were asked for"),
        (hostile.without_length, "Content-Length"),
    ],
    ids=["longer than asked", "without a length"],
)
def test_an_answer_that_is_longer_than_asked_is_not_read(
    server: HostileS3, store: S3Store, data: hostile.Data, says: str
) -> None:
    server.data = data
    with pytest.raises(RemoteUnavailable, match=says):
        read(store)
    assert server.sent_bytes < MOST_SENT_BYTES


def test_what_follows_an_answer_is_not_read_and_its_connection_not_used_again(
    server: HostileS3, store: S3Store
) -> None:
    server.data = hostile.more_behind
    assert read(store) == CONTENT[:10]
    assert read(store) == CONTENT[:10]
    assert server.connections == 2
    assert server.sent_bytes < MOST_SENT_BYTES


def test_a_read_that_drips_is_stopped_between_two_bytes(server: HostileS3, store: S3Store) -> None:
    server.data = hostile.dripping
    asked = iter([False, False, False, True])
    into = bytearray(len(CONTENT))
    with pytest.raises(LoadCancelled):
        store.get_range(FOUND, 0, memoryview(into), lambda: next(asked))
    assert into[:1000].count(0) > 900  # most of it has not come


@pytest.mark.parametrize(
    ("listing", "says"),
    [
        (hostile.a_page_without_end, "the answer has more than"),
        (hostile.pages_without_end, "lists more than 200 objects"),
        (hostile.empty_pages_without_end, "lists more than 200 objects"),
    ],
    ids=["a page", "pages", "empty pages"],
)
def test_a_listing_that_does_not_end_is_refused(
    server: HostileS3, store: S3Store, listing: hostile.Listing, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_OBJECTS", 200)
    server.listing = listing
    with pytest.raises(RemoteUnavailable, match=says):
        store.list()
    assert server.sent_bytes < 2 * bounded_answers.MAX_ANSWER_BYTES + MOST_SENT_BYTES


def test_a_listing_without_sizes_is_refused(server: HostileS3, store: S3Store) -> None:
    server.listing = lambda answer, _token: hostile.page(answer, [("a", None, ETAG)], None)
    with pytest.raises(RemoteUnavailable, match="the store's answer lacks 'Size'"):
        store.list()


def test_an_etag_that_is_no_header_is_refused(server: HostileS3, store: S3Store) -> None:
    server.listing = lambda answer, _token: hostile.page(answer, [("a", len(CONTENT), "&#10;Host: evil")], None)
    (found,) = store.list()
    with pytest.raises(RemoteUnavailable, match="Invalid header value"):
        store.get_range(found, 0, memoryview(bytearray(10)), never)


def test_what_a_hub_says_without_end_is_not_read(
    server: HostileS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setattr(hub, "MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(InvalidRequest, match="it answers with more than 1,048,576 bytes"):
        import_checkpoint("hf:org/name", DiskStore(tmp_path / "checkpoints"))
    assert server.sent_bytes < MOST_SENT_BYTES


def test_only_ids_are_taken_for_checkpoints(server: HostileS3, store: S3Store) -> None:
    names = ["0" * 16, "../" + "0" * 13, "x" * 16, "0" * 17, "A" * 16]
    server.objects = {f"{name}/{FILE_NAME}": b"" for name in names}
    assert RemoteCheckpoints(store).ids() == ["0" * 16]


@pytest.mark.parametrize("size", [MAX_MANIFEST_BYTES + 1, 1 << 60, -1, None], ids=["more", "huge", "negative", "none"])
def test_a_manifest_of_an_impossible_size_is_not_fetched(server: HostileS3, store: S3Store, size: int | None) -> None:
    key = f"{'0' * 16}/{FILE_NAME}"
    server.objects[key] = b"{}"
    server.sizes[key] = size
    with pytest.raises((CheckpointBroken, RemoteUnavailable)):
        RemoteCheckpoints(store).manifest("0" * 16)
    assert ("GET", key) not in server.asked


def manifest(*small: FileRecord) -> Manifest:
    return Manifest(
        name="tiny", task="generate", architecture="A", dtype="bfloat16", bytes=1, context_tokens=8, source="s",
        source_digest="d", files=small, weights=(record("weights-0.safetensors", b"w"),), created_at=1.0,
    )  # fmt: skip


def small(size: int, content: bytes = b"") -> FileRecord:
    return FileRecord(path="tokenizer.json", bytes=size, sha256=hashlib.sha256(content).hexdigest())


def test_a_small_file_of_another_size_than_recorded_is_not_fetched(
    server: HostileS3, store: S3Store, tmp_path: Path
) -> None:
    wanted = manifest(small(5))
    key = f"{wanted.id}/tokenizer.json"
    server.objects[key] = b"short"
    server.sizes[key] = 1 << 40
    with pytest.raises(CheckpointBroken, match="1,099,511,627,776 bytes instead of 5"):
        RemoteCheckpoints(store).fetch_small(wanted, tmp_path)
    assert ("GET", key) not in server.asked


def test_small_files_that_are_not_small_are_not_fetched(server: HostileS3, store: S3Store, tmp_path: Path) -> None:
    with pytest.raises(CheckpointBroken, match="beside its weights"):
        RemoteCheckpoints(store).fetch_small(manifest(small(1 << 40)), tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_a_small_file_comes_in_pieces_and_is_compared_with_its_digest(
    server: HostileS3, store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 1000)
    wanted = manifest(small(len(CONTENT[:2500]), CONTENT[:2500] if right else b"other"))
    key = f"{wanted.id}/tokenizer.json"
    server.objects[key] = CONTENT[:2500]
    remote = RemoteCheckpoints(store)
    if right:
        remote.fetch_small(wanted, tmp_path)
        assert (tmp_path / "tokenizer.json").read_bytes() == CONTENT[:2500]
    else:
        with pytest.raises(CheckpointBroken, match="is not what was pushed"):
            remote.fetch_small(wanted, tmp_path)
    assert server.asked.count(("GET", key)) == 3
