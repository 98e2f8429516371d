"""What a run of a comparison says of itself: `run.json`, and the points of `simulated.json`.

Everything that a report needs beyond the tables of requests, usage and instances stands here, so that the report can be
made again from an old folder. Times are seconds unless said; `None` means unknown or not so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quickthaw.results import CheckpointResult

FORMAT = 1
RUN_FILE = "run.json"
SIMULATED_FILE = "simulated.json"

Kind = Literal["serverless", "serverful", "hybrid", "endpoint"]
Order = Literal["interleaved", "in turn"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Base of all that is written into a comparison's folder and read from it: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Arrivals(Model):
    """The requests that each backend was sent, as the trace or the arrival process made them."""

    label: str = Field(description="what people call it: azure-code, poisson, ...")
    kind: str = Field(description="constant, poisson, gamma, bursts, diurnal, or the format of the trace")
    synthetic: bool = Field(description="whether the times were made, and not read from a real trace")
    digest: str = Field("", description="SHA-256 of the times and tokens, so that two runs can be told to be alike")
    rate: NotNegative = Field(description="requests per second")
    cv: NotNegative | None = Field(None, description="coefficient of variation of the gaps, as measured")
    fano: NotNegative | None = Field(None, description="variance by mean of the counts in windows, as measured")
    count: int = Field(ge=0)
    seconds: NotNegative = Field(description="of one block")
    seed: int | None = None
    tokens_in: NotNegative | None = Field(None, description="mean of a request")
    tokens_out: NotNegative | None = Field(None, description="mean of a request")
    notes: list[str] = Field([], description="what was done to the trace, or to what was asked for")


class Backend(Model):
    """One of the sides that are compared."""

    name: str = Field(min_length=1, description="unique in the run: what the tables of the folder say")
    kind: Kind
    always_on: int = Field(0, ge=0, description="instances that are kept whatever comes")
    url: str | None = Field(None, description="of an endpoint")
    note: str = ""
    twin_of: str | None = Field(None, description="name of the backend of which it is the second copy, in an A/A run")


class Slo(Model):
    """A request is within the objective if both hold."""

    ttft: Positive = Field(description="most seconds from the intended send to the first output")
    tpot: Positive = Field(description="most seconds between two outputs after it, on average")


class Instance(Model):
    """What one instance is, for the bill. A price list may demand more beside a GPU."""

    memory_gib: NotNegative = 0.0
    vcpus: NotNegative = 0.0
    gpu: str | None = Field(None, description="the kind, as price lists name it; None: none")
    gpus: int = Field(0, ge=0)
    keep_alive: NotNegative = Field(0.0, description="seconds that an idle serverless instance is kept")
    concurrency: int = Field(1, ge=1, description="requests that an instance serves at a time")
    max_instances: int = Field(1, ge=1, description="most instances of a serverless side")


class Block(Model):
    """One pass of the arrivals over one backend."""

    backend: str
    repeat: int = Field(ge=0)
    began_at: float = Field(description="UNIX time")
    seconds: NotNegative = Field(description="until the last answer had come or was given up")
    sent: int = Field(ge=0)
    dispatch_lag_p99: float | None = Field(None, description="how late the generator was")
    invalid: str | None = Field(None, description="why the measurement does not count: the generator was too late, ...")
    interrupted: bool = Field(False, description="Ctrl-C, or the run was killed")
    error: str | None = Field(None, description="what the backend died of, or why it could not be used")
    cold_start_seconds: NotNegative | None = Field(
        None, description="of an endpoint that was started by a command: until it answered"
    )
    resident_bytes: NotNegative | None = Field(None, description="most memory of an endpoint's processes")


class Calibration(Model):
    """What the simulator is told of this machine, as the run measured it."""

    start_seconds: dict[str, NotNegative] = Field(description="of a start, by where the weights came from")
    first_token_seconds: NotNegative = Field(0.0, description="of a warm request, beyond computing its prompt")
    prefill_tokens_per_second: Positive
    decode_tokens_per_second: Positive = Field(description="of a stream that has the instance for itself")
    slowdown_per_stream: NotNegative = Field(0.0, description="each further stream adds this part to a token's time")
    under_load: Positive = Field(1.0, description="first tokens take so many times as long under the run's traffic")
    stop: NotNegative = Field(0.0, description="from the order to stop until the instance has gone")


class Recording(Model):
    """A whole run: `run.json`."""

    format: Literal[1] = 1
    created_at: float = Field(description="UNIX time of the beginning")
    command: str = Field(description="with which the run can be made again")
    commit: str = Field(description="of the program; with -dirty where files were changed")
    machine: dict[str, str | int | float | None] = Field(description="host, cpu, cores, memory, kernel, device, ...")
    function: str
    model: str
    checkpoint: str = Field("", description="digest")
    dtype: str = ""
    engine: str = ""
    arrivals: Arrivals
    backends: list[Backend] = Field(min_length=1)
    repeats: int = Field(1, ge=1, description="as asked for; `blocks` says what was done")
    order: Order = "interleaved"
    slo: Slo
    instance: Instance = Instance()
    blocks: list[Block] = []
    calibration: Calibration | None = None
    validations: list[CheckpointResult] = Field([], description="that were kept with the checkpoint before the run")
    interrupted: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Recording:
        names = [backend.name for backend in self.backends]
        if len(set(names)) < len(names):
            raise ValueError("two backends have the same name")
        for backend in self.backends:
            if backend.twin_of is not None and backend.twin_of not in names:
                raise ValueError(f"backend {backend.name!r} is the twin of {backend.twin_of!r}, which is not there")
        for block in self.blocks:
            if block.backend not in names:
                raise ValueError(f"blocks: there is no backend {block.backend!r}; known are {', '.join(names)}")
        return self

    def backend(self, name: str) -> Backend:
        """Return the backend of that name; KeyError where there is none."""
        for backend in self.backends:
            if backend.name == name:
                return backend
        raise KeyError(name)

    def blocks_of(self, name: str) -> list[Block]:
        """Return the blocks of a backend, by repeat."""
        return sorted((block for block in self.blocks if block.backend == name), key=lambda block: block.repeat)


class SimulatedPoint(Model):
    """What a simulation calibrated by this run says of one backend at one rate."""

    backend: str = Field(description="name of a backend of the run, or what else the simulation stands for")
    kind: Kind
    always_on: int = Field(0, ge=0)
    rate: Positive = Field(description="requests per second")
    cv: NotNegative
    seconds_by_phase: dict[str, NotNegative] = Field(description="instance-seconds of each phase in an hour")
    held_mean: NotNegative | None = Field(None, description="mean seconds that a request has its slot")
    ttft_mean: NotNegative
    ttft_p50: NotNegative
    ttft_p99: NotNegative
    slo_attainment: Annotated[float, Field(ge=0, le=1)]
    requests: int = Field(ge=0)
    seconds: Positive = Field(description="simulated")
    label: str = Field("", description="what this point was simulated for: a cluster, a month, a check, ...")
