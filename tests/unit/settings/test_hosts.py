"""Names of hosts in a setting are read, or refused."""

from __future__ import annotations

import pytest

from quickthaw_platform.settings import Settings


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("llm.Example.com, .lan", ("llm.example.com", ".lan")),
        ('["*.example.com", "a."]', (".example.com", "a")),
        ("", ()),
    ],
    ids=["list", "JSON", "none"],
)
def test_names_are_read_from_the_setting(text: str, hosts: tuple[str, ...]) -> None:
    assert Settings(allowed_hosts=text).allowed_hosts == hosts


@pytest.mark.parametrize("text", ["https://a.example", "a.example:8080", "a.example/x", "*", "a..b", "::1", "*a.b"])
def test_what_is_no_name_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a host"):
        Settings(allowed_hosts=text)
