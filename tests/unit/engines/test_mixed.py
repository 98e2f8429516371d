"""Products in the processor's own bfloat16: near those of float32, and refused where they would be anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.transformers_engine import linear
from quickthaw_backends.engines.transformers_engine.compiled import compiled_attention
from quickthaw_backends.engines.transformers_engine.products import MixedProduct
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from tests.unit.engines.steps import computed, started_runner

native = pytest.mark.skipif(not linear.native_bf16(), reason="this CPU does not multiply bfloat16")
MKLDNN: Any = torch.backends.mkldnn
PRECISION = MKLDNN.matmul.fp32_precision


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def started(folder: Path, architecture: str = "llama", **options: Any) -> RaggedRunner:
    return started_runner(folder, architecture, **{"compute": "mixed", **options})


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


@native
def test_without_compiled_attention_mixed_is_refused_where_it_is_to_be_exact(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_attention, "takes", lambda _dimension: False)
    with pytest.raises(StartFailed, match=r"attention is not exact here, .* or add exact=false"):
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
