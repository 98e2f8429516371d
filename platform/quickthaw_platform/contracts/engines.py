"""What generates tokens: a checkpoint on a node, what is asked of an engine, and the engine itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from quickthaw.errors import QuickthawError
from quickthaw.generation import ChatOptions, Delta, Sampling


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this node: its manifest (checkpoints.manifest) and the folder with configuration and tokenizer.

    `weights` names the files to map, in the manifest's order; none: they lie in the folder too. One may be longer than
    the manifest says, memory being rounded up to pages: what follows is no part of it. They may still be arriving:
    `arrival` is then the file that tells how far they are (see checkpoints.arrival).
    """

    id: str
    path: Path
    manifest: Mapping[str, Any]
    weights: tuple[Path, ...] = ()
    arrival: Path | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answer to a conversation is taken apart, and which calls of tools it may hold.

    `Tokenizer.chat` makes it and the same engine understands it; the platform passes it on as it is.
    """

    calls: str | None = None  # name of the form in which the model writes calls; None: it makes none
    tools: tuple[Mapping[str, Any], ...] = ()  # those that may be called, as OpenAI's chat completions describe them
    must_call: bool = False  # whether the answer must be calls
    parallel: bool = True  # whether there may be several
    thoughts: str | None = None  # name of the form in which the model writes what it thinks first; None: it does not
    thinking: bool = False  # whether the prompt ends within its thoughts
    specials: Mapping[str, int] = field(default_factory=dict)  # marks of both forms that are special tokens, with ids


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as a model reads it."""

    tokens: list[int]
    reading: Reading | None = None  # None: all of the answer is text


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One stream of tokens. `tokens` holds the prompt and, in a resume, what was generated before it was interrupted.

    The generator of the token at position p (counted over prompt and answer) is seeded from (sampling.seed, p), so a
    resumed request continues exactly; `sampling.seed` is never None here and `sampling.n` is always 1.
    """

    id: str
    tokens: tuple[int, ...]
    sampling: Sampling
    generated: int = 0  # how many of the last tokens were generated before (0: a fresh request)
    choice: int = 0  # copied into every Delta
    reading: Reading | None = None  # as `Tokenizer.chat` said; None: all of the answer is text


Sink = Callable[[Delta | QuickthawError], None]
"""Takes what an engine produces for one request, from the engine's thread; must not block.

The last call has a `Delta` with a `finish_reason`, or an error. After a cancel there may be none.
"""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of what an engine does."""

    running: int
    waiting: int
    kv_bytes: int
    kv_bytes_limit: int
    context_tokens: int
    prompt_tokens_total: int
    generated_tokens_total: int
    prefix_bytes: int = 0  # of keys and values kept for requests that begin alike, beside `kv_bytes`


