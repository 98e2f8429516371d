"""The engine that runs Hugging Face models; what it is made of is imported only when it prepares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quickthaw.errors import NotServable, StartFailed, Unavailable
from quickthaw_backends.engines.checks import check_tokens
from quickthaw_backends.engines.end_tokens import end_tokens
from quickthaw_backends.engines.extras import missing_extra
from quickthaw_backends.engines.looped import LoopedEngine
from quickthaw_backends.engines.stages import Stage, timed
from quickthaw_backends.engines.transformers_engine.options import TransformersOptions
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Manifest, weights_paths
from quickthaw_platform.contracts import Checkpoint, EngineStats, GenerationRequest, Sink, Tokenizer

if TYPE_CHECKING:
    from quickthaw_backends.engines.answers import Answers
    from quickthaw_backends.engines.batching.loop import BatchLoop
    from quickthaw_backends.engines.transformers_engine.embedding import Embedder
    from quickthaw_backends.engines.transformers_engine.model import PreparedModel
    from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer


class TransformersEngine(LoopedEngine["BatchLoop"]):
    """Implements `contracts.Engine` for every decoder-only model that transformers loads, and for encoders.

    `prepare` computes nothing but a few small buffers, on one thread; all that starts threads waits for `start`.
    Torch's threads are OpenMP's, which by default spin before they sleep: processes that share cores need
    a small GOMP_SPINCOUNT in the environment before torch is imported, or they slow each other several-fold. Each
    thread that computes in parallel keeps compute threads of its own until it ends, and with more of them than cores
    libgomp has all of them spin for less, which costs a batch a third. So only the batch loop's thread may stay.
    """

    weights_formats: ClassVar[frozenset[str]] = frozenset({"safetensors", "gguf"})
    preloads: ClassVar[tuple[str, ...]] = ("quickthaw_backends.engines.transformers_engine.preloaded",)
    tokenizer: Tokenizer
    context_tokens: int

    def __init__(self) -> None:
        super().__init__()
        self._options = TransformersOptions()
        self._texts: HfTokenizer | None = None
        self._model: PreparedModel | None = None
        self._embedder: Embedder | None = None
        self._eos: frozenset[int] = frozenset()
        self._answers: Answers | None = None
        self._recipe: EmbeddingRecipe | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Say what Python lacks here to run this engine, and how to install it; None: nothing."""
        return missing_extra("platform", "torch", "transformers", "llvmlite")

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the known ones, for an unknown option or value. Imports nothing heavy."""
        TransformersOptions.parse(options)

    def prepare(self, checkpoint: Checkpoint, options: Mapping[str, Any], stage: Stage) -> None:
        """Read the tokenizer, build the skeleton on the meta device, map the weights; StartFailed says what failed."""
        self._options = TransformersOptions.parse(options)
        manifest = Manifest.of(checkpoint)
        self._recipe = manifest.embedding
        import torch

        from quickthaw_backends.engines.transformers_engine import loading
        from quickthaw_backends.engines.transformers_engine.model import PreparedModel
        from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer

        loading.refuse_unknown(manifest)
        torch.set_num_threads(1)  # a process that ran a parallel region cannot be forked: the child would hang
        with timed("tokenizer", stage, checkpoint.path):
            tokenizer = HfTokenizer(checkpoint.path)
            self._eos = end_tokens(checkpoint.path) | tokenizer.eos
            self.tokenizer = self._texts = tokenizer
        with timed("skeleton", stage, checkpoint.path):
            self._model = PreparedModel.build(checkpoint.path, manifest)
        with timed("weights", stage, weights_paths(checkpoint)[0]):
            self._model.map_weights(checkpoint, manifest)
            self._model.have_code(self._options)
            self._model.settle_on_cpu(self._options)
        self.context_tokens = min(self._options.context_tokens or manifest.context_tokens, manifest.context_tokens)

    def settle(self) -> None:
        """Have ready what grammars need of the vocabulary."""
        if self._model is not None and not self._model.embeds:
            self._with_answers().prepare()

    def prime(self, tokens: Sequence[int], file: Path) -> bool:
        """Compute or read a prompt's beginning for instances on a CPU; others do without. Starts no threads."""
        if self._model is None:
            raise StartFailed("the engine was not prepared")
        return self._model.prime(tokens, file, self._options)

    def start(self, device: str, threads: int, memory_bytes: int) -> None:
        """Bring the model to the device in the way that computes fastest, and start the batch loop."""
        if self._model is None or self._texts is None:
            raise StartFailed("the engine was not prepared")
        import torch

        torch.set_num_threads(threads)
        with ThreadPoolExecutor(1) as placing:
            placing.submit(self._model.place, torch.device(device), self._options).result()
        if self._model.embeds:
            self._embedder = self._model.embedder(self.context_tokens, self._recipe)
            return
        self._with_answers()
        loop = self._run_on(self._model.loop(self._options, self._texts, memory_bytes, self.context_tokens))
        self.context_tokens = loop.context_tokens

    def _submit(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None] | None) -> None:
        from quickthaw_backends.engines.batching.sequence import Sequence as Running

        loop, answers = self._generating()
        self._check_tokens(request.tokens)
        loop.submit(
            Running.of(
                request,
                sink,
                on_held,
                answers=answers,
                context_tokens=self.context_tokens,
            )
        )

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector for each token sequence, as the checkpoint's recipe has it."""
        if self._model is not None and not self._model.embeds:
            raise NotServable("this checkpoint generates text; deploy an embedding model to embed")
        if self._embedder is None:
            raise Unavailable("the engine is not running")
        embedder = self._embedder
        return self._counted(lambda: embedder.embed(batch))

    @property
    def arrival_seconds(self) -> float:
        """How long computing has waited for weights that were still arriving."""
        return 0.0 if self._model is None else self._model.arrival_seconds

    def stats(self) -> EngineStats:
        """Return a snapshot."""
        if self._loop is not None:
            return self._loop.stats()
        embedded = 0 if self._embedder is None else self._embedder.tokens_total
        return EngineStats(0, 0, 0, 0, self.context_tokens, embedded, 0)

    def close(self) -> None:
        """Stop the batch loop."""
        super().close()
        self._embedder = None

    def _with_answers(self) -> Answers:
        if self._answers is None:
            if self._model is None or self._texts is None:
                raise StartFailed("the engine was not prepared")
            from quickthaw_backends.engines.transformers_engine.guiding import hf_answers

            self._answers = hf_answers(self._texts, self._model.vocabulary, self._eos)
        return self._answers

    def _generating(self) -> tuple[BatchLoop, Answers]:
        if self._model is not None and self._model.embeds:
            raise NotServable("this checkpoint embeds; deploy a generating model to get text")
        if self._loop is None or self._answers is None:
            raise Unavailable("the engine is not running")
        return self._loop, self._answers

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        check_tokens(tokens, self._model.vocabulary if self._model is not None else 0)
