"""Where the gateway may be reached without API keys: from this machine only."""

from __future__ import annotations

from ipaddress import ip_address

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings
from quickthaw_platform.settings_origins import ANY


def check_binding(settings: Settings) -> None:
    """Refuse to serve anybody but this machine, or any page that its browsers open, without API keys."""
    if not settings.require_api_key and not is_loopback(settings.host):
        raise SettingsInvalid(
            f"host is {settings.host}, which others can reach, and require_api_key is false; "
            "set one of them back (QUICKTHAW_REQUIRE_API_KEY=true, or QUICKTHAW_HOST=127.0.0.1)"
        )
    if not settings.require_api_key and ANY in settings.cors_origins:
        raise SettingsInvalid(
            "cors_origins is * and require_api_key is false: every web page that is opened on this machine could "
            "deploy code; list the pages' origins, or set QUICKTHAW_REQUIRE_API_KEY=true"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
