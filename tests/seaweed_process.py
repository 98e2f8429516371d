"""A real S3 server (the embedded SeaweedFS) on free loopback ports, for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quickthaw_platform.commands import seaweed


@contextmanager
def running_seaweed(folder: Path) -> Iterator[seaweed.Seaweed]:
    """Run the server; it is killed in the end, for it takes half a minute to stop when asked."""
    server = seaweed.configure(folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            server.command, env={**os.environ, **server.own_environment}, cwd=folder, stdout=log, stderr=log
        )
    try:
        seaweed.wait_until_up(server, lambda: process.poll() is None)
        yield server
    finally:
        process.kill()
        process.wait()
        server.clean()
