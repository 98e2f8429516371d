"""The code behind `compiled_attention`, in LLVM's language: each token looks at its request's keys up to its own.

A row is one head of one token. It takes the keys 16 at a time, from its request's first on, and keeps what it has so
far in proportion to the greatest score of these. So its result depends on its query and on the keys and values up to
its own alone, to the last bit, however many tokens are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from quickthaw_backends.engines.transformers_engine.compiled.vector_code import (
    FIELD_BYTES,
    FLOAT,
    FLOAT_BYTES,
    INT,
    LANES,
    LONG,
    POINTER,
    VOID,
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
    wait_for_all,
)

ENTRY = "attend"

TASK_FIELDS = 5
"""Of a task: its request, its head of keys, its first token's row and position, and how many tokens it has."""

MEMORY_FIELDS = 3
"""Of a request: where its keys and its values begin, and how many bytes a head's are behind those of the one before."""

TOGETHER = 4
"""Rows whose scores are added up at the same time, each in a register of its own."""

_NOTHING = float("-inf")


def code(dimension: int, rows: int) -> str:
    """Return a module with the function `ENTRY`, for heads of so many numbers and tasks of at most so many rows.

    Each thread of a team calls it with the address of a `Call`, which is laid out in `compiled_attention`. It stores
    the tokens' keys and values, and then attends.
    """
    module = ir.Module()
    attention = attender(module, dimension, rows)
    builder, call, thread, threads = entry(module, ENTRY)
    builder.call(attention, [call, thread, threads])
    builder.ret_void()
    return str(module)


def attender(module: ir.Module, dimension: int, rows: int) -> ir.Function:
    """Add the function that a thread calls with a `Call`, its own number and how many threads there are."""
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER, LONG, LONG]), "attention")
    function.linkage = "internal"
    call, thread, threads = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    step = _Step(builder, call, dimension, rows)
    tasks, count = field(builder, call, 0, POINTER), field(builder, call, 1, LONG)
    # A thread takes every second task (of two threads), as those that come later in a prompt have more keys.
    end = builder.sub(builder.add(count, threads), long(1))
    for work in (step.store, step.attend):

        def do(index: ir.Value, _: Sequence[ir.Value], work: Callable[[_Task], None] = work) -> Sequence[ir.Value]:
            work(_Task(builder, at(builder, tasks, builder.mul(index, long(TASK_FIELDS * FIELD_BYTES)))))
            return ()

        repeat(builder, thread, end, threads, (), do)
        wait_for_all(builder)
    builder.ret_void()
    return function


class _Task:
    """Some tokens of a request, and the heads that share one head of keys."""

    def __init__(self, builder: ir.IRBuilder, task: ir.Value) -> None:
        self.request, self.head, self.row, self.position, self.tokens = (
            field(builder, task, index, LONG) for index in range(TASK_FIELDS)
        )


class _Step:
    """Builds what is done for a task."""

    def __init__(self, builder: ir.IRBuilder, call: ir.Value, dimension: int, rows: int) -> None:
        self._builder = builder
        self._heads = field(builder, call, 2, LONG)
        self._memory, self._queries, self._results, self._new_keys, self._new_values = (
            field(builder, call, index, POINTER) for index in range(3, 8)
        )
        self._query_bytes, self._result_bytes, self._value_bytes = (
            field(builder, call, index, LONG) for index in range(8, 11)
        )
        self._scale = in_all_lanes(builder, field(builder, call, 11, FLOAT))
        self._dimension = dimension
        self._at_once = max(number for number in (64, 48, 32, 16) if dimension % number == 0)
        slots = rows + TOGETHER - 1  # those beyond the last row compute it too, for nobody
        self._keys = room(builder, dimension * LANES)  # of 16 tokens: a number of each, then the next number
        self._shares = room(builder, TOGETHER * LANES)
        self._greatest = room(builder, slots)
        self._totals = room(builder, slots * LANES)
        self._sums = room(builder, slots * dimension)

    def store(self, task: _Task) -> None:
        """Put the tokens' keys and values behind those that are known."""
        sources = ((self._new_keys, self._query_bytes), (self._new_values, self._value_bytes))
        places = [
            (self._of_row(source, task.row, row_bytes, task.head), row_bytes, self._behind(begin, task.position))
            for (source, row_bytes), begin in zip(sources, self._known(task), strict=True)
        ]

        def copy(token: ir.Value) -> None:
            for source, row_bytes, target in places:
                origin = at(self._builder, source, self._builder.mul(token, row_bytes))
                for one, other in zip(self._vectors(origin), self._vectors(self._behind(target, token)), strict=True):
                    put_vector(self._builder, vector_at(self._builder, one), other)

        self._each(task.tokens, copy)

    def attend(self, task: _Task) -> None:
        """Compute the results of the tokens."""
        builder = self._builder
        keys, values = self._known(task)
        first_head = builder.mul(task.head, self._heads)
        queries = self._of_row(self._queries, task.row, self._query_bytes, first_head)
        results = self._of_row(self._results, task.row, self._result_bytes, first_head)
        rows = builder.mul(task.tokens, self._heads)
        slots = builder.add(rows, long(TOGETHER - 1))
        known = builder.add(task.position, task.tokens)
        self._each(slots, self._clear)

        def take(begin: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            places = self._places(begin, known)
            self._turn(keys, places)

            def attend(row: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
                values_at = [at(builder, values, place) for place in places]
                self._attend(row, rows, queries, task.position, begin, values_at)
                return ()

            repeat(builder, long(0), slots, TOGETHER, (), attend)
            return ()

        repeat(builder, long(0), builder.add(known, long(LANES - 1)), LANES, (), take)
        self._each(rows, lambda row: self._finish(row, at(builder, results, self._offset(row, self._result_bytes))))

    def _known(self, task: _Task) -> tuple[ir.Value, ir.Value]:
        """Return where the keys and the values of a task's head begin."""
        builder = self._builder
        memory = at(builder, self._memory, builder.mul(task.request, long(MEMORY_FIELDS * FIELD_BYTES)))
        offset = builder.mul(task.head, field(builder, memory, 2, LONG))
        keys, values = (at(builder, field(builder, memory, index, POINTER), offset) for index in range(2))
        return keys, values

    def _of_row(self, base: ir.Value, row: ir.Value, row_bytes: ir.Value, head: ir.Value) -> ir.Value:
        return self._behind(at(self._builder, base, self._builder.mul(row, row_bytes)), head)

    def _behind(self, base: ir.Value, index: ir.Value) -> ir.Value:
        """Return where the numbers of a head begin, behind those of so many others."""
        return at(self._builder, base, self._builder.mul(index, long(self._dimension * FLOAT_BYTES)))

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
