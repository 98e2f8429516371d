"""A GGUF file ready to compute: model, tokenizer, context, and the prompts' beginnings that were read ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.prefixes import PrefixCache
from quickthaw_backends.engines.batching.runner import Chunk
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.llamacpp_engine.adapter import LlamaAdapter
from quickthaw_backends.engines.llamacpp_engine.cells import Cells
from quickthaw_backends.engines.llamacpp_engine.context import LlamaContext, Room
from quickthaw_backends.engines.llamacpp_engine.guiding import gguf_guides
from quickthaw_backends.engines.llamacpp_engine.model import ALL_LAYERS, NO_LAYERS, LlamaModel, kv_room
from quickthaw_backends.engines.llamacpp_engine.options import LlamaCppOptions
from quickthaw_backends.engines.llamacpp_engine.runner import LlamaRunner
from quickthaw_backends.engines.llamacpp_engine.tokenizer import GgufTokenizer
from quickthaw_backends.engines.llamacpp_engine.zero_pages import give_back_zero_pages
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import StartFailed

_KV_ELEMENT_BYTES = 2
_SPARE_SEQUENCES = 3  # for waste, for copying, and for the beginning that is read ahead
_SPARE_CELLS = 512


class LoadedGguf:
    """What an engine forks with."""

    def __init__(
        self, files: Sequence[Path], manifest: Manifest, options: LlamaCppOptions, wait: Callable[[], None]
    ) -> None:
        """`wait` returns when all weights are there; until then the file is mapped and not read."""
        self._files = files
        self._options = options
        self._wait = wait
        self._context: LlamaContext | None = None
        self._runner: LlamaRunner | None = None
        self._adapter: Path | None = None
        self._one_at_a_time = threading.Lock()
        self.embeds = manifest.task == "embed"
        self.embedded_tokens = 0
        if options.repack:
            wait()
        self.model = LlamaModel(files, repack=options.repack, layers_on_gpu=NO_LAYERS)
        self.tokenizer = GgufTokenizer(self.model)
        self._token_bytes = max(1, self.model.kv_elements() * _KV_ELEMENT_BYTES)
        trained = manifest.context_tokens
        self.context_tokens = min(options.context_tokens or trained, trained)
        self._kv_tokens = kv_room(options.kv_tokens, self.context_tokens, self._token_bytes)
        self.context_tokens = min(self.context_tokens, self._kv_tokens)
        self.float_matrices = self.model.float_matrices

    def read_end_tokens(self) -> None:
        """Look for the tokens that end an answer: once, for all forks."""
        _ = self.tokenizer.eos

    def make_context(self) -> None:
        """Make the context, and give back the memory that it has cleared."""
        sequences = 1 if self.embeds else self._options.max_batch + _SPARE_SEQUENCES
        cells = self._kv_tokens + max(self._kv_tokens // 8, _SPARE_CELLS)
        batch = self.context_tokens if self.embeds else max(self._options.prefill_tokens, self._options.step_tokens)
        room = Room(cells, sequences, batch)
        self._context = LlamaContext(self.model, room, exact=self._options.exact, embeds=self.embeds)
        exact = self._options.exact and not self.float_matrices
        self._cells = Cells(self._context, sequences, cells)
        self._runner = LlamaRunner(
            self._context, self._cells, shares=self.model.keeps_positions, speculates=exact, wait=self._wait
        )
        self._prefixes = PrefixCache(self._runner.drop, self._kv_tokens // 2)
        give_back_zero_pages()

    def prime(self, tokens: Sequence[int], file: Path) -> bool:
        """Keep a prompt's beginning in the context; True where it was computed and not read from `file`."""
        context, runner = self._ready()
        if len(tokens) >= self.context_tokens:
            raise StartFailed(f"a beginning of {len(tokens):,} tokens leaves no room in {self.context_tokens:,}")
        self._wait()
        sequence = runner.new_cache()
        computed = not context.load(sequence, tokens, file)
        if computed:
            step = self._options.prefill_tokens
            for begin in range(0, len(tokens), step):
                result = runner.run([Chunk(sequence, tokens[begin : begin + step], begin)])[0]
                if isinstance(result, Exception):
                    raise result
            context.save(sequence, tokens, file)
        else:
            self._cells.extend(sequence, len(tokens))
        self._cells.make_base(sequence)
        self._prefixes.keep(tokens, sequence, pinned=True)
        return computed

    def adapt(self, file: Path) -> int:
        """Put a LoRA adapter on the model; return how many matrices of floating-point numbers it has.

        What was computed without it is forgotten.
        """
        context, runner = self._ready()
        adapter = LlamaAdapter(self.model, file)
        self._prefixes.clear()
        context.use_adapter(adapter)
        self._adapter = file
        if adapter.float_matrices:
            runner.speculates = False
        return adapter.float_matrices

    def bring_to(self, device: str) -> None:
        """Load the layers onto the GPU, where the library can and the node has one."""
        if device == "cpu":
            return
        if not self.model.library.llama_supports_gpu_offload():
            raise StartFailed("this build of llama.cpp computes on the CPU only; install one made for the GPU")
        if self._context is not None:
            self._context.close()
        self.model = LlamaModel(self._files, repack=False, layers_on_gpu=ALL_LAYERS)
        self._wait()
        self.make_context()
        if self._adapter is not None:
            self.adapt(self._adapter)

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on."""
        self._ready()[0].use_threads(threads)

    def loop(self, memory_bytes: int) -> BatchLoop:
        """Start the batch loop; requests together use at most `memory_bytes` of the KV cache."""
        kv_tokens = min(self._kv_tokens, memory_bytes // self._token_bytes)
        if kv_tokens < 1:
            raise StartFailed(f"{memory_bytes:,} bytes hold no KV cache: one token takes {self._token_bytes:,}")
        options = self._options
        return BatchLoop(
            self._ready()[1],
            Budget(kv_tokens, options.max_batch, options.step_tokens, options.prefill_tokens),
            self.tokenizer,
            kv_token_bytes=self._token_bytes,
            context_tokens=min(self.context_tokens, kv_tokens),
            prefixes=self._prefixes,
        )

    @cached_property
    def answers(self) -> Answers:
        """What answers are made with."""
        eos = self.tokenizer.eos
        return Answers(self.tokenizer, eos, self.model.tokens, partial(gguf_guides, self.model, eos))

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector of length 1 for each text."""
        context, _runner = self._ready()
        width = self.model.library.llama_model_n_embd_out(self.model.handle)
        with self._one_at_a_time:
            self._wait()
            vectors = [context.embedding(0, tokens, width) for tokens in batch]
            self.embedded_tokens += sum(map(len, batch))
        return [(vector / max(float(np.linalg.norm(vector)), 1e-12)).tolist() for vector in vectors]

    def _ready(self) -> tuple[LlamaContext, LlamaRunner]:
        if self._context is None or self._runner is None:
            raise StartFailed("the context was not made")
        return self._context, self._runner
