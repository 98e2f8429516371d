"""What travels between client, gateway and instance: one definition, parsed on both sides."""

from __future__ import annotations

import contextlib
import enum
import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from quickthaw.egress import MOST_DESTINATIONS, read_destinations
from quickthaw.numbers import Integer, Number

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
MAX_SOURCE_BYTES = 1 << 20
DEFAULT_MAX_TOKENS = 2048
"""Of an answer of a function without code, where neither its caller nor its deploy names a number."""

_NUMBER = r"(\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,2})?)"  # as TOML writes numbers: 4_000, 1.5, 4e9
_DURATION = re.compile(rf"^\s*{_NUMBER}\s*(ms|s|m|h|d)?\s*$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZE = re.compile(rf"^\s*{_NUMBER}\s*((?i:[KMGTP]i?B|B)|[KMGTP]i?)?\s*$")  # Kubernetes leaves out the B
_PREFIXES = "KMGTP"
MAX_SIZE_BYTES = 1 << 63
MOST_SECONDS = 100 * 365 * 86_400.0


def parse_seconds(value: object) -> float:
    """Read a duration: a number of seconds, or a string such as "500ms", "60s", "5m", "2h", "1d"."""
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _product(value, 1.0)
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration; write seconds, or for example "500ms", "60s", "5m", "2h"')
    return _product(match[1], _UNIT_SECONDS[match[2]])


def parse_bytes(value: object) -> int:
    """Read a size: a whole number of bytes, 4e9 as well, or a string such as "512MiB", "2GB" or "4Gi"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a size; write bytes, or for example "512MiB", "2GB"')
    size = Decimal(match[1]) * _unit_bytes(match[2] or "")
    if 0 < size < 1:
        raise ValueError(f"{value!r} is less than a byte")
    if size >= MAX_SIZE_BYTES:
        raise ValueError("the number is too large")
    return int(size)


def _unit_bytes(unit: str) -> int:
    letter = unit[:1].upper()
    if letter in ("", "B"):
        return 1
    base = 1024 if "i" in unit.lower() else 1000
    return int(base ** (_PREFIXES.index(letter) + 1))


def _product(number: int | str, unit: float) -> float:
    """Return so many units; ValueError for a number that no float holds."""
    with contextlib.suppress(OverflowError):
        if math.isfinite(product := float(number) * unit):
            return product
    raise ValueError("the number is too large")


Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0, allow_inf_nan=False)]
"""A time that may be none at all."""

Limit = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0, le=MOST_SECONDS, allow_inf_nan=False)]
"""A time that something may take: none at all would be no time for it."""

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
LabelText = Annotated[str, Field(pattern=LABEL_PATTERN)]
Labels = Annotated[dict[LabelText, LabelText], Field(max_length=32)]
"""What a node is called besides its id, and what a function asks for: name to value."""


class Wire(BaseModel):
    """Base of everything that crosses HTTP: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Wire):
    """The four limits of an invocation, in seconds. None runs on another's clock."""

    start: Limit = Field(120.0, description="from acceptance to the first moment an instance serves it")
    first_token: Limit = Field(60.0, description="from there to the first output")
    between_tokens: Limit = Field(30.0, description="between two outputs")
    total: Limit = Field(300.0, description="from acceptance to the end")


class Handler(Wire):
    """Where the code of a function is: `object` in `file` of the source bundle."""

    file: str = Field(description="path inside the bundle, for example function.py")
    object: str = Field(description="the function's Python name in that file")
    parameters: dict[str, Any] = Field(default_factory=dict, description="JSON schema of the handler's arguments")


BY_FREQUENCY = "frequency"
COMPRESSED_ARGUMENTS = ("messages", "prompt")
"""The arguments of handlers, and of calls, in which texts are compressed."""


