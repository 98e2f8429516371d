"""Products with weights as they are stored, by compiled code and block by block, against the same in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import psutil
import pytest
import torch

from quickthaw_backends.engines.transformers_engine import steady_product
from quickthaw_backends.engines.transformers_engine.compiled import compiled_product, compiling, product_code
from quickthaw_backends.engines.transformers_engine.compiled.compiled_product import CompiledProduct
from quickthaw_backends.engines.transformers_engine.steady_product import BlockProduct

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.int8]
HEIGHTS = [[8], [9, 16], [100, 33, 33]]
"""Outputs of weights that are multiplied side by side."""

code_is_compiled = pytest.mark.skipif(
    compiling.why_not() is not None, reason=f"nothing is compiled here: {compiling.why_not()}"
)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def made(heights: Sequence[int], inputs: int, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(3)
    return [(torch.randn(height, inputs) * 10).to(dtype) for height in heights]


def exact(weights: Sequence[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    return (rows.double() @ torch.cat(list(weights)).double().t()).float()


@code_is_compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heights", HEIGHTS)
@pytest.mark.parametrize("inputs", [16, 64, 592])
def test_a_row_is_the_same_to_the_last_bit_with_any_others(dtype: torch.dtype, heights: list[int], inputs: int) -> None:
    weights = made(heights, inputs, dtype)
    assert compiled_product.takes(weights)
    product, rows = CompiledProduct(weights), torch.randn(19, inputs)
    together = product(rows)
    assert torch.allclose(together, exact(weights, rows), rtol=1e-4, atol=1e-2)
    for begin in range(len(rows)):
        for end in range(begin, len(rows) + 1):
            assert torch.equal(product(rows[begin:end]), together[begin:end])


@code_is_compiled
def test_the_number_of_threads_changes_no_bit(threads: None) -> None:
    weights = made([1000], 192, torch.bfloat16)
    product, rows = CompiledProduct(weights), torch.randn(5, 192)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(product(rows))
    assert all(torch.equal(result, found[0]) for result in found)


@code_is_compiled
@pytest.mark.skipif(not llvm.get_host_cpu_features().get("avx512f"), reason="this CPU has one kind of registers only")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_processor_with_other_registers_changes_no_bit(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, rows = made([100, 16], 208, dtype), torch.randn(13, 208)
    expected = CompiledProduct(weights)(rows)
    narrow = {name: there and not name.startswith("avx512") for name, there in llvm.get_host_cpu_features().items()}
    code = product_code.code(str(dtype).removeprefix("torch."), compiled_product._TILES_OF_FEWER)
    other = compiling.compile_for(code, product_code.ENTRY, "haswell", narrow)
    monkeypatch.setattr(compiled_product, "compiled", lambda _dtype: other)
    assert torch.equal(CompiledProduct(weights)(rows), expected)


@code_is_compiled
def test_rows_of_any_layout_are_taken_and_results_go_where_they_are_wanted() -> None:
    weights, rows = made([32], 48, torch.bfloat16), torch.randn(48, 7).t()
    into = torch.full((7, 32), torch.nan)
    assert CompiledProduct(weights)(rows, into) is into
    assert torch.allclose(into, exact(weights, rows), atol=1e-2)


@code_is_compiled
@pytest.mark.parametrize("rows", [torch.zeros(2, 64).bfloat16(), torch.zeros(2, 64).double(), torch.zeros(2, 48)])
def test_rows_of_another_type_or_width_are_refused(rows: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="rows are 64 of float32"):
        CompiledProduct(made([32], 64, torch.bfloat16))(rows)


@code_is_compiled
def test_a_thread_that_never_computed_takes_the_number_of_threads_that_torch_was_told(threads: None) -> None:
    """OpenMP has a number of its own for each thread, which torch sets when that thread first computes in parallel."""
    torch.set_num_threads(1)
    weights = made([4096], 512, torch.bfloat16)
    product, rows = CompiledProduct(weights), torch.randn(64, 512)

    def compute() -> int:
        before = psutil.Process().num_threads()
        product(rows)
        return psutil.Process().num_threads() - before

    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(compute).result() == 0


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([torch.zeros(7, 16)], id="fewer outputs than a strip"),
        pytest.param([torch.zeros(16, 24)], id="inputs that fill no lanes"),
        pytest.param([torch.zeros(32, 16).t()], id="stored by inputs"),
        pytest.param([torch.zeros(16, 16), torch.zeros(16, 16).half()], id="of two types"),
        pytest.param([torch.zeros(16, 16).double()], id="of another type"),
    ],
)
def test_other_weights_go_by_blocks(weights: list[torch.Tensor]) -> None:
    assert not compiled_product.takes(weights)
    assert isinstance(steady_product.steady_product(weights), BlockProduct)


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 70])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heights", [[1], [100, 33], [3000]])  # less than a block, and more
def test_blocks_give_the_product(count: int, dtype: torch.dtype, heights: list[int]) -> None:
    weights, rows = made(heights, 300, dtype), torch.randn(count, 300)
    assert torch.allclose(BlockProduct(weights)(rows), exact(weights, rows), rtol=1e-4, atol=1e-2)


def test_where_nothing_is_compiled_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiling, "why_not", lambda: "this processor is too old")
    steady_product._say_why.cache_clear()
    weights = made([64], 64, torch.bfloat16)
    products = [steady_product.steady_product(weights) for _ in range(3)]
    steady_product._say_why.cache_clear()
    assert [type(product) for product in products] == [BlockProduct] * 3
    assert [record.args for record in caplog.records] == [("this processor is too old",)]
