"""From an S3 bucket to usable weights. Credentials and endpoint are in the environment, as boto3 reads them."""

from __future__ import annotations

import http.client
import tempfile
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load_weights.files import Files
from benchmarks.load_weights.ways import Arrays, Way, bytes_of
from benchmarks.load_weights.ways.limits import run
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.remote.s3 import make_client
from quickthaw_platform.checkpoints.tiers.origins import FETCH_BYTES, FETCH_THREADS
from quickthaw_platform.commands.seaweed import BUCKET, REMOTE

SIGNED_SECONDS = 3600


def into_memory(files: Files) -> Way:
    """Return our way: ranged GETs into the memory that the node has made ahead, which is then mapped."""
    from benchmarks.load_weights.ways.ours import from_source

    manifest = files.manifest
    checkpoints = RemoteCheckpoints(open_store(REMOTE))
    return from_source(manifest.weights, lambda: checkpoints.source(manifest), FETCH_THREADS, FETCH_BYTES)


def ranged_gets(files: Files, connections: int, range_bytes: int) -> Way:
    """Return the limit: ranged GETs by one signed address, each into the same buffer of its connection."""
    size = files.safetensors.stat().st_size
    place = {"Bucket": BUCKET, "Key": _key(files)}
    address = urlsplit(make_client().generate_presigned_url("get_object", Params=place, ExpiresIn=SIGNED_SECONDS))
    idle: SimpleQueue[tuple[http.client.HTTPConnection, memoryview]] = SimpleQueue()
    for _ in range(connections):
        buffer = np.ones(range_bytes, dtype=np.uint8)  # and so it is faulted in
        idle.put((http.client.HTTPConnection(address.netloc), buffer.data))

    def get(begin: int, end: int) -> None:
        connection, buffer = idle.get()
        headers = {"Range": f"bytes={begin}-{end - 1}"}
        connection.request("GET", f"{address.path}?{address.query}", headers=headers)
        _receive(connection.getresponse(), buffer[: end - begin])
        idle.put((connection, buffer))

    def load() -> Arrays:
        run(connections, size, get, range_bytes)
        return []

    return Way(load)


def boto3_to_file(files: Files) -> Way:
    """Return boto3's transfer manager to the disk, and `load_file` from there."""
    from safetensors.torch import load_file

    client = make_client()
    folder = tempfile.TemporaryDirectory(dir=files.folder)

    def load() -> Arrays:
        path = Path(folder.name) / "model.safetensors"
        client.download_file(BUCKET, _key(files), str(path))
        return bytes_of(load_file(path).values())

    return Way(load)


def boto3_to_memory(files: Files) -> Way:
    """Return boto3's transfer manager to a buffer, and `safetensors.torch.load` from that."""
    from safetensors.torch import load as load_bytes

    client = make_client()

    def load() -> Arrays:
        buffer = BytesIO()
        client.download_fileobj(BUCKET, _key(files), buffer)
        return bytes_of(load_bytes(buffer.getvalue()).values())

    return Way(load)


def runai(files: Files) -> Way:
    """Return runai-model-streamer."""
    from benchmarks.load_weights.ways.peers import stream_by_runai

    return stream_by_runai(f"s3://{BUCKET}/{_key(files)}")


def _receive(response: http.client.HTTPResponse, into: memoryview) -> None:
    done = 0
    while got := response.readinto(into[done:]):
        done += got
    response.read()  # ends the response, so that the connection can be used again
    if (response.status, done) != (http.HTTPStatus.PARTIAL_CONTENT, len(into)):
        raise RuntimeError(f"{done:,} of {len(into):,} bytes came, with status {response.status}")


def _key(files: Files) -> str:
    prefix = urlsplit(REMOTE).path.strip("/")
    return f"{prefix}/{files.manifest.id}/{files.safetensors.name}"
