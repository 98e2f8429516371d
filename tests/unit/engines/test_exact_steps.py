"""What a token gives is the same to the last bit at every cut, and whatever is computed beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_backends.engines.batching.runner import Chunk
from quickthaw_backends.engines.transformers_engine import linear
from quickthaw_backends.engines.transformers_engine.compiled import compiling
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from tests.unit.engines.steps import ALL, PROMPT, Computed, computed, kept, started_runner

pytestmark = pytest.mark.skipif(compiling.why_not() is not None, reason=f"nothing is compiled: {compiling.why_not()}")

MIXED = pytest.param(
    "mixed",
    "bfloat16",
    marks=pytest.mark.skipif(not linear.native_bf16(), reason="this CPU does not multiply bfloat16"),
)
each_way = pytest.mark.parametrize(
    ("compute", "dtype"), [("steady", "bfloat16"), ("steady", "float16"), ("steady", "float32"), MIXED]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def started(folder: Path, compute: str, dtype: str, architecture: str = "llama", threads: int = 2) -> RaggedRunner:
    return started_runner(folder, architecture, threads=threads, compute=compute, dtype=dtype)


@each_way
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_token_is_the_same_at_every_cut(folder: Path, compute: str, dtype: str, architecture: str) -> None:
    runner = started(folder, compute, dtype, architecture)
    one_by_one = computed(runner, range(1, len(ALL)))
    for cuts in ([], [1], [15], [16, 17], [64], [65, 70, 130], [149], [150], [155, 156], range(len(PROMPT), len(ALL))):
        assert computed(runner, cuts).same(one_by_one), list(cuts)


@each_way
def test_a_token_is_the_same_beside_others_and_on_one_thread(folder: Path, compute: str, dtype: str) -> None:
    runner = started(folder, compute, dtype)
    alone = computed(runner, [100, 160])
    for count in (1, 2, 40):
        cache = runner.new_cache()
        runner.reserve(cache, 64)
        assert computed(runner, [100, 160], Chunk(cache, PROMPT[:count], 0)).same(alone), count
    assert computed(started(folder, compute, dtype, threads=1), [100, 160]).same(alone)


@each_way
def test_a_fork_goes_on_as_if_it_had_computed_what_it_begins_with(folder: Path, compute: str, dtype: str) -> None:
    runner = started(folder, compute, dtype)
    expected = computed(runner, [])
    first = runner.new_cache()
    runner.reserve(first, 90)
    runner.run([Chunk(first, ALL[:90], 0)])
    cache = runner.fork(runner.store(first), 77)
    runner.reserve(cache, len(ALL))
    [scores] = runner.run([Chunk(cache, ALL[77:], 77, len(ALL) - 77)])
    assert not isinstance(scores, Exception)
    assert Computed(scores, kept(cache)).same(Computed(expected.scores[77:], expected.kept))
