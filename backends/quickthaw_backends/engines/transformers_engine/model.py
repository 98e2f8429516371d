"""A model on its way from a checkpoint's folder to computing: built, mapped, placed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.prefixes import PrefixCache
from quickthaw_backends.engines.batching.runner import Runner
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.texts import Texts
from quickthaw_backends.engines.transformers_engine import attention, int8, kv_file, lean, linear, loading, priming
from quickthaw_backends.engines.transformers_engine.arriving import ArrivingWeights, gate
from quickthaw_backends.engines.transformers_engine.compiled import compiled_product
from quickthaw_backends.engines.transformers_engine.cuda_weights import CudaLane, SentWeights
from quickthaw_backends.engines.transformers_engine.embedding import Embedder
from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, SequenceCache
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor, map_weights
from quickthaw_backends.engines.transformers_engine.options import TransformersOptions
from quickthaw_backends.engines.transformers_engine.probe import Shape, probe
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner, SoloRunner
from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Manifest, weights_paths
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import NotServable, StartFailed

ALONE = "%s does not take this engine's attention: its requests are computed one by one, not as a batch"
INEXACT = "this model has layers that are computed as they are: a resumed answer may differ where tokens are near-ties"
INEXACT_ATTENTION = "attention is not exact here, as there is no compiled code for it"
INEXACT_PRODUCTS = "this processor's products of bfloat16 are not exact"
_log = logging.getLogger(__name__)


class PreparedModel:
    """Holds the model and what was learnt about it."""

    def __init__(self, model: Any, shape: Shape | None) -> None:
        """`shape` is None for an encoder."""
        self._model = model
        self._shape = shape
        self._arriving: ArrivingWeights | None = None
        self._sent: SentWeights | None = None
        self._files: tuple[Path, ...] = ()
        self._mapped: tuple[MappedTensor, ...] = ()
        self._quantised = False
        self._substituted: bool | None = None  # whether layers are substitutes (see `linear`); None: not settled yet
        self._steady = False
        self._narrow = False  # whether keys and values are bfloat16 though activations are not
        self._beginning: tuple[tuple[int, ...], SequenceCache] | None = None

    @classmethod
    def build(cls, path: Path, manifest: Manifest) -> PreparedModel:
        """Build the skeleton; a decoder is probed for what its cache takes and whether it can be batched."""
        if manifest.task == "embed":
            return cls(loading.build_skeleton(path, manifest, "sdpa"), None)
        try:
            model = loading.build_skeleton(path, manifest, attention.NAME)
        except ValueError:  # the model has attention code of its own and refuses a foreign one
            _log.warning(ALONE, manifest.name)
            return cls(loading.build_skeleton(path, manifest, "eager"), Shape(0))
        shape = probe(model)
        if shape.cache is None:
            _log.warning(ALONE, manifest.name)
            model = loading.build_skeleton(path, manifest, "eager")
        return cls(model, shape)

    @property
    def embeds(self) -> bool:
        """Whether it is an encoder."""
        return self._shape is None

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        size: int = self._model.config.get_text_config().vocab_size
        return size

    def map_weights(self, checkpoint: Checkpoint, manifest: Manifest) -> None:
        """Map the weights read-only into the skeleton; they may still be arriving. Waits for their headers.

        Those of a GGUF are waited for and dequantised, into memory that forks of this process share.
        """
        arrival = None if checkpoint.arrival is None else Arrival(checkpoint.arrival)
        if manifest.weights_format == "gguf":
            self._dequantise(checkpoint, manifest, arrival)
        else:
            self._map(checkpoint, manifest, arrival)

    def have_code(self, options: TransformersOptions) -> None:
        """Compile what computes the model on a CPU, so that forks of this process need not."""
        if options.compute == "native":
            return
        stored = {weight.dtype for weight in _matrices(self._model)}
        dtypes = stored if options.dtype == "auto" else {getattr(torch, options.dtype)}
        compiled_product.have_code(dtypes)
        if not self.embeds:
            lean.have_code(self._model, dtypes, mixed=options.compute == "mixed")

    def settle_on_cpu(self, options: TransformersOptions) -> None:
        """Put the substitutes for its layers in where torch was built for no other device, so that forks need not."""
        alone = torch.accelerator.current_accelerator() is None
        if alone and options.dtype == "auto" and options.compute != "mixed":
            self._substitute(options)

    def _map(self, checkpoint: Checkpoint, manifest: Manifest, arrival: Arrival | None) -> None:
        if arrival is not None:
            arrival.wait_for_all([file.data_offset for file in manifest.weights])
        sizes = [file.bytes for file in manifest.weights]
        self._files = weights_paths(checkpoint)
        tensors = map_weights(self._files, sizes)
        self._mapped = tuple(tensors.values())
        stored = {name: found.tensor for name, found in tensors.items()}
        own, scales = int8.split_scales(loading.with_aliases(stored, manifest.tied))
        loading.assign_weights(self._model, own, {})
        if manifest.quantization == "int8":
            int8.substitute(self._model, scales)
            self._quantised = True
        if arrival is not None and not arrival.complete:
            self._arriving = ArrivingWeights(arrival, tensors, sizes)

    def _dequantise(self, checkpoint: Checkpoint, manifest: Manifest, arrival: Arrival | None) -> None:
        from quickthaw_backends.engines.transformers_engine import gguf_weights

        if arrival is not None:
            arrival.wait_for_all([file.bytes for file in manifest.weights])
        tensors = gguf_weights.read_weights(weights_paths(checkpoint), checkpoint.path, manifest)
        loading.assign_weights(self._model, tensors, {})

    @property
    def arrival_seconds(self) -> float:
        """How long computing has waited for weights so far."""
        waited = self._sent or self._arriving
        return 0.0 if waited is None else waited.waited_seconds

    def prime(self, tokens: Sequence[int], file: Path, options: TransformersOptions) -> bool:
        """Have the keys and values of a prompt's beginning in memory, as a CPU computes them: see `contracts.Engine`.

        They are mapped from the file, so that processes share them.
        """
        shape = None if self._shape is None else self._shape.cache
        if shape is None:
            raise NotServable("of this model no beginning can be kept: its requests are not computed as a batch")
        found = kv_file.read(file, tokens, shape)
        if found is not None:
            self._beginning = tuple(tokens), found
            return False
        made = priming.computed(self._twin(shape, options), tokens, options.prefill_tokens)
        kv_file.write(file, tokens, made)
        self._beginning = tuple(tokens), kv_file.read(file, tokens, shape) or made
        return True

    def _twin(self, shape: CacheShape, options: TransformersOptions) -> RaggedRunner:
        """Return a runner of a second model over the same weights, placed on the CPU."""
        twin = copy.copy(self)
        twin._model = priming.twin(self._model)
        twin._arriving = copy.copy(self._arriving)
        twin.place(torch.device("cpu"), options)
        return twin._ragged(shape, speculates=False)

    def _ragged(self, shape: CacheShape, *, speculates: bool) -> RaggedRunner:
        decoder = lean.LeanDecoder(self._model) if lean.suits(self._model) else None
        return RaggedRunner(self._model, shape, speculates=speculates, lean=decoder)

    def place(self, device: torch.device, options: TransformersOptions) -> None:
        """Bring the model to the device; on a CPU that needs it, put in substitutes for its layers (see `linear`).

        Weights that are not there yet are waited for by the layers, when they first compute, where that can be.
        """
        if self._quantised and options.dtype != "auto":
            raise StartFailed(f"the weights are int8 and stay so; leave out the option dtype={options.dtype!r}")
        whole = self.embeds or options.dtype != "auto"
        if device.type == "cpu":
            self._compute_on_cpu(options, whole=whole)
        else:
            self._send_to(device, options, whole=whole)
        self._mapped = ()

    def _compute_on_cpu(self, options: TransformersOptions, *, whole: bool) -> None:
        if self._arriving is not None and whole:
            self._arriving.wait_for_all()
        self._convert(options)
        mixed = options.compute == "mixed"
        if mixed:
            self._refuse_unless_mixed(exact=options.exact)
        substituted = self._substitute(options)
        self._steady = substituted and (options.exact or not mixed)
        self._narrow = mixed and not options.exact
        if options.exact and not substituted:
            _log.warning(INEXACT)
        widen = linear.widen_own if substituted else _leave
        if self._arriving is not None and not self._arriving.complete:
            gate(self._model, self._arriving, widen)
        else:
            for module in self._model.modules():
                widen(module)

    def _substitute(self, options: TransformersOptions) -> bool:
        """Put substitutes for its layers in, once, if there are any for it; returns whether there are."""
        if self._substituted is None:
            self._substituted = self._quantised or (options.compute != "native" and linear.can_substitute(self._model))
            if self._substituted and not self._quantised:
                head = self._model.get_output_embeddings()
                linear.substitute(self._model, head, mixed=options.compute == "mixed", exact=options.exact)
        return self._substituted

    def _refuse_unless_mixed(self, *, exact: bool) -> None:
        """Raise StartFailed, saying why, where there are no mixed products, or none that are as exact as is wanted."""
        if self._quantised or not lean.suits_mixed(self._model):
            raise StartFailed(f"compute=mixed is for {lean.FAMILIES} with weights in bfloat16; leave the option out")
        if not linear.native_bf16():
            raise StartFailed("this processor does not multiply bfloat16; leave out the option compute=mixed")
        if exact and not linear.rows_are_independent(self._model):
            raise StartFailed(f"{INEXACT_PRODUCTS}; leave out the option compute=mixed, or add exact=false")
        if exact and not lean.is_exact(self._model):
            raise StartFailed(f"{INEXACT_ATTENTION}; leave out the option compute=mixed, or add exact=false")

    def _send_to(self, device: torch.device, options: TransformersOptions, *, whole: bool) -> None:
        torch.backends.cuda.enable_cudnn_sdp(False)  # it plans for tens of milliseconds for each new length of a prompt
        self._sent = SentWeights(self._model, self._mapped, self._arriving, device)
        self._model.to(device=device)  # what is not from the files
        self._sent.begin(CudaLane(device, self._files))
        if self._quantised:
            int8.begin_with(self._model, self._model.dtype)
        if whole:
            self._sent.wait_for_all()
            self._convert(options)
        else:
            gate(self._model, self._sent, _leave)

    def _convert(self, options: TransformersOptions) -> None:
        if options.dtype != "auto":
            self._model.to(dtype=getattr(torch, options.dtype))

    def embedder(self, context_tokens: int, recipe: EmbeddingRecipe | None) -> Embedder:
        """Return what embeds with this model."""
        return Embedder(self._model, context_tokens, recipe or EmbeddingRecipe())

    def loop(self, options: TransformersOptions, tokenizer: Texts, memory_bytes: int, context_tokens: int) -> BatchLoop:
        """Start a batch loop whose KV cache takes at most `memory_bytes`."""
        if self._shape is None:
            raise StartFailed("an encoder generates nothing")
        shape = self._shape.cache
        runner: Runner = SoloRunner(self._model) if shape is None else self._ragged(shape, speculates=self._steady)
        token_bytes = max(1, self._shape.kv_elements * self._kv_bytes())
        kv_tokens = memory_bytes // token_bytes
        if kv_tokens < 1:
            raise StartFailed(f"{memory_bytes:,} bytes hold no KV cache: one token takes {token_bytes:,}")
        budget = Budget(kv_tokens, options.max_batch, options.step_tokens, options.prefill_tokens, runner.chunked)
        context = min(context_tokens, kv_tokens)
        prefixes = PrefixCache(runner.drop, kv_tokens // 2)
        if self._beginning is not None and self._takes(self._beginning[1]):
            prefixes.keep(*self._beginning, pinned=True)
        return BatchLoop(
            runner, budget, tokenizer, kv_token_bytes=token_bytes, context_tokens=context, prefixes=prefixes
        )

    def _takes(self, cache: SequenceCache) -> bool:
        """Whether the model, placed as it is, goes on from keys and values that a CPU computed."""
        return self._model.device.type == "cpu" and cache.itemsize == self._kv_bytes()

    def _kv_bytes(self) -> int:
        widened = not self._narrow and any(
            isinstance(module, linear.SteadyLinear | int8.Int8Linear) for module in self._model.modules()
        )
        return 4 if widened and self._model.device.type == "cpu" else self._model.dtype.itemsize


def _matrices(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    return (tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.dim() == 2)


def _leave(_module: torch.nn.Module) -> None:
    """Do nothing: the module computes with its weights as they are."""
