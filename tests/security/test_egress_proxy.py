"""The proxy of a node for functions with network `egress`, by itself: it reaches what it may and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from quickthaw.egress import read_destinations
from quickthaw_platform.egress.connecting import is_own
from quickthaw_platform.egress.gate import Gate, Requests
from quickthaw_platform.egress.rules import Rules
from quickthaw_platform.setting_values.networks import read_networks
from tests.security.answering_server import LOOPBACK, serving

TIMEOUT_SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_server(authority: trustme.CA) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("api.test", "localhost").configure_cert(context)
    with serving(context) as port:
        yield port


@contextlib.contextmanager
def proxying(*listed: str, names: Mapping[str, str], allowed: str = LOOPBACK) -> Iterator[str]:
    """Run a gate where `names` have these addresses, with commas between, and no others any; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    rules = Rules(read_destinations(listed), read_networks(allowed))
    loop = asyncio.new_event_loop()
    resolve = socket.getaddrinfo

    def look_up(name: str, port: int, *arguments: Any, **more: Any) -> list[Any]:
        if not name.endswith(".test"):
            return resolve(name, port, *arguments, **more)
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[name].split(",")]

    async def open_gate() -> Gate:
        return Gate(listener, rules, Requests("f", "v"))

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    gate = asyncio.run_coroutine_threadsafe(open_gate(), loop).result()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", look_up)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(gate.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def connected(proxy: str) -> socket.socket:
    """Connect to a proxy, to say anything."""
    return socket.create_connection(("127.0.0.1", int(proxy.rpartition(":")[2])), timeout=TIMEOUT_SECONDS)


def client(proxy: str, **more: Any) -> httpx.Client:
    return httpx.Client(proxy=proxy, timeout=TIMEOUT_SECONDS, trust_env=False, **more)


def test_requests_reach_what_is_listed_and_say_whom_they_are_for(server: int) -> None:
    with proxying(f"api.test:{server}", names={"api.test": "127.0.0.1"}) as proxy, client(proxy) as http:
        answer = http.get(f"http://api.test:{server}/a?b=c", headers={"Host": "other.test"})
        assert (answer.status_code, answer.reason_phrase) == (200, "Fine")
        assert answer.text == f"GET /a?b=c api.test:{server} "
        whole = b"x" * 300_000
        assert http.post(f"http://api.test:{server}/", content=whole).content.endswith(b" " + whole)
        assert http.post(f"http://api.test:{server}/", content=iter([whole, b"y"])).content.endswith(whole + b"y")
        assert http.head(f"http://api.test:{server}/").headers["Content-Length"] == "12345"
        assert http.put(f"http://api.test:{server}/", content=b"x" * 5_000_000).status_code == 413


