"""The code behind `compiled_product`, in LLVM's language: rows of float32 times weights that are as they are stored.

An output is the sum of 16 partial sums, each added up in the order of the inputs, which are then added up in pairs.
That is the same order for any number of rows, any number of threads and any processor. What differs is how many rows
and outputs are computed together, so that a weight that was read and widened once serves several rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from llvmlite import ir

from quickthaw_backends.engines.transformers_engine.compiled.vector_code import (
    BYTE,
    FIELD_BYTES,
    FLOAT,
    FLOAT_BYTES,
    INT,
    LANES,
    LONG,
    POINTER,
    SHORT,
    VECTOR,
    VOID,
    added_up,
    always,
    at,
    entry,
    field,
    fma,
    intrinsic,
    lanes,
    long,
    repeat,
    take_turns,
    vector_at,
)

ENTRY = "multiply"

STRIP = 8
"""Outputs that a thread computes for all rows before it goes on to the next ones; their weights follow one another."""

TURNS = 4
"""How often a thread takes strips, if all are equally fast."""

Tile = tuple[int, int]
"""How many rows and how many outputs of a strip are computed together: their sums are in registers."""

_TO_READ, _TO_KEEP, _AS_DATA = (ir.Constant(INT, number) for number in (0, 3, 1))  # arguments of llvm.prefetch


@dataclass(frozen=True, slots=True)
class Stored:
    """How a weight is stored, and how it becomes a float32."""

    bytes: int
    kind: ir.Type
    widened: Callable[[ir.IRBuilder, ir.Value], ir.Value]


def _of_bfloat16(builder: ir.IRBuilder, stored: ir.Value) -> ir.Value:
    moved = builder.shl(builder.zext(stored, lanes(INT)), always(16, INT))
    return builder.bitcast(moved, VECTOR)


STORED = {
    "float32": Stored(4, FLOAT, lambda _, stored: stored),
    "bfloat16": Stored(2, SHORT, _of_bfloat16),
    "float16": Stored(2, ir.HalfType(), lambda builder, stored: builder.fpext(stored, VECTOR)),
    "int8": Stored(1, BYTE, lambda builder, stored: builder.sitofp(stored, VECTOR)),
}
"""By the names of torch's types."""


def code(dtype: str, tiles: Sequence[Tile]) -> str:
    """Return a module with the function `ENTRY`: each thread of a team calls it with the address of a `Call`.

    `Call` and the `Matrix` that it points to are laid out in `compiled_product`. `dtype`, one of `STORED`, is the type
    of the weights. One of the tiles is of a single row.
    """
    module = ir.Module()
    multiply = multiplier(module, dtype, tiles)
    builder, call, _, threads = entry(module, ENTRY)
    matrix, rows, results = (field(builder, call, index, POINTER) for index in range(3))
    taken = at(builder, call, long(4 * FIELD_BYTES))
    builder.call(multiply, [matrix, rows, results, field(builder, call, 3, LONG), taken, threads])
    builder.ret_void()
    return str(module)


def multiplier(module: ir.Module, dtype: str, tiles: Sequence[Tile]) -> ir.Function:
    """Add the function that computes a thread's part of a product.

    It takes the addresses of a matrix, of rows and of results, how many rows there are, the address at which threads
    count the strips they have taken, which is 0 before, and how many threads there are.
    """
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER, POINTER, POINTER, LONG, POINTER, LONG]), "product")
    function.linkage = "internal"
    strips_of = [(rows, _strip_of(module, STORED[dtype], rows, outputs)) for rows, outputs in sorted(tiles)[::-1]]
    _multiply(ir.IRBuilder(function.append_basic_block()), strips_of, *function.args)
    return function


