from __future__ import annotations

import hashlib
import json
import math
import struct
from io import FileIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from quickthaw_platform.checkpoints.checksums import NEW_ALGORITHM, checksum
from quickthaw_platform.checkpoints.header import read_header
from quickthaw_platform.checkpoints.layout import PAGE_BYTES, execution_order, untie, write_weights
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def header(file: Path) -> tuple[int, dict[str, dict[str, object]]]:
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + length])
    entries.pop("__metadata__")
    return 8 + length, entries


def test_tensors_stand_in_the_order_in_which_a_forward_pass_needs_them() -> None:
    names = [
        "lm_head.weight",
        "model.layers.10.mlp.up_proj.weight",
        "model.layers.2.self_attn.q_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.norm.weight",
        "model.embed_tokens.weight",
    ]
    assert execution_order(names) == [
        "model.embed_tokens.weight",
        "model.layers.2.self_attn.q_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.10.mlp.up_proj.weight",
        "model.norm.weight",
        "lm_head.weight",
    ]


@pytest.mark.parametrize(
    ("embedding", "head"),
    [
        ("transformer.wte.weight", "lm_head.weight"),  # GPT-2
        ("gpt_neox.embed_in.weight", "embed_out.weight"),  # GPT-NeoX
        ("embeddings.word_embeddings.weight", "pooler.dense.weight"),  # BERT
    ],
)
def test_other_architectures_names_are_known_too(embedding: str, head: str) -> None:
    middle = ["h.0.attn.weight", "h.1.attn.weight"]
    assert execution_order([head, *reversed(middle), embedding]) == [embedding, *middle, head]


def test_data_begins_on_a_page_and_the_safetensors_library_reads_the_file(tmp_path: Path) -> None:
    tensors = {f"layers.{i}.w": torch.randn(3, 5).to(torch.bfloat16) for i in range(200)}
    written = write_weights(tmp_path, tensors)
    file = tmp_path / written.files[0].path
    begin, entries = header(file)
    assert begin == written.files[0].data_offset
    assert begin % PAGE_BYTES == 0
    assert list(entries) == [f"layers.{i}.w" for i in range(200)]
    assert file.stat().st_size == begin + written.tensor_bytes == written.files[0].bytes
    for name, tensor in load_file(file).items():
        assert torch.equal(tensor, tensors[name])


@given(st.lists(st.tuples(st.sampled_from(["bfloat16", "float32", "int64", "bool", "uint8"]), st.integers(0, 5))))
def test_any_mixture_of_types_and_sizes_survives(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[str, int]]
) -> None:
    tensors = {f"layers.{i}.w": torch.ones(size, 3).to(getattr(torch, dtype)) for i, (dtype, size) in enumerate(shapes)}
    folder = tmp_path_factory.mktemp("mixture")
    written = write_weights(folder, tensors)
    with safe_open(folder / written.files[0].path, framework="pt") as file:
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor)


def test_each_tensor_stands_on_a_multiple_of_its_elements_size(tmp_path: Path) -> None:
    tensors = {"embed": torch.ones(3, dtype=torch.bfloat16), "layers.0.w": torch.ones(2, dtype=torch.float32)}
    write_weights(tmp_path, tensors)
    _, entries = header(tmp_path / "weights-0.safetensors")
    assert entries["layers.0.w"]["data_offsets"] == [0, 8]


def test_a_tied_tensor_is_stored_once_under_the_name_that_comes_first() -> None:
    shared = torch.ones(4, 2)
    tied = untie({"lm_head.weight": shared, "model.embed_tokens.weight": shared, "other": torch.ones(4, 2)})
    assert tied.aliases == {"lm_head.weight": "model.embed_tokens.weight"}
    assert list(tied.tensors) == ["model.embed_tokens.weight", "other"]


def test_a_view_with_another_shape_is_not_taken_for_tied() -> None:
    memory = torch.arange(8.0)
    tied = untie({"a": memory.reshape(4, 2), "b": memory.reshape(2, 4), "c": memory.reshape(2, 4).t()})
    assert not tied.aliases


