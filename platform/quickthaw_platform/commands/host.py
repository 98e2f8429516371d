"""A whole platform on this host: what `quickthaw up` starts, waits for and stops."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from quickthaw.proxies import spare_loopback
from quickthaw_platform import redis_client
from quickthaw_platform.commands import seaweed, valkey
from quickthaw_platform.commands.client_file import admin_key, write_client_file
from quickthaw_platform.commands.disks import ROOM, require_room
from quickthaw_platform.commands.ports import claim_port, connect_host
from quickthaw_platform.commands.processes import PROCESSES
from quickthaw_platform.commands.readiness import Readiness
from quickthaw_platform.commands.supervisor import Supervisor
from quickthaw_platform.commands.valkey_sync import ValkeySync
from quickthaw_platform.commands.whole_paths import whole_paths
from quickthaw_platform.commands.workers import Worker
from quickthaw_platform.errors import Conflict, SettingsInvalid, Unavailable
from quickthaw_platform.redis_replies import CannotServe
from quickthaw_platform.redis_roles import Role, url_of
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.router.view import read_view
from quickthaw_platform.settings import ENV_PREFIX, Settings

ROLES = tuple(process.role for process in PROCESSES)
REDIS_URLS = frozenset(ENV_PREFIX + name for name in ("REDIS_URL", *(f"{role.upper()}_REDIS_URL" for role in ROLES)))
VALKEY = "valkey"
SEAWEED = "seaweedfs"
SEAWEED_STOP_SECONDS = 2.0
"""It takes half a minute to stop when asked, and has lost nothing when it is killed."""

STOP_SECONDS = 15.0
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this host, whatever proxies the environment names."""


class Access(NamedTuple):
    """How to reach the running platform."""

    url: str
    api_key: str
    client_file: Path


