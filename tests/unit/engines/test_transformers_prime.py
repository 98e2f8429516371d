"""Beginnings that the transformers engine computes ahead: kept as a file, mapped, and the same tokens as without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from quickthaw.errors import NotServable, StartFailed
from quickthaw_backends.engines.transformers_engine import TransformersEngine, kv_file
from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, SequenceCache
from quickthaw_backends.engines.transformers_engine.linear import SteadyLinear
from tests.unit.engines import tiny
from tests.unit.engines.tiny import generate

BEGINNING = list(b"You are a helpful assistant. Answer in one word.")
QUESTION = list(b" What is up?")

Prepare = Callable[..., TransformersEngine]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def prepare(folder: Path) -> Iterator[Prepare]:
    engines: list[TransformersEngine] = []
    threads = torch.get_num_threads()

    def made(architecture: str = "llama", dtype: str = "bfloat16", **options: object) -> TransformersEngine:
        engine = TransformersEngine()
        engine.prepare(tiny.checkpoint(folder, architecture, dtype), options, lambda _name, _seconds: None)
        engines.append(engine)
        return engine

    yield made
    for engine in engines:
        engine.close()
    torch.set_num_threads(threads)


def answer(engine: TransformersEngine) -> tuple[list[int], int | None]:
    """Start the engine; return an answer's tokens and how many of its prompt were there."""
    engine.start("cpu", 1, 8 << 20)
    found = generate(engine, BEGINNING + QUESTION, max_tokens=30, ignore_eos=True)
    return found.tokens, found.deltas[0].cached_tokens


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"prefill_tokens": 7}, {"exact": False}, {"dtype": "float32"}])
def test_a_primed_engine_gives_the_same_tokens_and_computes_less(
    prepare: Prepare, tmp_path: Path, architecture: str, options: dict[str, object]
) -> None:
    expected, cached = answer(prepare(architecture, **options))
    assert not cached
    first, second = prepare(architecture, **options), prepare(architecture, **options)
    assert first.prime(BEGINNING, tmp_path / "x.kv")
    assert not second.prime(BEGINNING, tmp_path / "x.kv")
    assert answer(first) == answer(second) == (expected, len(BEGINNING))


def test_a_file_that_holds_anything_else_is_written_anew(prepare: Prepare, tmp_path: Path) -> None:
    file = tmp_path / "x.kv"
    file.write_bytes(b"no such thing")
    assert prepare().prime(BEGINNING, file)
    whole = file.read_bytes()
    assert prepare().prime(BEGINNING[:-1], file)  # other tokens
    file.write_bytes(whole[:-1])
    assert prepare().prime(BEGINNING, file)
    assert prepare("gpt2").prime(BEGINNING, file)  # the cache of another model
    assert [path.name for path in tmp_path.iterdir()] == ["x.kv"]


def test_what_is_read_is_mapped_and_holds_what_was_written(tmp_path: Path) -> None:
    shape, file = CacheShape([((2, 4), (2, 5))]), tmp_path / "x.kv"
    cache = SequenceCache(shape)
    cache.reserve(8)
    keys, values = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 5)
    cache.write(0, 0, keys, values)
    kv_file.write(file, [5, 6], cache)
    found = kv_file.read(file, [5, 6], shape)
    assert found is not None
    assert str(file) in Path("/proc/self/maps").read_text()
    assert torch.equal(found.read(0, 0, 2)[0], keys[:, :, :2])
    assert torch.equal(found.read(0, 0, 2)[1], values[:, :, :2])
    assert kv_file.read(file, [5, 6], CacheShape([((2, 4), (2, 4))])) is None


def kinds(engine: TransformersEngine) -> list[type]:
    """Return the types of the model's modules."""
    assert engine._model is not None
    return [type(module) for module in engine._model._model.modules()]


def test_where_torch_knows_no_device_but_the_cpu_a_template_has_the_substitutes_that_its_forks_need(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    engine = prepare()
    before = kinds(engine)
    assert SteadyLinear in before
    engine.start("cpu", 1, 8 << 20)
    assert kinds(engine) == before


@pytest.mark.parametrize("options", [{"compute": "native"}, {"compute": "mixed"}])
def test_a_template_has_none_where_options_settle_them_later(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    assert SteadyLinear not in kinds(prepare(**options))


def test_priming_leaves_the_model_for_another_device_as_it_was(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    primed, other = prepare(), prepare()
    primed.prime(BEGINNING, tmp_path / "x.kv")
    assert primed._model is not None
    assert kinds(primed) == kinds(other)
    assert SteadyLinear not in kinds(primed)
    assert {parameter.dtype for parameter in primed._model._model.parameters()} == {torch.bfloat16}


def test_what_cannot_be_primed_says_so(prepare: Prepare, tmp_path: Path) -> None:
    with pytest.raises(NotServable, match="no beginning"):
        prepare("bert").prime(BEGINNING, tmp_path / "x.kv")
    with pytest.raises(StartFailed, match="cannot be written"):
        prepare().prime(BEGINNING, tmp_path / "missing" / "x.kv")


def test_a_primed_process_has_one_thread_and_its_forks_serve(folder: Path, tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from tests.unit.engines import test_transformers_prime as test
from tests.unit.engines.tiny import generate
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.store import DiskStore
engine = TransformersEngine()
checkpoint = DiskStore(Path({str(folder / "checkpoints")!r})).find("tiny-llama-bfloat16")
engine.prepare(checkpoint, {{}}, lambda *_: None)
before = len(os.listdir("/proc/self/task"))
assert engine.prime(test.BEGINNING, Path({str(tmp_path / "x.kv")!r}))
assert len(os.listdir("/proc/self/task")) == before
reader, writer = os.pipe()
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        engine.start("cpu", 2, 8 << 20)
        found = generate(engine, test.BEGINNING + test.QUESTION, max_tokens=30, ignore_eos=True)
        engine.close()
        os.write(writer, f"{{found.deltas[0].cached_tokens}} {{found.tokens}}\\n".encode())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
os.close(writer)
print(open(reader).read(), end="")
"""
    engine = TransformersEngine()
    engine.prepare(tiny.checkpoint(folder, "llama", "bfloat16"), {}, lambda _name, _seconds: None)
    expected, _ = answer(engine)
    engine.close()
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=100, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{len(BEGINNING)} {expected}"] * 2