def _strip_of(module: ir.Module, stored: Stored, rows: int, outputs: int) -> ir.Function:
    """Add the function that computes a strip for so many rows."""
    kind = ir.FunctionType(VOID, [POINTER, POINTER, POINTER, POINTER, POINTER, LONG, LONG])
    function = ir.Function(module, kind, f"strip_of_{rows}")
    function.linkage = "internal"
    weights, scales, biases, first_row, results, inputs, width = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    weight_bytes = builder.mul(inputs, long(stored.bytes))
    row_bytes, result_bytes = (builder.mul(length, long(FLOAT_BYTES)) for length in (inputs, width))
    rows_at = [at(builder, first_row, builder.mul(row_bytes, long(row))) for row in range(rows)]

    def compute(first_output: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        begin = at(builder, weights, builder.mul(weight_bytes, first_output))
        weights_at = [at(builder, begin, builder.mul(weight_bytes, long(output))) for output in range(outputs)]
        sums = _sums(builder, stored, weights_at, rows_at, inputs)
        for total, (row, output) in zip(sums, product(range(rows), range(outputs)), strict=True):
            place = builder.mul(builder.add(first_output, long(output)), long(FLOAT_BYTES))
            scale, bias = (builder.load(at(builder, each, place), typ=FLOAT) for each in (scales, biases))
            result = builder.fadd(builder.fmul(added_up(builder, total), scale), bias)
            builder.store(result, at(builder, results, builder.add(builder.mul(result_bytes, long(row)), place)))
        return ()

    repeat(builder, long(0), long(STRIP), outputs, (), compute)
    builder.ret_void()
    return function


def _sums(
    builder: ir.IRBuilder,
    stored: Stored,
    weights_at: Sequence[ir.Value],
    rows_at: Sequence[ir.Value],
    inputs: ir.Value,
) -> Sequence[ir.Value]:
    """Return the partial sums of each row and output. Asks for the next strip's weights while it reads these."""
    strip_bytes = builder.mul(inputs, long(STRIP * stored.bytes))
    prefetch = intrinsic(builder, "llvm.prefetch.p0", VOID, [POINTER, INT, INT, INT])

    def add(first_input: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        offset = builder.mul(first_input, long(stored.bytes))
        here = [at(builder, weight, offset) for weight in weights_at]
        widened = [
            stored.widened(builder, builder.load(weight, typ=lanes(stored.kind), align=stored.bytes)) for weight in here
        ]
        for weight in here:
            builder.call(prefetch, [at(builder, weight, strip_bytes), _TO_READ, _TO_KEEP, _AS_DATA])
        found = []
        for row, totals in zip(rows_at, _chunks(sums, len(weights_at)), strict=True):
            numbers = vector_at(builder, at(builder, row, builder.mul(first_input, long(FLOAT_BYTES))))
            found += [fma(builder, weight, numbers, total) for weight, total in zip(widened, totals, strict=True)]
        return found

    none = [always(0.0)] * (len(rows_at) * len(weights_at))
    return repeat(builder, long(0), inputs, LANES, none, add)[1]


def _multiply(
    builder: ir.IRBuilder,
    strips_of: Sequence[tuple[int, ir.Function]],
    matrix: ir.Value,
    rows: ir.Value,
    results: ir.Value,
    row_count: ir.Value,
    taken: ir.Value,
    threads: ir.Value,
) -> None:
    """Compute strips for all rows, as many of them together as the first of `strips_of` that fits is for."""
    strips, places = (field(builder, matrix, index, POINTER) for index in range(2))
    strip_count, inputs, width = (field(builder, matrix, index, LONG) for index in range(2, 5))
    scales, biases = (field(builder, matrix, index, POINTER) for index in (5, 6))
    row_bytes, result_bytes = (builder.mul(length, long(FLOAT_BYTES)) for length in (inputs, width))

    def compute(strip: ir.Value) -> None:
        weights = field(builder, strips, strip, POINTER)
        place = builder.mul(field(builder, places, strip, LONG), long(FLOAT_BYTES))
        into, own_scales, own_biases = (at(builder, each, place) for each in (results, scales, biases))
        row = long(0)
        for count, strip_of in strips_of:

            def apply(row: ir.Value, _: Sequence[ir.Value], strip_of: ir.Function = strip_of) -> Sequence[ir.Value]:
                first_row = at(builder, rows, builder.mul(row, row_bytes))
                first_result = at(builder, into, builder.mul(row, result_bytes))
                builder.call(strip_of, [weights, own_scales, own_biases, first_row, first_result, inputs, width])
                return ()

            row, _done = repeat(builder, row, row_count, count, (), apply)

    # Threads take turns, so that what holds one of them up, another process on its core say, does not hold up the rest.
    at_a_time = builder.add(builder.udiv(strip_count, builder.mul(threads, long(TURNS))), long(1))
    take_turns(builder, taken, strip_count, at_a_time, compute)
    builder.ret_void()


def _chunks(values: Sequence[ir.Value], length: int) -> list[Sequence[ir.Value]]:
    return [values[begin : begin + length] for begin in range(0, len(values), length)]
