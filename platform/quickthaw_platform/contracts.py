"""Records that cross boundaries and the protocols that plugins fulfil. Nothing here acts.

Records are frozen. Each protocol's docstrings say what blocks, what is idempotent and what comes back when there is
nothing; one contract suite in `tests/contract/` runs over every implementation of each.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from quickthaw.errors import QuickthawError
from quickthaw.types import Delta, Sampling

__all__ = [
    "AllocationPolicy",
    "AllocationRequest",
    "Built",
    "Checkpoint",
    "ClusterView",
    "Decision",
    "Delta",
    "Engine",
    "EngineStats",
    "FunctionStats",
    "GenerationRequest",
    "IdleHistory",
    "InstanceState",
    "InstanceView",
    "Keep",
    "KeepAlivePolicy",
    "MigrationCost",
    "Move",
    "NodeState",
    "NodeView",
    "Option",
    "Refuse",
    "RemoteObject",
    "RemoteStore",
    "Running",
    "Sampling",
    "Sink",
    "Start",
    "TakesAdapters",
    "TiersView",
    "Tokenizer",
    "Wait",
    "Way",
]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this node: its manifest (checkpoints.manifest) and the folder with configuration and tokenizer.

    `weights` names the files to map, in the manifest's order; none: they lie in the folder too. They may still be
    arriving: `arrival` is then the file that tells how far they are (see checkpoints.arrival).
    """

    id: str
    path: Path
    manifest: Mapping[str, Any]
    weights: tuple[Path, ...] = ()
    arrival: Path | None = None


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

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Render a conversation with the model's chat template, up to where the assistant speaks, and encode it.

        `tools` are shown to the template as OpenAI describes them. Raises InvalidRequest where the model has no
        template or the messages do not suit it.
        """

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""


@runtime_checkable
class Engine(Protocol):
    """The code that generates tokens: one object an instance, made in its template, started in its own process.

    Life: `prepare` in the template (single-threaded; no tensor arithmetic, or forks would hang), fork, `start` in the
    instance, then `submit` and `cancel` from any thread, `close` at the end.
    """

    weights_formats: ClassVar[frozenset[str]]  # of checkpoints that it reads: safetensors, gguf
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
        """Return a unit vector for each token sequence. Blocks. Raises NotServable on a generating model."""

    def stats(self) -> EngineStats:
        """Return a snapshot; cheap."""

    def close(self) -> None:
        """Stop the engine's threads; idempotent. Requests that still run get an error."""


@runtime_checkable
class Built(Protocol):
    """An engine whose keys and values depend on the build of a library: a file of another build is not looked at."""

    build: str


@runtime_checkable
class TakesAdapters(Protocol):
    """An engine that can put a LoRA adapter, a checkpoint of its own, on the model that it has prepared."""

    def adapt(self, adapter: Checkpoint) -> None:
        """Compute with the model and this adapter from now on, in this process only.

        Called at most once, after `prepare` and before `start`, in the instance's process. Blocks until the adapter's
        weights, which may still be arriving, have been read; what was computed before is forgotten. Raises StartFailed
        with the cause, naming the file.
        """


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """An object of a remote store. `etag` changes whenever the content does."""

    key: str
    bytes: int
    etag: str


