"""What runs `function.local(...)`: found by entry point, so that the SDK needs neither torch nor the platform."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import entry_points

from quickthaw.errors import NotServable
from quickthaw.model import Model
from quickthaw.types import FunctionSpec

GROUP = "quickthaw.runtime"
INSTALL = "pip install 'quickthaw[platform]'"

OpenModel = Callable[[FunctionSpec], AbstractContextManager[Model]]
"""A function whose handler is to be run here → its loaded model, until the context ends."""


def open_model(function: FunctionSpec) -> AbstractContextManager[Model]:
    """Load the model of a function in this process; NotServable says what to install where nothing here can."""
    return _local()(function)


def _local() -> OpenModel:
    points = entry_points(group=GROUP, name="local")
    if not points:
        raise NotServable(f"nothing installed here can run models; .local() needs the platform: {INSTALL}")
    print(".local(): importing the platform", file=sys.stderr, flush=True)  # takes seconds, the first time many
    try:
        found: OpenModel = next(iter(points)).load()
    except ImportError as error:
        raise NotServable(f".local() needs the platform ({error}): {INSTALL}") from error
    return found
