"""Asks the machine, Redis, the remote tier and the gateway. Nothing here raises: what cannot be asked is a fact too."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError

from quickthaw import config, proxies
from quickthaw.types import Isolation
from quickthaw.version import VERSION
from quickthaw_platform import redis_client
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.checkpoints.reading.kernel_memory import SHMEM_ENABLED
from quickthaw_platform.commands import valkey, valkey_sync
from quickthaw_platform.commands.devices import torch_facts
from quickthaw_platform.commands.disks import require_disk
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.control_groups import delegation
from quickthaw_platform.doctor.demands import demands_of
from quickthaw_platform.doctor.facts import (
    Demand,
    DiskFacts,
    Facts,
    GatewayFacts,
    MachineFacts,
    RedisFacts,
    RemoteFacts,
)
from quickthaw_platform.errors import QuickthawError, SettingsInvalid
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.redis_roles import Role, url_of
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.setting_values.sources import is_blank, service_links
from quickthaw_platform.settings import ENV_PREFIX, Settings
from quickthaw_platform.worker.forking import fork

ANSWER_SECONDS = 5.0
PROBE_KEY = RedisKey.DOCTOR
PROBE_SECONDS = 10
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def gather(settings: Settings, environment: dict[str, str]) -> Facts:
    """Gather everything. `environment` is that of this process, before empty variables were forgotten."""
    redis, deployed = _redis(settings)
    return Facts(
        version=VERSION,
        device=settings.device,
        machine=_machine(settings, environment),
        disks=_disks(settings),
        gateway=_gateway(settings),
        redis=redis,
        remote=_remote(settings.remote),
        torch=torch_facts(),
        nodes=deployed.versions,
        push_failures=deployed.push_failures,
        grants=deployed.grants,
        demands=deployed.demands,
    )


def _machine(settings: Settings, environment: dict[str, str]) -> MachineFacts:
    memory = psutil.virtual_memory()
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    named = {name: environment[name] for base in _PROXIES for name in (base, base.upper()) if environment.get(name)}
    return MachineFacts(
        python=sys.version_info[:3],
        root=os.geteuid() == 0,
        memory=memory.total,
        memory_available=memory.available,
        shm_free=shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        shmem_huge_pages=_chosen(SHMEM_ENABLED),
        overcommit=_number(Path("/proc/sys/vm/overcommit_memory")),
        open_files=_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1]) or sys.maxsize,
        processes=_limit(processes),
        grant=probe(settings.isolation, fork),
        delegation=delegation.foreseen(delegation.look()),
        isolation=settings.isolation,
        network=settings.network,
        blank_variables=tuple(sorted(n for n, v in environment.items() if n.startswith(ENV_PREFIX) and is_blank(v))),
        service_links=tuple(service_links(environment, ENV_PREFIX)),
        proxies={name: _without_password(value) for name, value in named.items()},
        loopback_spared="127.0.0.1" in environment.get("no_proxy", environment.get("NO_PROXY", "")),
    )


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _chosen(file: Path) -> str | None:
    """Return which of `always within_size advise [never]` is in brackets."""
    try:
        text = file.read_text()
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0] or None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def _disks(settings: Settings) -> tuple[DiskFacts, ...]:
    data = settings.data_dir.expanduser()
    try:
        require_disk(settings)
        problem = None
    except QuickthawError as error:
        problem = error.message
    return (
        _disk("data directory", data),
        _disk("checkpoints", settings.checkpoints_dir.expanduser(), problem),
        _disk("logs", data / "logs"),
    )


def _disk(name: str, path: Path, problem: str | None = None) -> DiskFacts:
    """Look at a folder, or at the nearest one above that is there."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    if problem is None:
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            problem = f"nothing can be written to {there}: {error.strerror}"
    return DiskFacts(name, str(path), shutil.disk_usage(there).free, problem)


_LEVELS = frozenset(Isolation)


@dataclass(frozen=True, slots=True)
class _Deployed:
    """What Redis has of the nodes, by their names, and of functions; see Facts."""

    versions: Mapping[str, str] = field(default_factory=dict)
    push_failures: Mapping[str, str] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    demands: tuple[Demand, ...] = ()


