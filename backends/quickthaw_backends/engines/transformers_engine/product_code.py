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

ENTRY = "multiply"
THREAD_INDEX, THREAD_COUNT = "omp_get_thread_num", "omp_get_num_threads"

LANES = 16
"""Partial sums of an output. The number of inputs is a multiple of it."""

STRIP = 8
"""Outputs that a thread computes for all rows before it goes on to the next ones; their weights follow one another."""

Tile = tuple[int, int]
"""How many rows and how many outputs of a strip are computed together: their sums are in registers."""

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT, _POINTER, _VOID = ir.FloatType(), ir.PointerType(), ir.VoidType()
_FLOAT_BYTES, _FIELD_BYTES = 4, 8
_TO_READ, _TO_KEEP, _AS_DATA = (ir.Constant(_INT, number) for number in (0, 3, 1))  # arguments of llvm.prefetch


def _lanes(kind: ir.Type) -> ir.VectorType:
    return ir.VectorType(kind, LANES)


_SUMS = _lanes(_FLOAT)


@dataclass(frozen=True, slots=True)
class Stored:
    """How a weight is stored, and how it becomes a float32."""

    bytes: int
    kind: ir.Type
    widened: Callable[[ir.IRBuilder, ir.Value], ir.Value]


def _of_bfloat16(builder: ir.IRBuilder, stored: ir.Value) -> ir.Value:
    moved = builder.shl(builder.zext(stored, _lanes(_INT)), ir.Constant(_lanes(_INT), [16] * LANES))
    return builder.bitcast(moved, _SUMS)


STORED = {
    "float32": Stored(4, _FLOAT, lambda _, stored: stored),
    "bfloat16": Stored(2, _SHORT, _of_bfloat16),
    "float16": Stored(2, ir.HalfType(), lambda builder, stored: builder.fpext(stored, _SUMS)),
    "int8": Stored(1, _BYTE, lambda builder, stored: builder.sitofp(stored, _SUMS)),
}
"""By the names of torch's types."""


def code(dtype: str, tiles: Sequence[Tile]) -> str:
    """Return a module with the function `ENTRY`: each thread of a team calls it with the address of a `Call`.

    `Call` and the `Matrix` that it points to are laid out in `compiled_product`. `dtype`, one of `STORED`, is the type
    of the weights. One of the tiles is of a single row.
    """
    stored = STORED[dtype]
    module = ir.Module()
    from_largest = sorted(tiles, reverse=True)
    _entry(module, [(rows, _strip_of(module, stored, rows, outputs)) for rows, outputs in from_largest])
    return str(module)


