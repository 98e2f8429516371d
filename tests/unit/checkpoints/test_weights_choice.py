"""Which of several formats is read: the same for what fetches a model and for what checks it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.source import USED
from quickthaw_platform.checkpoints.importers.weights_choice import chosen_weights, wanted_files
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import InvalidRequest
from tests.unit.checkpoints.models import save_llama

FOREIGN = (
    "pytorch_model.bin.index.json",
    "tf_model.h5.index.json",
    "flax_model.msgpack.index.json",
    "model.fp16.safetensors.index.json",
)
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("names", "read", "index"),
    [
        (["model.safetensors", *FOREIGN], ["model.safetensors"], None),  # indexes of other formats
        (["model.safetensors", "model.safetensors.index.json"], ["model.safetensors"], None),  # a stale one
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"], None),
        ([*SHARDS, "model.safetensors.index.json", "pytorch_model.bin"], SHARDS, "model.safetensors.index.json"),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"], None),
        (["a.bin", "pytorch_model.bin.index.json"], ["a.bin"], "pytorch_model.bin.index.json"),
    ],
)
def test_the_order_is_transformers_own(names: list[str], read: list[str], index: str | None) -> None:
    found = chosen_weights(names)
    assert found is not None
    assert (list(found.files), found.index_name) == (read, index)


@pytest.mark.parametrize("names", [[], ["config.json"], ["training_args.bin"], ["own.safetensors"], list(FOREIGN[1:])])
def test_other_names_are_no_weights(names: list[str]) -> None:
    assert chosen_weights(names) is None


@pytest.mark.parametrize(
    ("paths", "weights"),
    [
        # what is not read is not fetched
        (["config.json", "model.safetensors", "pytorch_model.bin", "m.gguf", *FOREIGN], ["model.safetensors"]),
        (["config.json", "pytorch_model.bin", "onnx/model.safetensors"], ["pytorch_model.bin"]),
        (["config.json", "model.safetensors", "onnx/config.json"], ["model.safetensors"]),
        (["m-Q8_0.gguf", "README.md"], ["m-Q8_0.gguf"]),
        (["config.json", "m.gguf"], ["m.gguf"]),
        (["0/config.json", "0/model.safetensors"], ["0/model.safetensors"]),
    ],
)
def test_what_is_fetched_is_what_is_read(paths: list[str], weights: list[str]) -> None:
    found = wanted_files(paths, USED, "here")
    assert [path for path in found if path.endswith((".safetensors", ".bin", ".gguf"))] == weights
    assert not [path for path in found if path.endswith(".index.json")]


@pytest.mark.parametrize("paths", [["model.safetensors"], ["config.json", "own.safetensors"], ["README.md"], []])
def test_nothing_is_fetched_where_there_is_no_model(paths: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="here holds no model"):
        wanted_files(paths, USED, "here")


def foreign_indexes(source: Path) -> Path:
    """A whole model in safetensors, beside it indexes that name files which are not there."""
    save_llama(source)
    for name in (*FOREIGN, "model.safetensors.index.json"):
        (source / name).write_text(json.dumps({"weight_map": {"a": "gone-00001-of-00002.bin"}}))
    return source


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_indexes_that_are_not_read_are_not_looked_at(tmp_path: Path, scheme: str) -> None:
    source = foreign_indexes(tmp_path / "tiny")
    found = import_checkpoint(f"{scheme}{source}", DiskStore(tmp_path / "store"), downloads=tmp_path / "downloads")
    assert Manifest.of(found.checkpoint).architecture == "LlamaForCausalLM"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_pickled_weights_are_read_whatever_lies_in_folders_below(tmp_path: Path, scheme: str) -> None:
    source = tmp_path / "tiny"
    model = save_llama(source)
    (source / "onnx").mkdir()
    shutil.move(source / "model.safetensors", source / "onnx" / "model.safetensors")
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    found = import_checkpoint(f"{scheme}{source}", DiskStore(tmp_path / "store"), downloads=tmp_path / "downloads")
    assert Manifest.of(found.checkpoint).tensors > 0


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_weights_of_another_name_are_named(tmp_path: Path, scheme: str) -> None:
    source = tmp_path / "tiny"
    save_llama(source)
    (source / "model.safetensors").rename(source / "model.fp16.safetensors")
    with pytest.raises(InvalidRequest, match=r"holds no model.*model\.fp16\.safetensors.*model\.safetensors"):
        import_checkpoint(f"{scheme}{source}", DiskStore(tmp_path / "store"), downloads=tmp_path / "downloads")


def test_an_index_of_its_own_format_names_only_that(tmp_path: Path) -> None:
    source = tmp_path / "tiny"
    save_llama(source, shard_size="2KB")
    index = source / "model.safetensors.index.json"
    facts = json.loads(index.read_text())
    facts["weight_map"]["model.norm.weight"] = "config.json"
    index.write_text(json.dumps(facts))
    with pytest.raises(InvalidRequest, match="of another format"):
        import_checkpoint(str(source), DiskStore(tmp_path / "store"))
