"""The whole transformers engine on a CUDA device, against the same engine on the processor: tiny models in float32."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from quickthaw.generation import Delta
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines import tiny
from tests.unit.engines.loading import Loading
from tests.unit.engines.tiny import Collector, generate, request

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

CUDA = "cuda:0"
PROMPT = list(b"The quick brown fox jumps over the lazy dog")
TOKEN_BYTES = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, dimension, float32
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 20, "ignore_eos": True}
SAMPLINGS: list[dict[str, Any]] = [
    GREEDY,
    {"seed": 1, "max_tokens": 40, "ignore_eos": True},
    {"seed": 2, "max_tokens": 40, "ignore_eos": True, "temperature": 0.7, "top_k": 40, "top_p": 0.9},
    {"seed": 3, "max_tokens": 40, "ignore_eos": True, "temperature": 1.5, "min_p": 0.02},
    {"seed": 4, "max_tokens": 40, "ignore_eos": True, "repetition_penalty": 1.3},
    {"seed": 5, "max_tokens": 40, "ignore_eos": True, "frequency_penalty": 0.8, "presence_penalty": 0.4},
]
SCORES: dict[str, Any] = {"max_tokens": 0, "echo": True, "logprobs": 3}
Make = Callable[..., TransformersEngine]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def serve() -> Iterator[Make]:
    engines: list[TransformersEngine] = []

    def start(checkpoint: Checkpoint, device: str, memory: int = 8 << 20, **options: Any) -> TransformersEngine:
        engine = TransformersEngine()
        engine.prepare(checkpoint, options, lambda _name, _seconds: None)
        engine.start(device, 1, memory)
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def make(serve: Make, folder: Path) -> Make:
    def start(device: str = CUDA, architecture: str = "llama", dtype: str = "float32", **rest: Any) -> Any:
        native = {"compute": "native"} if device == "cpu" else {}
        return serve(tiny.checkpoint(folder, architecture, dtype), device, **native, **rest)

    return start


def together(engine: TransformersEngine, samplings: list[dict[str, Any]]) -> list[list[int]]:
    """Submit the prompt with each sampling at once; return the tokens of each."""
    collectors = [Collector() for _ in samplings]
    for index, (sampling, collector) in enumerate(zip(samplings, collectors, strict=True)):
        engine.submit(request(PROMPT, f"r{index}", **sampling), collector)
    return [collector.wait().tokens for collector in collectors]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"step_tokens": 5, "prefill_tokens": 7}])  # whole prompts, and pieces
def test_greedy_tokens_are_the_processors(make: Make, architecture: str, options: dict[str, Any]) -> None:
    expected = generate(make("cpu", architecture), PROMPT, **GREEDY).tokens
    assert generate(make(CUDA, architecture, **options), PROMPT, **GREEDY).tokens == expected


def test_streams_that_run_together_say_what_each_says_alone_on_the_processor(make: Make) -> None:
    alone = make("cpu")
    expected = [generate(alone, PROMPT, **sampling).tokens for sampling in SAMPLINGS]
    engine = make(CUDA)
    assert together(engine, SAMPLINGS) == expected
    assert engine.stats().kv_bytes == 0
    assert engine.stats().running == 0


def test_log_probabilities_are_the_processors(make: Make) -> None:
    (expected,) = generate(make("cpu"), PROMPT, **SCORES).deltas
    (found,) = generate(make(CUDA), PROMPT, **SCORES).deltas
    assert [entry.token for entry in found.logprobs] == PROMPT
    assert [entry.logprob for entry in found.logprobs[1:]] == pytest.approx(
        [entry.logprob for entry in expected.logprobs[1:]], abs=1e-3
    )
    assert [[text for text, _ in entry.top] for entry in found.logprobs] == [
        [text for text, _ in entry.top] for entry in expected.logprobs
    ]


@pytest.mark.parametrize("cut", [1, 17, 39])
@pytest.mark.parametrize("sampling", SAMPLINGS[1:4])
def test_a_resumed_stream_goes_on_as_it_would_have(make: Make, sampling: dict[str, Any], cut: int) -> None:
    whole = generate(make(CUDA), PROMPT, **sampling).tokens
    resumed = generate(make(CUDA), [*PROMPT, *whole[:cut]], generated=cut, **sampling).tokens
    assert resumed == whole[cut:]


def test_a_stream_of_the_processor_is_resumed_on_the_device(make: Make) -> None:
    whole = generate(make("cpu"), PROMPT, **SAMPLINGS[2]).tokens
    assert generate(make(CUDA), [*PROMPT, *whole[:9]], generated=9, **SAMPLINGS[2]).tokens == whole[9:]


def test_a_cancelled_stream_ends_and_the_other_goes_on(make: Make) -> None:
    engine = make(CUDA)
    expected = generate(engine, PROMPT, **SAMPLINGS[1]).tokens
    leaving, staying = Collector(), Collector()
    engine.submit(request(PROMPT, "leaving", max_tokens=200, ignore_eos=True), leaving)
    engine.submit(request(PROMPT, "staying", **SAMPLINGS[1]), staying)
    leaving.wait(deltas=2)
    engine.cancel("leaving")
    assert staying.wait().tokens == expected
    assert not leaving.ended
    generate(engine, PROMPT, "after", max_tokens=1)  # a later step: the cancel has been taken in
    assert engine.stats().running == 0
    assert engine.stats().kv_bytes == 0


def test_a_tight_kv_cache_makes_requests_wait_and_changes_no_token(make: Make) -> None:
    samplings = [{"seed": seed, "max_tokens": 60, "ignore_eos": True} for seed in range(8)]
    expected = together(make(CUDA), samplings)
    assert together(make(CUDA, memory=TOKEN_BYTES * 220), samplings) == expected


def test_the_kv_cache_keeps_to_its_memory_and_gives_it_back(make: Make) -> None:
    samplings = [{"seed": seed, "max_tokens": 200, "ignore_eos": True} for seed in range(32)]
    limit = TOKEN_BYTES * 3000
    engine = make(CUDA, memory=limit)
    together(engine, samplings[:1])  # what a device keeps from its first step on is there
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    together(engine, samplings)
    activations = 4 << 20
    assert torch.cuda.max_memory_allocated() - before <= limit + activations
    assert torch.cuda.memory_allocated() - before <= 1 << 20


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("converted", [False, True])  # stored so, or stored as float32 and computed so
def test_half_precision_is_near_single_precision(
    make: Make, serve: Make, folder: Path, dtype: str, converted: bool
) -> None:
    (expected,) = generate(make("cpu"), PROMPT, **SCORES).deltas
    stored = tiny.checkpoint(folder, "llama", "float32" if converted else dtype)
    (found,) = generate(serve(stored, CUDA, **({"dtype": dtype} if converted else {})), PROMPT, **SCORES).deltas
    assert distance(found, expected) < 0.1


def test_tokens_come_while_weights_arrive(begin: Callable[..., Loading], serve: Make) -> None:
    loading = begin(dtype="bfloat16", partitions=2)
    engine = serve(loading.checkpoint, CUDA)
    collectors = [Collector(), Collector()]
    for index, collector in enumerate(collectors):
        engine.submit(request(PROMPT, f"r{index}", **GREEDY), collector)
    assert not any(collector.deltas for collector in collectors)
    loading.let_all(step=5000)
    found = [collector.wait().tokens for collector in collectors]
    later = generate(engine, PROMPT, "later", **GREEDY).tokens
    assert len(later) == 20
    assert found == [later, later]
    assert engine.arrival_seconds > 0


def test_embeddings_are_the_processors(make: Make) -> None:
    texts = [PROMPT[: 1 + 5 * index] for index in range(9)]
    expected = torch.tensor(make("cpu", "bert").embed(texts))
    found = torch.tensor(make(CUDA, "bert").embed(texts))
    assert torch.allclose(found, expected, atol=1e-4)


def test_int8_weights_say_nearly_what_they_say_on_the_processor(serve: Make, folder: Path) -> None:
    checkpoint = quantised(folder, "llama")
    (expected,) = generate(serve(checkpoint, "cpu", compute="steady"), PROMPT, **SCORES).deltas
    engine = serve(checkpoint, CUDA)
    (found,) = generate(engine, PROMPT, **SCORES).deltas
    assert distance(found, expected) < 0.1
    assert len(generate(engine, PROMPT, **GREEDY).tokens) == 20


def test_int8_embeddings_are_nearly_the_processors(serve: Make, folder: Path) -> None:
    checkpoint = quantised(folder, "bert")
    (expected,) = serve(checkpoint, "cpu", compute="steady").embed([PROMPT])
    (found,) = serve(checkpoint, CUDA).embed([PROMPT])
    assert torch.nn.functional.cosine_similarity(torch.tensor(found), torch.tensor(expected), dim=0) > 0.999


def test_weights_lie_on_the_device_once(make: Make, folder: Path) -> None:
    checkpoint = tiny.checkpoint(folder)
    stored = sum(tensor.nbytes for tensor in load_file(weights_paths(checkpoint)[0]).values())
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    engine = make(CUDA)
    assert torch.cuda.memory_allocated() - before <= stored + (64 << 10)  # each tensor's size is rounded up to 512
    assert generate(engine, PROMPT, **GREEDY).tokens


def test_attention_that_plans_for_each_length_is_not_used(make: Make) -> None:
    make(CUDA)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_prepared_engine_serves_on_the_device_in_forks(folder: Path) -> None:
    """A process that has used CUDA cannot be forked: so `prepare` must not."""
    code = f"""
