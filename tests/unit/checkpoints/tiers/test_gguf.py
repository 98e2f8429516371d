"""A GGUF checkpoint in a node's tiers: its parts come byte for byte from wherever they are, and are mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.contracts import Checkpoint
from tests.unit.checkpoints.gguf_files import write_adapter, write_llama
from tests.unit.checkpoints.tiers.conftest import Node, mapped


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return write_llama(tmp_path / "tiny.gguf", parts=3)


@pytest.fixture
def pushed(node: Node, parts: list[Path]) -> Checkpoint:
    """The checkpoint, on the disk and beyond."""
    checkpoint = import_checkpoint(str(parts[0]), node.store).checkpoint
    node.remote.push(checkpoint)
    node.tiers.note_remote(frozenset(node.remote.ids()))
    return checkpoint


def test_from_a_cold_disk_all_parts_come_into_memory(node: Node, pushed: Checkpoint, parts: list[Path]) -> None:
    node.cold(pushed.id)
    held = node.tiers.acquire(pushed.id, "i1", 1)
    assert held.tier == "disk"
    assert mapped(held) == [part.read_bytes() for part in parts]


def test_from_beyond_they_come_into_memory_and_onto_the_disk(node: Node, pushed: Checkpoint, parts: list[Path]) -> None:
    node.store.remove(pushed.id)
    held = node.tiers.acquire(pushed.id, "i1", 1)
    assert (held.tier, held.checkpoint.manifest["weights_format"]) == ("remote", "gguf")
    assert mapped(held) == [part.read_bytes() for part in parts]
    assert (held.checkpoint.path / "tokenizer.json").is_file()
    node.tiers.pull(pushed.id)  # joins, and waits for the disk too
    stored = node.store.find(pushed.id)
    assert [path.name for path in weights_paths(stored)] == [path.name for path in weights_paths(pushed)]
    assert [path.read_bytes() for path in weights_paths(stored)] == [part.read_bytes() for part in parts]


def test_a_wrong_chunk_on_the_disk_is_put_right_from_beyond(node: Node, pushed: Checkpoint, parts: list[Path]) -> None:
    wrong = weights_paths(pushed)[1]
    content = bytearray(wrong.read_bytes())
    content[-1] ^= 1
    wrong.write_bytes(content)
    node.cold(pushed.id)
    assert mapped(node.tiers.acquire(pushed.id, "i1", 1)) == [part.read_bytes() for part in parts]
    node.tiers.pull(pushed.id)
    assert wrong.read_bytes() == parts[1].read_bytes()


def test_an_adapter_without_small_files_is_fetched_too(node: Node, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "lora.gguf")
    checkpoint = import_checkpoint(str(file), node.store).checkpoint
    node.remote.push(checkpoint)
    node.tiers.note_remote(frozenset(node.remote.ids()))
    node.store.remove(checkpoint.id)
    assert mapped(node.tiers.acquire(checkpoint.id, "i1", 1)) == [file.read_bytes()]
