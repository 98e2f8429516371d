"""Headers of GGUF files come from strangers: they are read past their vocabularies, and strictly."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from quickthaw_platform.checkpoints.gguf_header import GgufTensor, part_name, part_of, read_gguf_header
from quickthaw_platform.checkpoints.gguf_joining import write_joined
from quickthaw_platform.errors import CheckpointBroken
from tests.unit.checkpoints.gguf_files import LAYERS, close, tensors, write_bare, write_llama


def test_metadata_is_read_past_its_arrays_and_tensors_are_placed(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    writer.add_array("tokenizer.ggml.token_type", [1, 2, 3])
    writer.add_string("general.license", "mit")
    writer.add_tensor("t", np.arange(6, dtype=np.float32).reshape(2, 3))
    close(writer)
    header = read_gguf_header(tmp_path / "m.gguf")
    assert header.metadata == {"general.architecture": "llama", "general.license": "mit"}
    assert list(header.pairs) == [
        "general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "general.license"
    ]  # fmt: skip
    assert header.tensors == (GgufTensor("t", (3, 2), 0, 0),)
    data = (tmp_path / "m.gguf").read_bytes()[header.data_offset :][:24]
    assert np.frombuffer(data, np.float32).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_alignment_of_its_own_is_honoured(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_custom_alignment(256)
    writer.add_tensor("t", np.zeros(4, np.float32))
    close(writer)
    header = read_gguf_header(tmp_path / "m.gguf")
    assert (header.alignment, header.data_offset % 256) == (256, 0)


def head(version: int = 3, tensor_count: int = 0, pairs: int = 0) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, tensor_count, pairs)


def described(name: bytes, dimensions: int, offset: int) -> bytes:
    return (
        struct.pack("<Q", len(name))
        + name
        + struct.pack(f"<I{dimensions}QIQ", dimensions, *[1] * dimensions, 0, offset)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes"),
        (b"PK\x03\x04" + b"\0" * 40, "does not begin with GGUF"),
        (head(1), "of version 1"),
        (head(0x03000000), "of version 50331648"),  # of a big-endian machine
        (head(pairs=1) + struct.pack("<Q", 1 << 60), "leads out of the file"),  # a key longer than the file
        (head(pairs=1) + struct.pack("<Q1sI", 1, b"a", 99), "value of the unknown type 99"),
        (head(pairs=1) + struct.pack("<Q1sIIQ", 1, b"a", 9, 99, 1), "array of the unknown type 99"),
        (head(pairs=1) + struct.pack("<Q1sIIQ", 1, b"a", 9, 4, 1 << 60), "leads out of the file"),
        (head(pairs=1 << 60), "0 tensors and 1,152,921,504,606,846,976 values"),  # more than any has
        (head(pairs=1), "requires"),  # says that it has more than it has
        (head(tensor_count=1) + described(b"t", 9, 0), "9 dimensions"),
        (head(tensor_count=1) + described(b"t", 1, 7), "multiple of 32"),
        (head(tensor_count=1) + described(b"t", 1, 1 << 40), "begins behind the file's end"),
        (head(tensor_count=2) + described(b"t", 1, 0) * 2 + b"\0" * 64, "twice"),
        (head(pairs=1) + struct.pack("<Q17sII", 17, b"general.alignment", 4, 0), "alignment is 0"),
    ],
)
def test_what_no_reader_could_trust_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(CheckpointBroken, match=rf"m\.gguf is not a whole GGUF file.*{message}"):
        read_gguf_header(tmp_path / "m.gguf")


def test_parts_are_told_by_their_names() -> None:
    assert part_of("a.Q4_K_M-00002-of-00010") == ("a.Q4_K_M", 2, 10)
    assert part_of("a-2-of-10") is None
    assert part_name("a.Q4_K_M", 2, 10) == "a.Q4_K_M-00002-of-00010.gguf"


@pytest.mark.parametrize("parts", [2, 5])
def test_joined_parts_hold_the_tensors_of_the_whole(tmp_path: Path, parts: int) -> None:
    split = write_llama(tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.F32, parts=parts)
    with (tmp_path / "joined.gguf").open("wb") as target:
        write_joined(split, target)
    found = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "joined.gguf").tensors}
    expected = dict(tensors())
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert len(found) == 2 + 9 * LAYERS


def test_parts_of_different_alignment_do_not_belong_together(tmp_path: Path) -> None:
    one, other = (
        write_bare(tmp_path / "a.gguf", "llama"),
        write_bare(tmp_path / "b.gguf", "llama", general__alignment=64),
    )
    with (tmp_path / "joined.gguf").open("wb") as target, pytest.raises(CheckpointBroken, match="aligned differently"):
        write_joined([one, other], target)


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[int], Path]:
    """Gives a good file of which only the first bytes are there."""
    whole = write_llama(tmp_path / "whole.gguf")[0].read_bytes()

    def make(size: int) -> Path:
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        return tmp_path / "cut.gguf"

    return make


@pytest.mark.parametrize("size", [10, 30, 200, 2000, 5000])
def test_a_header_that_was_cut_off_anywhere_is_no_header(cut: Callable[[int], Path], size: int) -> None:
    with pytest.raises(CheckpointBroken, match="not a whole GGUF file"):
        read_gguf_header(cut(size))
