"""A remote tier whose objects become others while they are read: what arrives is what was meant, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, FILE_NAME, FileRecord, Manifest
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.remote import checkpoints
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.tiers import prefixes
from quickthaw_platform.checkpoints.tiers.prefixes import CHECKSUM, PrefixFiles
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import CheckpointBroken
from tests.unit.checkpoints.reading.files import content, record

SECRET = bytes(range(32))
GENUINE, OTHER = b"a" * 3000, b"b" * 3000
WEIGHTS = content(2 * CHUNK_BYTES + 100)


class ChangingStore:
    """Says of an object's size and identity what it says at first, and returns another content at each read."""

    url = "changing://"

    def __init__(self) -> None:
        self._contents: dict[str, Sequence[bytes]] = {}

    def add(self, key: str, *contents: bytes) -> None:
        """Have the reads of an object return these one after the other, and the last one from then on."""
        self._contents[key] = contents

    def list(self, prefix: str = "") -> list[RemoteObject]:
        return [self.head(key) for key in self._contents if key.startswith(prefix)]

    def head(self, key: str) -> RemoteObject:
        return RemoteObject(key, len(self._contents[key][0]), '"same"')

    def get_range(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        contents = self._contents[found.key]
        into[:] = contents[0][begin : begin + len(into)]
        self._contents[found.key] = contents[1:] or contents

    def put(self, key: str, source: Path | bytes) -> RemoteObject:
        raise AssertionError(f"{key} was put")

    def delete(self, key: str) -> None:
        raise AssertionError(f"{key} was deleted")

    def close(self) -> None:
        """Do nothing."""


def manifest(name: str = "tiny") -> Manifest:
    small = FileRecord(path="tokenizer.json", bytes=len(GENUINE), sha256=hashlib.sha256(GENUINE).hexdigest())
    return Manifest(
        name=name, task="generate", architecture="A", dtype="bfloat16", bytes=1, context_tokens=8, source="s",
        source_digest="d", files=(small,), weights=(record("weights-0.safetensors", WEIGHTS),), created_at=1.0,
    )  # fmt: skip


def test_a_manifest_that_became_another_ones_behind_its_head_is_refused() -> None:
    wanted, other = manifest(), manifest("evil")
    store = ChangingStore()
    store.add(f"{wanted.id}/{FILE_NAME}", wanted.model_dump_json().encode(), other.model_dump_json().encode())
    remote = RemoteCheckpoints(store)
    assert remote.manifest(wanted.id).id == wanted.id
    with pytest.raises(CheckpointBroken, match="the manifest of another checkpoint"):
        remote.manifest(wanted.id)


def test_a_small_file_of_which_a_piece_is_of_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 1000)
    wanted, store = manifest(), ChangingStore()
    store.add(f"{wanted.id}/tokenizer.json", GENUINE, OTHER, GENUINE)
    with pytest.raises(CheckpointBroken, match="is not what was pushed"):
        RemoteCheckpoints(store).fetch_small(wanted, tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("comes_back", [True, False], ids=["once", "for good"])
def test_a_chunk_that_becomes_another_is_read_again_and_never_taken(comes_back: bool) -> None:
    wanted, store = manifest(), ChangingStore()
    other = bytes(len(WEIGHTS))
    store.add(f"{wanted.id}/weights-0.safetensors", WEIGHTS, other, *([WEIGHTS] if comes_back else []))
    source = RemoteCheckpoints(store).source(wanted)
    memory, arrival = bytearray(len(WEIGHTS)), ArrivalWriter()
    load = Load(wanted.weights, source, [memoryview(memory)], arrival, threads=1)
    if comes_back:
        load.run()
        assert memory == WEIGHTS
    else:
        with pytest.raises(CheckpointBroken, match="chunk 1 of weights-0"):
            load.run()
    arrival.close()


@pytest.mark.parametrize(
    "contents",
    [(OTHER,), (GENUINE, OTHER), (OTHER, GENUINE), (GENUINE, GENUINE, OTHER)],
    ids=["whole", "its end", "its beginning", "its last piece"],
)
def test_what_a_model_has_read_is_not_taken_where_a_piece_of_it_is_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: tuple[bytes, ...]
) -> None:
    """Both are genuine files of this platform, of the same size; and each has its own checksum."""
    monkeypatch.setattr(prefixes, "READ_BYTES", 1000)
    store, name = ChangingStore(), "echo-12.kv"
    told = {each: blake3(f"c1/{name}\0".encode() + each, key=SECRET).hexdigest().encode() for each in (GENUINE, OTHER)}
    store.add(f"c1/{prefixes.FOLDER}/{name}", *contents)
    store.add(f"c1/{prefixes.FOLDER}/{name}{CHECKSUM}", told[GENUINE])
    files = PrefixFiles(tmp_path, 1 << 20, store, lambda _: True, "n1", lambda: (SECRET,))
    assert not files.obtain("c1", name, shared=True).exists()
    store.add(f"c1/{prefixes.FOLDER}/{name}", GENUINE)
    assert files.obtain("c1", name, shared=True).read_bytes() == GENUINE
