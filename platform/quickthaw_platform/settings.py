"""All settings: one validated object, read once at the start and passed in.

Sources, strongest first: `QUICKTHAW_*` environment variables, the TOML file (`QUICKTHAW_CONFIG`, else
`quickthaw.toml` in the working directory), the defaults below. An empty value is none, wherever it stands.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import psutil
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from quickthaw.types import Bytes, Isolation, Labels, Seconds
from quickthaw.types import Network as FunctionNetwork
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.setting_values.folders import Folder, FolderOrUrl, read_folders
from quickthaw_platform.setting_values.hosts import read_hosts
from quickthaw_platform.setting_values.importers import read_importers
from quickthaw_platform.setting_values.labels import read_labels
from quickthaw_platform.setting_values.networks import Network, read_networks
from quickthaw_platform.setting_values.origins import read_origins
from quickthaw_platform.setting_values.sources import (
    Given,
    forget_blank,
    is_blank,
    is_service_link,
    service_links,
    unknown,
)
from quickthaw_platform.setting_values.toml_files import read_toml

ENV_PREFIX = "QUICKTHAW_"
CONFIG_VARIABLE = "QUICKTHAW_CONFIG"
NODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a node may be called: a host's name, or anything like one. It stands in paths, keys and names of queues."""

_log = logging.getLogger("quickthaw")
"""Before a process has set up its logs, what goes here is a line on standard error."""


def config_file() -> Path:
    """Return where the TOML file is looked for; it need not exist."""
    named = os.environ.get(CONFIG_VARIABLE, "")
    try:
        return Path("quickthaw.toml" if is_blank(named) else named).expanduser()
    except RuntimeError as error:
        raise SettingsInvalid(f"{CONFIG_VARIABLE} is {named}, and nobody here is called that") from error


def _from_file() -> dict[str, Any]:
    file = config_file()
    return read_toml(file) if file.is_file() else {}


