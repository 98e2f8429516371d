"""Products in the processor's own bfloat16: the same at every cut, and whatever is computed beside.

What stays in a cache is the same to the last bit; the last layer, in float32, adds up differently for other numbers of
rows, which nothing magnifies any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.batching.runner import Chunk, Scores
from quickthaw_backends.engines.transformers_engine import TransformersEngine, linear, positions
from quickthaw_backends.engines.transformers_engine.attention import Segment
from quickthaw_backends.engines.transformers_engine.kv_cache import SequenceCache
from quickthaw_backends.engines.transformers_engine.products import MixedProduct
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from tests.unit.engines import tiny

native = pytest.mark.skipif(not linear.native_bf16(), reason="this CPU does not multiply bfloat16")
PROMPT = [*b"The quick brown fox jumps over the lazy dog. " * 4][:150]
ANSWER = [*b"and then it sleeps under a tree"]
ALL = [*PROMPT, *ANSWER]
MKLDNN: Any = torch.backends.mkldnn
PRECISION = MKLDNN.matmul.fp32_precision


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def started(folder: Path, architecture: str = "llama", threads: int = 2, **options: Any) -> RaggedRunner:
    engine = TransformersEngine()
    checkpoint = tiny.checkpoint(folder, architecture, options.pop("dtype", "bfloat16"))
    engine.prepare(checkpoint, {"compute": "mixed", **options}, lambda _name, _seconds: None)
    engine.start("cpu", threads, 8 << 20)
    assert engine._loop is not None
    runner = engine._loop._runner
    assert isinstance(runner, RaggedRunner)
    engine.close()
    return runner


@dataclass
class Computed:
    scores: Scores
    kept: list[torch.Tensor]  # keys and values of all layers

    def same(self, other: Computed) -> bool:
        """Whether another way to compute gave the same keys and values, and scores but for their last rounding."""
        near = bool(np.abs(self.scores - other.scores).max() < 1e-5)
        return near and all(torch.equal(a, b) for a, b in zip(self.kept, other.kept, strict=True))


def computed(runner: RaggedRunner, cuts: Sequence[int], *others: Chunk) -> Computed:
    """Compute all tokens, up to each of the cuts in turn, others beside them."""
    cache, rows = runner.new_cache(), []
    runner.reserve(cache, len(ALL))
    for begin, end in zip((0, *cuts), (*cuts, len(ALL)), strict=True):
        results = runner.run([*others, Chunk(cache, ALL[begin:end], begin, end - begin, len(PROMPT))])
        assert not isinstance(results[-1], Exception), results[-1]
        rows.append(results[-1])
    return Computed(np.concatenate(rows), kept(cache))


def kept(cache: SequenceCache) -> list[torch.Tensor]:
    return [tensor.clone() for layer in cache.layers(len(ALL)) for tensor in layer]


@native
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_token_is_the_same_at_every_cut(folder: Path, architecture: str) -> None:
    runner = started(folder, architecture)
    one_by_one = computed(runner, range(len(PROMPT), len(ALL)))
    for cuts in ([], [1], [63], [64], [65, 70, 130], [149], [150], [155, 156], range(1, len(ALL))):
        assert computed(runner, cuts).same(one_by_one), list(cuts)


@native
def test_a_token_is_the_same_beside_others_and_on_one_thread(folder: Path) -> None:
    runner = started(folder)
    alone = computed(runner, [100, 160])
    for count in (1, 2, 40):
        cache = runner.new_cache()
        runner.reserve(cache, 64)
        assert computed(runner, [100, 160], Chunk(cache, PROMPT[:count], 0)).same(alone), count
    assert computed(started(folder, threads=1), [100, 160]).same(alone)


@native
def test_a_fork_of_a_prompts_beginning_goes_on_as_if_it_had_computed_that(folder: Path) -> None:
    runner = started(folder)
    expected = computed(runner, [])
    first = runner.new_cache()
    runner.reserve(first, 90)
    runner.run([Chunk(first, ALL[:90], 0, 1, len(PROMPT))])
    cache = runner.fork(runner.store(first), 77)
    runner.reserve(cache, len(ALL))
    [scores] = runner.run([Chunk(cache, ALL[77:], 77, len(ALL) - 77, len(PROMPT))])
    assert not isinstance(scores, Exception)
    assert Computed(scores, kept(cache)).same(Computed(expected.scores[77:], expected.kept))


@native
def test_scores_are_near_those_of_float32(folder: Path) -> None:
    steady = computed(started(folder, compute="steady"), []).scores
    assert np.abs(computed(started(folder), []).scores - steady).max() < 0.5
    assert np.abs(steady).max() > 2


@native
@pytest.mark.parametrize(
    ("architecture", "options"), [("mistral", {}), ("gpt2", {}), ("llama", {"dtype": "float32"})], ids=str
)
def test_models_whose_products_would_not_be_exact_are_refused(
    folder: Path, architecture: str, options: dict[str, Any]
) -> None:
    with pytest.raises(StartFailed, match="compute=mixed is for models of the families Llama"):
        started(folder, architecture, **options)


def test_a_processor_without_bfloat16_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "native_bf16", lambda: False)
    with pytest.raises(StartFailed, match="this processor does not multiply bfloat16"):
        started(folder)


def test_a_processor_whose_rows_depend_on_one_another_computes_mixed_only_where_that_is_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "native_bf16", lambda: True)
    monkeypatch.setattr(linear, "rows_are_independent", lambda _model: False)
    with pytest.raises(StartFailed, match=r"are not exact; .* or add exact=false"):
        started(folder)
    started(folder, exact=False)


def test_rows_that_change_only_within_a_tile_of_many_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the processor's tiles and 576 inputs, where 89 to 159 rows are added up in another order than 160."""
    product = torch.nn.functional.linear

    def by_tiles(rows: torch.Tensor, weight: torch.Tensor) -> Any:
        return product(rows.float(), weight.float()) + (89 <= len(rows) < 160)

    monkeypatch.setattr(torch.nn.functional, "linear", by_tiles)
    assert not linear.rows_are_independent(torch.nn.Linear(576, 8))


