"""Any set of tensors comes back byte for byte, and the safetensors library reads and writes the same files."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from quickthaw_platform.checkpoints import layout, manifest
from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.header import DTYPE_BITS, LENGTH_BYTES, read_header
from quickthaw_platform.checkpoints.manifest import WeightsFile
from quickthaw_platform.checkpoints.reading import load
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.reading.memory import MemoryPool
from tests.made_up import examples
from tests.unit.checkpoints.reading import files
from tests.unit.checkpoints.reading.files import make_cold, record

SMALL_CHUNK_BYTES = 4096
TORCH_DTYPES = [getattr(torch, name) for name in layout._CODES]

Raw = tuple[str, tuple[int, ...], bytes]
"""A tensor's type by its code in the format, its shape, its bytes."""


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """So that small tensors lie across chunks."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (layout, manifest, load, files):
            patched.setattr(module, "CHUNK_BYTES", SMALL_CHUNK_BYTES)
        yield


@pytest.fixture(scope="module")
def pool() -> Iterator[MemoryPool]:
    pool = MemoryPool()
    yield pool
    pool.close()


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(TORCH_DTYPES))
    shape = draw(st.lists(st.integers(0, 40), max_size=3).filter(lambda shape: math.prod(shape) <= 3000))
    count = math.prod(shape) * dtype.itemsize
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    top = 2 if dtype == torch.bool else 256
    return torch.randint(top, (count,), dtype=torch.uint8, generator=generator).view(dtype).reshape(shape)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
tensor_sets = st.dictionaries(names, tensors(), max_size=6)


def raw(tensors: Mapping[str, torch.Tensor]) -> dict[str, Raw]:
    return {
        name: (
            layout._CODES[str(tensor.dtype).removeprefix("torch.")],
            tuple(tensor.shape),
            tensor.reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in tensors.items()
    }


def read_by_us(pool: MemoryPool, paths: Sequence[Path], records: Sequence[WeightsFile]) -> dict[str, Raw]:
    """Load cold files into a pool's memory, and cut the tensors out where their headers say."""
    make_cold(paths)
    blocks = [pool.take(file.bytes) for file in records]
    arrival = ArrivalWriter()
    try:
        Load(records, DiskSource(paths), [block.view for block in blocks], arrival).run()
        return {
            entry.name: (entry.dtype, entry.shape, bytes(block.view[entry.begin : entry.end]))
            for path, block in zip(paths, blocks, strict=True)
            for entry in read_header(path).tensors
        }
    finally:
        arrival.close()
        for block in blocks:
            pool.give_back(block)


def read_by_the_library(paths: Sequence[Path]) -> dict[str, Raw]:
    return {
        name: (found["dtype"], tuple(found["shape"]), bytes(found["data"]))
        for path in paths
        for name, found in safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    }


@settings(max_examples=examples(60))
@given(tensor_sets, st.integers(1, 3))
def test_what_we_write_is_read_by_us_and_by_the_library(
    pool: MemoryPool, tensors: dict[str, torch.Tensor], partitions: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = layout.write_weights(Path(folder), tensors, partitions=partitions)
        paths = [Path(folder) / file.path for file in written.files]
        assert read_by_us(pool, paths, written.files) == raw(tensors)
        assert read_by_the_library(paths) == raw(tensors)


@settings(max_examples=examples(60))
@given(tensor_sets)
def test_what_the_library_writes_is_read_by_us(pool: MemoryPool, tensors: dict[str, torch.Tensor]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(tensors, path)
        assert read_by_us(pool, [path], [record(path.name, path.read_bytes())]) == raw(tensors)


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_type_of_the_format_is_read_as_the_library_reads_it(pool: MemoryPool, tmp_path: Path, dtype: str) -> None:
    """Types without a counterpart in torch too."""
    data = bytes(range(DTYPE_BITS[dtype]))  # eight elements
    text = json.dumps({"w": {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, len(data)]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(LENGTH_BYTES, "little") + text + data)
    found = read_by_us(pool, [path], [record(path.name, path.read_bytes())])
    assert found == read_by_the_library([path]) == {"w": (dtype, (2, 4), data)}
