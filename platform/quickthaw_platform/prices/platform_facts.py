"""What platforms publish of their limits: `platforms.toml`."""

from __future__ import annotations

from importlib import resources

from quickthaw.types import Name
from quickthaw_platform.prices.figure import Model, Statement, Text
from quickthaw_platform.prices.reading import read_model

FILE = "platforms.toml"


class Platform(Model):
    """One platform: eight statements about it, and the offers that it is priced by."""

    id: Name
    name: Text
    offers: tuple[Name, ...] = ()
    longest_request: Statement
    memory: Statement
    gpu: Statement
    concurrency: Statement
    cold_start: Statement
    streaming: Statement
    scale_to_zero: Statement


class PlatformFile(Model):
    """The whole file. `servers` are offers to price beside the platforms, `tokens` the public model."""

    tokens: Name
    servers: tuple[Name, ...]
    platforms: tuple[Platform, ...]


def platform_file() -> PlatformFile:
    """Read the file that comes with the platform."""
    text = (resources.files("quickthaw_platform.prices") / FILE).read_text(encoding="utf-8")
    return read_model(PlatformFile, text, FILE)
