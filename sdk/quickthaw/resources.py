"""What the control API answers and takes besides `types`: one record for each resource and request body.

| call                                       | body            | answer                              |
|--------------------------------------------|-----------------|-------------------------------------|
| GET    /v1/functions                       |                 | list of FunctionInfo                |
| POST   /v1/functions?alias=live            | FunctionSpec    | Version                             |
| GET    /v1/functions/{name}                |                 | FunctionInfo                        |
| DELETE /v1/functions/{name}                |                 | Deleted                             |
| GET    /v1/functions/{name}/versions       |                 | list of Version                     |
| GET    /v1/functions/{name}/aliases        |                 | list of AliasInfo                   |
| PUT    /v1/functions/{name}/aliases/{alias} | AliasWeights   | AliasInfo                           |
| DELETE /v1/functions/{name}/aliases/{alias} |                | Deleted                             |
| POST   /v1/functions/{name}/rollback       | Rollback        | AliasInfo                           |
| GET    /v1/functions/{name}/secrets        |                 | list of SecretInfo                  |
| PUT    /v1/functions/{name}/secrets/{key}  | SecretValue     | SecretInfo                          |
| DELETE /v1/functions/{name}/secrets/{key}  |                 | Deleted                             |
| POST   /v1/functions/{name}/invoke         | InvokeRequest   | InvocationInfo, ended               |
| POST   /v1/functions/{name}/stream         | InvokeRequest   | SSE of Event; header x-invocation-id |
| POST   /v1/functions/{name}/async          | InvokeRequest   | 202, InvocationInfo; header Location |
| GET    /v1/invocations/{id}                |                 | InvocationInfo                      |
| GET    /v1/invocations/{id}/events         |                 | SSE of Event                        |
| DELETE /v1/invocations/{id}                |                 | InvocationInfo                      |
| GET    /v1/invocations/{id}/explain        |                 | Explanation                         |
| GET    /v1/invocations/{id}/life           |                 | InvocationLife                      |
| POST   /v1/invocations/{id}/migrate        | MigrateRequest  | InvocationInfo                      |
| GET    /v1/router/accuracy                 |                 | RouterAccuracy                      |
| GET    /v1/functions/{name}/logs           |                 | list of LogLine                     |
| GET    /v1/functions/{name}/logs?follow=true |               | SSE of LogLine, `id:` is LogLine.id |
| GET    /v1/nodes                           |                 | list of NodeInfo                    |
| POST   /v1/nodes/{id}/drain                |                 | NodeInfo                            |
| GET    /v1/instances                       |                 | list of InstanceInfo                |
| DELETE /v1/instances/{id}                  |                 | Deleted                             |
| GET    /v1/checkpoints                     |                 | list of CheckpointInfo              |
| GET    /v1/checkpoints/{name}              |                 | CheckpointInfo                      |
| POST   /v1/checkpoints/{name}/pull         | PullRequest     | 202, CheckpointInfo                 |
| POST   /v1/checkpoints/{name}/evict        | EvictRequest    | 202, CheckpointInfo                 |
| POST   /v1/checkpoints/{name}/move         | MoveRequest     | CheckpointInfo                      |
| DELETE /v1/checkpoints/{name}              |                 | Deleted                             |
| GET    /v1/checkpoints/{name}/results      |                 | list of CheckpointResult            |
| POST   /v1/checkpoints/{name}/results      | CheckpointResult | 201, CheckpointResult              |
| GET    /v1/keys                            |                 | list of KeyInfo                     |
| POST   /v1/keys                            | KeyRequest      | KeyCreated                          |
| DELETE /v1/keys/{id}                       |                 | Deleted                             |
| GET    /v1/usage                           |                 | list of UsageRow                    |
| GET    /v1/usage/focus                     |                 | list of FocusRow                    |

A list is `{"object": "list", "data": […]}`; an error is `{"error": QuickthawError.to_json()}` under its status.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

from pydantic import Field

from quickthaw.generation import ChatOptions, Sampling
from quickthaw.numbers import Integer, Number
from quickthaw.types import Bytes, CompressOrNot, InvocationInfo, InvocationState, Limits, Name, Network, Seconds, Wire

DEFAULT_ALIAS = "live"
SECRET_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"

Tier = Literal["dram", "disk", "remote"]
"""Where weights are: a node's memory, its disk, or beyond the nodes."""

