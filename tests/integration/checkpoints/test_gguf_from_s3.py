"""A GGUF checkpoint that only a real S3 server has: a node fetches it, and an engine runs what comes into memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.node import NodeTiers
from quickthaw_platform.commands.seaweed import BUCKET
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.settings import Settings
from tests.unit.checkpoints.gguf_files import write_llama
from tests.unit.engines.tiny import generate

URL = f"s3://{BUCKET}/gguf-tiers"


def answer(checkpoint: Checkpoint) -> list[int]:
    engine = TransformersEngine()
    engine.prepare(checkpoint, {}, lambda _name, _seconds: None)
    engine.start("cpu", 1, 64 << 20)
    with contextlib.closing(engine):
        tokens = engine.tokenizer.encode("hello world")
        return generate(engine, tokens, temperature=0, max_tokens=16, ignore_eos=True).tokens


@pytest.mark.usefixtures("s3_environment")
def test_a_node_fetches_all_parts_and_the_engine_says_what_it_said_where_it_was_imported(tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=3)
    imported = import_checkpoint(str(parts[0]), DiskStore(tmp_path / "importer")).checkpoint
    RemoteCheckpoints(open_store(URL)).push(imported)
    settings = Settings.model_validate({"data_dir": tmp_path / "node", "node": "n1", "dram_budget": 1 << 30})
    store, remote = DiskStore(settings.checkpoints_dir), RemoteCheckpoints(open_store(URL))
    tiers = NodeTiers(
        settings,
        store,
        remote,
        drop_templates=lambda _checkpoint: None,
        on_failed=lambda _checkpoint, _error: None,
        on_change=lambda: None,
    )
    with contextlib.closing(tiers):
        tiers.note_remote(frozenset(remote.ids()))
        held = tiers.acquire(imported.id, "i1", 10)
        assert held.tier == "remote"
        assert len(held.checkpoint.weights) == len(parts)  # in memory, behind descriptors
        assert answer(held.checkpoint) == answer(imported)
        tiers.pull(imported.id)
        stored = [path.read_bytes() for path in weights_paths(store.find(imported.id))]
        assert stored == [part.read_bytes() for part in parts]


@pytest.mark.usefixtures("s3_environment")
def test_a_split_file_in_a_bucket_is_imported_as_it_is(tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=2)
    url = f"s3://{BUCKET}/models/tiny-gguf"
    with contextlib.closing(open_store(url)) as remote:
        for part in parts:
            remote.put(part.name, part)
    store = DiskStore(tmp_path / "data" / "checkpoints")
    done = import_checkpoint(url, store)
    assert (done.checkpoint.manifest["name"], done.checkpoint.manifest["weights_format"]) == ("tiny", "gguf")
    assert [path.read_bytes() for path in weights_paths(done.checkpoint)] == [part.read_bytes() for part in parts]
    assert import_checkpoint(url, store).existed
