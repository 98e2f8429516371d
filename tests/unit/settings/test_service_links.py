"""The variables that Kubernetes sets for a Service whose name begins with `quickthaw` are no settings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform import settings as settings_module
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.setting_values.sources import is_service_link, service_links, unknown
from quickthaw_platform.settings import Settings

OF_A_SERVICE = {
    "SERVICE_HOST": "10.96.0.7",
    "SERVICE_PORT": "8080",
    "SERVICE_PORT_HTTP": "8080",
    "SERVICE_PORT_HTTP_ALT": "8081",
    "PORT": "tcp://10.96.0.7:8080",
    "PORT_8080_TCP": "tcp://10.96.0.7:8080",
    "PORT_8080_TCP_PROTO": "tcp",
    "PORT_8080_TCP_PORT": "8080",
    "PORT_8080_TCP_ADDR": "10.96.0.7",
    "PORT_53_UDP": "udp://10.96.0.7:53",
    "PORT_9_SCTP_ADDR": "10.96.0.7",
}


@pytest.mark.parametrize("service", ["QUICKTHAW", "QUICKTHAW_REDIS", "QUICKTHAW_HOST", "QUICKTHAW_GATEWAY_V2"])
def test_the_whole_family_is_ignored_and_explained(
    service: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for suffix, value in OF_A_SERVICE.items():
        monkeypatch.setenv(f"{service}_{suffix}", value)
    with caplog.at_level(logging.WARNING):
        loaded = settings_module.load()
    assert loaded.port == 8080
    assert {row.name: row.source for row in settings_module.describe(loaded)}["port"] == "default"
    (record,) = caplog.records
    assert all(f"{service}_{suffix}" in record.getMessage() for suffix in OF_A_SERVICE)
    assert "enableServiceLinks" in record.getMessage()


NAMES = st.from_regex(r"[A-Z]([A-Z0-9_]{0,20}[A-Z0-9])?", fullmatch=True)
PORTS = st.integers(1, 65535)
PROTOCOLS = st.sampled_from(["TCP", "UDP", "SCTP"])


@given(service=NAMES, port_name=NAMES, port=PORTS, protocol=PROTOCOLS)
def test_no_service_whatever_its_name_keeps_a_process_from_starting(
    service: str, port_name: str, port: int, protocol: str
) -> None:
    base, address = f"QUICKTHAW_{service}", f"{protocol.lower()}://10.96.0.7:{port}"
    links = {
        f"{base}_SERVICE_HOST": "10.96.0.7",
        f"{base}_SERVICE_PORT": str(port),
        f"{base}_SERVICE_PORT_{port_name}": str(port),
        f"{base}_PORT": address,
        f"{base}_PORT_{port}_{protocol}": address,
        f"{base}_PORT_{port}_{protocol}_PROTO": protocol.lower(),
        f"{base}_PORT_{port}_{protocol}_PORT": str(port),
        f"{base}_PORT_{port}_{protocol}_ADDR": "10.96.0.7",
    }
    assert service_links(links, "QUICKTHAW_") == sorted(links)
    assert unknown(links, "QUICKTHAW_", frozenset()) == []


@given(name=st.sampled_from(sorted(Settings.model_fields)), value=st.sampled_from(["1", "a", "http://h", "/x"]))
def test_no_setting_is_taken_for_a_link(name: str, value: str) -> None:
    assert not is_service_link(f"QUICKTHAW_{name.upper()}", value)


def test_a_port_of_the_file_holds_beside_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickthaw.toml").write_text("port = 9000\n")
    monkeypatch.setenv("QUICKTHAW_PORT", "tcp://10.96.0.7:8080")
    assert settings_module.load().port == 9000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUICKTHAW_PORT", "9000"),  # the setting
        ("QUICKTHAW_GATEWAY_PORT", "9000"),  # a misspelt one
        ("QUICKTHAW_PORT_8080", "tcp"),  # no protocol in its name
        ("QUICKTHAW_HOST", "10.96.0.7"),
        ("QUICKTHAW_REDIS_URL", "tcp://10.96.0.7:6379"),  # wrong, and meant for us
    ],
)
def test_what_is_meant_for_us_is_no_link(variable: str, value: str) -> None:
    assert not is_service_link(variable, value)


def test_a_misspelt_port_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_GATEWAY_PORT", "9000")
    with pytest.raises(SettingsInvalid, match="unknown setting QUICKTHAW_GATEWAY_PORT"):
        settings_module.load()