def _strip_of(module: ir.Module, stored: Stored, rows: int, outputs: int) -> ir.Function:
    """Add the function that computes a strip for so many rows."""
    function = ir.Function(
        module, ir.FunctionType(_VOID, [_POINTER, _POINTER, _POINTER, _LONG, _LONG]), f"strip_of_{rows}"
    )
    function.linkage = "internal"
    weights, first_row, results, inputs, width = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    weight_bytes = builder.mul(inputs, _long(stored.bytes))
    row_bytes, result_bytes = (builder.mul(length, _long(_FLOAT_BYTES)) for length in (inputs, width))
    rows_at = [_at(builder, first_row, builder.mul(row_bytes, _long(row))) for row in range(rows)]

    def compute(first_output: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        begin = _at(builder, weights, builder.mul(weight_bytes, first_output))
        weights_at = [_at(builder, begin, builder.mul(weight_bytes, _long(output))) for output in range(outputs)]
        sums = _sums(builder, stored, weights_at, rows_at, inputs)
        for total, (row, output) in zip(sums, product(range(rows), range(outputs)), strict=True):
            place = builder.add(first_output, _long(output))
            offset = builder.add(builder.mul(result_bytes, _long(row)), builder.mul(place, _long(_FLOAT_BYTES)))
            builder.store(_added_up(builder, total), _at(builder, results, offset), align=_FLOAT_BYTES)
        return ()

    _repeat(builder, _long(0), _long(STRIP), outputs, (), compute)
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
    strip_bytes = builder.mul(inputs, _long(STRIP * stored.bytes))
    prefetch = _intrinsic(builder, "llvm.prefetch.p0", _VOID, [_POINTER, _INT, _INT, _INT])
    multiply_add = _intrinsic(builder, f"llvm.fma.v{LANES}f32", _SUMS, [_SUMS] * 3)

    def add(first_input: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        offset = builder.mul(first_input, _long(stored.bytes))
        here = [_at(builder, weight, offset) for weight in weights_at]
        widened = [
            stored.widened(builder, builder.load(weight, typ=_lanes(stored.kind), align=stored.bytes))
            for weight in here
        ]
        for weight in here:
            builder.call(prefetch, [_at(builder, weight, strip_bytes), _TO_READ, _TO_KEEP, _AS_DATA])
        found = []
        for row, totals in zip(rows_at, _chunks(sums, len(weights_at)), strict=True):
            place = _at(builder, row, builder.mul(first_input, _long(_FLOAT_BYTES)))
            numbers = builder.load(place, typ=_SUMS, align=_FLOAT_BYTES)
            found += [
                builder.call(multiply_add, [weight, numbers, total])
                for weight, total in zip(widened, totals, strict=True)
            ]
        return found

    none = [ir.Constant(_SUMS, [0.0] * LANES)] * (len(rows_at) * len(weights_at))
    return _repeat(builder, _long(0), inputs, LANES, none, add)[1]


def _added_up(builder: ir.IRBuilder, sums: ir.Value) -> ir.Value:
    """Return the total of partial sums: always the upper half added to the lower one."""
    count = LANES
    while count > 1:
        count //= 2
        lower, upper = (ir.Constant(ir.VectorType(_INT, count), [*range(first, first + count)]) for first in (0, count))
        sums = builder.fadd(builder.shuffle_vector(sums, sums, lower), builder.shuffle_vector(sums, sums, upper))
    return builder.extract_element(sums, ir.Constant(_INT, 0))


def _entry(module: ir.Module, strips_of: Sequence[tuple[int, ir.Function]]) -> None:
    """Add the function that computes this thread's share of the strips; the largest number of rows comes first."""
    function = ir.Function(module, ir.FunctionType(_VOID, [_POINTER]), ENTRY)
    builder = ir.IRBuilder(function.append_basic_block())
    matrix, rows, results = (_field(builder, function.args[0], index, _POINTER) for index in range(3))
    row_count = _field(builder, function.args[0], 3, _LONG)
    strips, places = (_field(builder, matrix, index, _POINTER) for index in range(2))
    strip_count, inputs, width = (_field(builder, matrix, index, _LONG) for index in range(2, 5))
    row_bytes, result_bytes = (builder.mul(length, _long(_FLOAT_BYTES)) for length in (inputs, width))

    def compute(strip: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        weights = _field(builder, strips, strip, _POINTER)
        place = _field(builder, places, strip, _LONG)
        into = _at(builder, results, builder.mul(place, _long(_FLOAT_BYTES)))
        row = _long(0)
        for count, strip_of in strips_of:

            def apply(row: ir.Value, _: Sequence[ir.Value], strip_of: ir.Function = strip_of) -> Sequence[ir.Value]:
                first_row = _at(builder, rows, builder.mul(row, row_bytes))
                first_result = _at(builder, into, builder.mul(row, result_bytes))
                builder.call(strip_of, [weights, first_row, first_result, inputs, width])
                return ()

            row, _done = _repeat(builder, row, row_count, count, (), apply)
        return ()

    begin, end = _share(builder, module, strip_count)
    _repeat(builder, begin, end, 1, (), compute)
    builder.ret_void()


def _share(builder: ir.IRBuilder, module: ir.Module, count: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the first and the end of what this thread takes of `count` things, in a team of OpenMP's."""
    index, threads = (
        builder.zext(builder.call(ir.Function(module, ir.FunctionType(_INT, []), name), []), _LONG)
        for name in (THREAD_INDEX, THREAD_COUNT)
    )
    begin, end = (builder.udiv(builder.mul(count, number), threads) for number in (index, builder.add(index, _long(1))))
    return begin, end


def _repeat(
    builder: ir.IRBuilder,
    begin: ir.Value,
    end: ir.Value,
    step: int,
    carried: Sequence[ir.Value],
    body: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
) -> tuple[ir.Value, Sequence[ir.Value]]:
    """Go from `begin` by steps that do not pass `end`; return where that stopped, and the values carried along.

    The body gets both as they are before a step, and returns the carried values as they are after it.
    """
    before = builder.block
    test, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(test)
    builder.position_at_end(test)
    index = builder.phi(_LONG)
    index.add_incoming(begin, before)
    values = [builder.phi(value.type) for value in carried]
    for phi, value in zip(values, carried, strict=True):
        phi.add_incoming(value, before)
    following = builder.add(index, _long(step))
    builder.cbranch(builder.icmp_unsigned("<=", following, end), inside, after)
    builder.position_at_end(inside)
    changed = body(index, values)
    index.add_incoming(following, builder.block)
    for phi, value in zip(values, changed, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return index, values


def _intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    found: ir.Function | None = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def _field(builder: ir.IRBuilder, structure: ir.Value, index: int | ir.Value, kind: ir.Type) -> ir.Value:
    """Return a field of a structure, or an item of an array, in which each takes eight bytes."""
    place = _long(index) if isinstance(index, int) else index
    return builder.load(_at(builder, structure, builder.mul(place, _long(_FIELD_BYTES))), typ=kind)


def _at(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.gep(base, [offset], source_etype=_BYTE)


def _chunks(values: Sequence[ir.Value], length: int) -> list[Sequence[ir.Value]]:
    return [values[begin : begin + length] for begin in range(0, len(values), length)]


def _long(number: int) -> ir.Constant:
    return ir.Constant(_LONG, number)
