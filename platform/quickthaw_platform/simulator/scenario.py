"""What is simulated: a TOML file of nodes, devices, functions and arrivals, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quickthaw.types import Bytes, Labels, Name, Seconds
from quickthaw_platform.contracts import Way
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.findings import told
from quickthaw_platform.setting_values.toml_files import read_toml
from quickthaw_platform.traffic.arrivals import Arrivals, Positive
from quickthaw_platform.traffic.tokens import Tokens

Rate = Annotated[Bytes, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Device(_Model):
    """How fast a kind of device computes."""

    prefill_tokens_per_second: Positive
    decode_tokens_per_second: Positive = Field(description="of a stream that has the instance for itself")
    slowdown_per_stream: float = Field(0.0, ge=0, description="each further stream adds this part to a token's time")
    prompts_in_turn: bool = Field(False, description="an instance computes one prompt after another, not all at once")
    init_seconds: dict[Way, Positive] = Field(description="of a start, by way, beyond waiting for and moving bytes")

    @model_validator(mode="after")
    def _every_load(self) -> Device:
        missing = {Way.DRAM, Way.DISK, Way.REMOTE} - set(self.init_seconds)
        if missing:
            raise ValueError(f"init_seconds lacks {', '.join(sorted(missing))}")
        if unknown := [way.value for way in self.init_seconds if way.is_of_a_version]:
            raise ValueError(f"init_seconds: in a simulation no start is {' or '.join(unknown)}")
        return self


class Bandwidths(_Model):
    """How fast a node reads each tier, in bytes/s."""

    dram: Rate
    disk: Rate
    remote: Rate


class NodeGroup(_Model):
    """Nodes alike. `memory` is what their instances share: that of all devices of one node."""

    name: Name = "node"
    count: int = Field(1, ge=1, le=100_000)
    device: str
    memory: Rate
    dram: Bytes = Field(description="what its memory tier may hold")
    disk: Bytes = Field(description="what its disk tier may hold")
    bandwidths: Bandwidths
    labels: Labels = Field(default_factory=dict)
    kind: Literal["cpu", "cuda"] = "cuda"


class FunctionGroup(_Model):
    """Functions alike, each with a checkpoint of its own."""

    name: Name
    count: int = Field(1, ge=1, le=1_000_000)
    checkpoint: Rate
    memory: Rate = Field(description="what an instance reserves")
    concurrency: int = Field(1, ge=1, le=1024)
    min_instances: int = Field(0, ge=0, le=1000)
    max_instances: int = Field(1, ge=1, le=1000)
    keep_alive: Seconds = 60.0
    queue_size: int = Field(1000, ge=0, le=1_000_000)
    start_limit: Seconds | None = Field(None, description="who waited so long is given up; None: never")
    weight: Positive = 1.0
    spread: bool = False
    labels: Labels = Field(default_factory=dict)
    share: Positive | None = Field(None, description="of all calls, relative to other groups; None: as its count")
    zipf: float = Field(0.0, ge=0, le=5, description="exponent of popularity within the group; 0: all alike")
    tokens_in: Tokens = 512
    tokens_out: Tokens = 128


class Failure(_Model):
    """A node that is gone from `at` on and back, with its disk, after `back_after` (None: never)."""

    at: Seconds
    node: str
    back_after: Seconds | None = None


class Migration(_Model):
    """What moving a running invocation costs (see contracts.MigrationCost), and how long it stands still meanwhile."""

    seconds_per_token: float = Field(0.0002, ge=0)
    seconds: Seconds = 0.1
    gap: Seconds = 0.05


class Scenario(_Model):
    """A whole simulation. Times are seconds or strings such as "5m", sizes bytes or strings such as "25GB"."""

    seed: int = 0
    invocations: int | None = Field(None, ge=1)
    duration: Seconds | None = None
    policies: list[str] = Field(["startup-time"], min_length=1)
    keep_alives: list[str] = Field(["break-even"], min_length=1)
    slo_ttft: Seconds = 10.0
    jitter: float = Field(0.0, ge=0, le=2, description="sigma of the lognormal factor on every load and init")
    stop: Seconds = Field(0.1, description="an instance that is told to stop is gone after so long")
    round: Annotated[Seconds, Field(gt=0)] = Field(1.0, description="between two rounds of the controller")
    heartbeat_ttl: Seconds = 3.0
    placed_on_disks: Literal["none", "all", "spread"] = Field(
        "none", description="checkpoints there at the start: none, all that fit on each node, or each on one node"
    )
    migration: Migration | None = None
    devices: dict[str, Device]
    nodes: list[NodeGroup] = Field(min_length=1)
    functions: list[FunctionGroup] = Field(min_length=1)
    arrivals: Arrivals
    failures: list[Failure] = []

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if (self.invocations is None) == (self.duration is None):
            raise ValueError("give either `invocations` or `duration`")
        for group in self.nodes:
            if group.device not in self.devices:
                raise ValueError(f"nodes {group.name!r}: there is no [devices.{group.device}]")
        self._check_names()
        self._check_tokens()
        return self

    def _check_names(self) -> None:
        for what, names in (("nodes", self.node_names()), ("functions", self.function_names())):
            if len(set(names)) < len(names):
                raise ValueError(f"two groups of {what} have the same name")
        known = set(self.node_names())
        for failure in self.failures:
            if failure.node not in known:
                raise ValueError(
                    f"failures: there is no node {failure.node!r}; they are called {self.node_names()[0]!r}, …"
                )

    def _check_tokens(self) -> None:
        if self.arrivals.tells_tokens:
            return
        for group in self.functions:
            if "trace" in (group.tokens_in, group.tokens_out):
                raise ValueError(
                    f"functions {group.name!r}: {self.arrivals.kind} arrivals tell no tokens; give numbers"
                )

    def node_names(self) -> list[str]:
        """Return the ids of all nodes."""
        return [f"{group.name}-{i}" for group in self.nodes for i in range(group.count)]

    def function_names(self) -> list[str]:
        """Return the names of all functions."""
        return [f"{group.name}-{i}" for group in self.functions for i in range(group.count)]


def read_scenario(file: Path) -> Scenario:
    """Read a scenario; SettingsInvalid says in one line which field is wrong, and why."""
    try:
        found = Scenario.model_validate(read_toml(file))
    except ValidationError as error:
        raise SettingsInvalid(f"{file}: {told(error)}") from error
    path = found.arrivals.path
    if path is None:
        return found
    absolute = (file.parent / path.expanduser()).resolve()
    return found.model_copy(update={"arrivals": found.arrivals.model_copy(update={"path": absolute})})
