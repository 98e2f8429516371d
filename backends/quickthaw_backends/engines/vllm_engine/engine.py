"""The engine that runs vLLM in the instance's own process; vLLM is imported only when it prepares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quickthaw.errors import NotServable, StartFailed, Unavailable
from quickthaw_backends.engines.answer import answer_limit
from quickthaw_backends.engines.checks import check_batch_to_embed, check_tokens
from quickthaw_backends.engines.end_tokens import end_tokens
from quickthaw_backends.engines.extras import missing_extra
from quickthaw_backends.engines.looped import LoopedEngine
from quickthaw_backends.engines.stages import Stage, timed
from quickthaw_backends.engines.vllm_engine.environment import set_environment
from quickthaw_backends.engines.vllm_engine.options import VllmOptions
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.contracts import Checkpoint, EngineStats, GenerationRequest, Sink, Tokenizer

if TYPE_CHECKING:
    from quickthaw_backends.engines.answers import Answers
    from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer
    from quickthaw_backends.engines.vllm_engine.loop import VllmLoop
    from quickthaw_backends.engines.vllm_engine.weights import Weights


class VllmEngine(LoopedEngine["VllmLoop"]):
    """Implements `contracts.Engine` on vLLM's `LLMEngine`.

    vLLM starts threads and, on a GPU, CUDA: neither survives a fork. So a template holds vLLM's modules, the tokenizer
    and the mapped weights, and each instance makes an engine, which copies the weights.
    """

    weights_formats: ClassVar[frozenset[str]] = frozenset({"safetensors"})
    preloads: ClassVar[tuple[str, ...]] = ("quickthaw_backends.engines.vllm_engine.preloaded",)
    tokenizer: Tokenizer
    context_tokens: int
    _loop: VllmLoop | None

    def __init__(self) -> None:
        super().__init__()
        self._loop = None
        self._weights: Weights | None = None
        self._options = VllmOptions()
        self._checkpoint: Checkpoint | None = None
        self._manifest: Manifest | None = None
        self._texts: HfTokenizer | None = None
        self._eos: frozenset[int] = frozenset()
        self._answers: Answers | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Say what Python lacks here to run this engine, and how to install it; None: nothing."""
        return missing_extra("vllm", "vllm", "torch", "transformers")

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the known ones, for an unknown option or value. Imports nothing heavy."""
        VllmOptions.parse(options)

    def prepare(self, checkpoint: Checkpoint, options: Mapping[str, Any], stage: Stage) -> None:
        """Read the tokenizer, import vLLM, map the weights; StartFailed says what failed."""
        self._options = VllmOptions.parse(options)
        self._checkpoint, self._manifest = checkpoint, Manifest.of(checkpoint)
        _check_format(self._manifest)
        with timed("tokenizer", stage, checkpoint.path):
            from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer

            self.tokenizer = self._texts = HfTokenizer(checkpoint.path)
            self._eos = end_tokens(checkpoint.path) | self._texts.eos
        with timed("skeleton", stage, checkpoint.path):
            from quickthaw_backends.engines.vllm_engine import preloaded  # noqa: F401 (forks have it imported)
            from quickthaw_backends.engines.vllm_engine.model_class import know_model_class

            know_model_class(self._manifest.architecture)
        with timed("weights", stage, checkpoint.path):
            from quickthaw_backends.engines.vllm_engine.weights import Weights

            self._weights = Weights(checkpoint, self._manifest)
        known = self._manifest.context_tokens
        self.context_tokens = min(self._options.context_tokens or known, known)

    def prime(self, tokens: Sequence[int], file: Path) -> bool:  # noqa: ARG002 (the contract's signature)
        """Refuse: vLLM's cache is made in the instance."""
        raise NotServable("the engine vllm cannot be primed")

    def start(self, device: str, threads: int, memory_bytes: int) -> None:
        """Make vLLM's engine, which reads the weights as they arrive; takes seconds. StartFailed has vLLM's words."""
        if self._checkpoint is None or self._manifest is None or self._weights is None:
            raise StartFailed("the engine was not prepared")
        set_environment()
        from quickthaw_backends.engines.transformers_engine.guiding import hf_answers
        from quickthaw_backends.engines.vllm_engine.loop import VllmLoop
        from quickthaw_backends.engines.vllm_engine.making import Making

        making = Making(self._checkpoint, self._manifest, self._weights, self._options, device, threads, memory_bytes)
        loop = self._run_on(VllmLoop(making.make))
        if self._texts is not None:
            self._answers = hf_answers(self._texts, loop.vocabulary, self._eos)
        self.context_tokens = min(self.context_tokens, loop.context_tokens)

    @property
    def arrival_seconds(self) -> float:
        """How long vLLM has waited for weights that were still arriving."""
        return 0.0 if self._weights is None else self._weights.waited_seconds

    @property
    def can_sleep(self) -> bool:
        """Whether its option allows it and vLLM can give back what this device has."""
        return self._options.can_sleep and self._loop is not None and self._loop.can_sleep

    def sleep(self) -> None:
        """Have vLLM forget all keys and values and move the weights to this process's memory."""
        if self._loop is not None:
            self._loop.sleep()

    def wake(self) -> None:
        """Have vLLM move the weights back."""
        if self._loop is not None:
            self._loop.wake()

    def hold(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None]) -> None:
        """Have vLLM read what is known into its prefix cache, and choose nothing until `release`.

        What `extend` adds is only noted: vLLM computes those few tokens at the release.
        """
        self._submit(request, sink, on_held)

    def _submit(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None] | None) -> None:
        from quickthaw_backends.engines.vllm_engine.stream import Stream

        if self._manifest is not None and self._manifest.task == "embed":
            raise NotServable("this checkpoint embeds; deploy a generating model to get text")
        if self._loop is None or self._texts is None or self._answers is None:
            raise Unavailable("the engine is not running")
        limit = answer_limit(request, self.context_tokens)
        check_tokens(request.tokens, self._loop.vocabulary)
        answer = self._answers.begin(request, limit)
        self._loop.submit(Stream(request, sink, answer, limit, self._texts, on_held))

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector for each token sequence, as the checkpoint's recipe has it."""
        if self._manifest is not None and self._manifest.task != "embed":
            raise NotServable("this checkpoint generates text; deploy an embedding model to embed")
        if self._loop is None:
            raise Unavailable("the engine is not running")
        check_batch_to_embed(batch, self.context_tokens, self._loop.vocabulary)
        return self._loop.embed(batch)

    def stats(self) -> EngineStats:
        """Return a snapshot."""
        return EngineStats(0, 0, 0, 0, self.context_tokens, 0, 0) if self._loop is None else self._loop.stats()


def _check_format(manifest: Manifest) -> None:
    """Refuse weights that vLLM does not read as they are stored."""
    stored = manifest.quantization or manifest.weights_format
    if stored != "safetensors":
        raise StartFailed(
            f"engine vllm reads plain safetensors, and the weights of {manifest.name!r} are stored as {stored}; "
            "use another engine or import the checkpoint without quantisation"
        )
