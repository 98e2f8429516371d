"""Origins of web pages in a setting are read as browsers send them, or refused."""

from __future__ import annotations

import pytest

from quickthaw_platform.settings import Settings


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example, http://localhost:3000/", ("https://a.example", "http://localhost:3000")),
        ('["https://A.example:443", "null"]', ("https://a.example", "null")),
        ("http://[::1]:5173", ("http://[::1]:5173",)),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_are_read_as_browsers_write_them(text: str, origins: tuple[str, ...]) -> None:
    assert Settings(cors_origins=text).cors_origins == origins


@pytest.mark.parametrize(
    "text",
    ["a.example", "https://a.example/app", "https://*.example", "https://u@a.example", "https://a:x", "https://"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins=text)
