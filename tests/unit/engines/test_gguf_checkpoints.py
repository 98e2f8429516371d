"""The engine transformers on GGUF checkpoints that are kept as they are: what a dense import of the same file says."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from tests.unit.checkpoints.gguf_files import write_bare, write_llama
from tests.unit.engines.tiny import generate

PROMPT = "hello world"


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


def prepared(checkpoint: Checkpoint, **options: Any) -> TransformersEngine:
    engine = TransformersEngine()
    engine.prepare(checkpoint, options, lambda _name, _seconds: None)
    return engine


def answer(checkpoint: Checkpoint, **options: Any) -> list[int]:
    engine = prepared(checkpoint, **options)
    engine.start("cpu", 1, 64 << 20)
    try:
        tokens = engine.tokenizer.encode(PROMPT)
        return generate(engine, tokens, temperature=0, max_tokens=24, ignore_eos=True).tokens
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("quantisation", "parts", "tied", "options"),
    [
        (GGMLQuantizationType.Q4_1, 1, True, {}),
        (GGMLQuantizationType.Q8_0, 3, False, {}),  # split, with a head of its own
        (GGMLQuantizationType.F16, 1, True, {}),  # nothing is quantised
        (GGMLQuantizationType.Q5_0, 1, False, {"dtype": "float32"}),  # widened in memory
    ],
)
def test_it_says_the_same_tokens_as_a_dense_import(
    store: DiskStore,
    tmp_path: Path,
    quantisation: GGMLQuantizationType,
    parts: int,
    tied: bool,
    options: dict[str, Any],
) -> None:
    source = str(write_llama(tmp_path / "tiny.gguf", quantisation, file_type=None, parts=parts, tied=tied)[0])
    kept = import_checkpoint(source, store).checkpoint
    dense = import_checkpoint(source, store, "dense", Manifest.of(kept).dtype).checkpoint
    said = answer(kept, **options)
    assert len(set(said)) > 3
    assert said == answer(dense, **options)


@pytest.fixture
def arriving(store: DiskStore, tmp_path: Path) -> Iterator[tuple[Checkpoint, ArrivalWriter, list[int]]]:
    """A checkpoint in three parts; its weights are to come into memory that is larger than the files."""
    found = import_checkpoint(str(write_llama(tmp_path / "tiny.gguf", parts=3)[0]), store).checkpoint
    memory = [os.memfd_create("test") for _ in Manifest.of(found).weights]
    for fd, file in zip(memory, Manifest.of(found).weights, strict=True):
        os.truncate(fd, file.bytes + 4096)  # blocks are whole pages
    writer = ArrivalWriter()
    paths = tuple(Path(f"/proc/{os.getpid()}/fd/{fd}") for fd in memory)
    yield replace(found, weights=paths, arrival=Path(f"/proc/self/fd/{writer.fd}")), writer, memory
    writer.close()
    for fd in memory:
        os.close(fd)


def test_weights_that_arrive_in_memory_are_waited_for(
    store: DiskStore, arriving: tuple[Checkpoint, ArrivalWriter, list[int]]
) -> None:
    checkpoint, writer, memory = arriving
    whole = store.find("tiny")

    def arrive() -> None:
        for index, (fd, path) in enumerate(zip(memory, weights_paths(whole), strict=True)):
            content = path.read_bytes()
            os.pwrite(fd, content, 0)
            writer.advance(index, len(content))
        writer.complete()

    preparing = threading.Timer(0, arrive)
    preparing.start()
    said = answer(checkpoint)
    preparing.join()
    assert said == answer(whole)


def test_weights_that_never_arrive_fail_the_preparation(
    arriving: tuple[Checkpoint, ArrivalWriter, list[int]],
) -> None:
    checkpoint, writer, _ = arriving
    writer.fail("the disk is broken")
    with pytest.raises(StartFailed, match="the disk is broken"):
        prepared(checkpoint)


def test_preparing_starts_no_thread_so_that_the_process_can_be_forked(store: DiskStore, tmp_path: Path) -> None:
    source = str(write_llama(tmp_path / "tiny.gguf")[0])
    checkpoint = import_checkpoint(source, store).checkpoint
    prepared(import_checkpoint(source, store, dtype="bfloat16").checkpoint)  # imports all that any preparation imports
    before = threads()
    prepared(checkpoint)
    assert threads() <= before


def threads() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("rwkv7", "does not know the architecture rwkv7"),
        ("bert", "takes generating models only, and this one is for 'embed'"),
    ],
)
def test_what_transformers_does_not_know_is_refused_with_the_engine_that_does(
    store: DiskStore, tmp_path: Path, architecture: str, reason: str
) -> None:
    file = write_bare(tmp_path / "m.gguf", architecture, **{f"{architecture}.context_length": 8})
    with pytest.raises(StartFailed, match=rf"{reason}.*llamacpp"):
        prepared(import_checkpoint(str(file), store).checkpoint)