class Tokenizer(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a plain text, with the special tokens that the model expects at its start."""

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation with the model's chat template, up to where the assistant speaks, and encode it.

        Raises InvalidRequest where the model has no template or the messages do not suit it, and for an option that
        the model has no place for.
        """

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return the prompt that asks for the text between two others. Raises NotServable where none is."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""


@runtime_checkable
class Engine(Protocol):
    """The code that generates tokens: one object an instance, made in its template, started in its own process.

    Life: `prepare` in the template (single-threaded; no tensor arithmetic, or forks would hang), fork, `start` in the
    instance, then `submit` and `cancel` from any thread, `close` at the end.
    """

    weights_formats: ClassVar[frozenset[str]]  # of checkpoints that it reads: safetensors, gguf
    preloads: ClassVar[tuple[str, ...]]  # modules that a node imports once for all templates of this engine
    tokenizer: Tokenizer
    context_tokens: int  # the longest prompt and answer together

    @property
    def arrival_seconds(self) -> float:
        """How long computing has waited so far, since `start`, for weights that were still arriving."""

    @classmethod
    def missing(cls) -> str | None:
        """Say which packages this engine lacks here and how to install them; None: it lacks none. Imports none."""

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the known ones, for an unknown option or value. Imports nothing heavy."""

    def prepare(self, checkpoint: Checkpoint, options: Mapping[str, Any], stage: Callable[[str, float], None]) -> None:
        """Read the tokenizer, build the skeleton, map the weights read-only; report `stage(name, seconds)` of each.

        Where `checkpoint.arrival` is given the weights may still be arriving, after `start` too: nothing is computed
        with one before it is there, and who waits for one that will never be gets StartFailed with the cause.
        Stages are named tokenizer, skeleton and weights. Raises StartFailed with the cause, naming the file.
        """

    def prime(self, tokens: Sequence[int], file: Path) -> bool:
        """Have the keys and values of a prompt's beginning in memory, so that forks from now on share them.

        Called once, after `prepare` and before `start`, in a process that was forked from the template and stays
        single-threaded, instances being forked from it. Read from `file` where that holds just these (False), else
        computed, and written to `file` atomically (True). Whatever else is in `file` counts as nothing. Raises
        NotServable where the engine cannot, StartFailed where it fails.
        """

    def start(self, device: str, threads: int, memory_bytes: int) -> None:
        """Take up work in this process: `memory_bytes` bounds the KV cache. Blocks until requests can be served."""

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Join the batch at the next step. Never blocks. Raises ContextLengthExceeded at once where it cannot fit."""

    def hold(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None]) -> None:
        """Like `submit`, but choose no token yet: only compute what is known, so that `release` goes on at once.

        `on_held` hears, from the engine's thread, how many tokens (prompt and answer) are known whenever all of them
        but the last have been computed; it must not block.
        """

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        """Tell a held request the next tokens of its answer, which another engine chose. An unknown id is ignored."""

    def release(self, request_id: str) -> None:
        """Have a held request choose its next token and all that follow. Idempotent; an unknown id is ignored."""

    def cancel(self, request_id: str) -> None:
        """Leave the batch at the next step and free the memory. An unknown id is ignored."""

    def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector for each token sequence, of length 1 unless the checkpoint's recipe has it otherwise. Blocks.

        Raises NotServable on a generating model, and InvalidRequest for a sequence that is empty or too long.
        """

    def stats(self) -> EngineStats:
        """Return a snapshot; cheap."""

    def close(self) -> None:
        """Stop the engine's threads; idempotent. Requests that still run get an error."""


@runtime_checkable
class Built(Protocol):
    """An engine whose keys and values depend on the build of a library: a file of another build is not looked at."""

    build: str


@runtime_checkable
class Settles(Protocol):
    """An engine that puts off part of what its instances may need, so that the first of them begins sooner."""

    def settle(self) -> None:
        """Have that ready. Called at most once, in the template, after `prepare`, when nothing is asked of it.

        Single-threaded like `prepare`. Instances that were forked before do it themselves where they need it.
        """


@runtime_checkable
class TellsOfFailure(Protocol):
    """An engine that says when it can compute nothing any more: whoever runs it then ends it and starts another."""

    on_failed: Callable[[QuickthawError], None]
    """Called at most once, from the engine's thread, before its requests are told, and may end the process. Set it
    before `start`.
    """


@runtime_checkable
class Sleeps(Protocol):
    """An engine that can give its device's memory back without ending, so that to wake is all that a start takes.

    For engines whose start no template can spare. Nothing runs when `sleep` is called, and nothing is asked of it until
    `wake` has returned. Where either raises, the process is ended.
    """

    can_sleep: bool
    """Whether it can here, with the device and the options that it was started with. Asked after `start`."""

    def sleep(self) -> None:
        """Give back keys and values and all memory of a device; weights stay in this process's own memory. Blocks.

        Files of the checkpoint are neither open nor mapped from then on.
        """

    def wake(self) -> None:
        """Be as after `start`, as soon as can be. Blocks."""


@runtime_checkable
class TakesAdapters(Protocol):
    """An engine that can put a LoRA adapter, a checkpoint of its own, on the model that it has prepared."""

    def adapt(self, adapter: Checkpoint) -> None:
        """Compute with the model and this adapter from now on, in this process only.

        Called at most once, after `prepare` and before `start`, in the instance's process. Blocks until the adapter's
        weights, which may still be arriving, have been read; what was computed before is forgotten. Raises StartFailed
        with the cause, naming the file.
        """