def test_what_is_not_listed_is_refused_and_not_even_looked_up(server: int) -> None:
    with proxying("api.test", names={}) as proxy, client(proxy) as http:
        answer = http.get(f"http://secret.other.test:{server}/")
        assert answer.status_code == 403
        assert answer.text.strip() == answer.reason_phrase
        assert "secret.other.test" in answer.text
        assert "list it there as" in answer.text
        with pytest.raises(httpx.ProxyError, match=r"403 .* list it there as secret\.other\.test"):
            http.get("https://secret.other.test/")
        with pytest.raises(httpx.ProxyError, match=r"502 api\.test has no address"):
            http.get("https://api.test/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_a_listed_name_that_leads_to_a_private_address_is_refused(server: int, address: str) -> None:
    listed = (f"api.test:{server}", "api.test")
    with proxying(*listed, names={"api.test": address}, allowed="") as proxy, client(proxy) as http:
        answer = http.get(f"http://api.test:{server}/")
        assert answer.status_code == 403
        assert f"api.test is {address}, which is not public" in answer.text
        with pytest.raises(httpx.ProxyError, match=r"403 .* not public"):
            http.get("https://api.test/")


def test_of_several_addresses_one_that_answers_is_taken_and_none_may_be_private(server: int) -> None:
    names = {"api.test": "127.0.0.2,127.0.0.1", "some.test": "127.0.0.1,10.0.0.1", "none.test": "127.0.0.2"}
    with proxying(*(f"{name}:{server}" for name in names), names=names) as proxy, client(proxy) as http:
        assert http.get(f"http://api.test:{server}/").status_code == 200
        assert http.get(f"http://some.test:{server}/").status_code == 403
        unreachable = http.get(f"http://none.test:{server}/")
        assert (unreachable.status_code, "cannot be reached: " in unreachable.text) == (502, True)


def test_without_a_list_no_port_but_the_usual_ones_is_reached(server: int) -> None:
    with proxying(names={"api.test": "127.0.0.1"}) as proxy, client(proxy) as http:
        assert (
            f"list it in `egress` of the function as api.test:{server}" in http.get(f"http://api.test:{server}/").text
        )


def test_a_second_request_reaches_no_other_host_by_the_connection_of_the_first(server: int) -> None:
    with proxying(f"api.test:{server}", names={"api.test": "127.0.0.1"}) as proxy, connected(proxy) as raw:
        head = f"GET http://{{}}:{server}/{{}} HTTP/1.1\r\nHost: x\r\n\r\n"
        raw.sendall((head.format("api.test", "first") + head.format("other.test", "second")).encode())
        said = b"".join(iter(lambda: raw.recv(1 << 16), b""))
    assert b"/first" in said
    assert b"/second" not in said
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", b"GET " + b"x" * (1 << 17)],
    ids=["TLS", "a server's request", "no end"],
)  # fmt: skip
def test_what_is_no_request_to_a_proxy_is_answered_so(said: bytes) -> None:
    with proxying(names={}) as proxy, connected(proxy) as raw:
        raw.sendall(said)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


SAID = st.binary(max_size=200) | st.lists(
    st.sampled_from([
        b"CONNECT ", b"GET ", b"http://api.test", b"/", b":", b"443", b" HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"\0",
        b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n",
    ]),
    max_size=12,
).map(b"".join)  # fmt: skip


def test_whatever_a_function_says_the_proxy_goes_on(server: int) -> None:
    names = {"api.test": "127.0.0.1"}
    with proxying(f"api.test:{server}", "api.test", names=names) as proxy, client(proxy) as http:

        @given(SAID)
        def say(said: bytes) -> None:
            with connected(proxy) as raw, contextlib.suppress(ConnectionError):
                raw.sendall(said)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(1 << 16):
                    pass

        with capture_logs() as logged:
            say()
        assert {entry["log_level"] for entry in logged} <= {"warning"}  # what it was refused, and no faults
        assert http.get(f"http://api.test:{server}/").status_code == 200


def test_a_tunnel_passes_tls_as_it_is(authority: trustme.CA, secure_server: int) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    listed, names = f"api.test:{secure_server}", {"api.test": "127.0.0.1"}
    with proxying(listed, names=names) as proxy, client(proxy, verify=context) as http:
        for _ in range(2):  # on one connection
            answer = http.post(f"https://api.test:{secure_server}/", content=b"z" * 500_000)
            assert answer.content.endswith(b"z" * 500_000)


def test_a_tunnel_passes_any_bytes_and_the_end_of_either_side() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        target = f"api.test:{plain.getsockname()[1]}"
        with proxying(target, names={"api.test": "127.0.0.1"}) as proxy, connected(proxy) as raw:
            raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\nbegun\0".encode())
            with plain.accept()[0] as other:
                assert raw.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
                assert other.recv(6, socket.MSG_WAITALL) == b"begun\0"
                raw.shutdown(socket.SHUT_WR)
                assert other.recv(1) == b""
                other.sendall(b"still")
            assert raw.recv(5, socket.MSG_WAITALL) == b"still"
            assert raw.recv(1) == b""


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("192.0.2.253", False)], ids=["own", "other"])
def test_the_addresses_of_this_machine_are_known(address: str, own: bool) -> None:
    assert is_own(ip_address(address)) is own
