from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine import linear
from quickthaw_backends.engines.transformers_engine.linear import HybridEmbedding, HybridHead, HybridLinear

ROWS = (1, 2, 3, 5, 31, 32, 70)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def exact(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return (rows.double() @ weight.double().t()).float()


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("outputs", [1, 100, 3000])  # less than a block, and more
def test_block_product_is_the_product(count: int, outputs: int) -> None:
    weight = torch.randn(outputs, 300).bfloat16()
    rows = torch.randn(count, 300)
    assert torch.allclose(linear.block_product(weight, rows), exact(weight, rows), atol=1e-3)


@pytest.mark.parametrize("count", ROWS)
def test_float32_weights_give_the_product_either_way_round(count: int) -> None:
    weight, rows = torch.randn(70, 50), torch.randn(count, 50)
    result = linear.turned_product(weight, rows)
    assert result.is_contiguous()
    assert torch.allclose(result, exact(weight, rows), atol=1e-4)


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_hybrid_layer_agrees_with_the_plain_one_to_the_rounding(count: int, dtype: torch.dtype) -> None:
    layer = nn.Linear(96, 128).to(dtype).requires_grad_(False)
    hybrid = HybridLinear(layer.weight, layer.bias, transposed=False, steady=False)
    rows = torch.randn(2, count, 96)
    result = hybrid(rows)
    assert result.dtype == torch.float32
    assert result.shape == (2, count, 128)
    assert torch.allclose(result, nn.functional.linear(rows, layer.weight.float(), layer.bias.float()), atol=0.05)


@pytest.mark.parametrize("steady", [True, False])
def test_a_row_depends_on_the_others_by_rounding_only(steady: bool) -> None:
    weight = torch.randn(256, 192).bfloat16()
    hybrid = HybridLinear(weight, None, transposed=False, steady=steady)
    rows = torch.randn(40, 192)
    together = hybrid(rows)
    alone = torch.cat([hybrid(row[None]) for row in rows])
    different = ((together - alone).abs() > 1e-4).float().mean()
    assert different == 0 if steady else different < 1e-3


def test_conv1d_is_taken_as_it_is_stored() -> None:
    layer = Conv1D(30, 20)
    model = nn.Sequential(layer).to(torch.bfloat16).requires_grad_(False)
    linear.make_hybrid(model, None)
    rows = torch.randn(4, 20)
    expected = rows @ layer.weight.float() + layer.bias.float()
    assert torch.allclose(model(rows), expected, atol=0.05)


def test_the_head_ranks_near_ties_of_one_row_in_float32() -> None:
    weight = torch.randn(500, 64).bfloat16()
    hidden = (torch.randn(1, 64) * 40).bfloat16().float()
    best = HybridHead(weight, None, transposed=False, steady=False)(hidden)[0]
    order = exact(weight, hidden)[0].topk(20)
    assert best.topk(20).indices.tolist() == order.indices.tolist()
    assert torch.allclose(best.topk(20).values, order.values, rtol=1e-5)


@pytest.mark.parametrize("steady", [True, False])
def test_large_scores_go_where_the_step_before_had_its_own_and_small_ones_give_that_back(
    steady: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "KEPT_BYTES", 4 * 40 * 500)
    weight, rows = torch.randn(500, 64).bfloat16(), torch.randn(50, 64).bfloat16().float()
    head = HybridHead(weight, None, transposed=False, steady=steady)
    first = head(rows)
    again = head(rows.flip(0)[:40])
    assert again.data_ptr() == first.data_ptr()
    assert torch.allclose(again, exact(weight, rows.flip(0)[:40]), atol=1e-3)
    few = head(rows[:39])
    assert few.data_ptr() != first.data_ptr()
    assert linear._scratch.scores is None


def test_layers_that_are_no_head_have_results_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "KEPT_BYTES", 0)
    layer = HybridLinear(torch.randn(500, 64).bfloat16(), None, transposed=False, steady=True)
    first, second = layer(torch.randn(40, 64)), layer(torch.randn(40, 64))
    assert first.data_ptr() != second.data_ptr()


def test_make_hybrid_keeps_the_weights_memory_and_widens_the_rest() -> None:
    model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 50, bias=False))
    model = model.to(torch.bfloat16).requires_grad_(False)
    weight, head = model[1].get_parameter("weight"), model[3]
    assert linear.can_be_hybrid(model)
    linear.make_hybrid(model, head)
    linear.widen_small(model)
    norm = model[2]
    assert isinstance(model[0], HybridEmbedding)
    assert type(model[3]) is HybridHead
    assert model[1].get_parameter("weight").data_ptr() == weight.data_ptr()
    assert model[1].get_parameter("weight").dtype == torch.bfloat16
    assert norm.get_parameter("weight").dtype == torch.float32
    assert model(torch.tensor([[1, 2, 3]])).dtype == torch.float32


def test_a_model_with_large_weights_outside_of_layers_is_left_as_it_is() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 256, 256))

    assert not linear.can_be_hybrid(nn.Sequential(nn.Linear(4, 4), Experts()))


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("flags\t\t: fpu avx2 fma\n", False),
        ("flags\t\t: fpu avx2 avx512_bf16\n", True),
        ("flags\t\t: amx_bf16 avx2\n", True),
        ("Features\t: fp asimd bf16\n", True),  # Arm
        ("", False),
    ],
)
def test_cpu_flags_say_whether_the_cpu_multiplies_bfloat16(tmp_path: Path, text: str, native: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert linear.native_bf16(file) is native
    assert linear.native_bf16(tmp_path / "missing") is False
