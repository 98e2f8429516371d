"""Which proxy a request goes through, and what errors say of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from quickthaw import AsyncClient, Backoff, Client, proxies
from quickthaw.errors import QuickthawError, Unreachable
from quickthaw.proxies import Proxy, is_loopback, proxy_for, share_reading, spare_loopback

PROXY = "http://proxy.lan:3128"
BOTH = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY}
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget this machine's own."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class _Proxy(BaseHTTPRequestHandler):
    """Answers as a proxy that reaches nobody, and remembers what it was sent."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.requestline} {self.headers.get('Authorization')}")
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b"<html>blocked by policy</html>")

    do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy's address, and what it was sent."""
    seen: list[str] = []
    handler = type("Handler", (_Proxy,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("environ", "url", "variable"),
    [
        ({}, "http://gateway.lan", None),
        (BOTH, "http://gateway.lan", "HTTP_PROXY"),
        (BOTH, "https://gateway.lan", "HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY}, "https://gateway.lan", "ALL_PROXY"),
        ({"ALL_PROXY": PROXY, "http_proxy": PROXY}, "http://gateway.lan", "http_proxy"),  # the more particular one
        ({"HTTP_PROXY": PROXY, "http_proxy": "http://other:1"}, "http://gateway.lan", "http_proxy"),  # as curl reads
        ({"HTTP_PROXY": PROXY, "http_proxy": ""}, "http://gateway.lan", None),  # switched off
        ({"HTTP_PROXY": ""}, "http://gateway.lan", None),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://gateway.lan", None),  # set by a caller of a CGI script
    ],
)
def test_the_proxy_is_that_of_the_environment(environ: dict[str, str], url: str, variable: str | None) -> None:
    found = proxy_for(url, environ)
    assert (found.variable if found else None) == variable


def test_a_proxy_without_a_scheme_speaks_http() -> None:
    assert proxy_for("http://h", {"HTTP_PROXY": "proxy:3128"}) == Proxy("http://proxy:3128", "HTTP_PROXY")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "127.0.0.1",
        "127.8.9.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ],
)
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    assert proxy_for(f"http://{host}:8080/v1", {**BOTH, "ALL_PROXY": PROXY}) is None


@pytest.mark.parametrize("host", ["", "gateway.lan", "localhost.lan", "128.0.0.1", "10.0.0.1", "::2", "1.2.3.four"])
def test_others_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("no_proxy", "host", "spared"),
    [
        ("*", "gateway.lan", True),
        ("gateway.lan", "gateway.lan", True),
        ("lan", "gateway.lan", True),
        (".lan", "gateway.lan", True),
        ("*.lan", "gateway.lan", True),
        ("way.lan", "gateway.lan", False),  # no part of a name
        ("other, gateway.lan", "gateway.lan", True),
        ("other gateway.lan", "GATEWAY.LAN.", True),
        ("gateway.lan:8080", "gateway.lan", True),
        ("gateway.lan:9090", "gateway.lan", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", True),  # bits below the mask do not matter
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8080", "10.1.2.3", True),
        ("10.0.0.0/99", "10.1.2.3", False),  # no network
        ("fd00::/8", "[fd00::7]", True),
        ("fd00::7", "[fd00::7]", True),
        ("[fd00::7]:8080", "[fd00::7]", True),
        ("[fd00::7]:9090", "[fd00::7]", False),
        ("10.0.0.0/8", "gateway.lan", False),  # a name is in no network
        ("", "gateway.lan", False),
    ],
)
def test_hosts_names_and_networks_are_spared(no_proxy: str, host: str, spared: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        found = proxy_for(f"http://{host}:8080/v1", {**BOTH, name: no_proxy})
        assert (found is None) == spared


def test_a_port_of_no_proxy_is_that_of_the_scheme_where_the_url_names_none() -> None:
    assert proxy_for("https://gateway.lan/", {**BOTH, "NO_PROXY": "gateway.lan:443"}) is None
    assert proxy_for("http://gateway.lan/", {**BOTH, "NO_PROXY": "gateway.lan:443"}) is not None


def test_libraries_are_told_to_spare_this_machine_beside_what_was_spared() -> None:
    environ = {"NO_PROXY": "10.0.0.0/8,localhost"}
    spare_loopback(environ)
    assert environ["NO_PROXY"] == environ["no_proxy"] == "10.0.0.0/8,localhost,127.0.0.1,127.0.0.0/8,::1"


def test_libraries_reach_directly_what_we_reach_directly() -> None:
    environ = {"HTTP_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}
    assert share_reading("http://10.1.2.3:8080", environ) is None
    assert environ["NO_PROXY"] == environ["no_proxy"] == "10.0.0.0/8,10.1.2.3"
    assert share_reading("http://gateway.lan", environ) == Proxy(PROXY, "HTTP_PROXY")
    assert environ["NO_PROXY"] == "10.0.0.0/8,10.1.2.3"


def test_a_password_of_a_proxy_is_not_shown() -> None:
    assert "hunter2" not in str(Proxy("http://me:hunter2@proxy:3128", "HTTP_PROXY"))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_key_for_this_machine_is_not_sent_to_a_proxy(
    variable: str, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, seen = proxy
    monkeypatch.setenv(variable, f"http://{address}")
    with Client("http://127.0.0.1:9", "qt_secret") as client, pytest.raises(Unreachable) as caught:
        client.functions()
    assert seen == []
    assert "proxy" not in caught.value.message


def test_an_answer_of_a_proxy_is_not_taken_for_the_gateways(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, seen = proxy
    monkeypatch.setenv("HTTP_PROXY", f"http://{address}")
    with Client("http://gateway.test") as client, pytest.raises(QuickthawError) as caught:
        client.functions()
    assert f"through the proxy http://{address} (HTTP_PROXY" in caught.value.message
    assert "blocked by policy" in caught.value.message
    assert seen[0].startswith("GET http://gateway.test/v1/functions")


def test_a_proxy_that_opens_no_tunnel_is_named(proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy[0]}")
    with Client("https://gateway.test") as client, pytest.raises(Unreachable, match="403 Forbidden, through the proxy"):
        client.functions()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("http://127.0.0.1:9", r"(failed|refused).*, through the proxy http://127.0.0.1:9 \(ALL_PROXY"),  # nobody there
        ("socks5://127.0.0.1:9", r"socksio: pip install 'httpx\[socks\]' .*ALL_PROXY"),  # the package is not there
        ("ftp://127.0.0.1:9", r"no proxy's URL.*ALL_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with Client("http://gateway.test", backoff=Backoff(attempts=1)) as client, pytest.raises(Unreachable, match=said):
        client.functions()

    async def ask() -> None:
        async with AsyncClient("http://gateway.test", backoff=Backoff(attempts=1)) as client:
            await client.functions()

    with pytest.raises(Unreachable, match=said):
        asyncio.run(ask())


def test_a_response_says_through_which_proxy_it_came(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy[0])
    with httpx.Client(transport=proxies.Transport()) as client:
        assert "HTTP_PROXY" in client.get("http://gateway.test/").extensions[proxies.THROUGH]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_read_is_named_with_its_variable(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(Unreachable, match=r"certificates that SSL_CERT_FILE names \(.*ca\.pem\) cannot be read"):
        Client("https://127.0.0.1:1", "k", backoff=Backoff(attempts=1)).functions()
