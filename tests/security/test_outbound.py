"""What the platform sends to addresses that callers choose reaches no address that is not public."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest

from quickthaw_platform.outbound.addresses import AddressRefused, is_allowed
from quickthaw_platform.outbound.posting import post
from quickthaw_platform.setting_values.networks import read_networks

LOOPBACK = read_networks("127.0.0.0/8")
DEADLINE_SECONDS = 20.0


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2001:0:7f00:1::"),
        *("::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b:1:1::7f00:1", "64:ff9b:1:ffff::808:808"),
        *("192.0.0.192", "::ffff:192.0.0.192", "168.63.129.16", "192.88.99.1", "fec0::1", "3fff::1", "5f00::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused_however_it_is_wrapped(address: str) -> None:
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), ())


def test_a_network_is_allowed_where_the_setting_names_it_and_no_other_with_it() -> None:
    allowed = read_networks("10.1.0.0/16, 127.0.0.1")
    assert [is_allowed(ip_address(a), allowed) for a in ("10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3")] == [True] * 3
    assert [is_allowed(ip_address(a), allowed) for a in ("10.2.0.1", "127.0.0.2", "::1")] == [False] * 3


class Listener:
    """Takes connections on loopback and counts them."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n", *, pause_seconds: float = 0.0) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.heads: list[bytes] = []
        self._answer = answer
        self._over = threading.Event()
        self._pause_seconds = pause_seconds
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        self._over.set()
        self.socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                request = b""
                while not request.endswith(b"{}"):  # closed with something unread, the connection would be reset
                    request += peer.recv(4096)
                self.heads.append(request)
                self._send(peer)

    def _send(self, peer: socket.socket) -> None:
        for number in range(len(self._answer)):
            if self._over.wait(self._pause_seconds):
                return
            try:
                peer.send(self._answer[number : number + 1])
            except OSError:
                return


@pytest.fixture
def listener() -> Iterator[Listener]:
    with closing(Listener()) as found:
        yield found


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]", "127.0.0.1."]
)
def test_no_spelling_of_this_machine_is_reached(listener: Listener, host: str) -> None:
    with pytest.raises(OSError if host == "" else Exception) as refused:
        post(f"http://{host}:{listener.port}/", b"{}", {}, allowed=(), deadline_seconds=DEADLINE_SECONDS)
    assert type(refused.value).__name__ in {"AddressRefused", "ConnectError", "InvalidURL"}
    assert listener.heads == []


def test_the_address_that_was_checked_is_the_one_that_is_reached(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere when it is asked again (DNS rebinding) is asked once only."""
    asked = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://rebinds.example:{listener.port}/hook"
    assert post(url, b"{}", {}, allowed=read_networks("127.0.0.1"), deadline_seconds=DEADLINE_SECONDS) == 204
    assert asked.count("rebinds.example") == 1
    assert f"Host: rebinds.example:{listener.port}".encode().lower() in listener.heads[0].lower()


def test_a_name_of_which_one_address_is_not_public_is_refused(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, listener.port)) for a in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1, which is not public.*webhook_allow"):
        post("http://both.example/", b"{}", {}, allowed=(), deadline_seconds=DEADLINE_SECONDS)


def test_a_proxy_is_not_asked_for_an_address_that_is_not_public(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.port}")
    with pytest.raises(AddressRefused):
        post("http://169.254.169.254/latest", b"{}", {}, allowed=(), deadline_seconds=DEADLINE_SECONDS)
    assert listener.heads == []


def test_a_receiver_that_answers_a_byte_at_a_time_is_left_at_the_deadline() -> None:
    slow = Listener(b"HTTP/1.1 204 No Content\r\n" + b"x: y\r\n" * 1000, pause_seconds=0.05)
    with closing(slow), pytest.raises(TimeoutError):
        post(f"http://127.0.0.1:{slow.port}/", b"{}", {}, allowed=LOOPBACK, deadline_seconds=0.5)


def test_a_redirect_is_not_followed(listener: Listener) -> None:
    where = f"http://127.0.0.1:{listener.port}/elsewhere".encode()
    with closing(Listener(b"HTTP/1.1 307 Elsewhere\r\nLocation: " + where + b"\r\nContent-Length: 0\r\n\r\n")) as first:
        url = f"http://127.0.0.1:{first.port}/"
        assert post(url, b"{}", {}, allowed=LOOPBACK, deadline_seconds=DEADLINE_SECONDS) == 307
    assert listener.heads == []
