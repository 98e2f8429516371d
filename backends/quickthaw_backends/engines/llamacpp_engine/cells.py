"""Where sequences lie in the KV cache, so that each one's cells stand in the order of its positions.

Attention adds up in the order of the cells. llama.cpp puts a token into the first free cell behind the last one freed,
which scatters a sequence among others and would make its sums, in the last bit, depend on what ran beside it. So cells
are given out upwards only: what is let go stays taken, by a sequence of waste, until nothing runs, or until what runs
is moved together.
"""

from __future__ import annotations

from quickthaw_backends.engines.llamacpp_engine.context import LlamaContext

WASTE_TOKENS = 1024
"""So much waste is lived with: every token's attention passes over it."""


class Cells:
    """For one thread at a time. `sequences` are numbered from 0; the last one is that of waste."""

    def __init__(self, context: LlamaContext, sequences: int, room: int) -> None:
        """`room` is how many cells there are."""
        self._context = context
        self._room = room
        self._free = list(range(sequences - 2, -1, -1))
        self._waste_sequence = sequences - 1
        self._lengths: dict[int, int] = {}  # of the sequences in use, in tokens
        self._base: int | None = None  # stands before all others and stays
        self._used = 0
        self._waste = 0

    def open(self) -> int:
        """Take a sequence without tokens."""
        sequence = self._free.pop()
        self._lengths[sequence] = 0
        return sequence

    def make_base(self, sequence: int) -> None:
        """Note that a sequence, the only one, stays where it is while others come and go behind it."""
        self._base = sequence

    def extend(self, sequence: int, tokens: int) -> None:
        """Note that tokens have been added to a sequence."""
        self._lengths[sequence] += tokens
        self._used += tokens

    def share(self, source: int, tokens: int) -> int:
        """Take a sequence that begins with the first tokens of another, in the same cells."""
        sequence = self.open()
        self._context.share(source, sequence, tokens)
        self._lengths[sequence] = tokens
        return sequence

    def length(self, sequence: int) -> int:
        """Return how many tokens a sequence holds."""
        return self._lengths[sequence]

    def save(self, sequence: int) -> bytearray:
        """Copy what a sequence holds."""
        return self._context.get_state(sequence)

    def restore(self, state: bytearray, held: int, tokens: int) -> int:
        """Take a sequence with the first `tokens` of a saved one that `held` so many."""
        self.make_room(held)
        sequence = self.open()
        self._context.set_state(sequence, state)
        self.extend(sequence, held)
        self.cut(sequence, tokens)
        return sequence

    def cut(self, sequence: int, tokens: int) -> None:
        """Forget all but the first tokens of a sequence."""
        lost = self._lengths[sequence] - tokens
        if lost > 0:
            self._context.share(sequence, self._waste_sequence, -1, begin=tokens)
            self._context.cut(sequence, tokens)
            self._lengths[sequence] = tokens
            self._waste += lost

    def close(self, sequence: int) -> None:
        """Give a sequence back."""
        self.cut(sequence, 0)
        del self._lengths[sequence]
        self._free.append(sequence)
        if sequence == self._base:
            self._base = None
        if not self._others():
            self._context.cut(self._waste_sequence, 0)
            self._used = self._lengths.get(self._base, 0) if self._base is not None else 0
            self._waste = 0

    def make_room(self, tokens: int) -> None:
        """Move what is in use together, where more tokens would not fit or much of what is passed over is waste."""
        if self._used + tokens > self._room or self._waste > max(WASTE_TOKENS, self._used // 2):
            self._move_together()

    def _move_together(self) -> None:
        others = self._others()
        saved = {sequence: self._context.get_state(sequence) for sequence in others}
        for sequence in (*others, self._waste_sequence):
            self._context.cut(sequence, 0)
        self._used = self._lengths.get(self._base, 0) if self._base is not None else 0
        self._waste = 0
        for sequence, state in saved.items():
            if self._lengths[sequence]:
                self._context.set_state(sequence, state)
            self._used += self._lengths[sequence]

    def _others(self) -> list[int]:
        return [sequence for sequence in self._lengths if sequence != self._base]