class Compression(Wire):
    """How the long texts of a prompt are shortened before it is sent: tokens are left out, and none is changed."""

    ratio: Number | None = Field(None, gt=0, lt=1, description="part of each text's tokens that is kept, about")
    budget: Integer | None = Field(None, ge=1, description="tokens that all texts together are to have, about")
    by: Name = Field(
        BY_FREQUENCY,
        description="what says which words tell little: frequency, or a function that compresses as functions/compress",
    )

    @model_validator(mode="after")
    def _one_aim(self) -> Compression:
        if (self.ratio is None) == (self.budget is None):
            raise ValueError("give either ratio (a part such as 0.5) or budget (a number of tokens)")
        return self


def _as_compression(value: object) -> object:
    """Take a plain number for the ratio."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"ratio": value} if is_number else value


Compress = Annotated[Compression, BeforeValidator(_as_compression, json_schema_input_type=float | Compression)]
"""As it is written: a number is the ratio."""

CompressOrNot = Annotated[
    Compression | Literal[False],
    BeforeValidator(_as_compression, json_schema_input_type=float | Compression | Literal[False]),
]
"""As a call says it: false sends the prompt as it is, whatever the function has."""


MOST_FILES, MOST_VARIABLES = 5_000, 1_000
"""Of a function: files in its bundle, variables in its environment."""


class Isolation(enum.StrEnum):
    """How far an instance is shut off from everything else on its node. docs/security.md says what each level keeps."""

    STRICT = "strict"  # file system, processes and users of its own; what it starts ends with it
    PROCESS = "process"  # the node's file system and user, without rights to look into other processes
    NONE = "none"  # a process like any other of the worker's user


class Network(enum.StrEnum):
    """What an instance reaches by network."""

    NONE = "none"  # nothing
    EGRESS = "egress"  # public hosts, or those of its list `egress`, through the HTTP proxy of its node
    HOST = "host"  # what its node reaches


class FunctionSpec(Wire):
    """All that makes a version of a function; its digest is the version's id."""

    name: Name
    model: Name = Field(description="name or id of an imported checkpoint")
    engine: Name | None = Field(
        None, description="what generates the tokens; None: the fastest one that reads the checkpoint's format"
    )
    adapter: Name | None = Field(
        None, description="name or id of an imported LoRA adapter, which is put on the model in each instance"
    )
    handler: Handler | None = Field(None, description="None: the built-in handler (messages, prompt or input)")
    source: dict[str, str] = Field(default_factory=dict, max_length=MOST_FILES, description="the bundle: path to text")
    backend: Name = Field("serverless", description="how it is served: serverless, serverful, hybrid, or a plugin")
    replicas: Integer | None = Field(
        None, ge=1, le=1000, description="instances that are always on, for serverful and hybrid; None: one"
    )
    keep_alive: Seconds = 60.0
    min_instances: Integer = Field(0, ge=0, le=1000)
    max_instances: Integer = Field(1, ge=1, le=1000)
    concurrency: Integer = Field(8, ge=1, le=1024, description="invocations that one instance serves at a time")
    queue_size: Integer = Field(1000, ge=0, le=1_000_000)
    limits: Limits = Limits()
    memory: Bytes | None = Field(
        None, ge=1, description="what handler and KV cache may allocate; None: the platform's default"
    )
    max_tokens: Integer | None = Field(
        None,
        ge=1,
        description="tokens of an answer whose caller names no number, as far as the context holds them; None: "
        f"{DEFAULT_MAX_TOKENS:,} without a handler, else as many as the context holds",
    )
    max_tokens_limit: Integer | None = Field(
        None, ge=1, description="most tokens of an answer, whoever asks for more; None: what the context holds"
    )
    device: Literal["cpu", "cuda"] | None = Field(None, description="kind of device it runs on; None: any")
    labels: Labels = Field(default_factory=dict, description="that a node must have to run it")
    spread: bool = Field(False, description="its instances rather on nodes that have none of it")
    weight: Number = Field(
        1.0, gt=0, allow_inf_nan=False, description="its share, relative to others, when functions compete for room"
    )
    target_utilisation: Number = Field(
        0.7, gt=0, le=1, description="part of the slots that is to be in use: beyond it another instance starts"
    )
    resumable: bool = Field(
        True, description="calls go on elsewhere when their process dies or their node drains; the handler runs again"
    )
    system: str | None = Field(
        None,
        min_length=1,
        description="the system message that its chats begin with: a start may find it read already. Without a handler "
        "it is put before conversations that have none",
    )
    tools: tuple[dict[str, Any], ...] | None = Field(
        None, min_length=1, max_length=128, description="the tools that its chats begin with, as OpenAI describes them"
    )
    prefix: str | None = Field(
        None, min_length=1, description="the text that its completions begin with; never put before a prompt"
    )
    compress: Compress | None = Field(
        None, description="how the long texts of its prompts are shortened at the gateway; None: not at all"
    )
    isolation: Isolation | None = Field(
        None, description="how its instances are isolated at least: strict, process or none; None: as a node does"
    )
    network: Network | None = Field(
        None,
        description="what its code reaches by network: none, egress (what `egress` lists), or host (as its node does); "
        "None: as a node says",
    )
    egress: tuple[str, ...] = Field(
        (),
        max_length=MOST_DESTINATIONS,
        description="what it reaches with network egress, on ports 80 and 443 where none is named: api.example.com, "
        "*.example.com, name:8080, 203.0.113.0/24; empty: all that is public",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        max_length=MOST_VARIABLES,
        description="environment variables, which every key with the scope deploy can read; tokens belong in secrets",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the engine, for example dtype")

    @field_validator("source")
    @classmethod
    def _safe_paths(cls, source: dict[str, str]) -> dict[str, str]:
        for path in source:
            if (
                path.startswith("/")
                or "\\" in path
                or "\0" in path
                or any(p in ("", ".", "..") for p in path.split("/"))
            ):
                raise ValueError(f"{path!r} must be a relative path without '..'")
        size = sum(len(text.encode()) for text in source.values())
        if size > MAX_SOURCE_BYTES:
            raise ValueError(f"the source is {size:,} bytes; at most {MAX_SOURCE_BYTES:,} are allowed")
        return source

    @field_validator("egress")
    @classmethod
    def _readable_destinations(cls, egress: tuple[str, ...]) -> tuple[str, ...]:
        read_destinations(egress)
        return egress

    @model_validator(mode="after")
    def _egress_by_its_network(self) -> FunctionSpec:
        if self.egress and self.network is not Network.EGRESS:
            raise ValueError('`egress` lists what is reached with network="egress", which this function does not have')
        return self

    @model_validator(mode="after")
    def _one_beginning(self) -> FunctionSpec:
        if self.prefix is not None and (self.system is not None or self.tools is not None):
            raise ValueError("prompts begin with `prefix` (completions), or with `system` and `tools` (chats)")
        return self

    @model_validator(mode="after")
    def _default_within_limit(self) -> FunctionSpec:
        limit = self.max_tokens_limit
        if limit is not None and self.max_tokens is not None and self.max_tokens > limit:
            raise ValueError(f"max_tokens ({self.max_tokens:,}) is more than max_tokens_limit ({limit:,})")
        return self

    @model_validator(mode="after")
    def _something_to_compress(self) -> FunctionSpec:
        takes = None if self.handler is None else self.handler.parameters.get("properties", {})
        if self.compress is not None and takes is not None and not any(name in takes for name in COMPRESSED_ARGUMENTS):
            raise ValueError(
                "compress shortens the arguments `messages` and `prompt`, and the handler takes neither of them"
            )
        return self

    def default_max_tokens(self, usual: int | None = DEFAULT_MAX_TOKENS) -> int | None:
        """Return the tokens of an answer whose caller names no number; None: as many as the context holds.

        `usual` holds where the function has neither a number nor a handler.
        """
        own = self.max_tokens if self.max_tokens is not None or self.handler is not None else usual
        known = [number for number in (own, self.max_tokens_limit) if number is not None]
        return min(known, default=None)


def max_tokens_refusal(wanted: int, limit: int) -> str:
    """Say that an answer may not have so many tokens."""
    return f"max_tokens {wanted:,} is more than this function allows, which is {limit:,} (its max_tokens_limit)"


class Version(Wire):
    """An immutable, content-addressed deploy of a function."""

    id: str
    function: str
    number: int = Field(description="1, 2, … in order of first deploy")
    checkpoint: str = Field(description="id of the checkpoint that `spec.model` meant at deploy")
    adapter_checkpoint: str | None = Field(None, description="id of the checkpoint that `spec.adapter` meant at deploy")
    created_at: float = Field(description="Unix seconds")
    spec: FunctionSpec
    unchanged: bool = Field(False, description="of a deploy's answer: no new version was made, this one was there")

    @property
    def engine(self) -> str:
        """The engine that runs it: a deploy has filled in what the function left open."""
        if self.spec.engine is None:
            raise ValueError(f"version {self.id} names no engine")
        return self.spec.engine


class FunctionInfo(Wire):
    """A function as `quickthaw ls` shows it."""

    name: str
    model: str
    adapter: str | None = None
    network: Network | None = Field(None, description="as its deploy says; None: as a node says")
    egress: tuple[str, ...] = ()
    engine: str
    task: str = "generate"
    versions: int
    aliases: dict[str, dict[str, float]] = Field(description="alias to version id to weight; weights add up to 1")
    instances: int
    running: int
    waiting: int
    created_at: float


class InvocationState(enum.StrEnum):
    """`queued → assigned → running → succeeded | failed | cancelled | timed_out`."""

    QUEUED = "queued"  # accepted, waits for a slot
    ASSIGNED = "assigned"  # holds a slot lease, its node has been told
    RUNNING = "running"  # the instance has taken it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self in _ENDED


_ENDED = frozenset(
    {InvocationState.SUCCEEDED, InvocationState.FAILED, InvocationState.CANCELLED, InvocationState.TIMED_OUT}
)


class Usage(Wire):
    """Tokens in and out."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = Field(0, description="of prompt_tokens, those that an engine did not have to compute")
    original_tokens: int | None = Field(
        None, description="what prompt_tokens would be, had nothing been left out; None: compression was not asked for"
    )
    compression: str | None = Field(
        None, description="`compressed`, or the code of why the prompt was sent as it was; None: not asked for"
    )

    @property
    def saved_tokens(self) -> int:
        """The tokens that compression left out of the prompt."""
        return 0 if self.original_tokens is None else self.original_tokens - self.prompt_tokens


class InvocationInfo(Wire):
    """One call of a function. All times are Unix seconds by Redis' clock; None where it has not come to that."""

    id: str
    function: str
    version: str
    state: InvocationState
    epoch: int
    node: str | None = None
    instance: str | None = None
    attempts: int = 0
    created_at: float
    assigned_at: float | None = None
    started_at: float | None = None
    first_output_at: float | None = None
    ended_at: float | None = None
    position: int | None = Field(None, description="place in the queue, from 1")
    reason: str | None = Field(None, description="why it waits")
    estimate_seconds: float | None = Field(None, description="when a start is under way: how long it still takes")
    result: Any = None
    error: dict[str, Any] | None = None
    usage: Usage | None = None
    stages: dict[str, float] = Field(
        default_factory=dict, description="seconds of each stage of the cold start it paid"
    )
    tier: str | None = Field(None, description="where that start found the weights: dram, disk, remote, primed, asleep")


class EventType(enum.StrEnum):
    """The kinds of events in an invocation's log; RESULT and ERROR end it."""

    STATUS = "status"  # state, and where known reason, position, estimate_seconds, node, instance, stages
    CHUNK = "chunk"  # one output of the handler: `delta` (see Delta.to_json) or `value` (any JSON)
    RESULT = "result"  # value, usage
    ERROR = "error"  # error: see QuickthawError.to_json


class Event(Wire):
    """One entry of an invocation's log. `seq` counts from 1; 0 marks a status that is not in the log."""

    seq: int
    type: EventType
    data: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether it is the log's last."""
        return self.type in (EventType.RESULT, EventType.ERROR)
