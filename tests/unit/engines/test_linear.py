from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine import linear
from quickthaw_backends.engines.transformers_engine.linear import (
    MixedHead,
    SteadyHead,
    SteadyLinear,
    WidenedEmbedding,
    native_bf16,
)

ROWS = (1, 2, 3, 5, 31, 32, 70)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def exact(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return (rows.double() @ weight.double().t()).float()


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_layer_gives_the_product_in_float32(count: int, dtype: torch.dtype) -> None:
    layer = nn.Linear(96, 128).to(dtype).requires_grad_(False)
    rows = torch.randn(2, count, 96)
    result = SteadyLinear(layer.weight, layer.bias, transposed=False)(rows)
    assert result.dtype == torch.float32
    assert result.shape == (2, count, 128)
    assert torch.allclose(result, nn.functional.linear(rows, layer.weight.float(), layer.bias.float()), atol=1e-4)


def test_conv1d_is_taken_as_it_is_stored() -> None:
    layer = Conv1D(30, 20)
    model = nn.Sequential(layer).to(torch.bfloat16).requires_grad_(False)
    linear.substitute(model, None)
    rows = torch.randn(4, 20)
    expected = rows @ layer.weight.float() + layer.bias.float()
    assert torch.allclose(model(rows), expected, atol=1e-4)


@pytest.mark.skipif(not native_bf16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("count", [1, 40])
def test_a_mixed_head_rounds_what_goes_in_and_not_what_comes_out(count: int) -> None:
    weight, hidden = torch.randn(500, 64).bfloat16(), torch.randn(count, 64)
    scores = MixedHead(weight, None, transposed=False)(hidden)
    assert torch.allclose(scores, exact(weight, hidden), atol=0.2)
    assert not torch.equal(scores, scores.bfloat16().float())


@pytest.mark.parametrize("kind", [SteadyHead, MixedHead])
def test_large_scores_go_where_the_step_before_had_its_own_and_small_ones_give_that_back(
    kind: type[SteadyHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "KEPT_BYTES", 4 * 40 * 500)
    weight, rows = torch.randn(500, 64).bfloat16(), torch.randn(50, 64).bfloat16().float()
    head = kind(weight, None, transposed=False)
    first = head(rows)
    again = head(rows.flip(0)[:40])
    assert again.data_ptr() == first.data_ptr()
    assert torch.allclose(again, exact(weight, rows.flip(0)[:40]), atol=1e-3)
    few = head(rows[:39])
    assert few.data_ptr() != first.data_ptr()
    assert linear._scratch.scores is None


def test_layers_that_are_no_head_have_results_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "KEPT_BYTES", 0)
    layer = SteadyLinear(torch.randn(500, 64).bfloat16(), None, transposed=False)
    first, second = layer(torch.randn(40, 64)), layer(torch.randn(40, 64))
    assert first.data_ptr() != second.data_ptr()


def test_substitutes_keep_the_weights_memory_and_widens_the_rest() -> None:
    model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 50, bias=False))
    model = model.to(torch.bfloat16).requires_grad_(False)
    weight, head = model[1].get_parameter("weight"), model[3]
    assert linear.can_substitute(model)
    linear.substitute(model, head)
    linear.widen_small(model)
    norm = model[2]
    assert isinstance(model[0], WidenedEmbedding)
    assert type(model[3]) is SteadyHead
    assert model[1].get_parameter("weight").data_ptr() == weight.data_ptr()
    assert model[1].get_parameter("weight").dtype == torch.bfloat16
    assert norm.get_parameter("weight").dtype == torch.float32
    assert model(torch.tensor([[1, 2, 3]])).dtype == torch.float32


def test_a_model_with_large_weights_outside_of_layers_is_left_as_it_is() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 256, 256))

    assert not linear.can_substitute(nn.Sequential(nn.Linear(4, 4), Experts()))


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