class Settings(BaseSettings):
    """Settings of every process of the platform. Each field's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    data_dir: Folder = Field(Path.home() / ".quickthaw", description="checkpoints, bundles, embedded Valkey's data")
    disk_dir: Folder | None = Field(None, description="folder of this node's disk tier; none: checkpoints in data_dir")
    redis_url: str | None = Field(None, description="Redis or Valkey; none: `quickthaw up` starts an embedded Valkey")
    gateway_redis_url: str | None = Field(None, description="redis_url of the gateway's own user; see security.md")
    worker_redis_url: str | None = Field(None, description="redis_url of the workers' own user")
    controller_redis_url: str | None = Field(None, description="redis_url of the controller's own user")
    beat_redis_url: str | None = Field(None, description="redis_url of beat's own user")
    host: str = Field("127.0.0.1", description="address the gateway binds to")
    port: int = Field(8080, ge=0, le=65535, description="port of the gateway; 0: a free one")
    gateway_workers: int = Field(2, ge=1, description="gunicorn workers")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_hosts)] = Field(
        (), description="names that clients call the gateway by, besides localhost: llm.example.com,.lan.example"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_origins)] = Field(
        (), description="web pages that browsers let call the gateway: https://a.example,http://localhost:3000; *: all"
    )
    max_body: Bytes = Field(1 << 20, ge=1 << 10, description="largest request body, also when it is unpacked")
    body_timeout: Seconds = Field(30.0, gt=0, description="longest time that a request's body may take to come")
    max_open_requests: int = Field(
        1000, ge=1, description="requests, streams among them, that one gateway worker serves an API key at a time"
    )
    sse_keepalive: Seconds = Field(10.0, ge=0.1, description="longest silence on a stream, thaw included")
    outage_patience: Seconds = Field(30.0, description="how long a running stream survives without Redis")

    node: str = Field(default_factory=socket.gethostname, pattern=NODE_PATTERN, description="id of this worker's node")
    device: str = Field("cpu", description="cpu, or cuda:N")
    labels: Annotated[Labels, NoDecode, BeforeValidator(read_labels)] = Field(
        {}, description="of this node, for functions that ask for them: zone=a,gpu=l4, or a JSON object"
    )
    threads: int = Field(
        default_factory=lambda: psutil.cpu_count(logical=False) or 1, ge=1, description="an instance's compute threads"
    )
    preload: str | None = Field(
        None,
        description="modules, with commas between, that a node imports once for all its instances; none: no module; "
        "not set: for the instances of each engine what that engine needs",
    )
    node_memory: Bytes = Field(
        default_factory=lambda: int(psutil.virtual_memory().total * 0.8),
        description="what the node's instances may reserve",
    )
    instance_memory: Bytes = Field(
        1 << 30, ge=1, description="KV cache and handler memory of an instance that names none"
    )
    isolation: Isolation | None = Field(
        None, description="how instances are isolated: strict, process, or none; not set: as strictly as this node can"
    )
    network: FunctionNetwork = Field(
        FunctionNetwork.HOST,
        description="what functions reach that name none: host (what the node does), egress (what is public), or none",
    )
    egress_allow: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(read_networks)] = Field(
        (), description="networks that are not public and that functions with network egress may reach all the same"
    )
    scratch: Bytes = Field(
        512 << 20,
        ge=1 << 20,
        description="files that an instance may write, in memory, where it is isolated strictly; else its largest file",
    )
    readable: Annotated[tuple[Folder, ...], NoDecode, BeforeValidator(read_folders)] = Field(
        (), description="folders that strictly isolated functions may read besides their own: /data:/srv/models"
    )
    dram_budget: Bytes = Field(
        default_factory=lambda: psutil.virtual_memory().total // 2,
        description="what the weights of checkpoints may take of the node's memory, one copy for all instances",
    )
    dram_ahead: Bytes = Field(
        1 << 30, description="memory faulted in ahead for the next checkpoint; never more than the largest one takes"
    )
    prefix_budget: Bytes = Field(
        default_factory=lambda: psutil.virtual_memory().total // 20,
        description="what templates that have read how prompts begin may have of the node's memory; 0: none is made",
    )
    sleep_budget: Bytes = Field(
        default_factory=lambda: psutil.virtual_memory().total // 10,
        description="what stopped instances that sleep, ready to wake, may have of the node's memory; 0: they end",
    )
    prefix_disk_budget: Bytes = Field(
        4 << 30, description="what keys and values of such beginnings may take of data_dir"
    )
    disk_budget: Bytes | None = Field(
        None, description="what checkpoints may take of the node's disk; none: all that is free"
    )
    remote: FolderOrUrl | None = Field(
        None, description="where checkpoints lie beyond the nodes: s3://bucket/prefix, or a directory all nodes see"
    )
    trusted_importers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_importers)] = Field(
        (), description="public keys whose checkpoints this node takes from there, besides its own; none: anybody's"
    )
    remote_poll: Seconds = Field(60.0, ge=0.1, description="between two looks at what others have put there")
    load_threads: int = Field(3, ge=1, le=64, description="threads that read one checkpoint")
    disk_bandwidth: Bytes | None = Field(None, ge=1, description="bytes/s read from disk at most; none: what it gives")
    remote_bandwidth: Bytes | None = Field(
        None, ge=1, description="bytes/s fetched at most; none: what the network gives"
    )
    heartbeat: Seconds = Field(0.5, ge=0.05, description="between two heartbeats of a node")
    heartbeat_ttl: Seconds = Field(2.0, ge=0.1, description="without a heartbeat for so long, a node is dead")
    drain_timeout: Seconds = Field(60.0, description="longest wait for running invocations at shutdown")
    max_attempts: int = Field(
        2, ge=1, description="losses of what runs an invocation, with nothing new in between, that it takes to end it"
    )
    min_memory: Bytes = Field(16 << 20, description="least `memory` of a function's instance that a deploy may name")
    max_weight: int = Field(1000, ge=1, description="most `weight` of a function, unless its API key has another")
    max_keep_alive: Seconds = Field(
        7 * 86_400.0, description="longest `keep_alive` of a function, unless its API key has another"
    )
    max_instances: int = Field(
        1000, ge=1, description="most instances of a function, always on or not, unless its API key has another"
    )
    max_output: Bytes = Field(8 << 20, ge=1 << 10, description="largest output of one invocation")
    output_interval: Seconds = Field(
        0.04,
        description="an instance's tokens leave together, at most once in it; first and last ones at once; 0: each",
    )
    max_log_lines: int = Field(10_000, ge=1, description="log lines kept for each function")

    allocation_policy: str = Field("startup-time", description="plugin that chooses where instances start")
    keep_alive_policy: str = Field(
        "fixed", description="how long idle instances stay: fixed, histogram, break-even, greedy-dual, or a plugin"
    )
    controller_interval: Seconds = Field(1.0, ge=0.05, description="between two rounds of the controller")
    invocation_ttl: Seconds = Field(3600.0, ge=1, description="how long ended invocations can be looked up")
    stored_ttl: Seconds = Field(
        86_400.0,
        ge=1,
        description="how long responses and chat completions with `store: true` are kept when they have ended",
    )
    stored_limit: int = Field(
        1000, ge=1, description="stored responses, and as many chat completions, of each API key; the oldest go first"
    )
    store_memory: Bytes = Field(
        default_factory=lambda: psutil.virtual_memory().total // 4,
        description="what the embedded Valkey may take of memory (`maxmemory`); at 80% of it nothing more is admitted",
    )
    key_store: Bytes = Field(
        default_factory=lambda: psutil.virtual_memory().total // 8,
        description="what the calls, answers and stored responses of an API key without `store_bytes` may take of it",
    )
    idempotency_ttl: Seconds = Field(86_400.0, ge=1, description="how long an Idempotency-Key is remembered")
    webhook_attempts: int = Field(6, ge=1, description="deliveries tried for a webhook")
    webhook_allow: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(read_networks)] = Field(
        (), description="networks that are not public and that webhooks may reach all the same: 10.1.0.0/16,127.0.0.1"
    )
    usage_period: Seconds = Field(60.0, ge=0.1, le=3600, description="what an instance uses is recorded for each")
    usage_detail: Seconds = Field(2 * 86_400.0, ge=60, description="how long usage is kept of each instance and period")
    usage_retention: Seconds = Field(90 * 86_400.0, ge=3600, description="how long usage is kept, added up by the hour")

    prices_dir: Folder | None = Field(None, description="folder of your own price files; none: prices in data_dir")

    log_level: str = Field("info", description="debug, info, warning or error")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return level

    @model_validator(mode="after")
    def _living_nodes(self) -> Settings:
        if self.heartbeat_ttl <= self.heartbeat:
            raise ValueError(
                f"heartbeat_ttl ({self.heartbeat_ttl:g} s) must be longer than heartbeat ({self.heartbeat:g} s): "
                "workers would be taken for dead between two of their heartbeats"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, strongest first."""
        file = InitSettingsSource(settings_cls, _from_file())
        return (
            Given(settings_cls, init_settings),
            Given(settings_cls, env_settings, lambda name, value: is_service_link(f"_{name}", value)),
            Given(settings_cls, file),
        )

    @property
    def checkpoints_dir(self) -> Path:
        """The disk tier."""
        return self.disk_dir or self.data_dir / "checkpoints"

    @property
    def preloaded_modules(self) -> tuple[str, ...] | None:
        """The modules that a node imports once for all its instances; None: those that each engine names."""
        if self.preload is None:
            return None
        names = (name.strip() for name in self.preload.split(","))
        return tuple(name for name in names if name and name != "none")

    @property
    def own_prices_dir(self) -> Path:
        """Where the user's own price files are looked for; it need not exist."""
        return self.prices_dir or self.data_dir / "prices"

    @property
    def bundles_dir(self) -> Path:
        """Where a node unpacks the source of versions."""
        return self.data_dir / "bundles"


