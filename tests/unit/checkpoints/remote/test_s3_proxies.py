"""boto3 is told which proxy to use: its own reading knows no networks, and takes loopback for any other host."""

from __future__ import annotations

import pytest

from quickthaw_platform.checkpoints.remote.s3 import S3Store, make_client
from quickthaw_platform.commands.seaweed import Seaweed

PROXY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set proxies that nobody answers at."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, PROXY)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:8333", {}),  # this machine
        ("http://10.1.2.3:9000", {}),  # of a network that is spared
        ("https://s3.lan", {"https": PROXY}),
    ],
)
def test_an_endpoint_is_reached_as_the_variables_say(
    endpoint: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert make_client().meta.config.proxies == expected


def test_a_server_of_this_machine_is_reached_whatever_the_proxies(s3_environment: Seaweed) -> None:
    store = S3Store("quickthaw", "proxied")
    store.put("a", b"x")
    assert [found.key for found in store.list()] == ["a"]
    assert s3_environment.environment["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1")
    store.close()


def test_checksums_of_boto3_are_sent_only_where_they_are_demanded_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    config = make_client().meta.config
    assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    config = make_client().meta.config
    assert config.request_checksum_calculation == "when_supported"
    assert config.response_checksum_validation == "when_required"
