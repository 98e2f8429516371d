"""The contract of remote stores, over each of them; S3 is a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, FILE_NAME, Manifest, open_checkpoint, read_manifest
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.commands.seaweed import BUCKET
from quickthaw_platform.contracts import RemoteObject, RemoteStore
from quickthaw_platform.errors import (
    CheckpointBroken,
    CheckpointNotFound,
    InvalidRequest,
    LoadCancelled,
    RemoteChanged,
    RemoteMissing,
)
from tests.unit.checkpoints.reading.files import content, record


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RemoteStore]:
    if request.param == "directory":
        yield open_store(str(tmp_path / "store"))
        return
    request.getfixturevalue("s3_environment")
    with contextlib.closing(open_store(f"s3://{BUCKET}/{tmp_path.name}")) as store:
        yield store


def never() -> bool:
    return False


def read(store: RemoteStore, found: RemoteObject, begin: int, size: int) -> bytes:
    into = bytearray(size)
    store.get_range(found, begin, memoryview(into), never)
    return bytes(into)


def test_an_object_is_found_and_read_in_ranges(store: RemoteStore) -> None:
    data = bytes(range(256)) * 50
    put = store.put("a/b.bin", data)
    assert (put.key, put.bytes) == ("a/b.bin", len(data))
    assert store.head("a/b.bin") == put
    for begin, size in [(0, len(data)), (0, 1), (255, 3), (len(data) - 1, 1), (17, 0)]:
        assert read(store, put, begin, size) == data[begin : begin + size]


def test_a_file_in_several_parts_is_put_whole(store: RemoteStore, tmp_path: Path) -> None:
    data = bytes(range(251)) * 150_000  # 37 MB: two parts
    (tmp_path / "file").write_bytes(data)
    put = store.put("large", tmp_path / "file")
    assert put.bytes == len(data)
    assert read(store, put, 33 << 20, 1000) == data[33 << 20 : (33 << 20) + 1000]


def test_an_empty_object_is_one(store: RemoteStore) -> None:
    put = store.put("empty", b"")
    assert put.bytes == 0
    assert read(store, put, 0, 0) == b""


def test_what_is_listed_begins_with_the_prefix(store: RemoteStore) -> None:
    assert store.list() == []
    for key in ("b/2", "a/1", "b/1"):
        store.put(key, key.encode())
    assert [found.key for found in store.list()] == ["a/1", "b/1", "b/2"]
    assert store.list("b/") == [store.head("b/1"), store.head("b/2")]
    assert store.list("c") == []


def test_what_is_not_there_is_missing(store: RemoteStore) -> None:
    with pytest.raises(RemoteMissing, match="nothing"):
        store.head("nothing")
    with pytest.raises(RemoteMissing, match="nothing"):
        read(store, RemoteObject("nothing", 3, '"0"'), 0, 3)
    store.delete("nothing")


def test_what_is_deleted_is_gone(store: RemoteStore) -> None:
    store.put("a/x", b"x")
    store.delete("a/x")
    assert store.list() == []


def test_an_object_that_was_replaced_between_two_ranges_is_noticed(store: RemoteStore) -> None:
    found = store.put("x", b"one and a half")
    assert read(store, found, 0, 3) == b"one"
    store.put("x", b"two and a half")
    with pytest.raises(RemoteChanged, match="x was replaced"):
        read(store, found, 3, 3)


def test_reading_stops_when_told_to(store: RemoteStore) -> None:
    found = store.put("x", b"abc")
    with pytest.raises(LoadCancelled):
        store.get_range(found, 0, memoryview(bytearray(3)), lambda: True)


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "s3:///x", "file://host/x", ""])
def test_a_url_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="s3://bucket/prefix"):
        open_store(url)


def test_a_key_that_leads_out_of_a_directory_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for key in ("../x", "/etc/passwd", "a/../../x", ""):
        with pytest.raises(InvalidRequest, match="out of the store"):
            store.put(key, b"x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's folder without tensors, and with a tokenizer."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    small = record("tokenizer.json", b"{}").model_dump(include={"path", "bytes", "sha256"})
    manifest = Manifest.model_validate(
        {
            "name": "tiny", "task": "generate", "architecture": "Echo", "dtype": "float32", "bytes": 0,
            "context_tokens": 8, "source": "test", "source_digest": "0", "created_at": 1.0,
            "files": [small], "weights": [file.model_dump() for file in write_weights(folder, {}).files],
        }
    )  # fmt: skip
    (folder / FILE_NAME).write_text(manifest.model_dump_json())
    return folder


def test_a_pushed_checkpoint_can_be_fetched(store: RemoteStore, folder: Path, tmp_path: Path) -> None:
    remote = RemoteCheckpoints(store)
    checkpoint = open_checkpoint(folder)
    assert remote.ids() == []
    seen: list[tuple[int, int]] = []
    assert remote.push(checkpoint, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == 4098
    assert remote.ids() == [checkpoint.id]
    assert not remote.push(checkpoint)
    manifest = remote.manifest(checkpoint.id)
    assert manifest == Manifest.of(checkpoint)
    target = tmp_path / "target"
    target.mkdir()
    remote.fetch_small(manifest, target)
    assert (target / "tokenizer.json").read_text() == "{}"
    into = bytearray(4096)
    remote.source(manifest).read(0, 0, memoryview(into), never)
    assert into == (folder / "weights-0.safetensors").read_bytes()
    remote.remove(checkpoint.id)
    assert store.list() == []
    with pytest.raises(CheckpointNotFound):
        remote.manifest(checkpoint.id)


def test_a_checkpoint_that_was_removed_while_it_was_pushed_is_not_there(store: RemoteStore, folder: Path) -> None:
    remote = RemoteCheckpoints(store)
    checkpoint = open_checkpoint(folder)
    with pytest.raises(CheckpointNotFound, match="weights-0"):
        remote.push(checkpoint, lambda _done, _total: (folder / "weights-0.safetensors").unlink())
    assert remote.ids() == []


def test_pushes_of_one_checkpoint_at_once_do_no_harm(store: RemoteStore, folder: Path) -> None:
    remote = RemoteCheckpoints(store)
    checkpoint = open_checkpoint(folder)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: remote.push(checkpoint), range(4)))
    assert remote.manifest(checkpoint.id) == Manifest.of(checkpoint)
    assert len(store.list()) == 3


def test_pushed_weights_are_loaded_as_they_were_written(store: RemoteStore, folder: Path) -> None:
    data = [content(size, seed) for seed, size in enumerate((2 * CHUNK_BYTES + 4099, CHUNK_BYTES + 1))]
    files = [record(f"weights-{number}.safetensors", part) for number, part in enumerate(data)]
    for file, part in zip(files, data, strict=True):
        (folder / file.path).write_bytes(part)
    manifest = read_manifest(folder).model_copy(update={"weights": tuple(files)})
    (folder / FILE_NAME).write_text(manifest.model_dump_json())
    remote = RemoteCheckpoints(store)
    remote.push(open_checkpoint(folder))
    room = [bytearray(file.bytes) for file in files]
    with contextlib.closing(ArrivalWriter()) as arrival:
        Load(files, remote.source(manifest), [memoryview(part) for part in room], arrival, threads=4).run()
    assert room == data


def test_a_push_that_was_cut_off_is_not_there_and_goes_on(store: RemoteStore, folder: Path) -> None:
    remote = RemoteCheckpoints(store)
    checkpoint = open_checkpoint(folder)
    asked = iter([False, True])
    with pytest.raises(LoadCancelled):
        remote.push(checkpoint, stop=lambda: next(asked))
    assert remote.ids() == []
    (first,) = store.list()
    assert remote.push(checkpoint)
    assert store.head(first.key) == first  # not sent again


@pytest.mark.parametrize(
    ("key", "content", "act"),
    [
        (FILE_NAME, b"{", lambda remote, _manifest, _folder: remote.manifest(remote.ids()[0])),  # not a manifest
        ("tokenizer.json", b"[]", lambda remote, manifest, folder: remote.fetch_small(manifest, folder)),  # digest
        ("weights-0.safetensors", b"x", lambda remote, manifest, _folder: remote.source(manifest)),  # size
    ],
)
def test_what_is_wrong_in_the_store_is_named(
    store: RemoteStore, folder: Path, key: str, content: bytes, act: Callable[[RemoteCheckpoints, Manifest, Path], None]
) -> None:
    remote = RemoteCheckpoints(store)
    checkpoint = open_checkpoint(folder)
    remote.push(checkpoint)
    store.put(f"{checkpoint.id}/{key}", content)
    with pytest.raises(CheckpointBroken, match=key):
        act(remote, Manifest.of(checkpoint), folder)
