"""Public keys of importers in a setting are read in lower case, or refused."""

from __future__ import annotations

import pytest

from quickthaw_platform.settings import Settings

KEY = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", [KEY, f" {KEY.upper()} ,", f'["{KEY}"]'], ids=["plain", "upper-case", "JSON"])
def test_keys_are_read_from_the_setting(text: str) -> None:
    assert Settings(trusted_importers=text).trusted_importers == (KEY,)


@pytest.mark.parametrize("text", [KEY[1:], KEY + "0", "g" * 64], ids=["short", "long", "no-hexadecimal-digit"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no public key: that has 64 hexadecimal digits"):
        Settings(trusted_importers=text)
