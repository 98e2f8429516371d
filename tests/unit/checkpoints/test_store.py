from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
import structlog

from quickthaw_platform.checkpoints.checksums import checksum
from quickthaw_platform.checkpoints.manifest import (
    FILE_NAME,
    FileRecord,
    Manifest,
    WeightsFile,
    open_checkpoint,
)
from quickthaw_platform.checkpoints.store import STAGING_PREFIX, DiskStore
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound


def stage(directory: Path, name: str = "tiny", content: bytes = b"weights", created_at: float = 1.0) -> Manifest:
    """Write a whole checkpoint into a staging folder."""
    (directory / "weights-0.safetensors").write_bytes(content)
    manifest = Manifest(
        name=name,
        task="generate",
        architecture="LlamaForCausalLM",
        dtype="bfloat16",
        bytes=len(content),
        context_tokens=8,
        source="directory:tiny",
        source_digest=content.hex(),
        files=(),
        weights=(
            WeightsFile(
                path="weights-0.safetensors",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                data_offset=0,
                chunks=(checksum(content, "xxh3"),),
            ),
        ),
        created_at=created_at,
    )
    (directory / FILE_NAME).write_text(manifest.model_dump_json())
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


def publish(store: DiskStore, name: str = "tiny", content: bytes = b"weights", created_at: float = 1.0) -> str:
    with store.staging() as staged:
        stage(staged, name, content, created_at)
        return store.publish(staged).id


def folders(store: DiskStore) -> set[str]:
    return {path.name for path in store.root.iterdir()}


def test_what_is_published_is_found_by_name_and_by_id(store: DiskStore) -> None:
    checkpoint_id = publish(store)
    assert store.find("tiny").id == store.find(checkpoint_id).id == checkpoint_id
    assert store.find("tiny").path == store.root / checkpoint_id
    assert folders(store) == {checkpoint_id}


def test_the_id_is_of_the_content_and_not_of_the_time(store: DiskStore) -> None:
    assert publish(store, created_at=1.0) == publish(store, created_at=2.0)
    assert len(store.list()) == 1


def test_of_two_checkpoints_of_one_name_the_newer_wins_and_both_are_listed(store: DiskStore) -> None:
    newer = publish(store, content=b"new", created_at=2.0)
    older = publish(store, content=b"old", created_at=1.0)
    assert store.find("tiny").id == newer
    assert [c.id for c in store.list()] == [newer, older]
    assert store.find(older).id == older


def test_an_unknown_name_lists_near_ones(store: DiskStore) -> None:
    publish(store, name="smollm2")
    with pytest.raises(CheckpointNotFound, match=r"known: smollm2\. Import one with"):
        store.find("smolm2")


def test_in_an_empty_store_nothing_is_found(store: DiskStore) -> None:
    assert store.list() == []
    with pytest.raises(CheckpointNotFound, match="there is no checkpoint yet"):
        store.find("any")


def test_removing_is_idempotent_and_leaves_nothing(store: DiskStore) -> None:
    checkpoint_id = publish(store)
    store.remove(checkpoint_id)
    store.remove(checkpoint_id)
    assert folders(store) == set()


def test_removing_takes_ids_only_and_never_a_path(store: DiskStore, tmp_path: Path) -> None:
    publish(store)
    (tmp_path / "precious").mkdir()
    store.remove("../precious")
    assert (tmp_path / "precious").exists()


def test_a_failed_import_leaves_nothing(store: DiskStore) -> None:
    with pytest.raises(IsADirectoryError), store.staging() as staged:  # noqa: PT012 - fails half way
        (staged / "config.json").mkdir()
        (staged / "config.json").write_text("")
    assert folders(store) == set()


def _die_while_staging(root: Path) -> None:
    with DiskStore(root).staging() as staged:
        stage(staged)
        os.kill(os.getpid(), 9)


def test_leftovers_of_a_killed_import_are_swept_by_the_next_one(store: DiskStore) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_while_staging, args=(store.root,))
    process.start()
    process.join()
    assert [name.startswith(STAGING_PREFIX) for name in folders(store)] == [True]
    assert store.list() == []
    checkpoint_id = publish(store)
    assert folders(store) == {checkpoint_id}


def test_a_running_import_is_not_swept_by_another(store: DiskStore) -> None:
    with store.staging() as staged:
        stage(staged)
        other = publish(store, content=b"other")
        mine = store.publish(staged).id
    assert folders(store) == {mine, other}


@pytest.mark.parametrize("content", [b"weight", b"weights and more"])
def test_a_file_of_the_wrong_size_is_never_used(store: DiskStore, content: bytes) -> None:
    checkpoint_id = publish(store)
    (store.root / checkpoint_id / "weights-0.safetensors").write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        assert store.list() == []
    assert "weights-0.safetensors" in logs[0]["error"]
    with pytest.raises(CheckpointBroken, match=r"weights-0\.safetensors has .* bytes instead of 7"):
        store.find("tiny")


def test_a_missing_file_is_named(store: DiskStore) -> None:
    checkpoint_id = publish(store)
    (store.root / checkpoint_id / "weights-0.safetensors").unlink()
    with pytest.raises(CheckpointBroken, match=r"weights-0\.safetensors is missing"):
        open_checkpoint(store.root / checkpoint_id)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}'])
def test_a_broken_manifest_hides_only_its_own_checkpoint(store: DiskStore, text: str) -> None:
    good = publish(store)
    bad = publish(store, name="bad", content=b"bad")
    (store.root / bad / FILE_NAME).write_text(text)
    assert [c.id for c in store.list()] == [good]
    with pytest.raises(CheckpointBroken, match="is not a manifest"):
        open_checkpoint(store.root / bad)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "a/../../b", ""])
def test_a_manifest_names_only_files_inside_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        FileRecord(path=path, bytes=0, sha256="")


def _die_while_staging_by_key(root: Path) -> None:
    with DiskStore(root).staging("key") as staged:
        stage(staged)
        os.kill(os.getpid(), 9)


def test_what_a_killed_import_wrote_is_found_under_its_key(store: DiskStore) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_while_staging_by_key, args=(store.root,))
    process.start()
    process.join()
    with store.staging("key") as staged:
        assert (staged / "weights-0.safetensors").read_bytes() == b"weights"
    assert folders(store) == set()


def test_an_interrupt_keeps_what_was_written_and_an_error_does_not(store: DiskStore) -> None:
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), store.staging("key") as staged:  # noqa: PT012 - fails half way
            (staged / error.__name__).touch()
            raise error
        assert bool(folders(store)) == (error is KeyboardInterrupt)


def test_the_second_user_of_a_key_waits_and_gets_a_folder_of_its_own(store: DiskStore) -> None:
    waits, entered = threading.Event(), threading.Event()

    def second() -> None:
        with DiskStore(store.root).staging("key", waits.set) as folder:
            assert not list(folder.iterdir())
            entered.set()

    with store.staging("key") as staged:
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        assert not entered.is_set()
        stage(staged)
        published = store.publish(staged).id
    thread.join()
    assert entered.is_set()
    assert folders(store) == {published}
