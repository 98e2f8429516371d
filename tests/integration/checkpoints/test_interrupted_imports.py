"""Imports by several processes at once, after a kill, and onto a full disk."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import QuickthawError
from tests.unit.checkpoints.gguf_files import write_llama
from tests.unit.checkpoints.models import save_llama

FRESH = multiprocessing.get_context("forkserver")
"""Processes that are forked from one that has imported what imports need, and nothing else: it takes many seconds."""


@pytest.fixture(scope="module", autouse=True)
def imported_once() -> None:
    FRESH.set_forkserver_preload([__name__, "quickthaw_platform.checkpoints.importers.loaded", "transformers"])


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_llama(tmp_path / "tiny")
    return tmp_path / "tiny"


def _die_while_writing(source: Path, root: Path) -> None:
    def progress(stage: str, done: int, _total: int | None) -> None:
        if stage == "write" and done > 5000:
            os.kill(os.getpid(), 9)

    import_checkpoint(str(source), DiskStore(root), progress=progress)


def test_an_import_that_was_killed_publishes_nothing_and_is_continued(store: DiskStore, source: Path) -> None:
    process = FRESH.Process(target=_die_while_writing, args=(source, store.root))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert store.list() == []
    (staged,) = store.root.iterdir()
    left = (staged / "weights-0.safetensors").stat()
    assert left.st_size > 5000
    checkpoint = import_checkpoint(str(source), store).checkpoint
    assert (checkpoint.path / "weights-0.safetensors").stat().st_ino == left.st_ino
    assert {path.name for path in store.root.iterdir()} == {checkpoint.id}
    assert torch.equal(load_file(checkpoint.path / "weights-0.safetensors")["model.norm.weight"], torch.ones(8))


def test_a_gguf_import_that_was_killed_is_continued_and_whole(store: DiskStore, tmp_path: Path) -> None:
    first, second = write_llama(tmp_path / "kept.gguf", parts=2)
    process = FRESH.Process(target=_die_while_writing, args=(first, store.root))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert store.list() == []
    (staged,) = store.root.iterdir()
    left = (staged / "weights-00001-of-00002.gguf").stat()
    assert left.st_size > 5000
    checkpoint = import_checkpoint(str(first), store).checkpoint
    assert (checkpoint.path / "weights-00001-of-00002.gguf").stat().st_ino == left.st_ino
    assert {path.name for path in store.root.iterdir()} == {checkpoint.id}
    assert [path.read_bytes() for path in weights_paths(checkpoint)] == [first.read_bytes(), second.read_bytes()]


def _import(source: Path, root: Path, barrier: Any, results: Any) -> None:
    stages: list[str] = []

    def progress(stage: str, _done: int, _total: int | None) -> None:
        if stage == "find":
            barrier.wait(60)
        stages.append(stage)

    done = import_checkpoint(str(source), DiskStore(root), progress=progress)
    results.put((done.existed, done.checkpoint.id, "write" in stages))


def test_of_two_imports_at_once_one_does_the_work(store: DiskStore, source: Path) -> None:
    barrier, results = FRESH.Barrier(2), FRESH.Queue()
    processes = [FRESH.Process(target=_import, args=(source, store.root, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert (first[0], second[0]) == (False, True)
    assert (first[2], second[2]) == (True, False)
    assert first[1] == second[1]


def _import_with_small_files(source: Path, root: Path, result: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))  # the kernel refuses as a full disk does
    try:
        import_checkpoint(str(source), DiskStore(root), name="new")
    except QuickthawError as error:
        result.put((type(error).__name__, error.message))


def run(target: Callable[..., None], *arguments: object) -> Any:
    """Return what a process puts into the queue that it gets."""
    result = FRESH.Queue()
    process = FRESH.Process(target=target, args=(*arguments, result))
    process.start()
    found = result.get(timeout=60)
    process.join()
    return found


def test_a_disk_that_runs_full_says_so_in_figures(store: DiskStore, source: Path) -> None:
    kind, message = run(_import_with_small_files, source, store.root)
    assert kind == "DiskFull"
    assert "bytes are needed and" in message
    assert list(store.root.iterdir()) == []