def test_a_transposed_tensor_is_written_by_value(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3).t()
    write_weights(tmp_path, {"w": tensor})
    assert torch.equal(load_file(tmp_path / "weights-0.safetensors")["w"], tensor)


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_weights(tmp_path, {"a": torch.ones(10), "b": torch.ones(5)}, lambda done, total: seen.append((done, total)))
    assert seen == [(40, 60), (60, 60)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_partitions_are_of_about_equal_bytes_and_tear_no_layer_apart(tmp_path: Path, count: int) -> None:
    tensors = {f"layers.{i}.{part}": torch.full((100,), float(i)) for i in range(6) for part in "abc"}
    tensors["embed_tokens.weight"] = torch.ones(300)
    written = write_weights(tmp_path, tensors, partitions=count)
    assert len(written.files) == min(count, 7)
    found: list[str] = []
    for file in written.files:
        _, entries = header(tmp_path / file.path)
        found += entries
        assert file.bytes - file.data_offset <= 1200 * -(-7 // count)
    assert found == execution_order(tensors)


def test_the_manifest_has_the_digest_of_each_file_and_a_checksum_of_each_chunk(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(CHUNK_BYTES // 4 - 1), "b": torch.arange(5)}
    (file,) = write_weights(tmp_path, tensors).files
    raw = (tmp_path / file.path).read_bytes()
    assert file.bytes == len(raw)
    assert file.sha256 == hashlib.sha256(raw).hexdigest()
    assert file.chunks == tuple(
        checksum(raw[at : at + CHUNK_BYTES], NEW_ALGORITHM) for at in range(0, len(raw), CHUNK_BYTES)
    )
    assert len(file.chunks) == 3


TORCH_DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "bool", "complex64",
    "uint64", "uint32", "uint16", "uint8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu",
]  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(TORCH_DTYPES), SHAPES), max_size=12), st.integers(1, 4), st.randoms())
def test_every_type_of_torch_survives_in_any_partition_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, list[int]]], partitions: int, random: Random
) -> None:
    tensors = {}
    for i, (name, shape) in enumerate(kinds):
        dtype = getattr(torch, name)
        raw = random.randbytes(math.prod(shape) * dtype.itemsize)
        tensors[f"layers.{i}.w"] = (
            torch.frombuffer(bytearray(raw), dtype=dtype).view(shape) if raw else torch.empty(shape, dtype=dtype)
        )
    folder = tmp_path_factory.mktemp("types")
    written = write_weights(folder, tensors, partitions=partitions)
    headers = [read_header(folder / file.path) for file in written.files]  # ours, which is strict
    assert sum(len(header.tensors) for header in headers) == len(tensors)
    found = {name: t for file in written.files for name, t in load_file(folder / file.path).items()}  # the library
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(found[name]) == bits(tensor)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@given(st.data())
def test_a_write_that_was_interrupted_anywhere_is_completed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tensors = {"embed": torch.arange(3000), "layers.0.w": torch.arange(2000.0)}
    whole, folder = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    expected = write_weights(whole, tensors)
    raw = (whole / "weights-0.safetensors").read_bytes()
    end = data.draw(st.integers(0, len(raw)))  # a kill: the file ends here
    lost = data.draw(st.integers(0, end))  # a power cut: from here on there are zeros
    (folder / "weights-0.safetensors").write_bytes(raw[:lost] + bytes(end - lost))
    assert write_weights(folder, tensors) == expected
    assert (folder / "weights-0.safetensors").read_bytes() == raw


def test_what_an_interrupted_write_left_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {f"layers.{i}.w": torch.full((5000,), float(i)) for i in range(5)}
    write_weights(tmp_path, tensors)
    file = tmp_path / "weights-0.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-30_000] + b"more")
    written: list[int] = []

    class Counting(FileIO):
        def write(self, data: ReadableBuffer) -> int:
            written.append(len(memoryview(data)))
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda path, mode, **_: Counting(path, mode.replace("b", "")))
    write_weights(tmp_path, tensors)
    monkeypatch.undo()
    assert file.read_bytes() == raw
    assert sum(written) == 40_000  # of the five tensors, the last two


def test_what_stood_behind_the_end_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "weights-0.safetensors").write_bytes(b"x" * 100_000)
    written = write_weights(tmp_path, {"w": torch.ones(3)})
    assert (tmp_path / "weights-0.safetensors").stat().st_size == written.files[0].bytes
