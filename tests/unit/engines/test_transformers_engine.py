"""The transformers engine against transformers itself, on tiny models of several architectures."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from quickthaw.errors import ContextLengthExceeded, FunctionFailed, InvalidRequest, QuickthawError, StartFailed
from quickthaw.generation import Delta
from quickthaw_backends.engines.batching.runner import Chunk
from quickthaw_backends.engines.transformers_engine import TransformersEngine, linear
from quickthaw_backends.engines.transformers_engine.model import PreparedModel
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner, SoloRunner
from quickthaw_platform.contracts import Sink
from tests.unit.engines import tiny
from tests.unit.engines.tiny import Collector, generate, request

Make = Callable[..., TransformersEngine]
PROMPT = list(b"The quick brown fox jumps over the lazy dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    engines: list[TransformersEngine] = []

    def start(
        architecture: str = "llama", dtype: str = "float32", memory: int = 8 << 20, **options: Any
    ) -> TransformersEngine:
        engine = TransformersEngine()
        engine.prepare(tiny.checkpoint(folder, architecture, dtype), options, lambda _name, _seconds: None)
        engine.start("cpu", 1, memory)
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.close()


def test_what_places_the_weights_keeps_no_compute_threads(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's threads belong to the thread that computed; the batch loop's would wait for less beside them."""
    placing: list[threading.Thread] = []
    place = PreparedModel.place

    def noted(model: PreparedModel, *arguments: Any) -> None:
        placing.append(threading.current_thread())
        place(model, *arguments)

    monkeypatch.setattr(PreparedModel, "place", noted)
    make()
    (thread,) = placing
    assert not thread.is_alive()


def reference(folder: Path, architecture: str, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens by transformers' own generate."""
    tiny.checkpoint(folder, architecture)
    model: Any = AutoModelForCausalLM.from_pretrained(folder / f"source-{architecture}", dtype="float32")
    tokens = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False, eos_token_id=None
        )
    return [int(token) for token in out[0, len(prompt) :]]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"compute": "native"}, {"step_tokens": 5, "prefill_tokens": 7}])
def test_greedy_tokens_are_those_of_transformers(
    make: Make, folder: Path, architecture: str, options: dict[str, Any]
) -> None:
    engine = make(architecture, **options)
    assert generate(engine, PROMPT, temperature=0, max_tokens=20, ignore_eos=True).tokens == reference(
        folder, architecture, PROMPT, 20
    )


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gpt2"])
def test_known_architectures_are_batched(make: Make, architecture: str) -> None:
    loop = make(architecture)._loop
    assert loop is not None
    assert isinstance(loop._runner, RaggedRunner)


def test_a_model_that_refuses_foreign_attention_is_computed_alone(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "_supports_attention_backend", False)
    engine = make()
    assert engine._loop is not None
    assert isinstance(engine._loop._runner, SoloRunner)
    collectors = [Collector(), Collector()]
    for index, collector in enumerate(collectors):
        engine.submit(request(PROMPT, f"r{index}", temperature=0, max_tokens=20, ignore_eos=True), collector)
    expected = reference(folder, "llama", PROMPT, 20)
    assert [collector.wait().tokens for collector in collectors] == [expected, expected]


def test_prompt_logprobs_are_those_of_a_plain_pass(make: Make, folder: Path) -> None:
    engine = make(prefill_tokens=6)
    (delta,) = generate(engine, PROMPT, max_tokens=0, echo=True, logprobs=2).deltas
    model = AutoModelForCausalLM.from_pretrained(folder / "source-llama", dtype="float32")
    with torch.inference_mode():
        logs = torch.log_softmax(model(torch.tensor([PROMPT])).logits[0], -1)
    expected = [float(logs[row, token]) for row, token in enumerate(PROMPT[1:])]
    assert [entry.logprob for entry in delta.logprobs[1:]] == pytest.approx(expected, abs=1e-3)
    assert all(len(entry.top) == 2 for entry in delta.logprobs[1:])


def test_memory_for_less_than_all_makes_requests_wait_and_changes_no_token(make: Make) -> None:
    alone = make()
    expected = [generate(alone, PROMPT, seed=seed, max_tokens=60, ignore_eos=True).tokens for seed in range(6)]
    token_bytes = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, dimension, float32
    tight = make(memory=token_bytes * 220)
    collectors = [Collector() for _ in expected]
    for seed, collector in enumerate(collectors):
        tight.submit(request(PROMPT, f"r{seed}", seed=seed, max_tokens=60, ignore_eos=True), collector)
    assert [collector.wait().tokens for collector in collectors] == expected
    assert tight.stats().kv_bytes == 0


def test_what_the_memory_can_never_hold_is_refused_at_submit(make: Make) -> None:
    engine = make(memory=512 * 50)
    assert engine.context_tokens == 50
    with pytest.raises(ContextLengthExceeded):
        engine.submit(request(PROMPT, max_tokens=20), Collector())


