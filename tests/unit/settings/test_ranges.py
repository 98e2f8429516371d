"""Settings that cannot be are refused by their name, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from quickthaw_platform import settings as settings_module
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_body", "10B"),
        ("body_timeout", 0),
        ("sse_keepalive", 0),  # a stream of nothing but signs of life
        ("instance_memory", 0),
        ("remote_poll", 0),
        ("disk_bandwidth", 0),  # nothing would ever be read
        ("remote_bandwidth", 0),
        ("heartbeat", 0),
        ("heartbeat_ttl", "50ms"),
        ("max_output", 0),
        ("controller_interval", 0),
        ("invocation_ttl", 0),
        ("stored_ttl", "500ms"),
        ("idempotency_ttl", 0),
        ("usage_detail", 0),
        ("usage_retention", "1m"),
    ],
)
def test_a_setting_with_which_nothing_could_work_is_refused(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=rf"{name}\n.*greater than"):
        Settings.model_validate({"data_dir": tmp_path, name: value})


def test_nodes_that_would_be_dead_between_their_heartbeats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"heartbeat_ttl \(2 s\) must be longer than heartbeat \(2 s\)"):
        Settings(data_dir=tmp_path, heartbeat=2.0)


def test_settings_that_do_not_go_together_are_told_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_HEARTBEAT", "5m")
    with pytest.raises(SettingsInvalid, match=r"^invalid settings: heartbeat_ttl .* longer than heartbeat") as found:
        settings_module.load()
    assert found.value.message.endswith("(heartbeat_ttl from default, heartbeat from QUICKTHAW_HEARTBEAT)")