Weight = Annotated[Number, Field(ge=0, allow_inf_nan=False)]


class Webhook(Wire):
    """Where the end of an invocation is reported: a signed POST of its InvocationInfo."""

    url: str = Field(pattern=r"^https?://", max_length=2048)
    secret: str | None = Field(None, min_length=8, max_length=256, description="key of the HMAC-SHA256 signature")


class InvokeRequest(Wire):
    """A call of a function. Of `sampling`, `chat` and `limits` only the fields that were set count."""

    input: dict[str, Any] = Field(description="keyword arguments of the handler")
    sampling: Sampling | None = None
    chat: ChatOptions | None = Field(None, description="for handlers that answer conversations")
    alias: Name | None = Field(None, description="None: live")
    webhook: Webhook | None = None
    limits: Limits | None = None
    compress: CompressOrNot | None = Field(
        None, description="how long texts are shortened; false: not at all; None: as the function has it"
    )


class AliasWeights(Wire):
    """What an alias points to: version id (or number, as text) to weight. Weights are relative to their sum."""

    weights: dict[str, Weight] = Field(min_length=1, max_length=16)
    require: tuple[str, ...] = Field(
        (), max_length=32, description="bars that each version's checkpoint must clear: `perplexity[hf,wikitext-2]<=20`"
    )


class AliasInfo(Wire):
    """An alias and the versions it points to; the weights add up to 1."""

    name: str
    weights: dict[str, float]


class Rollback(Wire):
    """Point an alias back to the version before the one it points to; `version` names another."""

    alias: Name = DEFAULT_ALIAS
    version: str | None = None


class SecretValue(Wire):
    """The value of a secret; it is never sent back."""

    value: str = Field(max_length=65_536)


class SecretInfo(Wire):
    """A secret of a function, by name only."""

    name: str


class Deleted(Wire):
    """The thing is gone."""

    deleted: Literal[True] = True


class LogLine(Wire):
    """A line that a function printed, or that the platform has to say about it."""

    id: str = Field(description="position in the log, for `Last-Event-ID`")
    t: float = Field(description="Unix seconds")
    line: str
    stream: Literal["stdout", "stderr", "platform"] = "stdout"
    invocation: str | None = None
    instance: str | None = None
    node: str | None = None


class NodeInfo(Wire):
    """A worker bound to one device."""

    id: str
    state: str = Field(description="ready or draining")
    device: str = Field(description="cpu, or cuda:N")
    memory_bytes: int = Field(description="what its instances may reserve")
    memory_free_bytes: int
    checkpoints: tuple[str, ...] = Field((), description="ids of those on its disk")
    templates: tuple[str, ...] = Field((), description="ids of those with a live template")
    primed: tuple[str, ...] = Field((), description="ids of versions whose prompts' beginning it has read already")
    asleep: tuple[str, ...] = Field((), description="ids of versions of which a process sleeps there, ready to wake")
    isolation: str | None = Field(None, description="of its instances: strict, process or none")
    not_stronger: str = Field("", description="why its instances are not isolated further; empty: there is no further")
    control_groups: tuple[str, ...] = Field(
        (), description="what an instance's processes are bounded in together: of cpu, memory and pids"
    )
    not_bounded: str = Field("", description="why they are not bounded in all of these; empty: they are")
    network: Network = Field(Network.HOST, description="of functions on it that name none")
    labels: dict[str, str] = Field(default_factory=dict)
    instances: int = 0
    dram_bytes: int = Field(0, description="what the weights of checkpoints may take of its memory")
    dram_used_bytes: int = 0
    disk_used_bytes: int = 0
    bandwidths: dict[str, float] = Field(default_factory=dict, description="bytes/s that each tier gave it")
    arriving: dict[str, int] = Field(default_factory=dict, description="checkpoints to bytes still to come into memory")
    last_seen: float = Field(description="Unix seconds of its last heartbeat")
    started_at: float | None = None
    pid: int | None = None


class InstanceInfo(Wire):
    """A process that holds one loaded version of a function."""

    id: str
    function: str
    version: str
    node: str
    state: str = Field(description="starting, loaded, ready or draining")
    concurrency: int
    in_use: int = Field(description="invocations that it serves now")
    memory_bytes: int
    network: Network = Field(Network.HOST, description="what its code reaches: host, egress or none")
    egress: tuple[str, ...] = Field((), description="with network egress, all that it reaches; empty: what is public")
    created_at: float
    idle_since: float | None = None