def _redis(settings: Settings) -> tuple[RedisFacts | None, _Deployed]:
    """Ask Redis, or the embedded Valkey of this data directory, and read what it has of nodes and functions."""
    own, embedded = url_of(Role.GATEWAY, settings), settings.data_dir.expanduser() / "valkey"
    url = own or valkey.kept_url(embedded)
    if url is None:
        return None, _Deployed()
    shown = _without_password(url)
    try:
        with redis_client.connect(settings.model_copy(update={"redis_url": url})) as redis:
            asked = replace(_asked(redis, shown), sync_problem=None if own else valkey_sync.problem(embedded))
            return asked, _deployed(redis)
    except (RedisError, OSError, SettingsInvalid) as error:
        advice = "`quickthaw up` starts it" if own is None else "check QUICKTHAW_REDIS_URL, and that it runs"
        return (None if own is None else RedisFacts(shown, problem=f"{error}; {advice}")), _Deployed()


def _asked(redis: Redis, url: str) -> RedisFacts:
    info: dict[str, Any] = dict(redis.info())
    seconds, microseconds = redis.time()
    problem = None
    try:
        redis.set(PROBE_KEY, VERSION, ex=PROBE_SECONDS)
    except RedisError as error:
        problem = f"it refuses to write: {error}"
    return RedisFacts(
        url=url,
        problem=problem,
        version=str(info.get("valkey_version") or info.get("redis_version", "")),
        persistent=bool(info.get("aof_enabled")),
        persistence_ok=info.get("aof_last_write_status", "ok") == "ok"
        and info.get("rdb_last_bgsave_status", "ok") == "ok",
        policy=str(info.get("maxmemory_policy", "noeviction")),
        memory=int(info.get("used_memory", 0)),
        max_memory=int(info.get("maxmemory", 0)),
        clock_skew_seconds=seconds + microseconds / 1e6 - time.time(),
    )


def _deployed(redis: Redis) -> _Deployed:
    names = sorted(cast("set[str]", redis.smembers(RedisKey.NODES)))
    read = ("version", "tiers", "isolation", "not_stronger")
    rows = {name: cast("list[str | None]", redis.hmget(RedisKey.NODE.of(name), *read)) for name in names}
    failures = {name: "; ".join(_push_failures(row[1]).values()) for name, row in rows.items()}
    return _Deployed(
        versions={name: row[0] or "" for name, row in rows.items()},
        push_failures={name: why for name, why in failures.items() if why},
        grants={name: Grant(Isolation(row[2]), row[3] or "") for name, row in rows.items() if row[2] in _LEVELS},
        demands=demands_of(FunctionRegistry(redis).pointed_versions()),
    )


def _push_failures(tiers: str | None) -> dict[str, str]:
    """Read what checkpoints.tiers.status wrote; nothing where that of another release wrote something else."""
    try:
        found = json.loads(tiers or "{}")
        return {str(name): str(why) for name, why in dict(found.get("push_failures", {})).items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def _remote(url: str | None) -> RemoteFacts | None:
    if url is None:
        return None
    if urlsplit(url).scheme == "s3":
        return _s3(url)
    from quickthaw_platform.checkpoints.remote.opening import open_store

    try:
        open_store(url).list(PROBE_KEY)
    except (QuickthawError, OSError) as error:
        return RemoteFacts(url, problem=str(error))
    return RemoteFacts(url)


def _s3(url: str) -> RemoteFacts:
    from botocore.exceptions import BotoCoreError, ClientError

    from quickthaw_platform.checkpoints.remote.s3 import make_client

    try:
        found = make_client().list_objects_v2(Bucket=urlsplit(url).netloc, MaxKeys=1)
        date = found["ResponseMetadata"]["HTTPHeaders"].get("date")
    except (BotoCoreError, ClientError, ValueError) as error:
        return RemoteFacts(url, problem=f"{error}; check AWS_ENDPOINT_URL_S3, the credentials and the bucket")
    return RemoteFacts(url, clock_skew_seconds=parsedate_to_datetime(date).timestamp() - time.time() if date else None)


def _gateway(settings: Settings) -> GatewayFacts:
    try:
        url = config.resolve().url
        with httpx.Client(transport=proxies.Transport(), timeout=ANSWER_SECONDS) as client:
            client.get(f"{url}/healthz").raise_for_status()
            body = client.get(f"{url}/openapi.json").json()
            return GatewayFacts(url, version=str(body["info"]["version"]))
    except QuickthawError as error:
        return GatewayFacts(config.DEFAULT_URL, problem=error.message)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return GatewayFacts(url, port_problem=_port_problem(settings), problem=str(error) or type(error).__name__)


def _port_problem(settings: Settings) -> str | None:
    try:
        claim_port(settings.host, settings.port)
    except QuickthawError as error:
        return error.message
    return None
