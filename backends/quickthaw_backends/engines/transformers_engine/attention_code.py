"""The code behind `compiled_attention`, in LLVM's language: each token looks at its request's keys up to its own.

A row is one head of one token. It takes the keys 16 at a time, from its request's first on, and keeps what it has so
far in proportion to the greatest score of these. So its result depends on its query and on the keys and values up to
its own alone, to the last bit, however many tokens are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from quickthaw_backends.engines.transformers_engine.vector_code import (
    FIELD_BYTES,
    FLOAT,
    FLOAT_BYTES,
    INT,
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
    greatest,
    in_all_lanes,
    lanes,
    long,
    put_vector,
    repeat,
    room,
    turned,
    vector_at,
)

ENTRY = "attend"

TASK_FIELDS = 6
"""Of a task: where its keys, values, queries and results begin; the first token's position; how many tokens it has."""

TOGETHER = 4
"""Rows whose scores are added up at the same time, each in a register of its own."""

_NOTHING = float("-inf")


def code(dimension: int, rows: int) -> str:
    """Return a module with the function `ENTRY`, for heads of so many numbers and tasks of at most so many rows.

    Each thread of a team calls it with the address of a `Call`, which is laid out in `compiled_attention`.
    """
    module = ir.Module()
    builder, call, thread, threads = entry(module, ENTRY)
    tasks, count = field(builder, call, 0, POINTER), field(builder, call, 1, LONG)
    rows_of = _Rows(builder, call, dimension, rows)

    def compute(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        rows_of.compute(at(builder, tasks, builder.mul(index, long(TASK_FIELDS * FIELD_BYTES))))
        return ()

    # A thread takes every second task (of two threads), as those that come later in a prompt have more keys.
    end = builder.sub(builder.add(count, threads), long(1))
    repeat(builder, thread, end, threads, (), compute)
    builder.ret_void()
    return str(module)


class _Rows:
    """Builds what computes the rows of a task: those of some tokens of a request, for heads that share their keys."""

    def __init__(self, builder: ir.IRBuilder, call: ir.Value, dimension: int, rows: int) -> None:
        self._builder = builder
        self._heads, self._query_bytes, self._result_bytes = (field(builder, call, index, LONG) for index in (2, 3, 4))
        self._scale = in_all_lanes(builder, field(builder, call, 5, FLOAT))
        self._dimension = dimension
        self._at_once = max(number for number in (64, 48, 32, 16) if dimension % number == 0)
        slots = rows + TOGETHER - 1  # those beyond the last row compute it too, for nobody
        self._keys = room(builder, dimension * LANES)  # of 16 tokens: a number of each, then the next number
        self._shares = room(builder, TOGETHER * LANES)
        self._greatest = room(builder, slots)
        self._totals = room(builder, slots * LANES)
        self._sums = room(builder, slots * dimension)

    def compute(self, task: ir.Value) -> None:
        """Compute the task at this address."""
        builder = self._builder
        keys, values, queries, results = (field(builder, task, index, POINTER) for index in range(4))
        first, tokens = (field(builder, task, index, LONG) for index in (4, 5))
        rows = builder.mul(tokens, self._heads)
        slots = builder.add(rows, long(TOGETHER - 1))
        known = builder.add(first, tokens)
        self._each(slots, self._clear)

        def take(begin: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            places = self._places(begin, known)
            self._turn(keys, places)

            def attend(row: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
                self._attend(row, rows, queries, first, begin, [at(builder, values, place) for place in places])
                return ()

            repeat(builder, long(0), slots, TOGETHER, (), attend)
            return ()

        repeat(builder, long(0), builder.add(known, long(LANES - 1)), LANES, (), take)
        self._each(rows, lambda row: self._finish(row, at(builder, results, self._offset(row, self._result_bytes))))

    def _each(self, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
        def call(row: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            body(row)
            return ()

        repeat(self._builder, long(0), count, 1, (), call)

    def _clear(self, slot: ir.Value) -> None:
        builder = self._builder
        builder.store(ir.Constant(FLOAT, _NOTHING), self._item(self._greatest, slot, 1))
        put_vector(builder, always(0.0), self._item(self._totals, slot, LANES))
        for vector in self._vectors(self._item(self._sums, slot, self._dimension)):
            put_vector(builder, always(0.0), vector)

    def _places(self, begin: ir.Value, known: ir.Value) -> list[ir.Value]:
        """Return how many bytes behind the first token's keys those of 16 tokens are; the last known one's for more."""
        builder = self._builder
        last = builder.sub(known, long(1))
        tokens = [builder.add(begin, long(lane)) for lane in range(LANES)]
        within = [builder.select(builder.icmp_unsigned("<", token, known), token, last) for token in tokens]
        return [builder.mul(token, long(self._dimension * FLOAT_BYTES)) for token in within]

    def _turn(self, keys: ir.Value, places: Sequence[ir.Value]) -> None:
        builder = self._builder

        def turn(number: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            offset = builder.mul(number, long(FLOAT_BYTES))
            of_tokens = [vector_at(builder, at(builder, keys, builder.add(place, offset))) for place in places]
            for index, of_number in enumerate(turned(builder, of_tokens)):
                put_vector(builder, of_number, self._item(self._keys, builder.add(number, long(index)), LANES))
            return ()

        repeat(builder, long(0), long(self._dimension), LANES, (), turn)

    def _attend(
        self,
        first_row: ir.Value,
        rows: ir.Value,
        queries: ir.Value,
        first: ir.Value,
        begin: ir.Value,
        values: Sequence[ir.Value],
    ) -> None:
        """Have some rows take 16 keys, the first of them at position `begin`, and the values at these addresses."""
        builder = self._builder
        last = builder.sub(rows, long(1))
        slots = [builder.add(first_row, long(index)) for index in range(TOGETHER)]
        own = [builder.select(builder.icmp_unsigned("<", slot, rows), slot, last) for slot in slots]
        queries_at = [at(builder, queries, self._offset(row, self._query_bytes)) for row in own]
        kept: list[ir.Value] = []
        for index, (slot, row, scores) in enumerate(zip(slots, own, self._scores(queries_at), strict=True)):
            position = builder.add(first, builder.udiv(row, self._heads))
            seen = builder.icmp_unsigned("<=", self._from(begin), in_all_lanes(builder, builder.trunc(position, INT)))
            scaled = builder.select(seen, builder.fmul(scores, self._scale), always(_NOTHING))
            kept.append(self._weigh(slot, scaled, self._item(self._shares, long(index), LANES)))
        self._add([self._item(self._sums, slot, self._dimension) for slot in slots], kept, values)

    def _scores(self, queries_at: Sequence[ir.Value]) -> Sequence[ir.Value]:
        """Return the products of some rows' queries with the 16 keys, added up number by number."""
        builder = self._builder

        def add(number: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            keys = vector_at(builder, self._item(self._keys, number, LANES))
            offset = builder.mul(number, long(FLOAT_BYTES))
            numbers = [builder.load(at(builder, query, offset), typ=FLOAT) for query in queries_at]
            return [
                fma(builder, in_all_lanes(builder, one), keys, total) for one, total in zip(numbers, sums, strict=True)
            ]

        return repeat(builder, long(0), long(self._dimension), 1, [always(0.0)] * len(queries_at), add)[1]

    def _from(self, begin: ir.Value) -> ir.Value:
        """Return the positions of 16 keys."""
        offsets = ir.Constant(lanes(INT), list(range(LANES)))
        return self._builder.add(in_all_lanes(self._builder, self._builder.trunc(begin, INT)), offsets)

    def _weigh(self, slot: ir.Value, scores: ir.Value, shares_at: ir.Value) -> ir.Value:
        """Store the share that each key's value has in a row, and return what is left of what the row has so far."""
        builder = self._builder
        greatest_at, totals_at = self._item(self._greatest, slot, 1), self._item(self._totals, slot, LANES)
        before, among = builder.load(greatest_at, typ=FLOAT), greatest(builder, scores)
        now = builder.select(builder.fcmp_ordered(">", among, before), among, before)
        builder.store(now, greatest_at)
        now = in_all_lanes(builder, now)
        kept = exponential(builder, builder.fsub(in_all_lanes(builder, before), now))
        shares = exponential(builder, builder.fsub(scores, now))
        put_vector(builder, shares, shares_at)
        put_vector(builder, fma(builder, vector_at(builder, totals_at), kept, shares), totals_at)
        return kept

    def _add(self, sums: Sequence[ir.Value], kept: Sequence[ir.Value], values: Sequence[ir.Value]) -> None:
        """Add 16 values, by the shares that were stored, to the rows' sums, some of their numbers at a time."""
        builder = self._builder

        def add(number: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            sums_at, values_at = (self._some_of(rows, number) for rows in (sums, values))
            found = [
                [builder.fmul(vector_at(builder, place), share) for place in row]
                for row, share in zip(sums_at, kept, strict=True)
            ]
            for lane, places in enumerate(values_at):
                vectors = [vector_at(builder, place) for place in places]
                for index, totals in enumerate(found):
                    share_at = self._item(self._shares, long(index * LANES + lane), 1)
                    share = in_all_lanes(builder, builder.load(share_at, typ=FLOAT))
                    found[index] = [
                        fma(builder, share, vector, total) for vector, total in zip(vectors, totals, strict=True)
                    ]
            for row, totals in zip(sums_at, found, strict=True):
                for place, total in zip(row, totals, strict=True):
                    put_vector(builder, total, place)
            return ()

        repeat(builder, long(0), long(self._dimension), self._at_once, (), add)

    def _some_of(self, rows: Sequence[ir.Value], number: ir.Value) -> list[list[ir.Value]]:
        """Return where the vectors of each row are that are computed together, the first of them with this number."""
        offset = self._builder.mul(number, long(FLOAT_BYTES))
        begins = [at(self._builder, row, offset) for row in rows]
        return [
            [at(self._builder, begin, long(first * FLOAT_BYTES)) for first in range(0, self._at_once, LANES)]
            for begin in begins
        ]

    def _finish(self, row: ir.Value, result: ir.Value) -> None:
        builder = self._builder
        total = in_all_lanes(builder, added_up(builder, vector_at(builder, self._item(self._totals, row, LANES))))
        sums = self._item(self._sums, row, self._dimension)
        for place, into in zip(self._vectors(sums), self._vectors(result), strict=True):
            put_vector(builder, builder.fdiv(vector_at(builder, place), total), into)

    def _offset(self, row: ir.Value, token_bytes: ir.Value) -> ir.Value:
        """Return where a row is, behind the first one: its token's first head, then its own."""
        builder = self._builder
        token, head = builder.udiv(row, self._heads), builder.urem(row, self._heads)
        return builder.add(builder.mul(token, token_bytes), builder.mul(head, long(self._dimension * FLOAT_BYTES)))

    def _vectors(self, begin: ir.Value) -> list[ir.Value]:
        """Return the addresses of the vectors that a head's numbers take."""
        return [at(self._builder, begin, long(number * FLOAT_BYTES)) for number in range(0, self._dimension, LANES)]

    def _item(self, array: ir.Value, index: ir.Value, floats: int) -> ir.Value:
        return at(self._builder, array, self._builder.mul(index, long(floats * FLOAT_BYTES)))
