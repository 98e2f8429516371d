"""Fixtures of the engines' tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.reading.memory import HUGE_BYTES
from tests.unit.engines import tiny
from tests.unit.engines.loading import Loading

Begin = Callable[..., Loading]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Begin to load a tiny model in so many partitions: nothing has arrived but the headers."""
    begun: list[Loading] = []

    def make(architecture: str = "llama", dtype: str = "float32", partitions: int = 1) -> Loading:
        whole = tiny.checkpoint(tmp_path, architecture, dtype)
        split = tmp_path / "split"
        split.mkdir()
        tensors = load_file(whole.path / whole.manifest["weights"][0]["path"])
        files = write_weights(split, tensors, partitions=partitions).files
        contents = [(split / file.path).read_bytes() for file in files]
        memory = [os.memfd_create("test") for _ in files]
        for fd, content in zip(memory, contents, strict=True):
            os.ftruncate(fd, HUGE_BYTES * -(-len(content) // HUGE_BYTES))  # as a node's memory is
            os.pwrite(fd, b"\xff" * len(content), 0)  # NaN in every float type
        writer = ArrivalWriter()
        manifest = Manifest.of(whole).model_copy(update={"weights": files})
        checkpoint = replace(
            whole,
            manifest=manifest.model_dump(mode="json"),
            weights=tuple(Path(f"/proc/self/fd/{fd}") for fd in memory),
            arrival=Path(f"/proc/self/fd/{writer.fd}"),
        )
        loading = Loading(checkpoint, contents, memory, writer, [0] * len(files))
        for index, file in enumerate(files):
            loading.let(index, file.data_offset)
        begun.append(loading)
        return loading

    yield make
    for loading in begun:
        loading.writer.close()
        for fd in loading.memory:
            os.close(fd)
