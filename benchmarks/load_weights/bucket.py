"""The S3 side: an embedded SeaweedFS with the checkpoints in it, on loopback, for as long as the benchmark runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from benchmarks.assets import ASSETS
from benchmarks.load_weights.files import Files
from benchmarks.load_weights.measure import read_through
from benchmarks.processes import Child
from quickthaw_platform.checkpoints.manifest import open_checkpoint
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.commands import seaweed


@dataclass(frozen=True, slots=True)
class Bucket:
    """A server that runs. `environment` is what its users need: boto3's names, and runai-model-streamer's."""

    environment: Mapping[str, str]
    _data: Path

    def warm(self) -> None:
        """Have the server's files in the page cache: its disk is not what is measured."""
        for volume in self._data.rglob("*.dat"):
            read_through(volume)


@contextlib.contextmanager
def running_bucket(log: Path, checkpoints: Iterable[Files]) -> Iterator[Bucket]:
    """Run the server in a temporary folder, on the disk of the other files, with the checkpoints pushed to it."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ASSETS, prefix="s3-") as folder:
        server = seaweed.configure(Path(folder))
        with Child(server.command, log, server.own_environment) as process:
            seaweed.wait_until_up(server, lambda: process.popen.poll() is None)
            environment = _environment(server)
            _push(checkpoints, environment)
            yield Bucket(environment, Path(folder))
            process.popen.kill()  # asked to stop it takes half a minute, to keep what nobody wants


def _environment(server: seaweed.Seaweed) -> dict[str, str]:
    return {
        **server.environment,
        "AWS_ENDPOINT_URL": server.environment["AWS_ENDPOINT_URL_S3"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
    }


def _push(checkpoints: Iterable[Files], environment: Mapping[str, str]) -> None:
    with patch.dict(os.environ, environment):
        remote = RemoteCheckpoints(open_store(seaweed.REMOTE))
        for files in checkpoints:
            remote.push(open_checkpoint(files.folder))