@cache
def load() -> Settings:
    """Read the settings of this process; SettingsInvalid names what is wrong and where it was set."""
    forget_blank(os.environ, ENV_PREFIX)
    known = frozenset(ENV_PREFIX + name.upper() for name in (*Settings.model_fields, *_CLIENT_VARIABLES))
    if strangers := unknown(os.environ, ENV_PREFIX, known):
        raise SettingsInvalid(f"unknown setting {', '.join(strangers)}; `quickthaw config` lists the known ones")
    if links := service_links(os.environ, ENV_PREFIX):
        _log.warning(
            "these variables are Kubernetes' service links and no settings of ours: %s. They are ignored; "
            "`enableServiceLinks: false` in the pod's spec leaves them out",
            ", ".join(links),
        )
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid("invalid settings: " + "; ".join(map(_told, error.errors()))) from error


def _told(error: ErrorDetails) -> str:
    """Say what is wrong with a setting, or with several together, which the message names, and where they were set."""
    place, message = error["loc"], error["msg"].removeprefix("Value error, ")
    if place:
        return f"{'.'.join(map(str, place))}: {message} (from {_source(str(place[0]))})"
    named = [word for word in dict.fromkeys(re.findall(r"\w+", message)) if word in Settings.model_fields]
    return f"{message} ({', '.join(f'{name} from {_source(name)}' for name in named)})"


_CLIENT_VARIABLES = frozenset({"config", "url", "api_key"})
"""Variables with our prefix that are not the platform's settings: the config file's path and the SDK's own."""


class Described(NamedTuple):
    """One setting as `quickthaw config` prints it."""

    name: str
    value: Any
    source: str
    description: str


def describe(settings: Settings) -> list[Described]:
    """List each setting with its value and where that came from."""
    return [
        Described(name, getattr(settings, name), _source(name), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _source(name: str) -> str:
    variable = ENV_PREFIX + name.upper()
    value = os.environ.get(variable, "")
    if not is_blank(value) and not is_service_link(variable, value):
        return variable
    if not is_blank(_from_file().get(name, "")):
        return str(config_file())
    return "default"