class OptionInfo(Wire):
    """A node that the router considered, and how long a start there would take."""

    node: str
    way: str = Field(description="where the weights are nearest: asleep, primed, template, dram, disk or remote")
    queue_seconds: float = Field(description="for the loads before it")
    load_seconds: float = Field(description="to move the bytes")
    init_seconds: float = Field(description="of the start beyond that")
    room_seconds: float = Field(0.0, description="until there is memory for it")
    seconds: float = Field(description="the sum")
    verdict: str = Field("", description="why it was not chosen")


class MoveInfo(Wire):
    """A running invocation that is to go on elsewhere, to make room."""

    invocation: str
    instance: str
    to_node: str


class DecisionInfo(Wire):
    """What the router decided for a version at one moment, and what it considered, the best first."""

    t: float = Field(description="Unix seconds, by Redis' clock")
    kind: Literal["start", "wait", "refuse"]
    reason: str | None = Field(None, description="of a wait or a refusal")
    node: str | None = Field(None, description="of a start")
    instance: str | None = Field(None, description="that was reserved for it")
    way: str | None = None
    estimate_seconds: float | None = None
    retire: tuple[str, ...] = Field((), description="idle instances that make room")
    drain: tuple[str, ...] = Field((), description="instances that give way when they are done")
    moves: tuple[MoveInfo, ...] = ()
    considered: tuple[OptionInfo, ...] = ()


class StartInfo(Wire):
    """The start that an invocation waited for: as it was predicted, and as it was (seconds)."""

    instance: str
    way: str | None = None
    predicted_seconds: float | None = None
    actual_seconds: float | None = Field(None, description="known a moment after its first output")


class Explanation(Wire):
    """Why an invocation ran where and when it did."""

    id: str
    function: str
    version: str
    state: InvocationState
    node: str | None = None
    instance: str | None = None
    warm: bool = Field(description="it got a slot of a ready instance at once, without a decision")
    waited_seconds: float = Field(description="from its acceptance to its slot, or until it ended or now")
    decisions: tuple[DecisionInfo, ...] = Field((), description="about its version while it waited, oldest first")
    start: StartInfo | None = Field(None, description="where an instance was started while it waited, and served it")


class MigrateRequest(Wire):
    """Where a running invocation is to go."""

    node: str | None = Field(None, description="None: wherever it can go on soonest")


class LifeStep(Wire):
    """One step in an invocation's life."""

    at: float = Field(description="Unix seconds, Redis' clock")
    state: InvocationState
    node: str | None = None
    instance: str | None = None
    reason: str | None = Field(None, description="why it is queued (again)")
    moved_from: str | None = Field(None, description="the node that it left without being interrupted")
    epoch: int | None = Field(None, description="where one begins: its number")


class FailedMove(Wire):
    """A move that was begun and did not take place: the invocation went on, or ended, where it was."""

    at: float = Field(description="Unix seconds, Redis' clock")
    node: str | None = Field(None, description="to which it was to move, as far as that is known")
    reason: str


class InvocationLife(Wire):
    """Where an invocation was, and when."""

    invocation: InvocationInfo
    steps: tuple[LifeStep, ...] = Field(description="oldest first; the end is in `invocation`")
    moves: int = Field(0, description="how often it was migrated")
    failed_moves: tuple[FailedMove, ...] = Field((), description="the last five that were begun and did not take place")
    gaps: dict[int, float] = Field(
        default_factory=dict,
        description="epoch to seconds between the last output before it and the first in it, as its followers saw it",
    )


class EstimateError(Wire):
    """How far off the estimates of starts were, as shares of what the starts took."""

    starts: int
    p50: float = Field(description="percentile of |actual - predicted| / actual")
    p90: float
    p99: float
    median_signed: float = Field(description="median of (predicted - actual) / actual; above 0: they took less")


class RouterAccuracy(Wire):
    """The errors of the last starts that had an estimate; `overall` is null before the first."""

    overall: EstimateError | None = None
    by_way: dict[str, EstimateError] = Field(default_factory=dict, description="template, dram, disk, remote")


class CheckpointCopy(Wire):
    """Where a node has a checkpoint, or can get it from."""

    node: str
    tiers: tuple[Tier, ...] = Field(description="nearest first")
    arriving_bytes: int | None = Field(None, description="what has still to come into its memory, while it comes")
    push_error: str | None = Field(
        None, description="why the remote tier did not take it from there; it is tried again"
    )


