"""The batch loop's view of a context: caches are sequences, and what is kept of them a copy outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quickthaw_backends.engines.batching.runner import CacheSharing, Chunk, Scores
from quickthaw_backends.engines.llamacpp_engine.batch import Piece
from quickthaw_backends.engines.llamacpp_engine.cells import Cells, Saved
from quickthaw_backends.engines.llamacpp_engine.context import LlamaContext


class LlamaRunner:
    """Implements `batching.runner.Runner`."""

    chunked = True
    copies = True

    def __init__(
        self, context: LlamaContext, cells: Cells, *, shares: bool, speculates: bool, wait: Callable[[], None]
    ) -> None:
        """`wait` returns when all weights are there; it is called before anything is computed."""
        self.sharing: CacheSharing | None = self if shares else None
        self.speculates = shares and speculates
        self._context = context
        self._cells = cells
        self._wait = wait
        self.new_cache = cells.open
        self.cut = cells.cut

    def reserve(self, cache: int, tokens: int) -> None:
        """Do nothing: the cells are there, and the scheduler counts what is used of them."""

    def store(self, cache: int) -> Saved:
        """Copy a sequence."""
        return self._cells.save(cache)

    def fork(self, kept: Saved | int, tokens: int) -> int:
        """Take a sequence that begins with a saved one's tokens, or shares them with one that is in the context."""
        if isinstance(kept, Saved):
            return self._cells.restore(kept, tokens)
        return self._cells.share(kept, tokens)

    def drop(self, cache: Saved | int) -> None:
        """Give a sequence back; a copy goes with its last reference."""
        if not isinstance(cache, Saved):
            self._cells.close(cache)

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        """Return each chunk's scores; if they fail together, each is tried alone, to fail only those that must."""
        try:
            self._wait()
            self._cells.make_room(sum(len(chunk.tokens) for chunk in chunks))
            pieces = [Piece(chunk.cache, chunk.past, chunk.tokens, chunk.rows) for chunk in chunks]
            scores = self._context.compute(pieces)
        except Exception as error:  # noqa: BLE001 (the error goes to the requests)
            if len(chunks) == 1:
                return [error]
            return [_copied(result) for chunk in chunks for result in self.run([chunk])]
        for chunk in chunks:
            self._cells.extend(chunk.cache, len(chunk.tokens))
        return list(scores)


def _copied(result: Scores | Exception) -> Scores | Exception:
    """Keep scores over the next call."""
    return result if isinstance(result, Exception) else result.copy()
