"""What a request to a proxy asks for, and what of it is passed on."""

from __future__ import annotations

from ipaddress import ip_address

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.egress.targets import NotForProxy, Target, passed_back, passed_on


def request(target: str, method: str = "GET", headers: list[tuple[str, str]] | None = None) -> h11.Request:
    return h11.Request(method=method, target=target, headers=[("Host", "other.test"), *(headers or [])])


@pytest.mark.parametrize(
    ("method", "asked", "target"),
    [
        ("GET", "http://Example.com/a?b=c", Target("example.com", 80, b"/a?b=c")),
        ("GET", "http://example.com.", Target("example.com", 80, b"/")),
        ("POST", "http://example.com:8080/a", Target("example.com", 8080, b"/a")),
        ("GET", "http://user:word@example.com/", Target("example.com", 80, b"/")),
        ("GET", "http://[2001:db8::1]:81/", Target(ip_address("2001:db8::1"), 81, b"/")),
        ("CONNECT", "example.com:443", Target("example.com", 443)),
        ("CONNECT", "203.0.113.7:443", Target(ip_address("203.0.113.7"), 443)),
        ("CONNECT", "[::ffff:10.0.0.1]:443", Target(ip_address("::ffff:10.0.0.1"), 443)),
        ("CONNECT", "127.1:443", Target("127.1", 443)),  # a name, until it is looked up
    ],
    ids=str,
)
def test_a_target_is_read_from_what_proxies_are_asked(method: str, asked: str, target: Target) -> None:
    assert Target.of(request(asked, method)) == target


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        *(
            ("GET", asked)
            for asked in ("/", "*", "https://example.com/", "ftp://example.com/", "http://", "http://a:b/")
        ),
        *(("CONNECT", asked) for asked in ("example.com", "example.com:", "example.com:443/x", "[::1:443", "a%62:443")),
    ],
    ids=str,
)
def test_what_names_no_host_and_port_is_refused(method: str, asked: str) -> None:
    with pytest.raises(NotForProxy):
        Target.of(request(asked, method))


@given(st.sampled_from(["GET", "CONNECT"]), st.from_regex(r"(http://)?[!-~]{1,30}", fullmatch=True))
def test_any_request_is_read_or_refused(method: str, asked: str) -> None:
    try:
        target = Target.of(request(asked, method))
    except NotForProxy:
        return
    assert str(target)
    assert passed_on(request(asked), target).target.startswith(b"/")


def test_a_request_is_passed_on_to_its_target_alone_without_what_was_for_the_proxy() -> None:
    headers = [
        *(("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Proxy-Authorization", "Basic x"), ("TE", "trailers")),
        *(("Upgrade", "websocket"), ("Content-Length", "3"), ("Accept", "text/html")),
    ]
    asked = request("http://example.com:81/a", "POST", headers)
    passed = passed_on(asked, Target.of(asked))
    assert (passed.method, passed.target) == (b"POST", b"/a")
    assert list(passed.headers) == [
        *((b"host", b"example.com:81"), (b"content-length", b"3"), (b"accept", b"text/html")),
        (b"connection", b"close"),
    ]


def test_an_answer_is_passed_back_on_a_connection_that_ends_with_it() -> None:
    answer = h11.Response(status_code=200, reason=b"Fine", headers=[("Keep-Alive", "timeout=5"), ("ETag", "x")])
    passed = passed_back(answer)
    assert (passed.status_code, passed.reason) == (200, b"Fine")
    assert list(passed.headers) == [(b"etag", b"x"), (b"connection", b"close")]