class RemoteStore(Protocol):
    """Where checkpoints lie beyond the nodes: S3, or a directory that all nodes see. Keys are relative to `url`.

    All methods block and may be called from many threads. They raise RemoteMissing (no such object, bucket or
    folder), RemoteDenied (credentials), RemoteChanged (another content than `etag`) and, when retries are used up,
    RemoteUnavailable; each names the object.
    """

    url: str

    def list(self, prefix: str = "") -> list[RemoteObject]:
        """Return the objects whose keys begin with `prefix`, by key; none where there are none."""

    def head(self, key: str) -> RemoteObject:
        """Return the object's size and etag."""

    def get_range(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` with the object's bytes from `begin` on; nothing is copied twice.

        What arrived is kept when a connection breaks, and the rest is asked for again. RemoteChanged if the object is
        not any more the one that was `found`. `stop` is asked now and then: once it says so, LoadCancelled.
        """

    def put(self, key: str, source: Path | bytes) -> RemoteObject:
        """Write an object whole or not at all, in place of any other; a large file goes in parts."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is ignored."""

    def close(self) -> None:
        """Let go of connections. Idempotent."""


class NodeState(enum.StrEnum):
    """A node's life as its heartbeat tells it."""

    READY = "ready"
    DRAINING = "draining"  # takes no new work, finishes what runs


class InstanceState(enum.StrEnum):
    """An instance's life: `starting → loaded → ready → draining`, then its record goes."""

    STARTING = "starting"  # reserved on a node; template or fork under way
    LOADED = "loaded"  # weights mapped; takes from the queue, and its first output proves it
    READY = "ready"  # has generated; new invocations may lease its slots
    DRAINING = "draining"  # leases nothing more; goes when its last lease does


class Way(enum.StrEnum):
    """Where a start finds the weights, nearest first."""

    PRIMED = "primed"  # a live template has also read what the version's prompts begin with
    TEMPLATE = "template"  # a live template has them mapped: a fork is enough
    DRAM = "dram"  # whole in the node's memory, or on their way there
    DISK = "disk"
    REMOTE = "remote"

    @property
    def forks(self) -> bool:
        """Whether a fork of a live template is enough, so that no weights are loaded."""
        return self in (Way.PRIMED, Way.TEMPLATE)


@dataclass(frozen=True, slots=True)
class Running:
    """An invocation that an instance serves, as far as moving it is concerned."""

    invocation: str
    tokens: int  # of the prompt and the answer so far
    seconds: float  # since it began


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as the router sees it. The last fields tell of one that is starting: what is still to come."""

    id: str
    function: str
    version: str
    node: str
    state: InstanceState
    concurrency: int
    in_use: int
    memory_bytes: int
    idle_seconds: float  # 0 while in use
    checkpoint: str = ""
    checkpoint_bytes: int = 0
    running: tuple[Running, ...] = ()  # only where the cluster can move invocations
    way: Way | None = None
    load_seconds: float = 0.0  # until its weights have been read, by the estimate it was started on
    start_seconds: float = 0.0  # until it serves, by that estimate
    min_instances: int = 0  # how many of its version are kept without calls
    dedicated: bool = False  # these give way to no other function


@dataclass(frozen=True, slots=True)
class TiersView:
    """What a node has besides its disk, and how fast each tier gave it what it has read. Sizes are bytes."""

    dram: frozenset[str] = frozenset()  # ids of checkpoints whole in its memory
    arriving: Mapping[str, int] = field(default_factory=dict)  # id to bytes still to come into its memory
    bandwidths: Mapping[str, float] = field(default_factory=dict)  # dram, disk, remote to bytes/s, where measured
    dram_bytes: int = 0  # the budget of its memory tier
    dram_used_bytes: int = 0
    disk_used_bytes: int = 0
    remote: frozenset[str] = frozenset()  # ids that it can fetch from beyond


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the router sees it. `memory_free_bytes` is the budget less what its instances have reserved."""

    id: str
    state: NodeState
    device: str
    memory_bytes: int
    memory_free_bytes: int
    checkpoints: frozenset[str]  # ids on its disk
    templates: frozenset[str]  # ids with a live template
    tiers: TiersView = field(default_factory=lambda: TiersView())
    labels: Mapping[str, str] = field(default_factory=dict)
    kept_for: str = ""  # the version that an instance has given up room for; no other may take it
    kept_bytes: int = 0  # of memory_free_bytes
    primed: frozenset[str] = frozenset()  # ids of versions with a live primed template

    def has(self, checkpoint: str) -> bool:
        """Whether the node can get at a checkpoint, wherever it is."""
        return checkpoint in self.checkpoints or checkpoint in self.tiers.dram or checkpoint in self.tiers.remote


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """What was learnt of a function from its calls and starts. Means; None and absent: nothing yet."""

    init_seconds: Mapping[Way, float] = field(default_factory=dict)  # of a start, beyond waiting for and moving bytes
    service_seconds: float | None = None  # how long an invocation holds its slot
    calls_per_second: float = 0.0
    weight: float = 1.0  # its share when functions compete for room


@dataclass(frozen=True, slots=True)
class MigrationCost:
    """Moving a running invocation takes `seconds_per_token · (tokens in + tokens out) + seconds` (ServerlessLLM,
    OSDI'24, section 5.2).
    """

    seconds_per_token: float
    seconds: float

    def of(self, tokens: int) -> float:
        """Return the seconds it takes with so many tokens."""
        return self.seconds_per_token * tokens + self.seconds


@dataclass(frozen=True)
class ClusterView:
    """What a decision rests on, read at one moment."""

    nodes: Sequence[NodeView]
    instances: Sequence[InstanceView]  # of every function
    waiting: Mapping[str, int] = field(default_factory=dict)  # version id to queue length
    waited: Mapping[str, float] = field(default_factory=dict)  # version id to how long the first has waited (seconds)
    functions: Mapping[str, FunctionStats] = field(default_factory=dict)  # name to what is known of it
    migration: MigrationCost | None = None  # None: running invocations stay where they are
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what policies derived from it


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """What wants to run: one more instance of this version, if the policy finds it right."""

    function: str
    version: str
    checkpoint: str
    memory_bytes: int
    concurrency: int
    max_instances: int
    checkpoint_bytes: int = 0
    device: str | None = None  # "cpu" or "cuda"; None: any
    labels: Mapping[str, str] = field(default_factory=dict)  # that a node must have
    spread: bool = False  # rather on a node that has no instance of it yet
    weight: float = 1.0  # its share when functions compete for room
    ahead: bool = False  # nothing needs it yet: a slot that is soon free is no substitute


@dataclass(frozen=True, slots=True)
class Option:
    """One node that was considered, and how long a start there would take; `verdict` says why it was not chosen."""

    node: str
    way: Way
    queue_seconds: float  # for loads before it
    load_seconds: float  # to move the bytes
    init_seconds: float
    room_seconds: float = 0.0  # until idle instances have gone or running ones have moved
    verdict: str = ""

    @property
    def seconds(self) -> float:
        """The estimate: the sum."""
        return self.queue_seconds + self.load_seconds + self.init_seconds + self.room_seconds


@dataclass(frozen=True, slots=True)
class Move:
    """Move a running invocation from its instance to a node where another of its version can take it."""

    invocation: str
    instance: str
    to_node: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance on this node; None: how long it takes is not known.

    `retire` names idle instances of that node that make room for it. `considered` lists the best options, this one
    first.
    """

    node: str
    estimate_seconds: float | None = None
    way: Way | None = None
    load_seconds: float = 0.0  # until its weights have been read, those before it included
    retire: tuple[str, ...] = ()
    considered: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait: the reason is shown to the caller.

    `drain` names instances that are to give way when they are done, `moves` what they run and what is to go on
    elsewhere: then they are done at once.
    """

    reason: str
    estimate_seconds: float | None = None
    drain: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    considered: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can never run on this cluster as it is."""

    reason: str
    considered: tuple[Option, ...] = ()


Decision = Start | Wait | Refuse


class AllocationPolicy(Protocol):
    """Chooses where a waiting invocation's instance starts. Pure: no I/O, no clock, no log."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""


@dataclass(frozen=True, slots=True)
class IdleHistory:
    """A function without a call, and its past: what a keep-alive policy decides on."""

    keep_alive_seconds: float  # what its deploy asks for
    gaps: Sequence[float] = ()  # how long it had no call before, each time (seconds), the latest last
    start_seconds: float = 1.0  # what a start would take if no instance were kept


@dataclass(frozen=True, slots=True)
class Keep:
    """How long an idle instance is kept: `seconds` of idleness, math.inf until its room is wanted.

    With `prewarm_after` one instance is wanted in any case from so many seconds after the function's last call until
    `prewarm_until`: it is started if there is none, and its own idleness does not count meanwhile.
    """

    seconds: float
    prewarm_after: float | None = None
    prewarm_until: float = 0.0

    def wants_one(self, since_call_seconds: float) -> bool:
        """Whether one instance is wanted so long after the function's last call, however long it has idled."""
        return self.prewarm_after is not None and self.prewarm_after <= since_call_seconds < self.prewarm_until


class KeepAlivePolicy(Protocol):
    """Says how long an idle instance is worth keeping. Pure."""

    def keep(self, history: IdleHistory) -> Keep:
        """Decide for an instance of a function with this past."""
