"""Where sequences lie in the KV cache, so that each one's cells stand in the order of its positions.

Attention adds up in the order of the cells. llama.cpp puts a token into the first free cell behind the last one freed,
which scatters a sequence among others and would make its sums, in the last bit, depend on what ran beside it. So cells
are given out upwards only: what is let go stays taken, by a sequence of waste, until nothing runs, or until what runs
is moved together.
"""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw_backends.engines.llamacpp_engine.context import LlamaContext

WASTE_TOKENS = 1024
"""So much waste is lived with: every token's attention passes over it."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A copy of a sequence outside of the context. The first `of_base` of its `tokens` are the base's, not copied."""

    state: bytearray
    tokens: int
    of_base: int


class Cells:
    """For one thread at a time. `sequences` are numbered from 0; the last two are for waste and for copying."""

    def __init__(self, context: LlamaContext, sequences: int, room: int) -> None:
        """`room` is how many cells there are."""
        self._context = context
        self._room = room
        self._free = list(range(sequences - 3, -1, -1))
        self._waste_sequence, self._copying_sequence = sequences - 2, sequences - 1
        self._lengths: dict[int, int] = {}  # of the sequences in use, in tokens
        self._of_base: dict[int, int] = {}  # how many of these are the base's cells; absent: none
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
        self._of_base[sequence] = self._lengths[sequence]

    def extend(self, sequence: int, tokens: int) -> None:
        """Note that tokens have been added to a sequence."""
        self._lengths[sequence] += tokens
        self._used += tokens

    def share(self, source: int, tokens: int) -> int:
        """Take a sequence that begins with the first tokens of another, in the same cells."""
        sequence = self.open()
        self._context.share(source, sequence, tokens)
        self._lengths[sequence] = tokens
        self._of_base[sequence] = min(tokens, self._of_base.get(source, 0))
        return sequence

    def save(self, sequence: int) -> Saved:
        """Copy what a sequence holds beyond the base."""
        of_base = self._of_base.get(sequence, 0)
        if not of_base:
            return Saved(self._context.get_state(sequence), self._lengths[sequence], 0)
        self._context.share(sequence, self._copying_sequence, -1, begin=of_base)
        state = self._context.get_state(self._copying_sequence)
        self._context.cut(self._copying_sequence, 0)
        return Saved(state, self._lengths[sequence], of_base)

    def restore(self, saved: Saved, tokens: int) -> int:
        """Take a sequence with the first `tokens` of a saved one."""
        if self._base is not None and tokens <= saved.of_base:
            return self.share(self._base, tokens)
        self.make_room(saved.tokens - saved.of_base)
        sequence = self.open()
        self._put_back(sequence, saved)
        self.cut(sequence, tokens)
        return sequence

    def cut(self, sequence: int, tokens: int) -> None:
        """Forget all but the first tokens of a sequence."""
        lost = self._lengths[sequence] - max(tokens, self._of_base.get(sequence, 0))
        if self._lengths[sequence] > tokens:
            self._context.share(sequence, self._waste_sequence, -1, begin=tokens)
            self._context.cut(sequence, tokens)
            self._lengths[sequence] = tokens
            self._of_base[sequence] = min(tokens, self._of_base.get(sequence, 0))
            self._waste += max(0, lost)

    def close(self, sequence: int) -> None:
        """Give a sequence back."""
        self.cut(sequence, 0)
        del self._lengths[sequence]
        self._of_base.pop(sequence, None)
        self._free.append(sequence)
        if sequence == self._base:
            self._base = None
        if not self._others():
            self._clear_waste()

    def length(self, sequence: int) -> int:
        """Return how many tokens a sequence holds."""
        return self._lengths[sequence]

    def make_room(self, tokens: int) -> None:
        """Move what is in use together, where more tokens would not fit or much of what is passed over is waste."""
        if self._used + tokens > self._room or self._waste > max(WASTE_TOKENS, self._used // 2):
            self._move_together()

    def _move_together(self) -> None:
        saved = {sequence: self.save(sequence) for sequence in self._others() if self._lengths[sequence]}
        for sequence in saved:
            self._context.cut(sequence, 0)
            self._lengths[sequence] = 0
        self._clear_waste()
        for sequence, copy in saved.items():
            self._put_back(sequence, copy)

    def _put_back(self, sequence: int, saved: Saved) -> None:
        """Fill an empty sequence: the copy behind all others, the beginning where the base has it."""
        own = saved.tokens - saved.of_base
        if own:
            self._context.set_state(sequence, saved.state)
        if saved.of_base and self._base is not None:
            self._context.share(self._base, sequence, saved.of_base)
        self._lengths[sequence] = saved.tokens
        self._of_base[sequence] = saved.of_base
        self._used += own

    def _clear_waste(self) -> None:
        self._context.cut(self._waste_sequence, 0)
        self._used = self._lengths[self._base] if self._base is not None else 0
        self._waste = 0

    def _others(self) -> list[int]:
        return [sequence for sequence in self._lengths if sequence != self._base]
