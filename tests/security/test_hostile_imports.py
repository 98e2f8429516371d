"""An import of files that were made to harm ends with one clear error; whoever asked for it goes on."""

from __future__ import annotations

import json
import signal
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from quickthaw_platform.checkpoints.importers import import_apart as apart
from quickthaw_platform.checkpoints.importers.import_apart import import_apart
from quickthaw_platform.checkpoints.importers.import_process import ImportOrder
from quickthaw_platform.errors import InvalidRequest
from tests.packaging.roots import ROOT
from tests.security.test_hostile_models import gguf, pair, tensor, text
from tests.unit.checkpoints.models import save_llama

pytestmark = pytest.mark.timeout(300)


def order(source: Path, **limits: int) -> ImportOrder:
    folder = str(source.parent)
    return ImportOrder(str(source), f"{folder}/checkpoints", None, None, 1, None, None, folder, **limits)


def ignore(_stage: str, _done: int, _total: int | None) -> None:
    """Show nothing."""


def deep_model(folder: Path) -> Path:
    """A model whose configuration wants ten million layers to be made before the first weight is looked at."""
    save_llama(folder)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 10_000_000}))
    return folder


def long_vocabulary(file: Path) -> Path:
    """A GGUF file with a vocabulary of empty tokens: a library takes two kilobytes and 25 µs for each of 8 bytes."""
    count = 1_000_000
    pairs = [
        pair(b"general.architecture", 8, text(b"llama")),
        pair(b"llama.context_length", 4, struct.pack("<I", 64)),
        pair(b"tokenizer.ggml.model", 8, text(b"gpt2")),
        pair(b"tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, count) + bytes(8 * count)),
    ]
    content = gguf(*pairs, tensor(b"t", (32,)), pairs=len(pairs), tensors=1)
    file.write_bytes(content + bytes(-len(content) % 32 + 128))
    return file


@pytest.mark.parametrize("hostile", [deep_model, long_vocabulary], ids=["layers", "vocabulary"])
def test_what_takes_far_longer_to_read_than_its_size_explains_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: Callable[[Path], Path]
) -> None:
    source = hostile(tmp_path / "model.gguf")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    with pytest.raises(InvalidRequest, match=r"model\.gguf takes far longer to read than a model of its size"):
        import_apart(order(source, seconds=1), ignore)
    assert list((tmp_path / "checkpoints").glob("*/manifest.json")) == []
    assert list(temporary.iterdir()) == []


def test_what_takes_far_more_memory_to_read_than_its_size_explains_is_refused(tmp_path: Path) -> None:
    save_llama(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("[" + "[]," * 4_000_000 + "[]]")
    with pytest.raises(InvalidRequest, match="model takes more memory to read than a model of its size"):
        import_apart(order(tmp_path / "model", memory_bytes=200 << 20, memory_factor=0), ignore)


def test_what_lies_in_the_folder_of_a_model_is_not_run_by_an_import_that_is_started_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` looks for modules in the working folder first, and a model can bring a numpy.py of its own."""
    save_llama(tmp_path / "model")
    for name in ("json", "h2", "numpy", "safetensors", "structlog", "torch", "transformers"):
        (tmp_path / "model" / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    monkeypatch.chdir(tmp_path / "model")
    assert import_apart(order(tmp_path / "model"), ignore).checkpoint.manifest["name"] == "model"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (str(int(signal.SIGXCPU)), "takes far longer to read"),
        (str(int(signal.SIGKILL)), "ended with SIGKILL. Either this machine has too little memory"),
        (str(int(signal.SIGSEGV)), "ended with SIGSEGV"),
        ("status", "ended with status 3"),
    ],
    ids=["time", "memory", "crash", "status"],
)
def test_whatever_ends_the_process_that_reads_a_model_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, ends: str, says: str
) -> None:
    monkeypatch.setattr(apart, "_MODULE", "tests.security.dying_import")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(InvalidRequest, match=says):
        import_apart(ImportOrder(ends, "", None, None, 1, None, None, ""), ignore)


def test_an_import_ends_with_whoever_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def interrupted(_stage: str, _done: int, total: int | None) -> None:
        pids.append(total or 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(apart, "_MODULE", "tests.security.dying_import")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(KeyboardInterrupt):
        import_apart(ImportOrder("waits", "", None, None, 1, None, None, ""), interrupted)
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
