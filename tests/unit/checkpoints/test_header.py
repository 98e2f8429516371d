from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quickthaw_platform.checkpoints.header import TensorEntry, read_header
from quickthaw_platform.errors import CheckpointBroken


def f32(begin: int, end: int, *shape: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}


def write(file: Path, header: bytes, data: bytes, length: int | None = None) -> Path:
    file.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + data)
    return file


def test_tensors_come_in_the_order_of_their_bytes_with_places_in_the_file(tmp_path: Path) -> None:
    header = json.dumps({"b": f32(4, 12, 2), "a": f32(0, 4, 1), "none": f32(12, 12, 0)}).encode()
    found = read_header(write(tmp_path / "f", header, bytes(12)))
    begin = 8 + len(header)
    assert found.data_offset == begin
    assert found.tensors == (
        TensorEntry("a", "F32", (1,), begin, begin + 4),
        TensorEntry("b", "F32", (2,), begin + 4, begin + 12),
        TensorEntry("none", "F32", (0,), begin + 12, begin + 12),
    )


@pytest.mark.parametrize(
    ("header", "data", "length", "says"),
    [
        (b"", b"", 0, "not a whole"),  # an empty header is no JSON
        (b"{}", b"", 1 << 40, "header would have"),  # larger than the file
        (b"{}", b"x", None, "tensors end at byte 10"),  # bytes that belong to nothing
        (b"[]", b"", None, "not a JSON object"),
        (b"\x80\x04\x95\xff", b"", None, "pickle"),
        (json.dumps({"a": f32(0, 8, 2)}).encode(), bytes(7), None, "the file has"),  # cut off
        (json.dumps({"a": f32(0, 4, 1), "b": f32(2, 6, 1)}).encode(), bytes(6), None, "overlaps"),
        (json.dumps({"a": f32(0, 4, 1), "b": f32(8, 12, 1)}).encode(), bytes(12), None, "gap"),
        (json.dumps({"a": f32(-4, 0, 1)}).encode(), b"", None, "whole numbers"),
        (json.dumps({"a": f32(0, 4, -1)}).encode(), bytes(4), None, "whole numbers"),
        (json.dumps({"a": f32(0, 4, 2)}).encode(), bytes(4), None, "does not have 4 bytes"),
        (json.dumps({"a": f32(0, 4, 1, 1 << 40)}).encode(), bytes(4), None, "does not have 4 bytes"),
        (json.dumps({"a": {**f32(0, 4, 1), "dtype": "F31"}}).encode(), bytes(4), None, "unknown type"),
        (json.dumps({"a": {**f32(0, 4, 1), "more": 1}}).encode(), bytes(4), None, "just a dtype"),
        (json.dumps({"a": f32(0, True, 1)}).encode(), bytes(4), None, "whole numbers"),  # JSON's true is no 1
        (b'{"a":1,"a":1}', b"", None, "twice"),
        (b'{"__metadata__":{"n":1}}', b"", None, "map of texts"),
    ],
)
def test_a_wrong_header_is_refused_with_its_fault(
    tmp_path: Path, header: bytes, data: bytes, length: int | None, says: str
) -> None:
    file = write(tmp_path / "wrong.safetensors", header, data, length)
    with pytest.raises(CheckpointBroken, match=says) as caught:
        read_header(file)
    assert "wrong.safetensors" in caught.value.message


def test_a_file_shorter_than_a_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123")
    with pytest.raises(CheckpointBroken, match="header would have"):
        read_header(tmp_path / "f")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointBroken, match="none cannot be read"):
        read_header(tmp_path / "none")