class CheckpointInfo(Wire):
    """An imported checkpoint and where it is."""

    id: str
    name: str
    task: str = Field(description="generate, embed or adapter")
    bytes: int
    weights_format: str = Field("safetensors", description="safetensors or gguf")
    tensors: int = 0
    context_tokens: int
    architecture: str | None = None
    gguf_architecture: str | None = Field(None, description="of a GGUF file: llama.cpp's name of the architecture")
    dtype: str | None = None
    quantization: str | None = None
    partitions: int = 1
    license: str | None = None
    source: str | None = None
    created_at: float | None = Field(None, description="Unix seconds of its import")
    signer: str | None = Field(None, description="public key of who imported it, and owns its name")
    copies: tuple[CheckpointCopy, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have it on their disk or in their memory."""
        return tuple(copy.node for copy in self.copies if {"dram", "disk"} & set(copy.tiers))


class PullRequest(Wire):
    """The node that is to bring a checkpoint into its memory and onto its disk."""

    node: str


class MoveRequest(Wire):
    """The importer, by its public key, who owns a checkpoint's name from now on."""

    signer: str = Field(pattern="^[0-9a-f]{64}$")


class EvictRequest(Wire):
    """The node that is to drop a checkpoint from its memory (`dram`), or from memory and disk (`disk`)."""

    node: str
    tier: Literal["dram", "disk"] = "dram"


class Scope(enum.StrEnum):
    """What an API key may do."""

    ADMIN = "admin"  # everything, keys and nodes included
    DEPLOY = "deploy"  # functions, versions, aliases, secrets, logs
    INVOKE = "invoke"  # call functions and look at invocations


class Quotas(Wire):
    """What an API key may use: by its calls, and by the functions that it deploys."""

    requests: str | None = Field(
        None,
        description='as the `limits` library reads it, for example "40 per 3 hours"; None: without limit',
        max_length=100,
    )
    tokens_per_minute: Integer | None = Field(None, ge=1, description="None: without limit")
    store_bytes: Bytes | None = Field(
        None,
        description="of the platform's store, by its calls, answers and stored responses; None: the setting key_store",
    )
    memory: Bytes | None = Field(None, description="most `memory` of a function; None: what nodes have")
    weight: Number | None = Field(None, gt=0, description="most `weight` of a function; None: the setting max_weight")
    keep_alive: Seconds | None = Field(
        None, description="longest `keep_alive` of a function; None: the setting max_keep_alive"
    )
    max_instances: Integer | None = Field(
        None, ge=1, description="most instances of a function, always on or not; None: the setting max_instances"
    )


KeyWeight = Annotated[
    Number, Field(ge=0.001, le=1000, description="share of a function's queue where calls of several keys wait")
]


class KeyRequest(Wire):
    """An API key to make."""

    name: Name
    scopes: tuple[Scope, ...] = Field((Scope.INVOKE,), min_length=1)
    quotas: Quotas = Quotas()
    weight: KeyWeight = 1.0


class KeyInfo(Wire):
    """An API key, without the key itself: only its digest is stored."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    quotas: Quotas = Quotas()
    weight: KeyWeight = 1.0
    created_at: float


class KeyCreated(KeyInfo):
    """A new API key; `key` is shown this once."""

    key: str


FocusRow = dict[str, str | float | None]
"""A row of a FOCUS cost and usage file: column to value."""


class UsageRow(Wire):
    """What was used in a span of time, added up. The first fields are None where the rows are not told apart by them.

    Rows always add up to the whole. Where they are told apart by phase, what has none (tokens, requests, bytes fetched)
    stands in rows of the phase "".
    """

    function: str | None = None
    version: str | None = None
    backend: str | None = Field(None, description="the serving backend of the version")
    node: str | None = None
    device: str | None = None
    key: str | None = Field(None, description="id of the API key that calls came with; empty: what no call caused")
    phase: str | None = Field(None, description="starting/STAGE, prefill, decode, idle or draining; empty: none")
    seconds: float = Field(0.0, description="device-seconds")
    memory_byte_seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = Field(0, description="of tokens_in, those that an engine did not have to compute")
    tokens_saved: int = Field(0, description="left out of prompts by compression, beside tokens_in")
    requests: int = 0
    fetched_bytes: dict[str, int] = Field(default_factory=dict, description="tier to bytes read from it by starts")
