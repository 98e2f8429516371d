"""Where a client finds its gateway and its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw import InvalidRequest
from quickthaw.config import DEFAULT_URL, client_file, resolve

FILE = 'url = "http://127.0.0.1:9000"\napi_key = "qt-file"\n'


@pytest.mark.parametrize(
    ("url", "key", "environ", "expected"),
    [
        # arguments come first
        ("http://a", "k", {"QUICKTHAW_URL": "http://b", "QUICKTHAW_API_KEY": "e"}, ("http://a", "k", "argument")),
        # then the environment
        (None, None, {"QUICKTHAW_URL": "http://b/", "QUICKTHAW_API_KEY": "e"}, ("http://b", "e", "QUICKTHAW_URL")),
        ("http://a", None, {"QUICKTHAW_API_KEY": "e"}, ("http://a", "e", "argument")),
        # then the file
        (None, None, {}, ("http://127.0.0.1:9000", "qt-file", "FILE")),
        (None, "k", {}, ("http://127.0.0.1:9000", "k", "FILE")),
        ("http://127.0.0.1:9000/", None, {}, ("http://127.0.0.1:9000", "qt-file", "argument")),
        # the file's key goes nowhere but to the file's gateway
        ("http://elsewhere", None, {}, ("http://elsewhere", None, "argument")),
        (None, None, {"QUICKTHAW_URL": "http://b"}, ("http://b", None, "QUICKTHAW_URL")),
        # an empty variable is none
        (None, None, {"QUICKTHAW_URL": "", "QUICKTHAW_API_KEY": ""}, ("http://127.0.0.1:9000", "qt-file", "FILE")),
    ],
)
def test_the_strongest_source_wins(
    tmp_path: Path, url: str | None, key: str | None, environ: dict[str, str], expected: tuple[str, str | None, str]
) -> None:
    file = tmp_path / "client.toml"
    file.write_text(FILE)
    found = resolve(url, key, {**environ, "QUICKTHAW_DATA_DIR": str(tmp_path)})
    source = str(file) if expected[2] == "FILE" else expected[2]
    assert (found.url, found.api_key, found.source) == (*expected[:2], source)


def test_without_any_source_it_is_the_platforms_default_address(tmp_path: Path) -> None:
    found = resolve(environ={"QUICKTHAW_DATA_DIR": str(tmp_path)})
    assert (found.url, found.api_key, found.source) == (DEFAULT_URL, None, "default")


def test_the_file_is_in_the_home_directory_by_default() -> None:
    assert client_file({}) == Path.home() / ".quickthaw" / "client.toml"


def test_a_url_without_scheme_is_refused_with_its_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"localhost:8080.*QUICKTHAW_URL.*http://"):
        resolve(environ={"QUICKTHAW_URL": "localhost:8080", "QUICKTHAW_DATA_DIR": str(tmp_path)})


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "client.toml").write_text("url = ")
    with pytest.raises(InvalidRequest, match=r"client\.toml cannot be read.*quickthaw up"):
        resolve(environ={"QUICKTHAW_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:99999", "http://[::1", "http://", "http://host:port", "http://a?x=1", "http://a\nb"],
    ids=ascii,
)
def test_an_address_that_is_none_is_refused_with_its_source(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"from argument\) is not a gateway's URL"):
        resolve(url, environ={"QUICKTHAW_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize("key", ["qt-schl\u00fcssel", "qt-a\nb", "qt-\udce9"], ids=ascii)
def test_a_key_that_no_header_can_carry_is_told_before_a_request(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidRequest, match="the API key is not valid"):
        resolve(None, key, {"QUICKTHAW_DATA_DIR": str(tmp_path)})
