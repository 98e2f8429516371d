"""The embedded S3 server serves those who have its key, and nobody else at any of its ports."""

from __future__ import annotations

import socket
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from quickthaw_platform.commands import seaweed
from quickthaw_platform.commands.seaweed import Seaweed
from tests.seaweed_process import running_seaweed

PARTS = ("master", "volume", "filer", "s3")
KEY = "checkpoints/one/manifest.json"
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
SETTINGS_FRAME = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Seaweed]:
    with running_seaweed(folder) as found:
        with closing(client(found)) as s3:
            s3.put_object(Bucket=seaweed.BUCKET, Key=KEY, Body=b"kept")
        yield found
        with closing(client(found)) as s3:
            assert s3.get_object(Bucket=seaweed.BUCKET, Key=KEY)["Body"].read() == b"kept"


def client(server: Seaweed) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=seaweed.REGION,
    )


def http_port(server: Seaweed, part: str) -> int:
    return server.ports[2 * PARTS.index(part)]


def grpc_port(server: Seaweed, part: str) -> int:
    return server.ports[2 * PARTS.index(part) + 1]


@pytest.mark.parametrize(
    ("part", "method", "path"),
    [
        ("master", "POST", "/col/delete?collection=quickthaw"),
        ("master", "GET", "/dir/assign?collection=quickthaw"),
        ("master", "GET", "/vol/grow?count=1"),
        ("volume", "GET", "/1,0000000000"),
        ("volume", "POST", "/1,0000000000"),
        ("volume", "DELETE", "/1,0000000000"),
        ("filer", "GET", f"/buckets/quickthaw/{KEY}"),
        ("filer", "GET", "/buckets/"),
        ("filer", "POST", f"/buckets/quickthaw/gone?mv.from=/buckets/quickthaw/{KEY}"),
        ("filer", "PUT", f"/buckets/quickthaw/{KEY}"),
        ("filer", "DELETE", "/buckets/quickthaw?recursive=true"),
        ("s3", "GET", f"/quickthaw/{KEY}"),
        ("s3", "GET", "/"),
        ("s3", "PUT", f"/quickthaw/{KEY}"),
        ("s3", "DELETE", f"/quickthaw/{KEY}"),
    ],
)
def test_a_request_without_the_key_is_refused_by_every_part(server: Seaweed, part: str, method: str, path: str) -> None:
    body = b"x" if method in {"POST", "PUT"} else None
    request = urllib.request.Request(f"http://127.0.0.1:{http_port(server, part)}{path}", data=body, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in {400, 401, 403, 404, 405}
    refused.value.close()


@pytest.mark.parametrize("part", PARTS)
def test_no_part_takes_orders_over_grpc_without_encryption(server: Seaweed, part: str) -> None:
    with socket.create_connection(("127.0.0.1", grpc_port(server, part)), timeout=10) as plain:
        plain.sendall(HTTP2_HELLO)
        try:
            answer = plain.recv(9)
        except ConnectionResetError:
            answer = b""
    assert len(answer) < 4 or answer[3] != SETTINGS_FRAME


@pytest.mark.parametrize("part", PARTS)
def test_no_part_takes_orders_over_grpc_without_its_certificate(server: Seaweed, part: str) -> None:
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.verify_mode = ssl.CERT_NONE
    anonymous.set_alpn_protocols(["h2"])
    address = ("127.0.0.1", grpc_port(server, part))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        talk_without_a_certificate(address, anonymous)


def talk_without_a_certificate(address: tuple[str, int], context: ssl.SSLContext) -> None:
    """In TLS 1.3 a client hears that it is refused only when it reads after its own part of the handshake."""
    with socket.create_connection(address, timeout=10) as plain, context.wrap_socket(plain) as wrapped:
        wrapped.sendall(HTTP2_HELLO)
        while wrapped.recv(9):
            pass
        raise ConnectionError("closed without a word")


def test_only_its_owner_may_read_its_keys(server: Seaweed, folder: Path) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "guard", *folder.rglob("*.json"))
    }
    assert modes == {folder.name: 0o700, "guard": 0o700, "identities.json": 0o600}
    assert stat.S_IMODE((folder / "guard" / "key.pem").stat().st_mode) == 0o600
