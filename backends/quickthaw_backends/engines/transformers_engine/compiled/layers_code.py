"""The code behind `compiled_layers`, in LLVM's language: a decoder's layers from end to end, without a word of Python.

Threads wait for each other between the parts of a layer, for a microsecond where each has a core. Left to Python, the
pauses between products are so long that threads fall asleep, and waking them takes longer than a product does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from quickthaw_backends.engines.transformers_engine.compiled.attention_code import attender
from quickthaw_backends.engines.transformers_engine.compiled.product_code import Tile, multiplier
from quickthaw_backends.engines.transformers_engine.compiled.vector_code import (
    FIELD_BYTES,
    FLOAT,
    FLOAT_BYTES,
    LANES,
    LONG,
    POINTER,
    added_up,
    always,
    at,
    entry,
    exponential,
    field,
    fma,
    in_all_lanes,
    intrinsic,
    long,
    put_vector,
    repeat,
    vector_at,
    wait_for_all,
)

ENTRY = "decode"

LAYER_FIELDS = 6
"""Of a layer: the weights of its two norms, and its matrices: queries, keys and values; output; gate and up; down."""

PRODUCTS = 4
"""In a layer."""

Body = Callable[[ir.Value], None]


def code(dtype: str, tiles: Sequence[Tile], dimension: int, attention_rows: int, attention_bytes: int) -> str:
    """Return a module with the function `ENTRY`, for weights of a type and heads of so many numbers.

    Each thread of a team calls it with the address of a `Call`, laid out in `compiled_layers`; `attention_bytes` is the
    size of what attention is called with.
    """
    module = ir.Module()
    multiply, attend = multiplier(module, dtype, tiles), attender(module, dimension, attention_rows)
    builder, call, thread, threads = entry(module, ENTRY)
    layers = _Layers(builder, call, thread, threads, dimension)
    first, count, calls = (
        field(builder, call, 0, POINTER),
        field(builder, call, 1, LONG),
        field(builder, call, 2, POINTER),
    )
    taken = field(builder, call, 3, POINTER)

    def compute(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        layer = at(builder, first, builder.mul(index, long(LAYER_FIELDS * FIELD_BYTES)))

        def product_of(number: int, rows: ir.Value, results: ir.Value) -> None:
            matrix = field(builder, layer, 2 + number, POINTER)
            place = builder.add(builder.mul(index, long(PRODUCTS)), long(number))
            turns = at(builder, taken, builder.mul(place, long(FIELD_BYTES)))
            builder.call(multiply, [matrix, rows, results, layers.rows, turns, threads])
            wait_for_all(builder)

        layers.norm(field(builder, layer, 0, POINTER))
        product_of(0, layers.normed, layers.inner)
        layers.rotate()
        builder.call(attend, [at(builder, calls, builder.mul(index, long(attention_bytes))), thread, threads])
        product_of(1, layers.attended, layers.added)
        layers.norm(field(builder, layer, 1, POINTER))
        product_of(2, layers.normed, layers.gated)
        layers.activate()
        product_of(3, layers.active, layers.added)
        return ()

    repeat(builder, long(0), count, 1, (), compute)
    builder.ret_void()
    return str(module)


class _Layers:
    """Builds what is done between products. Each thread does some of the rows, or of the vectors, of all."""

    def __init__(
        self, builder: ir.IRBuilder, call: ir.Value, thread: ir.Value, threads: ir.Value, dimension: int
    ) -> None:
        self._builder = builder
        self._thread, self._threads = thread, threads
        self._dimension = dimension
        self.rows, self._width, self._gates, self._rotated_heads, self._inner_heads = (
            field(builder, call, index, LONG) for index in range(4, 9)
        )
        self._hidden, self.added, self.normed, self.inner, self._rotated, self.attended, self.gated, self.active = (
            field(builder, call, index, POINTER) for index in range(9, 17)
        )
        self._cos, self._sin = (field(builder, call, index, POINTER) for index in (17, 18))
        self._epsilon = field(builder, call, 19, FLOAT)

    def norm(self, weights: ir.Value) -> None:
        """Add what the last product gave to what was there before, and norm that."""
        builder = self._builder

        def norm(row: ir.Value) -> None:
            hidden, added, normed = (
                self._row(each, row, self._width) for each in (self._hidden, self.added, self.normed)
            )

            def add(number: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
                total = builder.fadd(self._vector(hidden, number), self._vector(added, number))
                put_vector(builder, total, self._at(hidden, number))
                return (fma(builder, total, total, sums[0]),)

            squares = added_up(builder, repeat(builder, long(0), self._width, LANES, [always(0.0)], add)[1][0])
            mean = builder.fdiv(squares, builder.uitofp(self._width, FLOAT))
            root = intrinsic(builder, "llvm.sqrt.f32", FLOAT, [FLOAT])
            length = builder.call(root, [builder.fadd(mean, self._epsilon)])
            scale = in_all_lanes(builder, builder.fdiv(ir.Constant(FLOAT, 1.0), length))

            def weigh(number: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
                scaled = builder.fmul(self._vector(hidden, number), scale)
                put_vector(builder, builder.fmul(scaled, self._vector(weights, number)), self._at(normed, number))
                return ()

            repeat(builder, long(0), self._width, LANES, (), weigh)

        self._share(self.rows, norm)

    def rotate(self) -> None:
        """Turn the heads of queries and keys by their positions, number by number."""
        builder = self._builder
        dimension, half = long(self._dimension), long(self._dimension // 2)

        def rotate(index: ir.Value) -> None:
            row, head = builder.udiv(index, self._rotated_heads), builder.urem(index, self._rotated_heads)
            place = builder.add(builder.mul(row, self._inner_heads), head)
            own, into = self._row(self.inner, place, dimension), self._row(self._rotated, index, dimension)
            cos, sin = (self._row(each, row, dimension) for each in (self._cos, self._sin))

            def turn(number: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
                lower = builder.icmp_unsigned("<", number, half)
                other = builder.select(lower, builder.add(number, half), builder.sub(number, half))
                straight = builder.fmul(self._number(own, number), self._number(cos, number))
                across = builder.fmul(self._number(own, other), self._number(sin, number))
                builder.store(builder.fadd(straight, across), self._at(into, number))
                return ()

            repeat(builder, long(0), dimension, 1, (), turn)

        self._share(builder.mul(self.rows, self._rotated_heads), rotate)

    def activate(self) -> None:
        """Multiply each number by its gate: gate / (1 + e^-gate)."""
        builder = self._builder
        vectors = builder.udiv(self._gates, long(LANES))

        def activate(index: ir.Value) -> None:
            row, vector = builder.udiv(index, vectors), builder.urem(index, vectors)
            number = builder.mul(vector, long(LANES))
            both = self._row(self.gated, row, builder.mul(self._gates, long(2)))
            gate, up = self._vector(both, number), self._vector(both, builder.add(number, self._gates))
            positive = builder.fcmp_ordered(">=", gate, always(0.0))
            small = exponential(builder, builder.select(positive, builder.fneg(gate), gate))
            share = builder.fdiv(builder.select(positive, always(1.0), small), builder.fadd(always(1.0), small))
            result = builder.fmul(builder.fmul(gate, share), up)
            put_vector(builder, result, self._at(self._row(self.active, row, self._gates), number))

        self._share(builder.mul(self.rows, vectors), activate)

    def _share(self, count: ir.Value, body: Body) -> None:
        """Do so many things, each thread the next ones behind the others', and wait for all."""
        builder = self._builder
        begin, end = (
            builder.udiv(builder.mul(count, number), self._threads)
            for number in (self._thread, builder.add(self._thread, long(1)))
        )

        def do(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            body(index)
            return ()

        repeat(builder, begin, end, 1, (), do)
        wait_for_all(builder)

    def _row(self, base: ir.Value, row: ir.Value, width: ir.Value) -> ir.Value:
        return self._at(base, self._builder.mul(row, width))

    def _at(self, base: ir.Value, number: ir.Value) -> ir.Value:
        return at(self._builder, base, self._builder.mul(number, long(FLOAT_BYTES)))

    def _number(self, base: ir.Value, number: ir.Value) -> ir.Value:
        return self._builder.load(self._at(base, number), typ=FLOAT)

    def _vector(self, base: ir.Value, number: ir.Value) -> ir.Value:
        return vector_at(self._builder, self._at(base, number))
