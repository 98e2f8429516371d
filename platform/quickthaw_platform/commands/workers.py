"""The workers of one host: so many alike, or those that a TOML file names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quickthaw_platform.commands.disks import require_disk
from quickthaw_platform.commands.whole_paths import whole_paths
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.setting_values.sources import is_blank
from quickthaw_platform.setting_values.toml_files import read_toml
from quickthaw_platform.settings import ENV_PREFIX, Settings

OF_A_WORKER = frozenset(
    {
        "node",
        "device",
        "labels",
        "threads",
        "preload",
        "node_memory",
        "dram_budget",
        "dram_ahead",
        "disk_dir",
        "disk_budget",
        "disk_bandwidth",
        "remote",
        "remote_poll",
        "remote_bandwidth",
        "load_threads",
        "heartbeat",
        "drain_timeout",
        "log_level",
    }
)
"""Settings that may differ from worker to worker; the others must be the same in every process of a platform."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker to start: its node's id, and the environment that makes it differ from the host's settings."""

    node: str
    environment: Mapping[str, str] = field(default_factory=dict)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    own_disks: bool = False
    workers: list[dict[str, Any]] = Field(min_length=1, max_length=64)


def numbered(settings: Settings, count: int, *, own_disks: bool = False) -> tuple[Worker, ...]:
    """Return workers alike: the first is the host's own node, further ones are numbered."""
    nodes = [settings.node if number == 1 else f"{settings.node}-{number}" for number in range(1, count + 1)]
    workers = tuple(Worker(node) for node in nodes)
    return _with_own_disks(workers, settings) if own_disks else workers


def read_workers(file: Path, settings: Settings) -> tuple[Worker, ...]:
    """Read a workers file: `[[workers]]` tables with `node` and settings of OF_A_WORKER, `own_disks` above them.

    SettingsInvalid names the file, the worker and what is wrong.
    """
    try:
        found = _File.model_validate(read_toml(file))
    except ValidationError as error:
        raise SettingsInvalid(f"{file}: {_said(error)}") from error
    workers = tuple(_worker(table, f"{file}, worker {i}", settings) for i, table in enumerate(found.workers, 1))
    nodes = [worker.node for worker in workers]
    twice = sorted({node for node in nodes if nodes.count(node) > 1})
    if twice:
        raise SettingsInvalid(f"{file}: several workers are called {', '.join(twice)}; a node's id is its own")
    return _with_own_disks(workers, settings) if found.own_disks else workers


def _worker(table: Mapping[str, Any], where: str, settings: Settings) -> Worker:
    table = {name: value for name, value in table.items() if not is_blank(value)}
    if not table.get("node"):
        raise SettingsInvalid(f"{where} has no `node`, its id")
    _check_names(table, f"{where} ({table['node']})")
    try:
        read = Settings(**{"data_dir": settings.data_dir, **table})
    except ValidationError as error:
        raise SettingsInvalid(f"{where} ({table['node']}): {_said(error)}") from error
    require_disk(read, f"{where} ({table['node']}), disk_dir")
    own = {ENV_PREFIX + name.upper(): _text(value) for name, value in table.items()}
    return Worker(read.node, own | {name: path for name, path in whole_paths(read).items() if name in own})


def _check_names(table: Mapping[str, Any], where: str) -> None:
    unknown = sorted(table.keys() - Settings.model_fields.keys())
    if unknown:
        raise SettingsInvalid(f"{where}: unknown setting {', '.join(unknown)}; known: {', '.join(sorted(OF_A_WORKER))}")
    shared = sorted(table.keys() - OF_A_WORKER)
    if shared:
        raise SettingsInvalid(
            f"{where}: {', '.join(shared)} must be the same for all processes; set it for `up` itself"
        )


def _with_own_disks(workers: Sequence[Worker], settings: Settings) -> tuple[Worker, ...]:
    """Give each worker but the first a folder, where it does not name one."""
    nodes = settings.data_dir.expanduser().resolve() / "nodes"
    return (
        *workers[:1],
        *(
            replace(worker, environment={ENV_PREFIX + "DISK_DIR": str(_folder(nodes, worker)), **worker.environment})
            for worker in workers[1:]
        ),
    )


def _folder(nodes: Path, worker: Worker) -> Path:
    return nodes / worker.node / "checkpoints"


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _said(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