@native
def test_inexact_products_keep_narrow_keys_and_give_scores_near_those_of_float32(folder: Path) -> None:
    runner = started(folder, exact=False)
    found, steady = computed(runner, [100]), computed(started(folder, compute="steady"), [100])
    assert {tensor.dtype for tensor in found.kept} == {torch.bfloat16}
    assert 0 < np.abs(found.scores - steady.scores).max() < 0.5
    assert not runner.speculates
    assert MKLDNN.matmul.fp32_precision == PRECISION


@native
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 40])
def test_gated_products_are_those_of_transformers_modules_in_bfloat16(rows: int, bias: bool) -> None:
    torch.manual_seed(3)
    plain = [torch.nn.Linear(64, 96, bias=bias, dtype=torch.bfloat16) for _ in range(2)]
    layers = [linear.MixedLinear(one.weight, one.bias, transposed=False, exact=False) for one in plain]
    hidden = torch.randn(rows, 64)
    with torch.inference_mode():
        gate, up = (one(hidden.bfloat16()) for one in plain)
        found = MixedProduct(layers).gated(hidden)
        assert found.dtype == torch.bfloat16
        assert torch.allclose(found, torch.nn.functional.silu(gate) * up, atol=0.01, rtol=0.02)


@pytest.mark.parametrize(
    ("past", "count", "prompt", "expected"),
    [
        (0, 10, 10, [10]),
        (0, 130, 130, [64, 64, 2]),
        (60, 10, 100, [4, 6]),
        (60, 10, 66, [4, 2, 1, 1, 1, 1]),
        (66, 3, 66, [1, 1, 1]),
        (64, 64, 128, [64]),
    ],
)
def test_prompts_are_computed_by_blocks_and_answers_token_by_token(
    past: int, count: int, prompt: int, expected: list[int]
) -> None:
    assert list(positions.pieces(Segment(SequenceCache(), 0, count, past, prompt))) == expected


def test_caches_have_room_for_whole_blocks() -> None:
    assert [positions.room(tokens) for tokens in (1, 64, 65)] == [64, 64, 128]
