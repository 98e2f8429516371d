"""A model in a bucket of a real S3 server, imported."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.commands.seaweed import BUCKET
from tests.unit.checkpoints.models import save_llama


@pytest.mark.usefixtures("s3_environment")
def test_a_sharded_model_in_a_bucket_becomes_a_checkpoint(tmp_path: Path) -> None:
    model = save_llama(tmp_path / "tiny", shard_size="2KB")
    url = f"s3://{BUCKET}/models/tiny"
    with contextlib.closing(open_store(url)) as remote:
        for file in (tmp_path / "tiny").iterdir():
            remote.put(file.name, file)
    store = DiskStore(tmp_path / "checkpoints")
    done = import_checkpoint(url, store)
    assert (done.checkpoint.manifest["name"], done.checkpoint.manifest["source"]) == ("tiny", url)
    weights = load_file(done.checkpoint.path / "weights-0.safetensors")
    assert torch.equal(weights["model.embed_tokens.weight"], model.state_dict()["model.embed_tokens.weight"])
    assert import_checkpoint(url, store).existed
