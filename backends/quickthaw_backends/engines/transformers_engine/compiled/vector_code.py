"""Words of LLVM's language in which the compiled code of this engine is written: vectors, loops, fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from llvmlite import ir

THREAD_INDEX, THREAD_COUNT, BARRIER = "omp_get_thread_num", "omp_get_num_threads", "GOMP_barrier"
"""Functions of OpenMP that the code calls."""

LANES = 16
"""Numbers in a vector."""

BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT, POINTER, VOID = ir.FloatType(), ir.PointerType(), ir.VoidType()
FLOAT_BYTES, FIELD_BYTES = 4, 8


def lanes(kind: ir.Type) -> ir.VectorType:
    """Return the type of as many numbers as there are lanes."""
    return ir.VectorType(kind, LANES)


VECTOR = lanes(FLOAT)

_LN2_UPPER, _LN2_LOWER = 0.693359375, -2.12194440e-4
_EXPONENTIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0)
"""A polynomial that is the exponential between -ln(2) / 2 and ln(2) / 2 (Cephes' coefficients), exactly 1 at 0."""


def wait_for_all(builder: ir.IRBuilder) -> None:
    """Have each thread go on when all have come here."""
    builder.call(intrinsic(builder, BARRIER, VOID, []), [])


def take_turns(
    builder: ir.IRBuilder, taken: ir.Value, count: ir.Value, at_a_time: ir.Value, body: Callable[[ir.Value], None]
) -> None:
    """Have each thread take some of `count` things and do them, until all are taken.

    How many are taken is at the address `taken`, which all threads share.
    """
    take, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(take)
    builder.position_at_end(take)
    begin = builder.atomic_rmw("add", taken, at_a_time, "monotonic")
    builder.cbranch(builder.icmp_unsigned("<", begin, count), inside, after)
    builder.position_at_end(inside)
    end = builder.add(begin, at_a_time)
    end = builder.select(builder.icmp_unsigned("<", end, count), end, count)

    def do(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        body(index)
        return ()

    repeat(builder, begin, end, 1, (), do)
    builder.branch(take)
    builder.position_at_end(after)


def added_up(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """Return the sum of the lanes: always the upper half added to the lower one."""
    return _folded(builder, vector, builder.fadd)


def greatest(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """Return the greatest of the lanes."""

    def greater(one: ir.Value, other: ir.Value) -> ir.Value:
        return builder.select(builder.fcmp_ordered(">", one, other), one, other)

    return _folded(builder, vector, greater)


def _folded(builder: ir.IRBuilder, vector: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    count = LANES
    while count > 1:
        count //= 2
        lower, upper = (ir.Constant(ir.VectorType(INT, count), [*range(first, first + count)]) for first in (0, count))
        vector = combine(builder.shuffle_vector(vector, vector, lower), builder.shuffle_vector(vector, vector, upper))
    return builder.extract_element(vector, ir.Constant(INT, 0))


def turned(builder: ir.IRBuilder, vectors: Sequence[ir.Value]) -> list[ir.Value]:
    """Return 16 vectors turned: the first has the first number of each, and so on."""
    width = LANES
    found = list(vectors)
    while width > 1:
        width //= 2
        # Among twice as many lanes each, a vector keeps its own lower part, and gets that of its partner as its upper.
        lower = [lane if not lane & width else LANES + lane - width for lane in range(LANES)]
        upper = [lane + width if not lane & width else LANES + lane for lane in range(LANES)]
        masks = [ir.Constant(lanes(INT), mask) for mask in (lower, upper)]
        for first in range(LANES):
            if not first & width:
                pair = found[first], found[first + width]
                found[first], found[first + width] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return found


def exponential(builder: ir.IRBuilder, numbers: ir.Value) -> ir.Value:
    """Return e to the power of numbers that are not above zero; of less than -87, nothing."""
    nearest = intrinsic(builder, f"llvm.rint.v{LANES}f32", VECTOR, [VECTOR])
    to_whole = intrinsic(builder, f"llvm.fptosi.sat.v{LANES}i32.v{LANES}f32", lanes(INT), [VECTOR])
    doublings = builder.call(nearest, [builder.fmul(numbers, always(1 / log(2)))])
    rest = fma(builder, doublings, always(-_LN2_UPPER), numbers)
    rest = fma(builder, doublings, always(-_LN2_LOWER), rest)
    found = always(_EXPONENTIAL[0])
    for coefficient in _EXPONENTIAL[1:]:
        found = fma(builder, found, rest, always(coefficient))
    exponent = builder.add(builder.call(to_whole, [doublings]), always(127, INT))
    power = builder.bitcast(builder.shl(exponent, always(23, INT)), VECTOR)
    return builder.select(builder.fcmp_unordered(">=", numbers, always(-87.0)), builder.fmul(found, power), always(0.0))


def entry(module: ir.Module, name: str) -> tuple[ir.IRBuilder, ir.Value, ir.Value, ir.Value]:
    """Add a function that each thread of a team calls with one address.

    Return what builds it, the address, which of the threads this is, and how many there are.
    """
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    index, count = (
        builder.zext(builder.call(intrinsic(builder, called, INT, []), []), LONG)
        for called in (THREAD_INDEX, THREAD_COUNT)
    )
    return builder, function.args[0], index, count


def repeat(
    builder: ir.IRBuilder,
    begin: ir.Value,
    end: ir.Value,
    step: int | ir.Value,
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
    index = builder.phi(LONG)
    index.add_incoming(begin, before)
    values = [builder.phi(value.type) for value in carried]
    for phi, value in zip(values, carried, strict=True):
        phi.add_incoming(value, before)
    following = builder.add(index, long(step) if isinstance(step, int) else step)
    builder.cbranch(builder.icmp_unsigned("<=", following, end), inside, after)
    builder.position_at_end(inside)
    changed = body(index, values)
    index.add_incoming(following, builder.block)
    for phi, value in zip(values, changed, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return index, values


def fma(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, to: ir.Value) -> ir.Value:
    """Return one * other + to, rounded once."""
    return builder.call(intrinsic(builder, f"llvm.fma.v{LANES}f32", VECTOR, [VECTOR] * 3), [one, other, to])


def in_all_lanes(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """Return a vector of one number."""
    first = builder.insert_element(ir.Constant(lanes(number.type), ir.Undefined), number, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, first, ir.Constant(lanes(INT), [0] * LANES))


def always(number: float, kind: ir.Type = FLOAT) -> ir.Constant:
    """Return a vector of one number that is known before."""
    return ir.Constant(lanes(kind), [number] * LANES)


def intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    """Return a function that is defined elsewhere, declared once."""
    found: ir.Function | None = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def field(builder: ir.IRBuilder, structure: ir.Value, index: int | ir.Value, kind: ir.Type) -> ir.Value:
    """Return a field of a structure, or an item of an array, in which each takes eight bytes."""
    place = long(index) if isinstance(index, int) else index
    return builder.load(at(builder, structure, builder.mul(place, long(FIELD_BYTES))), typ=kind)


def at(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
    """Return the address that is so many bytes behind another."""
    return builder.gep(base, [offset], source_etype=BYTE)


def room(builder: ir.IRBuilder, floats: int) -> ir.Value:
    """Return the address of so many float32 on the thread's stack."""
    memory = builder.alloca(FLOAT, floats)
    memory.type = POINTER  # without a type of what is there, as all addresses here
    return memory


def vector_at(builder: ir.IRBuilder, place: ir.Value) -> ir.Value:
    """Return the vector of float32 at an address."""
    return builder.load(place, typ=VECTOR, align=FLOAT_BYTES)


def put_vector(builder: ir.IRBuilder, vector: ir.Value, place: ir.Value) -> None:
    """Store a vector of float32 at an address."""
    builder.store(vector, place, align=FLOAT_BYTES)


def long(number: int) -> ir.Constant:
    """Return a whole number of 64 bits."""
    return ir.Constant(LONG, number)
