"""Who can write to the remote tier changes no model that others use: manifests are signed, and names have owners."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from nacl.public import PrivateKey
from redis import Redis
from structlog.testing import capture_logs

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest, parse_manifest
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.checkpoints.signing import KEY_FILE, ImporterKey
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.node import NodeTiers
from quickthaw_platform.checkpoints.tiers.prefixes import CHECKSUM, PrefixFiles
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound
from quickthaw_platform.registry.catalogue import Catalogue, describe
from quickthaw_platform.registry.sealing import KEY_FILE as SEALING_FILE
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.checkpoints import NodeCheckpoints
from tests.unit.checkpoints.gguf_files import write_adapter
from tests.unit.checkpoints.reading.files import record


def unsigned(content: bytes = b"w", *, created_at: float = 1.0, algorithm: str = "blake3") -> Manifest:
    return Manifest(
        name="tiny", task="generate", architecture="A", dtype="bfloat16", bytes=1, context_tokens=8, source="s",
        source_digest="d", files=(), weights=(record("weights-0.safetensors", content, algorithm),),
        created_at=created_at,
    )  # fmt: skip


@pytest.fixture
def alice(tmp_path: Path) -> ImporterKey:
    return ImporterKey.load_or_make(tmp_path / "alice")


@pytest.fixture
def mallory(tmp_path: Path) -> ImporterKey:
    return ImporterKey.load_or_make(tmp_path / "mallory")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "remote")


def put(store: DirectoryStore, manifest: Manifest) -> str:
    store.put(f"{manifest.id}/{FILE_NAME}", manifest.model_dump_json().encode())
    return manifest.id


def test_the_key_of_a_machine_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = {key.public for key in threads.map(lambda _: ImporterKey.load_or_make(tmp_path), range(8))}
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_an_import_is_signed_and_taken_from_the_remote_tier_without_any_set_up(
    tmp_path: Path, store: DirectoryStore
) -> None:
    imported = import_checkpoint(str(write_adapter(tmp_path / "a.gguf")), DiskStore(tmp_path / "data" / "checkpoints"))
    own = ImporterKey.load(tmp_path / "data")
    assert own is not None
    assert imported.checkpoint.manifest["signer"] == own.public
    remote = RemoteCheckpoints(store)
    remote.push(imported.checkpoint)
    assert remote.manifest(imported.checkpoint.id) == Manifest.of(imported.checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"created_at": 1e12},
        {"license": "MIT"},
        {"gguf_architecture": "x"},
        {"weights": (record("weights-0.safetensors", b"evil"),)},
        {"signature": "00" * 64},
        {"signature": None},
        {"signer": None},
        {"signer": "00" * 32},
    ],
    ids=["name", "time", "licence", "no part of the id", "weights", "signature", "unsigned", "nobody", "no key"],
)
def test_a_manifest_that_was_changed_after_it_was_signed_is_refused(
    store: DirectoryStore, alice: ImporterKey, change: dict[str, Any]
) -> None:
    changed = put(store, alice.sign(unsigned()).model_copy(update=change))
    with pytest.raises(CheckpointBroken, match="is not that of its contents"):
        RemoteCheckpoints(store).manifest(changed)


def test_a_signature_of_another_key_is_refused(store: DirectoryStore, alice: ImporterKey, mallory: ImporterKey) -> None:
    forged = put(store, mallory.sign(unsigned()).model_copy(update={"signer": alice.public}))
    with pytest.raises(CheckpointBroken, match="is not that of its contents"):
        RemoteCheckpoints(store).manifest(forged)


def test_where_importers_are_trusted_by_name_others_are_refused(
    store: DirectoryStore, alice: ImporterKey, mallory: ImporterKey
) -> None:
    remote = RemoteCheckpoints(store, [alice.public])
    assert remote.manifest(put(store, alice.sign(unsigned()))).signer == alice.public
    foreign, nobody = put(store, mallory.sign(unsigned(b"x"))), put(store, unsigned(b"y"))
    with pytest.raises(CheckpointBroken, match=f"signed by {mallory.public}, and QUICKTHAW_TRUSTED_IMPORTERS"):
        remote.manifest(foreign)
    with pytest.raises(CheckpointBroken, match="signed by nobody"):
        remote.manifest(nobody)


def test_a_manifest_of_before_signatures_keeps_its_id_and_is_read() -> None:
    old = unsigned(algorithm="xxh3")
    fields = json.loads(old.model_dump_json(exclude={"signer", "signature", "created_at", "gguf_architecture"}))
    for added in ("embedding", "weights_format"):
        del fields[added]
    (weights,) = fields["weights"]
    assert weights.pop("algorithm") == "xxh3"
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert old.id == digest[:16]
    assert parse_manifest(json.dumps(fields | {"created_at": 1.0}).encode(), "there") == old


def test_checksums_of_an_unknown_kind_are_refused_by_name() -> None:
    text = unsigned().model_dump_json().replace('"blake3"', '"md5"')
    with pytest.raises(CheckpointBroken, match=r"weights\.0\.algorithm: .*'md5' are not known here, only by blake3"):
        parse_manifest(text.encode(), "there")


def test_checksums_of_both_kinds_are_part_of_the_id() -> None:
    assert unsigned().id != unsigned(algorithm="xxh3").id
    (weights,) = unsigned().weights
    assert len(weights.chunks[0]) == 64


def used(redis: Redis) -> str:
    return Catalogue(redis).find("tiny").id


def test_a_name_belongs_to_who_announced_it_first(redis: Redis, alice: ImporterKey, mallory: ImporterKey) -> None:
    catalogue = Catalogue(redis)
    mine, other = alice.sign(unsigned()), mallory.sign(unsigned(b"evil", created_at=9e9))
    assert catalogue.announce([describe(mine)]) == []
    assert catalogue.announce([describe(other), describe(unsigned(b"evil"))]) == [
        describe(other),
        describe(unsigned(b"evil")),
    ]
    assert used(redis) == mine.id
    with pytest.raises(CheckpointNotFound):
        catalogue.find(other.id)


def test_the_owner_of_a_name_puts_a_newer_checkpoint_under_it_and_an_older_one_does_not_come_back(
    redis: Redis, alice: ImporterKey
) -> None:
    catalogue = Catalogue(redis)
    old, new = alice.sign(unsigned()), alice.sign(unsigned(b"new", created_at=2.0))
    for announced in (old, new, old):
        assert catalogue.announce([describe(announced)]) == []
    assert used(redis) == new.id


def test_the_same_checkpoint_of_two_importers_is_one(redis: Redis, alice: ImporterKey, mallory: ImporterKey) -> None:
    catalogue = Catalogue(redis)
    assert catalogue.announce([describe(alice.sign(unsigned())), describe(mallory.sign(unsigned()))]) == []
    assert catalogue.find("tiny").signer == alice.public


def test_a_name_of_before_signatures_is_taken_by_the_first_signed_one(redis: Redis, alice: ImporterKey) -> None:
    catalogue = Catalogue(redis)
    catalogue.announce([describe(unsigned(created_at=5.0))])
    catalogue.announce([describe(alice.sign(unsigned(b"signed")))])
    assert catalogue.find("tiny").signer == alice.public


def test_an_admin_moves_a_name_for_good(redis: Redis, alice: ImporterKey, mallory: ImporterKey) -> None:
    catalogue = Catalogue(redis)
    before, after = alice.sign(unsigned(created_at=9.0)), mallory.sign(unsigned(b"after"))
    catalogue.announce([describe(before)])
    catalogue.move("tiny", mallory.public)
    catalogue.announce([describe(before)])  # its node goes on
    assert catalogue.announce([describe(after)]) == []
    assert catalogue.announce([describe(before)]) == [describe(before)]
    assert used(redis) == after.id
    with pytest.raises(CheckpointNotFound):
        catalogue.move("none", alice.public)


def test_a_removed_checkpoint_frees_its_name(redis: Redis, alice: ImporterKey, mallory: ImporterKey) -> None:
    catalogue = Catalogue(redis)
    first, second = alice.sign(unsigned()), mallory.sign(unsigned(b"second"))
    catalogue.announce([describe(first)])
    catalogue.withdraw(first.id)
    assert catalogue.announce([describe(second)]) == []
    assert used(redis) == second.id


def test_one_bad_manifest_holds_up_no_other_and_no_push(
    redis: Redis, tmp_path: Path, store: DirectoryStore, alice: ImporterKey
) -> None:
    good = alice.sign(unsigned())
    put(store, good)
    store.put(f"{'0' * 16}/{FILE_NAME}", b"{")
    settings = Settings(data_dir=tmp_path / "node", remote=store.url)
    own = import_checkpoint(str(write_adapter(tmp_path / "own.gguf")), DiskStore(settings.checkpoints_dir)).checkpoint
    node = NodeCheckpoints(
        settings, redis, drop_templates=lambda _: None, on_failed=lambda _id, _error: None, on_change=lambda: None
    )
    try:
        node._round()
        assert [found.id for found in Catalogue(redis).list()] == [good.id]
        assert set(RemoteCheckpoints(store).ids()) == {"0" * 16, good.id, own.id}
    finally:
        node.close()


KV = "echo-12.kv"


@contextmanager
def beginnings(folder: Path, remote: DirectoryStore, key: PrivateKey | None) -> Iterator[PrefixFiles]:
    """Give the files of beginnings as a node has them, whose data directory has this key of the platform."""
    folder.mkdir()
    if key is not None:
        (folder / SEALING_FILE).write_text(f"{bytes(key).hex()}\n")
    settings = Settings(data_dir=folder, remote=remote.url)
    disk = DiskStore(settings.checkpoints_dir)
    tiers = NodeTiers(
        settings, disk, RemoteCheckpoints(remote),
        drop_templates=lambda _: None, on_failed=lambda _id, _error: None, on_change=lambda: None,
    )  # fmt: skip
    try:
        tiers.note_remote(frozenset({"c1", "c2"}))
        yield tiers.prefixes
    finally:
        tiers.close()


def compute(files: PrefixFiles, checkpoint: str, name: str, content: bytes) -> None:
    files.obtain(checkpoint, name, shared=True).write_bytes(content)
    files.keep(checkpoint, name, shared=True)


def found(files: PrefixFiles, checkpoint: str = "c1") -> bytes | None:
    path = files.obtain(checkpoint, KV, shared=True)
    return path.read_bytes() if path.exists() else None


def copied(store: DirectoryStore, source: str, target: str) -> None:
    """Put what lies under one name under another, with its checksum."""
    for end in ("", CHECKSUM):
        content = bytearray((told := store.head(source + end)).bytes)
        store.get_range(told, 0, memoryview(content), lambda: False)
        store.put(target + end, bytes(content))


GENUINE = f"c1/prefixes/{KV}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda store: store.put(GENUINE, b"evil"),
        lambda store: store.put(GENUINE + CHECKSUM, b"0" * 64),
        lambda store: [
            store.put(GENUINE, b"evil"),
            store.put(GENUINE + CHECKSUM, blake3(f"c1/{KV}\0evil".encode()).hexdigest().encode()),
        ],
        lambda store: [
            store.put(GENUINE, b"evil"),
            store.put(GENUINE + CHECKSUM, blake3(f"c1/{KV}\0evil".encode(), key=bytes(32)).hexdigest().encode()),
        ],
        lambda store: copied(store, "c1/prefixes/echo-34.kv", GENUINE),
        lambda store: copied(store, f"c2/prefixes/{KV}", GENUINE),
        lambda store: store.put(GENUINE + CHECKSUM, b"0" * (1 << 20)),
        lambda store: store.put(GENUINE + CHECKSUM, b""),
    ],
    ids=[
        "contents", "checksum", "no key", "a known key", "another beginning", "another checkpoint", "long checksum",
        "empty checksum",
    ],
)  # fmt: skip
def test_what_a_model_has_read_is_only_what_a_node_of_its_platform_has_computed(
    tmp_path: Path, store: DirectoryStore, forge: Callable[[DirectoryStore], object]
) -> None:
    key = PrivateKey.generate()
    with beginnings(tmp_path / "a", store, key) as writer:
        for checkpoint, name in (("c1", KV), ("c1", "echo-34.kv"), ("c2", KV)):
            compute(writer, checkpoint, name, f"{checkpoint} {name}".encode())
    with beginnings(tmp_path / "b", store, key) as reader:
        assert found(reader) == f"c1 {KV}".encode()
    forge(store)
    with beginnings(tmp_path / "c", store, key) as reader, capture_logs() as logged:
        assert (found(reader), found(reader)) == (None, None)
        assert found(reader, "c2") == f"c2 {KV}".encode()
        compute(reader, "c1", KV, b"computed here")
    assert [entry["file"] for entry in logged if "not taken" in entry["event"]] == [f"c1/{KV}"]
    with beginnings(tmp_path / "d", store, key) as reader:
        assert found(reader) == b"computed here"


@pytest.mark.parametrize("known", [False, True], ids=["none", "another"])
def test_a_node_without_the_key_of_the_platform_neither_takes_nor_gives_what_models_have_read(
    tmp_path: Path, store: DirectoryStore, known: bool
) -> None:
    key = PrivateKey.generate()
    with beginnings(tmp_path / "b", store, PrivateKey.generate() if known else None) as stranger:
        compute(stranger, "c1", KV, b"evil")
        assert found(stranger) == b"evil"  # its own
    with beginnings(tmp_path / "a", store, key) as node:
        assert found(node) is None
        compute(node, "c1", KV, b"genuine")
    with beginnings(tmp_path / "c", store, None) as stranger:
        assert found(stranger) is None