def test_memory_for_no_token_fails_the_start(make: Make) -> None:
    with pytest.raises(StartFailed, match="KV cache"):
        make(memory=100)


def test_a_long_prompt_does_not_stall_a_running_stream(make: Make) -> None:
    engine = make(step_tokens=8)
    order: list[str] = []
    stream, late = Collector(), Collector()

    def noting(name: str, collector: Collector) -> Sink:
        def sink(outcome: Delta | QuickthawError) -> None:
            order.append(name)
            collector(outcome)

        return sink

    engine.submit(
        request(PROMPT[:4], "stream", max_tokens=60, ignore_eos=True),
        noting("stream", stream),
    )
    stream.wait(deltas=1)
    engine.submit(
        request([65] * 200, "late", max_tokens=2, ignore_eos=True),
        noting("late", late),
    )
    stream.wait()
    late.wait()
    # 200 tokens by 7 a step are 29 steps, in each of which the stream got its token.
    assert order.index("late") >= 25


def test_unknown_tokens_are_refused(make: Make) -> None:
    with pytest.raises(InvalidRequest, match="257"):
        make().submit(request([1, 258]), Collector())


def test_an_error_in_a_step_fails_only_its_request(make: Make) -> None:
    engine = make()
    assert engine._loop is not None
    runner = engine._loop._runner
    assert isinstance(runner, RaggedRunner)
    forward = runner._forward

    def failing(chunks: Any) -> Any:
        if any(200 in chunk.tokens for chunk in chunks):
            raise RuntimeError("token 200")
        return forward(chunks)

    runner._forward = failing  # type: ignore[method-assign]  # a fault put in
    bad, good = Collector(), Collector()
    engine.submit(request([65, 200], "bad"), bad)
    engine.submit(request(PROMPT, "good", max_tokens=5, ignore_eos=True), good)
    assert len(good.wait().tokens) == 5
    with pytest.raises(FunctionFailed, match="token 200"):
        bad.wait()


def test_scores_of_chunks_that_are_tried_alone_outlast_one_another(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "KEPT_BYTES", 0)
    engine = make(dtype="bfloat16")
    assert engine._loop is not None
    runner = engine._loop._runner
    engine.close()
    assert isinstance(runner, RaggedRunner)

    def chunk(first: int) -> Chunk:
        cache = runner.new_cache()
        runner.reserve(cache, 64)
        return Chunk(cache, [first, *range(60, 99)], 0, 40)

    expected = [np.array(runner.run([chunk(first)])[0]) for first in (65, 66)]
    broken = Chunk(None, [67], 0)  # it has no cache
    *found, error = runner.run([chunk(65), chunk(66), broken])
    assert isinstance(error, Exception)
    for own, sole in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(own), sole, atol=1e-5)


@pytest.mark.parametrize(("damage", "says"), [("cut off", "cannot be mapped"), ("missing tensor", "norm")])
def test_damaged_weights_fail_the_start_and_name_the_file(folder: Path, tmp_path: Path, damage: str, says: str) -> None:
    import shutil
    from dataclasses import replace

    from safetensors.torch import load_file, save_file

    good = tiny.checkpoint(folder)
    shutil.copytree(good.path, tmp_path / "copy")
    file = tmp_path / "copy" / "weights-0.safetensors"
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:-64])
    else:
        tensors = load_file(file)
        tensors.pop("model.norm.weight")
        save_file(tensors, file)
    weights = [{**good.manifest["weights"][0], "bytes": file.stat().st_size + 64 * (damage == "cut off")}]
    damaged = replace(good, path=tmp_path / "copy", manifest={**good.manifest, "weights": weights})
    with pytest.raises(StartFailed, match=rf"weights-0\.safetensors.*{says}"):
        TransformersEngine().prepare(damaged, {}, lambda _name, _seconds: None)


def test_options_are_checked_without_importing_torch() -> None:
    code = (
        "import sys; from quickthaw_backends.engines.transformers_engine import TransformersEngine as E;"
        "E.check_options({'dtype': 'float32'}); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_prepared_engine_serves_in_a_fork(folder: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from quickthaw_platform.contracts import Sink
from tests.unit.engines import tiny
from quickthaw_backends.engines.transformers_engine import TransformersEngine
import torch
from quickthaw_platform.checkpoints.store import DiskStore
torch.set_num_threads(1)
engine = TransformersEngine()
engine.prepare(DiskStore(Path({str(folder / "checkpoints")!r})).find("tiny-llama-float32"), {{}}, lambda *_: None)
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        engine.start("cpu", 2, 1 << 20)
        done = len(tiny.generate(engine, [65] * 50, max_tokens=5, ignore_eos=True).tokens) == 5
        engine.close()
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    tiny.checkpoint(folder)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
