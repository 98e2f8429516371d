"""The engine llamacpp: a template loads the file and makes the context, forks compute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quickthaw.errors import NotServable, StartFailed, Unavailable
from quickthaw_backends.engines.checks import check_batch_to_embed, check_tokens
from quickthaw_backends.engines.extras import missing_extra
from quickthaw_backends.engines.llamacpp_engine.library import BUILD, missing_build
from quickthaw_backends.engines.llamacpp_engine.options import LlamaCppOptions
from quickthaw_backends.engines.looped import LoopedEngine
from quickthaw_backends.engines.stages import Stage, failures, timed
from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.contracts import Checkpoint, EngineStats, GenerationRequest, Sink, Tokenizer

if TYPE_CHECKING:
    from quickthaw_backends.engines.batching.loop import BatchLoop
    from quickthaw_backends.engines.llamacpp_engine.loaded import LoadedGguf

INEXACT = (
    "%s has %d matrices of floating-point numbers, which llama.cpp multiplies otherwise for one token than for "
    "several: a resumed answer may differ where tokens are near-ties"
)
_log = logging.getLogger(__name__)


class LlamaCppEngine(LoopedEngine["BatchLoop"]):
    """Implements `contracts.Engine` for GGUF files.

    `prepare` maps the file and makes the context, which starts no thread as long as one thread computes. So a fork has
    both, and the first token of a cold call waits for nothing but its own prompt. On a GPU nothing of that can be
    forked: there `start` does all of it.
    """

    weights_formats: ClassVar[frozenset[str]] = frozenset({"gguf"})
    preloads: ClassVar[tuple[str, ...]] = ("quickthaw_backends.engines.llamacpp_engine.preloaded",)
    build = f"xllamacpp {BUILD}"
    tokenizer: Tokenizer
    context_tokens: int

    def __init__(self) -> None:
        super().__init__()
        self.arrival_seconds = 0.0
        self._options = LlamaCppOptions()
        self._checkpoint: Checkpoint | None = None
        self._manifest: Manifest | None = None
        self._loaded: LoadedGguf | None = None
        self._arrival: Arrival | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Say what Python lacks here to run this engine, and how to install it; None: nothing."""
        return missing_extra("llamacpp", "xllamacpp", "cffi") or missing_build()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the known ones, for an unknown option or value. Imports nothing heavy."""
        LlamaCppOptions.parse(options)

    def prepare(self, checkpoint: Checkpoint, options: Mapping[str, Any], stage: Stage) -> None:
        """Map the file, read its tokenizer, make the context; StartFailed says what failed."""
        self._options = LlamaCppOptions.parse(options)
        self._checkpoint = checkpoint
        self._manifest = manifest = Manifest.of(checkpoint)
        if checkpoint.arrival is not None:
            self._arrival = Arrival(checkpoint.arrival)
            self._arrival.wait_for_all([file.data_offset for file in manifest.weights])
        file = weights_paths(checkpoint)[0]
        with timed("weights", stage, file):
            from quickthaw_backends.engines.llamacpp_engine.loaded import LoadedGguf

            self._loaded = LoadedGguf(weights_paths(checkpoint), manifest, self._options, self._wait)
        with timed("tokenizer", stage, file):
            self.tokenizer = self._loaded.tokenizer
            self._loaded.read_end_tokens()
        with timed("skeleton", stage, file):
            self._loaded.make_context()
        self.context_tokens = self._loaded.context_tokens
        if self._options.exact and self._loaded.float_matrices:
            _log.warning(INEXACT, manifest.name, self._loaded.float_matrices)

    def settle(self) -> None:
        """Have ready what grammars need of the vocabulary."""
        if self._loaded is not None and not self._loaded.embeds:
            self._loaded.answers.prepare()

    def prime(self, tokens: Sequence[int], file: Path) -> bool:
        """Have a prompt's beginning in the context that is forked: from `file`, or computed and written there."""
        if self._loaded is None:
            raise StartFailed("the engine was not prepared")
        return self._loaded.prime(tokens, file)

    def adapt(self, adapter: Checkpoint) -> None:
        """Compute with a LoRA adapter on the model, as far as its file says, once that has arrived."""
        if self._loaded is None:
            raise StartFailed("the engine was not prepared")
        manifest = Manifest.of(adapter)
        if adapter.arrival is not None:
            self._wait_for(Arrival(adapter.arrival), manifest)
        files = weights_paths(adapter)
        if len(files) > 1:
            raise StartFailed(f"adapter {manifest.name!r} is in {len(files)} parts; import one that is whole")
        with failures(f"adapter {manifest.name!r}", files[0]):
            floats = self._loaded.adapt(files[0])
        if self._options.exact and floats:
            _log.warning(INEXACT, manifest.name, floats)

    def start(self, device: str, threads: int, memory_bytes: int) -> None:
        """Take up work with the forked context, and as many threads as the node gives."""
        if self._loaded is None:
            raise StartFailed("the engine was not prepared")
        self._loaded.bring_to(device)
        self._loaded.use_threads(threads)
        if not self._loaded.embeds:
            loop = self._run_on(self._loaded.loop(memory_bytes))
            self.context_tokens = loop.context_tokens

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a unit vector for each token sequence, pooled as the file says."""
        if self._loaded is None or not self._loaded.embeds:
            raise NotServable("this checkpoint generates text; deploy an embedding model to embed")
        check_batch_to_embed(batch, self.context_tokens, self._loaded.model.tokens)
        loaded = self._loaded
        return self._counted(lambda: loaded.embed(batch))

    def stats(self) -> EngineStats:
        """Return a snapshot."""
        if self._loop is not None:
            return self._loop.stats()
        embedded = 0 if self._loaded is None else self._loaded.embedded_tokens
        return EngineStats(0, 0, 0, 0, self.context_tokens, embedded, 0)

    def _submit(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None] | None) -> None:
        from quickthaw_backends.engines.batching.sequence import Sequence as Running

        loop, loaded = self._generating()
        self._check_tokens(request.tokens)
        loop.submit(
            Running.of(
                request,
                sink,
                on_held,
                answers=loaded.answers,
                context_tokens=self.context_tokens,
            )
        )

    def _generating(self) -> tuple[BatchLoop, LoadedGguf]:
        if self._loaded is not None and self._loaded.embeds:
            raise NotServable("this checkpoint embeds; deploy a generating model to get text")
        if self._loop is None or self._loaded is None:
            raise Unavailable("the engine is not running")
        return self._loop, self._loaded

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        check_tokens(tokens, self._loaded.model.tokens if self._loaded is not None else 0)

    def _wait(self) -> None:
        """Return when all weights are there."""
        if self._arrival is not None and self._manifest is not None:
            self._wait_for(self._arrival, self._manifest)

    def _wait_for(self, arrival: Arrival, manifest: Manifest) -> None:
        if arrival.complete:
            return
        began = time.perf_counter()
        arrival.wait_for_all([file.bytes for file in manifest.weights])
        self.arrival_seconds += time.perf_counter() - began