class Host:
    """Owner of the processes of one data directory. Used from the main thread only.

    `interrupted` is asked in every wait; where it says so during the start, KeyboardInterrupt is raised.
    """

    def __init__(
        self, settings: Settings, workers: Sequence[Worker], interrupted: Callable[[], bool], *, with_s3: bool = False
    ) -> None:
        """`with_s3` brings an S3 server of its own for the remote tier. Conflict where a remote tier is set."""
        if with_s3 and settings.remote is not None:
            raise Conflict(f"the remote tier is {settings.remote}; leave out --with-s3, or unset QUICKTHAW_REMOTE")
        self._with_s3 = with_s3
        self._seaweed: seaweed.Seaweed | None = None
        self._valkey_sync: ValkeySync | None = None
        self.data_dir = settings.data_dir.expanduser().resolve()
        self.log_dir = self.data_dir / "logs"
        self.supervisor = Supervisor(self.log_dir)
        self._settings = settings.model_copy(update={"port": claim_port(settings.host, settings.port)})
        self._workers = {f"worker-{number}": worker for number, worker in enumerate(workers, 1)}
        self._interrupted = interrupted

    def start(self, report: Callable[[str], None], warn: Callable[[str], None] = lambda _text: None) -> Access:
        """Start everything and return when it serves; `report` and `warn` are told what Readiness says of the waits.

        Raises Unavailable, with the end of the log, when a process does not come up; then nothing is left running.
        """
        try:
            return self._start(Readiness(self.supervisor, self._interrupted, report, warn))
        except RedisError as error:
            self._end()
            raise Unavailable(self._told(error)) from error
        except BaseException:
            self._end()
            raise

    def stop(self, hurried: Callable[[], bool]) -> None:
        """Drain the workers, then stop the rest, then Valkey; `hurried` cuts the waiting short."""
        drain_seconds = self._settings.drain_timeout + STOP_SECONDS
        self.supervisor.stop(tuple(self._workers), drain_seconds, hurried)
        self.supervisor.stop([process.name for process in PROCESSES], STOP_SECONDS, hurried)
        self.supervisor.stop([VALKEY], STOP_SECONDS, hurried)
        self.supervisor.stop([SEAWEED], SEAWEED_STOP_SECONDS, hurried)
        self._end()
        if self._seaweed is not None:
            self._seaweed.clean()

    def _end(self) -> None:
        """Kill what is left; nothing writes any more what the disk would have to be told of."""
        self.supervisor.kill()
        if self._valkey_sync is not None:
            self._valkey_sync.close()

    def _start(self, readiness: Readiness) -> Access:
        environment = self._environment()
        urls = self._redis_urls(environment, readiness)
        if self._with_s3:
            environment |= self._start_seaweed(environment, readiness)
        connected = self._settings.model_copy(update={"redis_url": urls[Role.GATEWAY]})
        with contextlib.closing(redis_client.connect(connected)) as redis:
            redis.ping()
            SecretStore(redis).announce(KeyFile(self.data_dir / KEY_FILE))
            self._start_processes(environment, urls)
            access = self._access(redis)
            readiness.wait("the gateway", lambda: _answers(f"{access.url}/readyz"), redis.ping)
            readiness.wait("the worker's node", lambda: self._nodes_there(redis), redis.ping)
            SecretStore(redis).seal_plain()
        return access

    def _environment(self) -> dict[str, str]:
        metrics = self.data_dir / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)  # of processes that are gone
        metrics.mkdir(parents=True)
        settings = self._settings
        ours = {"DATA_DIR": self.data_dir, "HOST": settings.host, "PORT": settings.port}
        inherited = {name: value for name, value in os.environ.items() if name not in REDIS_URLS}
        spare_loopback(inherited)
        return {
            **inherited,
            **whole_paths(settings),
            **{ENV_PREFIX + name: str(value) for name, value in ours.items()},
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }

    def _redis_urls(self, environment: dict[str, str], readiness: Readiness) -> dict[Role, str]:
        """Return each role's way to Redis; where the settings name none, start a Valkey."""
        own = {role: url_of(role, self._settings) for role in ROLES}
        if not any(own.values()):
            self._start_valkey(environment, readiness)
            own = {role: valkey.kept_url(self.data_dir / VALKEY, role) for role in ROLES}
        if missing := [f"{role}_redis_url" for role, url in own.items() if url is None]:
            raise SettingsInvalid(f"{' and '.join(missing)} must be set, too, or redis_url for all")
        return {role: url for role, url in own.items() if url is not None}

    def _start_valkey(self, environment: dict[str, str], readiness: Readiness) -> None:
        log, port = self.log_dir / f"{VALKEY}.log", claim_port("127.0.0.1", 0)
        file, url = valkey.configure(self.data_dir / VALKEY, port, log, self._settings.store_memory)
        child = self.supervisor.start(VALKEY, (valkey.binary(), str(file)), environment, follows_log=True)
        with readiness.of("Valkey", child) as may_come:
            valkey.wait_until_up(url, may_come)
        self._valkey_sync = ValkeySync(self.data_dir / VALKEY, partial(valkey.rewrite, url))
        self._valkey_sync.start()

    def _start_seaweed(self, environment: dict[str, str], readiness: Readiness) -> dict[str, str]:
        server = self._seaweed = seaweed.configure(self.data_dir / SEAWEED)
        child = self.supervisor.start(SEAWEED, server.command, {**environment, **server.own_environment})
        with readiness.of("the S3 server", child) as may_come:
            seaweed.wait_until_up(server, may_come)
        environment.pop("AWS_SESSION_TOKEN", None)  # of other credentials
        return {**server.environment, ENV_PREFIX + "REMOTE": seaweed.REMOTE}

    def _start_processes(self, environment: dict[str, str], urls: Mapping[Role, str]) -> None:
        """Start each process with its own way to Redis and no other's."""
        for process in PROCESSES:
            shared = {**environment, ENV_PREFIX + "REDIS_URL": urls[process.role]}
            if not process.scaled:
                self.supervisor.start(process.name, process.command.split(), shared, follows_log=True)
                continue
            for name, worker in self._workers.items():
                own = {**shared, ENV_PREFIX + "NODE": worker.node, **worker.environment}
                self.supervisor.start(name, process.command.split(), own, follows_log=True)

    def _access(self, redis: Redis) -> Access:
        url = f"http://{connect_host(self._settings.host)}:{self._settings.port}"
        file = self.data_dir / "client.toml"
        key = admin_key(redis, file)
        write_client_file(file, url, key)
        return Access(url, key, file)

    def _nodes_there(self, redis: Redis) -> bool:
        return {worker.node for worker in self._workers.values()} <= {node.id for node in read_view(redis).nodes}

    def _told(self, error: RedisError) -> str:
        """Say of what Redis answers, or does not, what to do about it."""
        code = error.code if isinstance(error, CannotServe) else None
        if self._valkey_sync is None:
            return f"{'Redis cannot serve' if code else 'Redis cannot be reached'}: {error}; check QUICKTHAW_REDIS_URL"
        if code == "MISCONF":
            return f"the disk of the data directory {self.data_dir} does not take what Valkey writes: {error}; {ROOM}"
        if code == "OOM":
            return (
                f"what the embedded Valkey holds takes all that it may have ({self._settings.store_memory:,} bytes): "
                f"{error}; give it more by QUICKTHAW_STORE_MEMORY"
            )
        return f"the embedded Valkey cannot be used: {error}; its log: {self.log_dir / VALKEY}.log"


@contextlib.contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the data directory: Conflict where another `quickthaw up` has it, SettingsInvalid where it is of no use."""
    with _told_of(data_dir), contextlib.ExitStack() as held:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = held.enter_context((data_dir / "up.lock").open("a+"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Conflict(
                f"`quickthaw up` already runs on {data_dir} (process {holder}); stop that one, or set another "
                "QUICKTHAW_DATA_DIR"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        require_room(data_dir)
        yield


@contextlib.contextmanager
def _told_of(data_dir: Path) -> Iterator[None]:
    """Say of a file that cannot be made or written in the data directory which folder that is, and which setting."""
    try:
        yield
    except OSError as error:
        inside = Path(str(error.filename)).is_relative_to(data_dir)
        if not inside and (error.filename is not None or error.errno not in _NO_ROOM):
            raise
        file = f" ({error.filename})" if error.filename else ""
        raise SettingsInvalid(
            f"the data directory {data_dir} cannot be used: {error.strerror}{file}; make it a folder that this user "
            "may write to, on a disk with room, or set QUICKTHAW_DATA_DIR to another"
        ) from error


def _answers(url: str) -> bool:
    try:
        with _DIRECTLY.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
