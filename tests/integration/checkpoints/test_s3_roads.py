"""Ranged GETs take the road that boto3 takes: the same proxies, the same private authorities."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.remote import ranges, s3
from quickthaw_platform.checkpoints.remote.s3 import S3Store
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import RemoteUnavailable
from tests.integration.checkpoints.faulty_s3 import ETAG, FaultyS3, faulty_s3
from tests.unit.checkpoints.reading.files import content

SIZE = 1 << 16
FOUND = RemoteObject("id/weights-0.safetensors", SIZE, ETAG)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, no proxies but a test's own, and no long pauses."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(s3, "TRIES", 2)
    monkeypatch.setattr(ranges, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(ranges, "LONGEST_PAUSE_SECONDS", 0.002)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of an authority that nobody knows, for s3.test and 127.0.0.1, and its key."""
    made, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=s3.test",
         "-addext", "subjectAltName=DNS:s3.test,IP:127.0.0.1", "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[FaultyS3]:
    """A server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with faulty_s3(content(SIZE)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


class Tunnel:
    """A proxy that opens tunnels, wherever to, to one port of this machine; it remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(4096)
                self.asked.append(head.decode())
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server = socket.create_connection(("127.0.0.1", self._port))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := one.recv(1 << 16):
            other.sendall(received)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def read() -> bytes:
    """Read the object, as a node does."""
    into = bytearray(SIZE)
    with contextlib.closing(S3Store("bucket", "prefix")) as store:
        store.get_range(FOUND, 0, memoryview(into), lambda: False)
    return bytes(into)


def test_plain_requests_go_through_the_proxy_with_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_s3(content(SIZE)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.test:9000")
        monkeypatch.setenv("http_proxy", server.url)
        assert read() == content(SIZE)
        assert server.asked == [(0, SIZE)]


def test_tls_goes_through_a_tunnel_with_the_proxys_credentials(
    secure: FaultyS3, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.test")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    with contextlib.closing(Tunnel(secure.server_address[1])) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{tunnel.port}")
        assert read() == content(SIZE)
        (asked,) = tunnel.asked
    assert asked.startswith("CONNECT s3.test:443 ")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in asked


def test_a_private_authority_is_trusted_where_aws_ca_bundle_names_it(
    secure: FaultyS3, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{secure.server_address[1]}")
    with pytest.raises(RemoteUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        read()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    assert read() == content(SIZE)


def test_and_where_the_configuration_of_aws_names_it(
    secure: FaultyS3, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificate[0]}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{secure.server_address[1]}")
    assert read() == content(SIZE)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("http://127.0.0.1:9", r"refused, through the proxy http://127.0.0.1:9 \(http_proxy"),  # nobody there
        ("socks5://127.0.0.1:9", r"not through the proxy socks5://127.0.0.1:9"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.test:9000")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(RemoteUnavailable, match=said):
        read()


def test_a_bundle_that_is_not_there_is_named(secure: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{secure.server_address[1]}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(RemoteUnavailable, match="AWS_CA_BUNDLE"):
        read()
