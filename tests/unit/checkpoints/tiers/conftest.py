"""Checkpoints of a few chunks on a node's disk and beyond."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, FILE_NAME, Manifest, weights_paths
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.node import Held, NodeTiers
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.settings import Settings
from tests.unit.checkpoints.reading.files import content, make_cold, record

SIZE = CHUNK_BYTES + 4096


@dataclass
class Node:
    """A node's tiers, and what they asked of their owner."""

    data_dir: Path
    tiers: NodeTiers
    store: DiskStore
    remote: RemoteCheckpoints
    dropped: list[str] = field(default_factory=list)

    def add(self, name: str, size: int = SIZE, partitions: int = 1, *, push: bool = False, keep: bool = True) -> str:
        """Put a checkpoint on the disk, beyond too with `push`, and there only without `keep`; returns its id."""
        with self.store.staging() as staged:
            files = []
            for number in range(partitions):
                data = content(size, seed=hash((name, number)) % 1000)
                file = record(f"weights-{number}.safetensors", data)
                (staged / file.path).write_bytes(data)
                files.append(file)
            (staged / "config.json").write_text(f'"{name}"')
            small = record("config.json", f'"{name}"'.encode()).model_dump(include={"path", "bytes", "sha256"})
            manifest = Manifest.model_validate(
                {
                    "name": name, "task": "generate", "architecture": "Echo", "dtype": "float32", "bytes": size,
                    "context_tokens": 8, "source": "test", "source_digest": name, "created_at": 1.0,
                    "files": [small], "weights": [file.model_dump() for file in files],
                }
            )  # fmt: skip
            (staged / FILE_NAME).write_text(manifest.model_dump_json())
            checkpoint = self.store.publish(staged)
        if push or not keep:
            self.remote.push(checkpoint)
            self.tiers.note_remote(frozenset(self.remote.ids()))
        if not keep:
            self.store.remove(checkpoint.id)
        return checkpoint.id

    def cold(self, checkpoint_id: str) -> None:
        """Have the kernel forget the checkpoint's pages."""
        make_cold(weights_paths(self.store.find(checkpoint_id)))

    def on_disk(self) -> set[str]:
        return {checkpoint.id for checkpoint in self.store.list()}


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Make nodes with settings; those of one `data_dir` share its disk, and all share what is beyond."""
    made: list[Node] = []

    def make(name: str = "n1", data_dir: str = "data", **settings: object) -> Node:
        folder = tmp_path / data_dir
        store = DiskStore(folder / "checkpoints")
        remote = RemoteCheckpoints(DirectoryStore(tmp_path / "remote"))
        dropped: list[str] = []
        tiers = NodeTiers(
            Settings.model_validate({"data_dir": folder, "node": name, "dram_budget": 1 << 30, **settings}),
            store,
            remote,
            drop_templates=dropped.append,
            on_failed=lambda checkpoint, _error: dropped.append(checkpoint),
            on_change=lambda: None,
        )
        made.append(Node(folder, tiers, store, remote, dropped))
        return made[-1]

    yield make
    for node in made:
        node.tiers.close()


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    return make_node()


def mapped(held: Held) -> list[bytes]:
    """Return what a template would map, once it has arrived."""
    checkpoint: Checkpoint = held.checkpoint
    manifest = Manifest.of(checkpoint)
    if checkpoint.arrival is not None:
        Arrival(checkpoint.arrival).wait_for_all([file.bytes for file in manifest.weights])
    paths = weights_paths(checkpoint)
    return [path.read_bytes()[: file.bytes] for path, file in zip(paths, manifest.weights, strict=True)]


def expected(name: str, size: int = SIZE, partitions: int = 1) -> list[bytes]:
    return [content(size, seed=hash((name, number)) % 1000) for number in range(partitions)]