import os
from pathlib import Path
from tests.unit.engines import tiny
from quickthaw_backends.engines.transformers_engine import TransformersEngine
import torch
from quickthaw_platform.checkpoints.store import DiskStore
torch.set_num_threads(1)
engine = TransformersEngine()
engine.prepare(DiskStore(Path({str(folder / "checkpoints")!r})).find("tiny-llama-float32"), {{}}, lambda *_: None)
assert not torch.cuda.is_initialized()
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        engine.start("cuda:0", 2, 1 << 20)
        done = len(tiny.generate(engine, [65] * 50, max_tokens=5, ignore_eos=True).tokens) == 5
        engine.close()
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    tiny.checkpoint(folder)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def distance(found: Delta, expected: Delta) -> float:
    """How far the log-probabilities of the prompt's tokens lie from each other on average."""
    pairs = zip(found.logprobs[1:], expected.logprobs[1:], strict=True)
    errors = [abs(float(a.logprob or 0) - float(b.logprob or 0)) for a, b in pairs]
    return sum(errors) / len(errors)


def quantised(folder: Path, architecture: str) -> Checkpoint:
    tiny.checkpoint(folder, architecture)  # writes the source
    source, store = str(folder / f"source-{architecture}"), DiskStore(folder / "checkpoints")
    return import_checkpoint(source, store, f"int8-{architecture}", quantization="int8").checkpoint
