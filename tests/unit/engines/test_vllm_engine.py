"""The vllm engine: what can be known without vLLM, and its sampler where vLLM is installed."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quickthaw.errors import InvalidRequest, NotServable, StartFailed, Unavailable
from quickthaw.generation import Sampling
from quickthaw_backends.engines.constraint import Constraint
from quickthaw_backends.engines.counter import uniform
from quickthaw_backends.engines.vllm_engine import VllmEngine
from quickthaw_backends.engines.vllm_engine.memory import LEAST_CACHE_BYTES, MIB, cache_bytes
from quickthaw_backends.engines.vllm_engine.options import VllmOptions
from quickthaw_platform import plugins
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines import tiny
from tests.unit.engines.loading import Loading
from tests.unit.engines.tiny import generate

needs_vllm = pytest.mark.skipif(VllmEngine.missing() is not None, reason=str(VllmEngine.missing()))


def test_it_is_found_by_its_name() -> None:
    assert plugins.engine_class("vllm") is VllmEngine


def test_finding_it_and_checking_its_options_imports_neither_vllm_nor_torch() -> None:
    code = (
        "import sys; from quickthaw_platform import plugins; E = plugins.engine_class('vllm'); E.missing();"
        "E.check_options({'dtype': 'float32'}); assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_where_vllm_is_missing_the_extra_is_named() -> None:
    missing = VllmEngine.missing()
    assert missing is None or "quickthaw[vllm]" in missing


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dtype", "int4"),  # not a type that it computes in
        ("max_batch", 0),  # nothing would run
        ("max_batch", True),  # no number
        ("step_tokens", "many"),
        ("context_tokens", -1),
        ("enforce_eager", "yes"),
        ("prefix_caching", 1),
        ("can_sleep", "no"),
    ],
)
def test_a_wrong_option_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=option) as refused:
        VllmOptions.parse({option: value})
    assert refused.value.param == f"options.{option}"


def test_an_unknown_option_is_refused_with_the_near_one() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'max_batch'"):
        VllmEngine.check_options({"max_batches": 1})


@pytest.mark.parametrize(
    ("left", "weights", "expected"),
    [
        (None, 10_000, 512),  # no limit
        (4000, 540, 512),  # enough of all
        (1500, 270, 206),  # less than its share
    ],
)
def test_its_cache_is_what_its_own_copy_of_the_weights_leaves(left: int | None, weights: int, expected: int) -> None:
    assert cache_bytes(512 * MIB, None if left is None else left * MIB, weights * MIB) == expected * MIB


def test_too_little_memory_is_refused_with_how_much_is_needed() -> None:
    with pytest.raises(StartFailed, match=r"270 MiB for its own copy .* 512 MiB are left; .* 1422 MiB or more"):
        cache_bytes(256 * MIB, 512 * MIB, 270 * MIB)
    assert cache_bytes(711 * MIB, 1422 * MIB, 270 * MIB) >= 2 * LEAST_CACHE_BYTES


def test_weights_that_vllm_cannot_read_are_refused_before_anything_is_imported(tmp_path: Path) -> None:
    known = tiny.checkpoint(tmp_path)
    quantised = Checkpoint(known.id, known.path, {**known.manifest, "quantization": "int8"})
    with pytest.raises(StartFailed, match="int8"):
        VllmEngine().prepare(quantised, {}, lambda _name, _seconds: None)
    assert "vllm" not in sys.modules or VllmEngine.missing() is None


def test_before_its_start_it_serves_nothing_and_says_so(tmp_path: Path) -> None:
    engine = VllmEngine()
    with pytest.raises(StartFailed):
        engine.start("cpu", 1, 1 << 20)
    with pytest.raises(NotServable):
        engine.prime([1], tmp_path / "prefix")
    with pytest.raises(Unavailable):
        engine.embed([[1]])
    for ignored in (engine.cancel, engine.release):
        ignored("unknown")
    engine.close()


def chosen(scores: list[float], answered: list[int] | None = None, prompt: tuple[int, ...] = (0,), **asked: Any) -> int:
    import torch

    from quickthaw_backends.engines.vllm_engine.sampler import Row, choose

    sampling, greedy = Sampling.model_validate({"seed": 7, **asked}), Sampling(temperature=0, seed=1)
    row = Row(sampling, Constraint(sampling, frozenset(), None), prompt, answered or [], [])
    other = Row(greedy, Constraint(greedy, frozenset(), None), (0,), [], [])
    both = torch.tensor([scores, scores[::-1]])
    first, second = choose(both, [row, other]).tolist()
    assert second == max(range(len(scores)), key=lambda token: scores[::-1][token])  # rows do not disturb each other
    return int(first)


@needs_vllm
def test_a_drawn_token_is_where_the_number_of_its_position_falls() -> None:
    scores = [1.0, 3.0, 2.0, 0.5]
    weights = [math.exp(score / 0.7) for score in scores]
    for position in range(1, 40):
        borders = itertools.accumulate(weights)
        number = uniform(7, position) * sum(weights)
        expected = next(token for token, border in enumerate(borders) if number < border)
        assert chosen(scores, prompt=(0,) * position, temperature=0.7) == expected


@needs_vllm
@pytest.mark.parametrize(
    ("asked", "possible"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_p": 0.6}, {1}),  # the likeliest has 0.64
        ({"top_p": 0.7}, {1, 2}),
        ({"min_p": 0.2}, {1, 2}),  # at least a fifth as likely as the likeliest
    ],
)
def test_filters_leave_only_what_they_allow(asked: dict[str, Any], possible: set[int]) -> None:
    drawn = {chosen([1.0, 3.0, 2.0, 0.5], prompt=(0,) * position, **asked) for position in range(1, 60)}
    assert drawn == possible


@needs_vllm
def test_penalties_count_the_answer_that_came_before_an_interruption() -> None:
    scores = [0.0, 3.0, 2.5, 0.0]
    assert chosen(scores, temperature=0) == 1
    assert chosen(scores, answered=[1], temperature=0, presence_penalty=1) == 2
    assert chosen(scores, answered=[1, 2, 2], temperature=0, frequency_penalty=0.6) == 1
    assert chosen(scores, prompt=(1,), temperature=0, repetition_penalty=2) == 2
    assert chosen(scores, prompt=(1,), temperature=0, presence_penalty=2) == 1  # of the answer alone


def answer(checkpoint: Checkpoint) -> tuple[int, ...]:
    engine = VllmEngine()
    engine.prepare(checkpoint, {"dtype": "float32"}, lambda _name, _seconds: None)
    engine.start("cpu", 1, 8 << 20)
    try:
        return tuple(generate(engine, [*range(65, 85)], temperature=0, max_tokens=8, ignore_eos=True).tokens)
    finally:
        engine.close()


@needs_vllm
def test_weights_are_read_from_a_nodes_memory_as_they_arrive_and_give_the_same_tokens(
    begin: Callable[..., Loading],
) -> None:
    loading = begin("wide_llama", partitions=2)
    arriving = threading.Timer(1.0, lambda: loading.let_all(1 << 16))
    arriving.start()
    tokens = answer(loading.checkpoint)
    arriving.join()
    assert tokens == answer(replace(loading.checkpoint, arrival=None))


@needs_vllm
def test_weights_that_will_never_arrive_end_the_start_with_the_cause(begin: Callable[..., Loading]) -> None:
    loading = begin("wide_llama")
    engine = VllmEngine()
    engine.prepare(loading.checkpoint, {"dtype": "float32"}, lambda _name, _seconds: None)
    loading.writer.fail("the store has lost a part")
    with pytest.raises(StartFailed, match=r"^the store has lost a part$"):
        engine.start("cpu", 1, 8 << 20)
